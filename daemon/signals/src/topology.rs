//! Who calls whom.
//!
//! Owns the call graph, walks over it, and its reading from labels and from the text of a file. Never guesses an
//! edge, and never opens a file.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A directed graph, edges from caller to callee. Cycles are allowed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(String, String)>", into = "Vec<(String, String)>")]
pub struct Topology {
    callees: BTreeMap<String, BTreeSet<String>>,
    callers: BTreeMap<String, BTreeSet<String>>,
}

impl Topology {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `caller → callee`. A component does not call itself: such an edge is ignored.
    pub fn add_edge(&mut self, caller: impl Into<String>, callee: impl Into<String>) {
        let (caller, callee) = (caller.into(), callee.into());
        if caller != callee {
            self.callers.entry(callee.clone()).or_default().insert(caller.clone());
            self.callees.entry(caller).or_default().insert(callee);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.callees.is_empty()
    }

    /// Every component with an edge, in order of name.
    pub fn components(&self) -> BTreeSet<&str> {
        self.callees.keys().chain(self.callers.keys()).map(String::as_str).collect()
    }

    pub fn contains(&self, component: &str) -> bool {
        self.callees.contains_key(component) || self.callers.contains_key(component)
    }

    pub fn edges(&self) -> impl Iterator<Item = (&str, &str)> {
        self.callees.iter().flat_map(|(caller, callees)| {
            callees.iter().map(move |callee| (caller.as_str(), callee.as_str()))
        })
    }

    pub fn callers_of(&self, component: &str) -> impl Iterator<Item = &str> {
        self.callers.get(component).into_iter().flatten().map(String::as_str)
    }

    pub fn callees_of(&self, component: &str) -> impl Iterator<Item = &str> {
        self.callees.get(component).into_iter().flatten().map(String::as_str)
    }

    /// True if a chain of calls leads from `from` to `to`, or they are the same.
    pub fn reaches(&self, from: &str, to: &str) -> bool {
        self.distance(from, to).is_some()
    }

    /// The fewest calls from `from` to `to`; 0 for itself, None without a way.
    pub fn distance(&self, from: &str, to: &str) -> Option<usize> {
        if from == to {
            return Some(0);
        }
        let mut seen = BTreeSet::from([from]);
        let mut queue = VecDeque::from([(from, 0)]);
        while let Some((component, hops)) = queue.pop_front() {
            for next in self.callees_of(component) {
                if next == to {
                    return Some(hops + 1);
                }
                if seen.insert(next) {
                    queue.push_back((next, hops + 1));
                }
            }
        }
        None
    }
}

impl<A: Into<String>, B: Into<String>> FromIterator<(A, B)> for Topology {
    fn from_iter<I: IntoIterator<Item = (A, B)>>(edges: I) -> Self {
        let mut topology = Self::new();
        for (caller, callee) in edges {
            topology.add_edge(caller, callee);
        }
        topology
    }
}

impl From<Vec<(String, String)>> for Topology {
    fn from(edges: Vec<(String, String)>) -> Self {
        edges.into_iter().collect()
    }
}

impl From<Topology> for Vec<(String, String)> {
    fn from(topology: Topology) -> Self {
        topology.edges().map(|(caller, callee)| (caller.to_owned(), callee.to_owned())).collect()
    }
}

/// Pairs of labels that name the two ends of a call, caller first, as meshes, tracers and exporters write them.
const EDGE_LABELS: [(&str, &str); 12] = [
    ("caller", "callee"),
    ("source_workload", "destination_workload"),
    ("source_app", "destination_app"),
    ("source_canonical_service", "destination_canonical_service"),
    ("source_service", "destination_service"),
    ("client", "server"),
    ("client_service", "server_service"),
    ("client_name", "server_name"),
    ("source", "destination"),
    ("source", "target"),
    ("src", "dst"),
    ("from", "to"),
];

/// Caller and callee of a series that speaks of a call; None for any other, for a self-call, and where an end is
/// empty or `unknown`.
pub fn edge_of(labels: &BTreeMap<String, String>) -> Option<(&str, &str)> {
    let end =
        |label: &str| labels.get(label).map(String::as_str).filter(|name| !matches!(*name, "" | "unknown"));
    EDGE_LABELS
        .iter()
        .find_map(|(caller, callee)| Some((end(caller)?, end(callee)?)))
        .filter(|(caller, callee)| caller != callee)
}

/// Why a topology file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("line {line} of the topology has {found} columns, not {expected}")]
    Columns { line: usize, found: usize, expected: usize },
    #[error("the topology is no JSON list of pairs, nor an object of lists: {0}")]
    Json(String),
}

