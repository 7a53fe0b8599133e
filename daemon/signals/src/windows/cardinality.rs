//! Which labels a query can afford to keep.
//!
//! Owns the choice of labels to aggregate away. Never drops a label that the caller protects.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Labels to keep and to drop so that few enough series remain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cardinality {
    /// For `sum by (…)`; in alphabetical order.
    pub kept: BTreeSet<String>,
    /// In the order in which they were dropped.
    pub dropped: Vec<String>,
    pub series_before: usize,
    /// Distinct combinations of what is kept.
    pub series_after: usize,
    /// False if even the protected labels alone leave too many series: those beyond must be cut off, and said.
    pub fits: bool,
}

/// Drops labels until no more than `series_max` distinct combinations remain: each time the one whose loss leaves
/// fewest series, of equals the one with most values, then by name. That is the label that multiplies: a pod's or a request's id, not
/// a status of four values. Labels in `protected` stay.
pub fn guard(
    series: &[BTreeMap<String, String>],
    protected: &BTreeSet<String>,
    series_max: usize,
) -> Cardinality {
    let mut kept: BTreeSet<String> = series.iter().flat_map(|labels| labels.keys().cloned()).collect();
    let series_before = combinations(series, &kept);
    let mut series_after = series_before;
    let mut dropped = Vec::new();
    while series_after > series_max {
        let best = kept
            .iter()
            .filter(|name| !protected.contains(*name))
            .map(|name| {
                let mut rest = kept.clone();
                rest.remove(name);
                let values: BTreeSet<Option<&String>> =
                    series.iter().map(|labels| labels.get(name)).collect();
                (combinations(series, &rest), usize::MAX - values.len(), name.clone())
            })
            .min();
        let Some((left, _, name)) = best else { break };
        kept.remove(&name);
        dropped.push(name);
        series_after = left;
    }
    Cardinality { kept, dropped, series_before, series_after, fits: series_after <= series_max }
}

fn combinations(series: &[BTreeMap<String, String>], kept: &BTreeSet<String>) -> usize {
    let distinct: BTreeSet<Vec<Option<&String>>> =
        series.iter().map(|labels| kept.iter().map(|name| labels.get(name)).collect()).collect();
    distinct.len()
}
