//! Whether what was found is an answer. Ranks always have a first; this asks whether the first speaks of what was
//! asked: which share of the question's informative terms, weighed by how rare they are, it holds.

use std::collections::HashSet;

use crate::answer::{Hit, Insufficient};
use crate::document::Document;
use crate::error::Result;
use crate::lexical::LexicalIndex;
use crate::query::ParsedQuery;
use crate::words;

/// Hits whose coverage is looked at: the right document is not always first.
pub(crate) const LOOKED_AT: usize = 3;

/// Least coverage of a question in words. On a development set of 181 answerable questions and 31 without an answer
/// it loses one right answer in twenty and lets through three false ones in ten.
const COVERAGE_MIN: f32 = 0.40;
/// Least coverage where the question names an alert that no document declares, in a house whose documents declare
/// theirs: that none does is itself evidence that there is no runbook.
const COVERAGE_MIN_UNKNOWN_ALERT: f32 = 0.95;
/// Share of documents with a declared alert from which on a house is one that declares them.
const DECLARING_SHARE: f32 = 0.5;
/// What a synonym in place of the word counts.
const SYNONYM_SHARE: f32 = 0.6;
/// What a word of any sentence, whose weight in the question is low already, counts here.
const FILLER_SHARE: f32 = 0.5;
/// Terms listed as missing.
const MISSING_MAX: usize = 8;

/// The question's terms with what each is worth.
pub(crate) struct Coverage {
    terms: Vec<Weighed>,
}

struct Weighed {
    term: String,
    synonyms: Vec<(String, f32)>,
    worth: f32,
    informative: bool,
}

/// What of the question a document holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Covered {
    pub(crate) terms: Vec<String>,
    pub(crate) missing: Vec<String>,
    /// In [0,1].
    pub(crate) share: f32,
}

impl Coverage {
    pub(crate) fn of(query: &ParsedQuery, index: &LexicalIndex) -> Result<Self> {
        let mut terms = Vec::with_capacity(query.terms.len());
        for term in &query.terms {
            // The name of an alert is judged by whether a document declares it, not as a word.
            let name = query.names.iter().any(|name| words::terms(name).first() == Some(&term.term));
            let filler = if words::is_filler(&term.term) { FILLER_SHARE } else { 1.0 };
            terms.push(Weighed {
                term: term.term.clone(),
                synonyms: term.synonyms.clone(),
                worth: term.weight * filler * index.idf(&term.term)?,
                informative: term.informative && !name,
            });
        }
        // The rarest first, so that what is listed as missing is what mattered.
        terms.sort_by(|a, b| b.worth.total_cmp(&a.worth).then_with(|| a.term.cmp(&b.term)));
        Ok(Self { terms })
    }

    /// What `document` holds of the question in `text`, which is all of it or a passage.
    pub(crate) fn by(&self, document: &Document, text: &str) -> Covered {
        let mut held: HashSet<String> = words::terms(text).into_iter().collect();
        held.extend(words::terms(&document.title));
        held.extend(document.alerts.iter().flat_map(|alert| words::terms(alert)));
        let mut covered = Covered::default();
        let (mut all, mut share) = (0.0, 0.0);
        for term in &self.terms {
            let here = held.contains(&term.term);
            let synonym = term
                .synonyms
                .iter()
                .filter(|(synonym, _)| held.contains(synonym))
                .map(|(_, share)| share * SYNONYM_SHARE)
                .fold(0.0, f32::max);
            if here {
                covered.terms.push(term.term.clone());
            } else if term.informative && synonym == 0.0 && covered.missing.len() < MISSING_MAX {
                covered.missing.push(term.term.clone());
            }
            if term.informative {
                all += term.worth;
                share += term.worth * if here { 1.0 } else { synonym };
            }
        }
        covered.share = if all > 0.0 { share / all } else { 0.0 };
        covered
    }
}

/// How many of the documents declare an alert.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Declaring {
    pub(crate) documents: usize,
    pub(crate) with_alert: usize,
}

impl Declaring {
    fn is_custom(self) -> bool {
        self.with_alert as f32 >= DECLARING_SHARE * self.documents as f32
    }
}

pub(crate) fn judge(
    query: &ParsedQuery,
    coverage: &Coverage,
    hits: &[Hit],
    declaring: Declaring,
) -> Option<Insufficient> {
    if declaring.documents == 0 {
        return Some(Insufficient::EmptyIndex);
    }
    if coverage.terms.is_empty() {
        return Some(Insufficient::NothingAsked);
    }
    let Some(best) = hits.iter().take(LOOKED_AT).max_by(|a, b| a.why.coverage.total_cmp(&b.why.coverage))
    else {
        return Some(Insufficient::NothingFound);
    };
    if hits.first().is_some_and(|hit| hit.why.alert.is_some()) {
        return None;
    }
    let coverage = best.why.coverage;
    match &query.alert {
        Some(alert) if declaring.is_custom() => {
            let wanted = COVERAGE_MIN_UNKNOWN_ALERT;
            (coverage < wanted).then(|| Insufficient::UnknownAlert { alert: alert.clone(), coverage, wanted })
        }
        _ => {
            let wanted = COVERAGE_MIN;
            let missing = || best.why.missing.clone();
            (coverage < wanted).then(|| Insufficient::LowCoverage { coverage, wanted, missing: missing() })
        }
    }
}
