//! Tables of error codes, as CSV and YAML. Each becomes one Markdown document of the kind `error-code` with a section a
//! code, so that an entry is a passage of its own and can be cited. A table without a column of codes is no document.

use std::fmt::Write as _;

use yaml_rust2::Event;
use yaml_rust2::parser::Parser;

/// Names of a column of codes, letters and digits only, lower case.
const CODE_COLUMNS: &[&str] =
    &["code", "errorcode", "errcode", "error", "sqlstate", "errno", "statuscode", "status", "exitcode"];

/// Keys below which a YAML file lists its codes.
const LISTS: &[&str] = &["errors", "codes", "errorcodes", "statuscodes", "exitcodes"];

const ENTRIES_MAX: usize = 20_000;
const NODES_MAX: usize = 400_000;
/// Collections inside one another.
const DEPTH_MAX: usize = 32;

struct Entry {
    code: String,
    fields: Vec<(String, String)>,
}

/// `Ok(None)` when no column holds codes. `Err` says what is wrong with the file.
pub(super) fn from_csv(path: &str, text: &str) -> Result<Option<String>, String> {
    let text = text.trim_start_matches('\u{feff}');
    // Some offices write semicolons, some tools tabs.
    let head = text.lines().next().unwrap_or_default();
    let count = |delimiter: char| head.matches(delimiter).count();
    let delimiter = [',', ';', '\t'].into_iter().max_by_key(|one| (count(*one), *one == ',')).unwrap_or(',');
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(u8::try_from(delimiter).unwrap_or(b','))
        .trim(csv::Trim::All)
        .flexible(true)
        .from_reader(text.as_bytes());
    let columns: Vec<String> = reader
        .headers()
        .map_err(|error| format!("cannot be read as CSV: {error}"))?
        .iter()
        .map(str::to_owned)
        .collect();
    let Some(code_at) = code_column(columns.iter().map(String::as_str)) else { return Ok(None) };
    let mut entries = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|error| format!("cannot be read as CSV: {error}"))?;
        let Some(code) = row.get(code_at).filter(|code| !code.is_empty()) else { continue };
        let fields = columns.iter().zip(&row).enumerate().filter(|(at, _)| *at != code_at);
        let fields = fields.map(|(_, (name, value))| (name.clone(), value.to_owned())).collect();
        entries.push(Entry { code: code.to_owned(), fields });
        limit(entries.len())?;
    }
    Ok(write(path, &entries))
}

/// Takes `[{code: …}]` and `{CODE: text or {…}}`, at the top or below a key such as `errors`.
pub(super) fn from_yaml(path: &str, text: &str) -> Result<Option<String>, String> {
    let Some(node) = parse(text)? else { return Ok(None) };
    let mut entries = Vec::new();
    match &node {
        Node::List(items) => entries = listed(items),
        Node::Map(pairs) => {
            for (key, value) in pairs {
                match value {
                    Node::List(items) => entries.extend(listed(items)),
                    Node::Map(inner) if LISTS.contains(&plain(key).as_str()) => entries.extend(keyed(inner)),
                    _ => {}
                }
            }
        }
        Node::Scalar(_) => {}
    }
    limit(entries.len())?;
    Ok(write(path, &entries))
}

fn limit(entries: usize) -> Result<(), String> {
    match entries > ENTRIES_MAX {
        true => Err(format!("lists more than {ENTRIES_MAX} codes")),
        false => Ok(()),
    }
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The first of the known names, by how surely it names codes.
fn code_column<'a>(names: impl Iterator<Item = &'a str>) -> Option<usize> {
    let names: Vec<String> = names.map(plain).collect();
    CODE_COLUMNS.iter().find_map(|known| names.iter().position(|name| name == known))
}

fn listed(items: &[Node]) -> Vec<Entry> {
    let entry = |item: &Node| {
        let Node::Map(pairs) = item else { return None };
        let at = code_column(pairs.iter().map(|(key, _)| key.as_str()))?;
        let code = pairs.get(at)?.1.text();
        let fields = pairs.iter().enumerate().filter(|(place, _)| *place != at);
        let fields = fields.map(|(_, (key, value))| (key.clone(), value.text())).collect();
        (!code.is_empty()).then_some(Entry { code, fields })
    };
    items.iter().filter_map(entry).collect()
}

fn keyed(pairs: &[(String, Node)]) -> Vec<Entry> {
    let entry = |(code, value): &(String, Node)| {
        let fields = match value {
            Node::Map(fields) => fields.iter().map(|(key, value)| (key.clone(), value.text())).collect(),
            other => vec![("meaning".to_owned(), other.text())],
        };
        Entry { code: code.clone(), fields }
    };
    pairs.iter().map(entry).collect()
}

