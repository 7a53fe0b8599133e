//! Where trouble began, as findings that travel from the Monitor to the Diagnoser through the journal.
//!
//! Owns the names of these findings and how they are read back. Never weighs them.

use medic_core::evidence::Finding;
use medic_core::{Component, EvidenceId, Incident, TimestampMs};
use std::collections::BTreeMap;

/// The trouble may have begun at the component; the strength is the probability that it did.
pub(crate) const BEGAN: &str = "origin";
/// Something of the component changed when the trouble began.
pub(crate) const CHANGED: &str = "origin-change";
/// What a hypothesis is called that knows the place and not the kind. No remedy can be configured for it.
pub(crate) const UNCLASSIFIED: &str = "unclassified";

/// Whether a finding is one of these, and no indication of a category.
pub(crate) fn is_about(finding: &Finding) -> bool {
    matches!(finding.category.as_str(), BEGAN | CHANGED)
}

/// One component that may be where it began.
pub(crate) struct Suspect<'a> {
    pub component: &'a Component,
    /// The probability that it is, in `[0, 1]`.
    pub belief: f64,
    /// What changed there, strongest first.
    pub changes: Vec<&'a Finding>,
}

/// What was found of an incident's beginning.
pub(crate) struct Origin<'a> {
    /// The piece of evidence that holds the ranking.
    pub evidence: &'a EvidenceId,
    pub onset: Option<TimestampMs>,
    pub onset_uncertainty_ms: u64,
    /// Likeliest first; at least one.
    pub suspects: Vec<Suspect<'a>>,
}

/// `None`: nothing was looked at, or nothing changed.
pub(crate) fn of(incident: &Incident) -> Option<Origin<'_>> {
    let mut changes: BTreeMap<&Component, Vec<&Finding>> = BTreeMap::new();
    for finding in incident.findings.iter().filter(|finding| finding.category == CHANGED) {
        changes.entry(&finding.component).or_default().push(finding);
    }
    let mut began: Vec<&Finding> =
        incident.findings.iter().filter(|finding| finding.category == BEGAN).collect();
    began.sort_by(|a, b| {
        b.strength.value().total_cmp(&a.strength.value()).then_with(|| a.component.cmp(&b.component))
    });
    let first = began.first()?;
    Some(Origin {
        evidence: &first.evidence,
        onset: first.onset,
        onset_uncertainty_ms: first.onset_uncertainty_ms,
        suspects: began
            .iter()
            .map(|finding| Suspect {
                component: &finding.component,
                belief: finding.strength.value(),
                changes: changes.remove(&finding.component).unwrap_or_default(),
            })
            .collect(),
    })
}
