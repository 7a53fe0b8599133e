//! The components before the court: what is held against each, and what another's trouble explains.
//!
//! Owns the laws by which causes come before symptoms. Never gathers evidence.

use super::{Suspect, Testimony, rounded};
use crate::correlate::meaning::Kind;
use crate::topology::Topology;
use std::collections::{BTreeMap, BTreeSet};

/// What a callee may at most take away from its callers' symptoms.
const EXPLAINED_MAX: f64 = 0.7;
/// What is left of that for each further call.
const HOP_DECAY: f64 = 0.85;
/// Calls further away explain nothing any more.
const HOPS_MAX: usize = 4;
/// What an instrumented sibling may take away from a name under which callers see it.
const ALIAS_MAX: f64 = 0.8;
/// The part of a score that goes by the share of all trouble that the component can explain.
const COVERAGE_PART: f64 = 0.5;
/// Trouble below this strength wants no explanation.
const TROUBLE_MIN: f64 = 0.5;
/// A component that no alerted one reaches by calls hardly caused the alert.
const OUT_OF_REACH: f64 = 0.4;
/// Evidence weaker than this is not told.
const TOLD_MIN: f64 = 0.05;

/// What is held against one component: the strongest testimony of each kind.
#[derive(Default)]
pub(super) struct Case {
    by_kind: BTreeMap<Kind, Testimony>,
    /// Someone looks at it from within: it has resources of its own.
    pub is_measured: bool,
}

impl Case {
    pub fn hear(&mut self, testimony: Testimony) {
        let known = self.by_kind.get(&testimony.kind).map_or(0.0, |known| known.strength);
        if testimony.strength > known {
            self.by_kind.insert(testimony.kind, testimony);
        }
    }

    fn strength_where(&self, wanted: impl Fn(Kind) -> bool) -> f64 {
        let squares = self.by_kind.values().filter(|one| wanted(one.kind)).map(|one| one.strength.powi(2));
        squares.sum::<f64>().sqrt()
    }

    fn total(&self) -> f64 {
        self.strength_where(|_| true)
    }

    fn symptoms(&self) -> f64 {
        self.strength_where(Kind::is_symptom)
    }

    fn causes(&self) -> f64 {
        self.strength_where(|kind| !kind.is_symptom())
    }

    /// What others will want to have explained.
    fn trouble(&self) -> f64 {
        let hurts = |kind| matches!(kind, Kind::Latency | Kind::Errors | Kind::Success | Kind::Logs);
        (self.strength_where(hurts) - TROUBLE_MIN).max(0.0)
    }
}

/// Weighs the cases against each other.
pub(super) struct Court<'a> {
    pub cases: &'a BTreeMap<String, Case>,
    pub topology: &'a Topology,
    pub alerted: BTreeSet<&'a str>,
    pub evidence_max: usize,
}

impl Court<'_> {
    pub fn judge(&self, component: &str) -> Option<Suspect> {
        let case = self.cases.get(component)?;
        let symptoms = case.symptoms();
        let explained_by = self.explained_by(component, case, symptoms);
        let left = symptoms * (1.0 - explained_by.as_ref().map_or(0.0, |(_, share)| *share));
        let mut evidence: Vec<Testimony> =
            case.by_kind.values().filter(|one| one.strength >= TOLD_MIN).cloned().collect();
        evidence.sort_by(|a, b| b.strength.total_cmp(&a.strength).then(a.kind.cmp(&b.kind)));
        evidence.truncate(self.evidence_max);
        Some(Suspect {
            component: component.to_owned(),
            score: rounded(left.hypot(case.causes()) * self.reach(component) * self.coverage(component)),
            confidence: 0.0,
            onset_ms: evidence.iter().filter_map(|one| one.onset_ms).min(),
            evidence,
            explained_by,
        })
    }

    /// Who takes the most of its symptoms away, and how much of them.
    fn explained_by(&self, component: &str, case: &Case, symptoms: f64) -> Option<(String, f64)> {
        let own = |other: &str| self.cases.get(other).map_or(0.0, Case::total);
        if symptoms <= 0.0 {
            return None;
        }
        let callees = below(component, self.topology).into_iter().map(|(callee, hops)| {
            (callee, EXPLAINED_MAX * HOP_DECAY.powi(hops) * (own(callee) / symptoms).min(1.0))
        });
        let siblings = self.siblings(component, case).into_iter();
        let siblings = siblings.map(|sibling| (sibling, ALIAS_MAX * (own(sibling) / symptoms).min(1.0)));
        let most = callees.chain(siblings).max_by(|a, b| a.1.total_cmp(&b.1).then_with(|| b.0.cmp(a.0)))?;
        (most.1 > 0.0).then(|| (most.0.to_owned(), most.1))
    }

    /// For a leaf that nobody measures from within (a load balancer's or a resolver's name, an external peer): what else
    /// its callers call that calls on, and of which it may be another name.
    fn siblings(&self, component: &str, case: &Case) -> Vec<&str> {
        let calls = |one: &str| self.topology.callees_of(one).next().is_some();
        if case.is_measured || calls(component) {
            return Vec::new();
        }
        self.topology
            .callers_of(component)
            .flat_map(|caller| self.topology.callees_of(caller))
            .filter(|other| *other != component && calls(other) && !self.topology.reaches(other, component))
            .collect()
    }

    fn reach(&self, component: &str) -> f64 {
        let is_near =
            self.alerted.is_empty() || self.alerted.iter().any(|from| self.topology.reaches(from, component));
        if is_near { 1.0 } else { OUT_OF_REACH }
    }

    /// 1 for a component whose trouble could explain all there is; without calls there is nothing to explain.
    fn coverage(&self, component: &str) -> f64 {
        let total: f64 = self.cases.values().map(Case::trouble).sum();
        if self.topology.is_empty() || total <= 0.0 {
            return 1.0;
        }
        let reached = self.cases.iter().filter(|(other, _)| self.topology.reaches(other, component));
        let explained: f64 = reached.map(|(_, case)| case.trouble()).sum();
        1.0 - COVERAGE_PART + COVERAGE_PART * explained / total
    }
}

/// What lies below by calls, with the further calls to it; nothing that calls back, for in a cycle neither end is
/// the deeper one.
fn below<'a>(component: &str, topology: &'a Topology) -> Vec<(&'a str, i32)> {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut level: BTreeSet<&str> = topology.callees_of(component).collect();
    let mut found = Vec::new();
    for hops in 0..HOPS_MAX {
        let mut next = BTreeSet::new();
        for callee in level {
            if callee != component && seen.insert(callee) {
                next.extend(topology.callees_of(callee));
                if !topology.reaches(callee, component) {
                    found.push((callee, i32::try_from(hops).unwrap_or(i32::MAX)));
                }
            }
        }
        level = next;
    }
    found
}
