//! Did a change cause this, which one, and what undoes it?
//!
//! Owns the weighing of changes (deployed commits, flipped flags) against causes from outside (a provider, a node, a
//! resolver, demand), from plain data: series, logs, spans, deploys, commits, flags, status events. Never runs or parses
//! code beyond the lines of a diff, knows no product by name, and never concludes from closeness in time alone: most
//! deploys near an incident are innocent.
//!
//! # How a change is scored
//! `score = timing · place · behaviour · (0.4 + 0.6 · link)`, each in [0, 1]:
//!
//! - **timing**: causes come first. With the lag from the deploy to the first symptom near it, `e^(−lag / 15 min)`; a
//!   change after the trouble began keeps 0.05. A symptom is a clear shift of a metric, or a log template that is new,
//!   much more frequent, or gone.
//! - **place**: 1 at the first failing service, less at its neighbours in the call graph, little where nothing connects.
//! - **behaviour**: what the diff does, however it calls itself: a limit cut to a fifth, a call removed or a field renamed
//!   changes behaviour; moved code, comments, tests and patch bumps do not. See [`diff::read`].
//! - **link**: the words of changed lines, file names and message that return in symptoms after the change, rarer words
//!   counting more; a value that the diff replaces and a metric that moves from the one to the other is a full link.
//!
//! Causes from outside are scored from their own evidence (see `outside.rs`), not from the lack of a culprit. All
//! hypotheses then share one unit of belief with "none of these": `confidence = score² / (Σ score² + 0.3²)`.

pub mod diff;
mod onset;
mod outside;
mod place;
mod remedy;
mod weigh;
mod words;

pub use onset::{Symptom, SymptomKind};
pub use outside::Outside;
pub use remedy::Remedy;

use crate::logs::LogRecord;
use crate::series::Series;
use serde::{Deserialize, Serialize};

/// The label of a series that names its service.
pub const SERVICE_LABEL: &str = "service";

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AlertFacts {
    pub service: String,
    pub metric: String,
    pub summary: String,
    pub fired_at_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Commit {
    pub sha: String,
    pub at_ms: u64,
    pub message: String,
    pub files: Vec<String>,
    /// Unified diff; hunk headers of any style.
    pub diff: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Deploy {
    pub at_ms: u64,
    pub service: String,
    /// The commit, or the beginning of its id.
    pub sha: String,
    pub version: String,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FlagFlip {
    pub at_ms: u64,
    pub flag: String,
    pub service: String,
    /// As in `off->on`.
    pub change: String,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SpanFacts {
    pub id: String,
    pub parent: Option<String>,
    pub service: String,
    pub name: String,
    pub at_ms: u64,
    pub failed: bool,
    /// What the span says of its failure and its far end: error text, peer, host.
    pub detail: String,
}

/// What a provider or the platform said of itself.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StatusEvent {
    pub at_ms: u64,
    /// What it speaks of: a product, a component.
    pub subject: String,
    pub region: String,
    /// True for "operating normally" and its like.
    pub healthy: bool,
    pub text: String,
}

/// Everything known around one alert. Any part may be empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Case {
    pub alert: AlertFacts,
    /// Each with the label [`SERVICE_LABEL`] and a name; counters as rates.
    pub series: Vec<Series>,
    pub logs: Vec<LogRecord>,
    pub spans: Vec<SpanFacts>,
    pub deploys: Vec<Deploy>,
    pub commits: Vec<Commit>,
    pub flags: Vec<FlagFlip>,
    pub status: Vec<StatusEvent>,
}

/// What caused it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    Commit(String),
    Flag(String),
    Outside(Outside),
}

/// One explanation with what speaks for and against it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hypothesis {
    pub cause: Cause,
    /// In [0, 1]; see the module.
    pub score: f64,
    /// In [0, 1]; those of all hypotheses sum to less than one.
    pub confidence: f64,
    /// One line each, for people.
    pub evidence: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Best first. The first one is the verdict unless `abstained`.
    pub hypotheses: Vec<Hypothesis>,
    pub first_failing_service: String,
    pub remedy: Remedy,
    /// No hypothesis is likely enough to act on.
    pub abstained: bool,
    /// The first clear symptom at the failing service.
    pub onset_ms: Option<u64>,
    /// In order of onset.
    pub symptoms: Vec<Symptom>,
}

impl Verdict {
    /// The blamed commit; None if the cause is another or unknown.
    pub fn commit(&self) -> Option<&str> {
        match self.hypotheses.first() {
            Some(Hypothesis { cause: Cause::Commit(sha), .. }) if !self.abstained => Some(sha),
            _ => None,
        }
    }

    /// Zero when abstained.
    pub fn confidence(&self) -> f64 {
        if self.abstained { 0.0 } else { self.hypotheses.first().map_or(0.0, |best| best.confidence) }
    }
}

/// Belief kept for causes that nobody thought of.
const UNKNOWN_SCORE: f64 = 0.3;
/// Below it nothing is named: "something else" is then likelier than the best idea.
const CONFIDENCE_MIN: f64 = 0.4;

/// Weighs every change and every cause from outside. The same case gives the same verdict, whatever the order of its
/// parts.
pub fn diagnose(case: &Case) -> Verdict {
    let symptoms = onset::symptoms(case);
    let map = place::Map::of(case);
    let first = map.first_failing(&case.alert.service, &symptoms);
    let onset_ms = onset::first_at(&symptoms, &first, &case.alert);
    let mut hypotheses = weigh::changes(case, &symptoms, &map, &first, onset_ms);
    hypotheses.extend(outside::causes(case, &symptoms, &map, &first, onset_ms));
    let total: f64 = hypotheses.iter().map(|one| one.score * one.score).sum::<f64>() + UNKNOWN_SCORE.powi(2);
    for one in &mut hypotheses {
        one.confidence = one.score * one.score / total;
    }
    hypotheses.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.cause.cmp(&b.cause)));
    let abstained = hypotheses.first().is_none_or(|best| best.confidence < CONFIDENCE_MIN);
    let remedy = if abstained { Remedy::Investigate } else { remedy::choose(case, hypotheses.first()) };
    Verdict { hypotheses, first_failing_service: first, remedy, abstained, onset_ms, symptoms }
}

#[cfg(test)]
mod tests;
