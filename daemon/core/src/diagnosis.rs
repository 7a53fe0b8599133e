//! Hypotheses, how they were weighed, and what was concluded.

use crate::evidence::Confidence;
use crate::{Component, EvidenceId, HypothesisId};
use serde::{Deserialize, Serialize};

/// A claim's reference to what supports or contradicts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Citation {
    pub evidence: EvidenceId,
    pub why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HypothesisSource {
    /// Derived from findings by rule; reproducible.
    Rule,
    /// Proposed by a language model; carries no weight of its own.
    Model,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hypothesis {
    pub id: HypothesisId,
    pub component: Component,
    pub category: String,
    pub statement: String,
    pub confidence: Confidence,
    pub supporting: Vec<Citation>,
    pub against: Vec<Citation>,
    pub source: HypothesisSource,
}

/// What looking again at the own reasoning found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Critique {
    pub hypothesis: Option<HypothesisId>,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    Concluded {
        hypothesis: HypothesisId,
    },
    /// "I don't know", and why.
    Abstained {
        reason: String,
    },
}

/// A passage of the knowledge base that bears on the incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    pub document: String,
    pub title: String,
    pub heading: String,
    pub score: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Counts from 1.
    pub iteration: u32,
    /// Best first.
    pub hypotheses: Vec<Hypothesis>,
    pub verdict: Verdict,
    pub critiques: Vec<Critique>,
    pub references: Vec<Reference>,
    /// Version of the knowledge base that was asked.
    pub knowledge_version: Option<String>,
    /// What the model said or why it was not heard; `None` when none is configured.
    pub model_note: Option<String>,
}

impl Diagnosis {
    pub fn concluded(&self) -> Option<&Hypothesis> {
        match &self.verdict {
            Verdict::Concluded { hypothesis } => self.hypotheses.iter().find(|h| h.id == *hypothesis),
            Verdict::Abstained { .. } => None,
        }
    }
}