fn write(path: &str, entries: &[Entry]) -> Option<String> {
    if entries.is_empty() {
        return None;
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let title = one_line(&stem.replace(['-', '_'], " ")).replace('"', "'");
    let mut text = format!("---\ntitle: \"{title}\"\nkind: error-code\n---\n# {title}\n");
    for entry in entries {
        // In back quotes no mark of a code is taken for Markdown.
        let _ = write!(text, "\n## `{}`\n\n", one_line(&entry.code).replace('`', "'"));
        for (name, value) in entry.fields.iter().filter(|(_, value)| !value.is_empty()) {
            let _ = writeln!(text, "- {}: {}", one_line(name), one_line(value));
        }
        if entry.fields.iter().all(|(_, value)| value.is_empty()) {
            text.push_str("No more is said of it.\n");
        }
    }
    Some(text)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

enum Node {
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// As people write it in a sentence.
    fn text(&self) -> String {
        match self {
            Self::Scalar(text) => text.clone(),
            Self::List(items) => items.iter().map(Self::text).collect::<Vec<_>>().join(", "),
            Self::Map(pairs) => pairs
                .iter()
                .map(|(key, value)| format!("{key}: {}", value.text()))
                .collect::<Vec<_>>()
                .join(", "),
        }
    }
}

/// A collection that is not closed yet.
struct Open {
    node: Node,
    /// Of a map: the key whose value comes next.
    key: Option<String>,
}

/// The first document. Aliases are refused: a few of them stand for more nodes than there is memory.
fn parse(text: &str) -> Result<Option<Node>, String> {
    let mut parser = Parser::new_from_str(text);
    let mut open: Vec<Open> = Vec::new();
    for _ in 0..NODES_MAX {
        let (event, mark) =
            parser.next_token().map_err(|error| format!("cannot be read as YAML: {error}"))?;
        let whole = match event {
            Event::Scalar(text, ..) => Node::Scalar(text),
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                if open.len() == DEPTH_MAX {
                    return Err(format!("nests more than {DEPTH_MAX} deep at line {}", mark.line()));
                }
                let node = match event {
                    Event::SequenceStart(..) => Node::List(Vec::new()),
                    _ => Node::Map(Vec::new()),
                };
                open.push(Open { node, key: None });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(closed) => closed.node,
                None => return Err("closes what was not open".to_owned()),
            },
            Event::Alias(_) => {
                return Err(format!("uses an alias at line {}, which is not read", mark.line()));
            }
            Event::DocumentEnd | Event::StreamEnd => return Ok(None),
            _ => continue,
        };
        match open.last_mut() {
            None => return Ok(Some(whole)),
            Some(Open { node: Node::List(items), .. }) => items.push(whole),
            Some(Open { node: Node::Map(pairs), key }) => match key.take() {
                Some(key) => pairs.push((key, whole)),
                None => *key = Some(whole.text()),
            },
            Some(_) => {}
        }
    }
    Err(format!("has more than {NODES_MAX} nodes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_with_codes_gets_a_section_a_code() {
        let csv = "Error Code;Meaning;Remedy\nE1001;pool is empty;\"raise the limit,\nthen restart\"\n;no code;x\nE_1002;;\n";
        let text = from_csv("ops/payment-errors.csv", csv).unwrap().unwrap();
        assert_eq!(
            text,
            "---\ntitle: \"payment errors\"\nkind: error-code\n---\n# payment errors\n\n## `E1001`\n\n\
             - Meaning: pool is empty\n- Remedy: raise the limit, then restart\n\n## `E_1002`\n\nNo more is said of it.\n"
        );
        assert_eq!(from_csv("a.csv", "name,age\nx,3\n").unwrap(), None);
        assert_eq!(from_csv("a.csv", "").unwrap(), None);
    }

    #[test]
    fn both_shapes_of_yaml_are_read_and_a_manifest_is_no_table() {
        let keyed =
            "errors:\n  E1: pool is empty\n  E2:\n    meaning: queue full\n    remedy: [drain, restart]\n";
        let text = from_yaml("x/codes.yaml", keyed).unwrap().unwrap();
        assert!(text.contains("## `E1`\n\n- meaning: pool is empty"), "{text}");
        assert!(text.contains("- remedy: drain, restart"), "{text}");
        let listed = "- code: 40001\n  meaning: deadlock\n- name: nothing\n";
        assert!(
            from_yaml("codes.yml", listed).unwrap().unwrap().contains("## `40001`\n\n- meaning: deadlock")
        );
        let manifest = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: app\n";
        assert_eq!(from_yaml("pod.yaml", manifest).unwrap(), None);
        assert_eq!(from_yaml("empty.yaml", "").unwrap(), None);
    }

    #[test]
    fn aliases_depth_and_broken_files_are_refused() {
        let laughs = "a: &a [x, x]\nb: &b [*a, *a]\nerrors: *b\n";
        assert!(from_yaml("a.yaml", laughs).err().unwrap().contains("alias at line 2"));
        let nested = format!("{}{}", "[".repeat(40), "]".repeat(40));
        assert!(from_yaml("a.yaml", &nested).err().unwrap().contains("32 deep"));
        assert!(from_yaml("a.yaml", &"[".repeat(100_000)).is_err());
        assert!(from_yaml("a.yaml", "a: [b\nc: d").err().unwrap().contains("YAML"));
        let many: String = (0..=ENTRIES_MAX).map(|n| format!("E{n},x\n")).collect();
        assert!(from_csv("a.csv", &format!("code,meaning\n{many}")).err().unwrap().contains("20000"));
    }
}
