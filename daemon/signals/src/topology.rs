//! Who calls whom.
//!
//! Owns the call graph and walks over it. Never guesses an edge; callers learn them from labels, traces or a file.

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
}
