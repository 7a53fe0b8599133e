//! What was observed, and what it means.

use crate::{Component, Digest, EvidenceId, TimeRange, TimestampMs};
use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceSource {
    Alert,
    Metrics,
    Logs,
    Knowledge,
    Tool,
}

/// One observation that a claim may cite. The raw bytes stay where they came from; their digest is kept, so that a
/// later reader can tell whether the source still says the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    pub id: EvidenceId,
    pub source: EvidenceSource,
    /// What was asked: PromQL, a log query, a tool call, a search text.
    pub query: String,
    pub window: TimeRange,
    /// SHA-256 of the raw answer.
    pub digest: Digest,
    /// One line for people.
    pub summary: String,
    /// Redacted; at most `evidence_bytes_max` of the policy.
    pub excerpt: String,
}

/// Degree of belief in `[0, 1]`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Confidence(f64);

/// What is read must be in range: a configured 70 is a mistake, not certainty.
impl TryFrom<f64> for Confidence {
    type Error = &'static str;

    fn try_from(value: f64) -> Result<Self, Self::Error> {
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err("a confidence lies in [0, 1]") }
    }
}

impl From<Confidence> for f64 {
    fn from(confidence: Confidence) -> Self {
        confidence.0
    }
}

impl Confidence {
    pub const NONE: Self = Self(0.0);

    /// Clamps to `[0, 1]`; NaN is no confidence at all.
    pub fn new(value: f64) -> Self {
        if value.is_nan() { Self(0.0) } else { Self(value.clamp(0.0, 1.0)) }
    }
    pub fn value(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}", self.0)
    }
}

/// Whether a finding speaks of a cause or of what a cause does to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bearing {
    Cause,
    Symptom,
}

/// What one piece of evidence means for one component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    pub evidence: EvidenceId,
    pub component: Component,
    /// A category of the configured taxonomy: `memory-leak`.
    pub category: String,
    pub bearing: Bearing,
    /// In `[0, 1]`, free of the metric's scale.
    pub strength: Confidence,
    pub onset: Option<TimestampMs>,
    /// Half-width of the interval the onset lies in.
    pub onset_uncertainty_ms: u64,
    pub statement: String,
}

/// What could not be looked at, so that a missing finding is not taken for a healthy one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub query: String,
    pub code: String,
    pub detail: String,
}