impl ReadError {
    pub fn code(&self) -> &'static str {
        "TOPOLOGY_UNREADABLE"
    }
}

/// Reads a topology file's text, in any of the forms that tools write:
///
/// - JSON: `[["caller","callee"],…]` or `{"caller":["callee",…],…}`;
/// - an edge list as CSV: caller and callee in the columns that a header names so (source and target, from and
///   to, …), or in the first two; a weight column of zero means no edge;
/// - an adjacency matrix as CSV: the first cell is empty, then callees across and callers down; zero and empty mean
///   no edge.
///
/// # Errors
/// [`ReadError`] for broken JSON, and for a row with too few columns.
pub fn read(text: &str) -> Result<Topology, ReadError> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.starts_with('[') || text.starts_with('{') {
        return read_json(text);
    }
    let mut rows = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let Some((_, header)) = rows.next() else { return Ok(Topology::new()) };
    let header = cells(header);
    let rows = rows.map(|(index, line)| (index + 1, cells(line)));
    if header.first().is_some_and(String::is_empty) && header.len() > 1 {
        return read_matrix(&header, rows);
    }
    let column = |names: &dyn Fn(&(&str, &str)) -> String| {
        let cell = |name: &str| header.iter().position(|cell| cell.eq_ignore_ascii_case(name));
        EDGE_LABELS.iter().find_map(|pair| cell(&names(pair)))
    };
    let named = (column(&|pair| pair.0.to_owned()), column(&|pair| pair.1.to_owned()));
    let weight = header.iter().position(|cell| cell.eq_ignore_ascii_case("weight"));
    let mut topology = Topology::new();
    let (caller_at, callee_at) = match named {
        (Some(caller), Some(callee)) => (caller, callee),
        _ => {
            add_edge_of_row(&mut topology, 1, &header, (0, 1), None)?;
            (0, 1)
        }
    };
    for (line, row) in rows {
        add_edge_of_row(&mut topology, line, &row, (caller_at, callee_at), weight)?;
    }
    Ok(topology)
}

fn add_edge_of_row(
    topology: &mut Topology,
    line: usize,
    row: &[String],
    (caller_at, callee_at): (usize, usize),
    weight_at: Option<usize>,
) -> Result<(), ReadError> {
    let short = || ReadError::Columns { line, found: row.len(), expected: caller_at.max(callee_at) + 1 };
    let caller = row.get(caller_at).ok_or_else(short)?;
    let callee = row.get(callee_at).ok_or_else(short)?;
    let is_edge = weight_at.and_then(|at| row.get(at)).is_none_or(|weight| is_set(weight));
    if is_edge && !caller.is_empty() && !callee.is_empty() {
        topology.add_edge(caller.as_str(), callee.as_str());
    }
    Ok(())
}

fn read_matrix(
    header: &[String],
    rows: impl Iterator<Item = (usize, Vec<String>)>,
) -> Result<Topology, ReadError> {
    let mut topology = Topology::new();
    for (line, row) in rows {
        if row.len() != header.len() {
            return Err(ReadError::Columns { line, found: row.len(), expected: header.len() });
        }
        let mut cells = row.iter();
        let Some(caller) = cells.next() else { continue };
        for (callee, cell) in header.iter().skip(1).zip(cells) {
            if is_set(cell) {
                topology.add_edge(caller.as_str(), callee.as_str());
            }
        }
    }
    Ok(topology)
}

fn read_json(text: &str) -> Result<Topology, ReadError> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Pairs(Vec<(String, String)>),
        Callees(BTreeMap<String, Vec<String>>),
    }
    let form = serde_json::from_str(text).map_err(|error| ReadError::Json(error.to_string()))?;
    Ok(match form {
        Form::Pairs(pairs) => pairs.into_iter().collect(),
        Form::Callees(callees) => callees
            .into_iter()
            .flat_map(|(caller, callees)| callees.into_iter().map(move |callee| (caller.clone(), callee)))
            .collect(),
    })
}

