//! What a search gives back: hits with their reasons, and whether they can be relied upon.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

use crate::document::{DocumentId, Kind};
use crate::report::Report;

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SearchAnswer {
    /// Best first, one a document. When `insufficient` is set they are merely the nearest, and none of them is an answer.
    pub hits: Vec<Hit>,
    pub insufficient: Option<Insufficient>,
    /// The version that answered; 0 before the first ingest.
    pub version: u64,
    /// The embedder of that version; `none` without one.
    pub embedder: String,
    /// Set when a part of the search failed and the rest answered.
    pub degraded: Option<String>,
}

/// A document that fits, with the passage to show first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hit {
    pub document: DocumentId,
    pub source: String,
    pub path: String,
    pub title: String,
    pub kind: Kind,
    pub category: Option<String>,
    pub services: Vec<String>,
    pub alerts: Vec<String>,
    /// The day it is of, `2026-03-01`.
    pub date: Option<String>,
    /// Whether a person stands behind it.
    pub reviewed: bool,
    pub url: Option<String>,
    /// What an incident report says of symptoms, cause and remedy.
    pub report: Option<Report>,
    pub passage: Citation,
    /// Fused score; comparable within one answer only.
    pub score: f32,
    pub why: Why,
}

/// A place in a document, and its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Citation {
    /// The chunk's place in its document.
    pub ordinal: u32,
    pub heading_path: Vec<String>,
    /// In the document's text.
    pub bytes: Range<usize>,
    /// SHA-256 of the document's text, hex: whether the place still says this.
    pub digest: String,
    pub text: String,
}

/// Why a document was found.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Why {
    /// Terms of the question that the document holds, stemmed.
    pub terms: Vec<String>,
    /// Informative terms that it lacks.
    pub missing: Vec<String>,
    /// The name in the question that the document declares as one of its alerts.
    pub alert: Option<String>,
    /// The error code in the question that the cited passage is the entry of.
    pub code: Option<String>,
    pub document_bm25: Option<Ranked>,
    pub passage_bm25: Option<Ranked>,
    pub cosine: Option<Ranked>,
    /// Share of the question's informative terms, by rarity, that the document holds; a synonym counts in part.
    /// In [0,1].
    pub coverage: f32,
    /// The same of the cited passage, with the document's title and alerts.
    pub passage_coverage: f32,
}

/// For people: `alert HighErrorRate; terms error, rate; covers 0.83 of the question`.
impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(code) = &self.code {
            write!(out, "code {code}; ")?;
        }
        if let Some(alert) = &self.alert {
            write!(out, "alert {alert}; ")?;
        }
        if !self.terms.is_empty() {
            write!(out, "terms {}; ", self.terms.join(", "))?;
        }
        if let Some(cosine) = &self.cosine {
            write!(out, "meaning, rank {}; ", cosine.rank)?;
        }
        write!(out, "covers {:.2} of the question", self.coverage)
    }
}

/// A place in one ranking, from 1, and the score there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ranked {
    pub rank: u32,
    pub score: f32,
}

/// Why nothing found is an answer. A wrong runbook at three in the morning is worse than none.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "code", rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum Insufficient {
    /// Nothing was ingested yet.
    EmptyIndex,
    /// The question holds no word that could be looked up.
    NothingAsked,
    /// No document of this kind, or for this service, shares a word with the question.
    NothingFound,
    /// The best document speaks of too little of what was asked.
    LowCoverage { coverage: f32, wanted: f32, missing: Vec<String> },
    /// The alert named in the question is known to no document, and none fits its words well enough to stand in.
    UnknownAlert { alert: String, coverage: f32, wanted: f32 },
}

impl Insufficient {
    pub fn code(&self) -> &'static str {
        match self {
            Self::EmptyIndex => "EMPTY_INDEX",
            Self::NothingAsked => "NOTHING_ASKED",
            Self::NothingFound => "NOTHING_FOUND",
            Self::LowCoverage { .. } => "LOW_COVERAGE",
            Self::UnknownAlert { .. } => "UNKNOWN_ALERT",
        }
    }
}

impl fmt::Display for Insufficient {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyIndex => out.write_str("nothing was ingested yet"),
            Self::NothingAsked => out.write_str("the question holds no word that could be looked up"),
            Self::NothingFound => out.write_str("no document shares a word with the question"),
            Self::LowCoverage { coverage, wanted, missing } => write!(
                out,
                "the best document covers {coverage:.2} of the question, {wanted:.2} are wanted; it says nothing of: {}",
                missing.join(", ")
            ),
            Self::UnknownAlert { alert, coverage, wanted } => write!(
                out,
                "no document names the alert {alert}, and the best covers {coverage:.2} of its words, {wanted:.2} are wanted"
            ),
        }
    }
}