/// True for a weight or matrix cell that says there is a call: any text but nothing, zero and `false`.
fn is_set(cell: &str) -> bool {
    match cell.parse::<f64>() {
        Ok(number) => number != 0.0 && !number.is_nan(),
        Err(_) => !cell.is_empty() && !cell.eq_ignore_ascii_case("false"),
    }
}

/// The cells of a CSV line, quotes taken off (RFC 4180; a cell does not span lines).
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut rest = line.trim_end_matches('\r').chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '"' if quoted && rest.peek() == Some(&'"') => {
                rest.next();
                push(&mut cells, '"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            other => push(&mut cells, other),
        }
    }
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
}

fn push(cells: &mut [String], next: char) {
    if let Some(cell) = cells.last_mut() {
        cell.push(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_lead_one_way_and_cycles_end() {
        let shop: Topology = [
            ("gateway", "checkout"),
            ("checkout", "inventory"),
            ("checkout", "payments"),
            ("payments", "checkout"),
        ]
        .into_iter()
        .collect();
        assert!(shop.reaches("gateway", "inventory"));
        assert!(!shop.reaches("inventory", "gateway"));
        assert_eq!(shop.distance("gateway", "payments"), Some(2));
        assert_eq!(shop.distance("nobody", "payments"), None);
        assert_eq!(shop.callers_of("checkout").collect::<Vec<_>>(), ["gateway", "payments"]);
        assert_eq!(shop.callees_of("checkout").collect::<Vec<_>>(), ["inventory", "payments"]);
    }

    #[test]
    fn a_self_call_is_no_edge_and_serde_keeps_the_graph() {
        let mut topology = Topology::new();
        topology.add_edge("a", "a");
        assert!(topology.is_empty());
        topology.add_edge("a", "b");
        let text = serde_json::to_string(&topology).unwrap();
        assert_eq!(text, r#"[["a","b"]]"#);
        assert_eq!(serde_json::from_str::<Topology>(&text).unwrap(), topology);
    }

    #[test]
    fn a_topology_is_read_in_every_form() {
        let expected: Topology = [("a", "b"), ("b", "c")].into_iter().collect();
        for text in [
            "Source,Target,Weight\na,b,1\nb,c,2\nc,a,0\n",
            "minute,caller,callee,count\n60,a,b,3\n60,b,c,1\n120,a,b,2\n",
            "a,b\r\nb,c\r\n",
            ",a,b,c\na,0.0,1.0,0.0\nb,0,0,1\nc,,0,NaN\n",
            r#"[["a","b"],["b","c"]]"#,
            r#"{"a":["b"],"b":["c"]}"#,
            "\u{feff}from,to\n\"a\",b\n\nb,\" c \"\n",
        ] {
            assert_eq!(read(text).as_ref(), Ok(&expected), "{text}");
        }
        assert_eq!(read(""), Ok(Topology::new()));
        assert_eq!(read("x,y\n\"q\"\"r,s\",t").unwrap().callees_of("q\"r,s").collect::<Vec<_>>(), ["t"]);
    }

    #[test]
    fn a_broken_topology_is_refused_with_its_line() {
        assert_eq!(read(",a,b\na,1\n"), Err(ReadError::Columns { line: 2, found: 2, expected: 3 }));
        assert_eq!(
            read("caller,callee\na,b\nonly\n"),
            Err(ReadError::Columns { line: 3, found: 1, expected: 2 })
        );
        assert!(matches!(read("[1,2]"), Err(ReadError::Json(_))));
        assert_eq!(read("{").unwrap_err().code(), "TOPOLOGY_UNREADABLE");
    }

    #[test]
    fn labels_of_a_call_are_an_edge_and_others_are_none() {
        let labels = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(label, value)| ((*label).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        assert_eq!(edge_of(&labels(&[("caller", "a"), ("callee", "b")])), Some(("a", "b")));
        assert_eq!(
            edge_of(&labels(&[("source_workload", "a"), ("destination_workload", "b"), ("code", "200")])),
            Some(("a", "b"))
        );
        assert_eq!(edge_of(&labels(&[("source_workload", "unknown"), ("destination_workload", "b")])), None);
        assert_eq!(edge_of(&labels(&[("caller", "a"), ("callee", "a")])), None);
        assert_eq!(edge_of(&labels(&[("service", "a")])), None);
    }
}
