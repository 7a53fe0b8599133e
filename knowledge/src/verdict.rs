//! Whether what was found is an answer. Ranks always have a first; this asks whether the first speaks of what was
//! asked: which share of the question's informative terms, weighed by how rare they are, it holds.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::answer::{Hit, Insufficient};
use crate::document::Document;
use crate::error::Result;
use crate::lexical::LexicalIndex;
use crate::query::ParsedQuery;
use crate::words;

/// Hits that are put together even when the caller wants fewer: a draft may stand where the first reviewed one is
/// looked for.
pub(crate) const LOOKED_AT: usize = 3;

/// Least coverage of a question in words by the first hit. On a development set of 181 answerable questions and 31
/// without an answer it loses one right answer in twenty and lets through three false ones in ten.
const COVERAGE_MIN: f32 = 0.37;
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
    hash: u64,
    /// Hashes of terms that may stand in its place, each with its share.
    synonyms: Vec<(u64, f32)>,
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

/// The terms of a document or a passage, hashed: some thousand bytes for a long page. Lives in memory only.
pub(crate) struct Held(Box<[u64]>);

impl Held {
    /// The terms of `text`, and of the document's title and alerts: they stand above every passage.
    pub(crate) fn of(document: &Document, text: &str) -> Self {
        let names = [text, &document.title].into_iter().chain(document.alerts.iter().map(String::as_str));
        let mut hashes: Vec<u64> = names.flat_map(words::terms).map(|term| hash(&term)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        Self(hashes.into_boxed_slice())
    }

    fn contains(&self, term: u64) -> bool {
        self.0.binary_search(&term).is_ok()
    }
}

fn hash(term: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    term.hash(&mut hasher);
    hasher.finish()
}

impl Weighed {
    fn by_synonym(&self, held: &Held) -> f32 {
        let held = self.synonyms.iter().filter(|(synonym, _)| held.contains(*synonym));
        held.map(|(_, share)| share * SYNONYM_SHARE).fold(0.0, f32::max)
    }
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
                hash: hash(&term.term),
                synonyms: term.synonyms.iter().map(|(synonym, share)| (hash(synonym), *share)).collect(),
                worth: term.weight * filler * index.idf(&term.term)?,
                informative: term.informative && !name,
            });
        }
        // The rarest first, so that what is listed as missing is what mattered.
        terms.sort_by(|a, b| b.worth.total_cmp(&a.worth).then_with(|| a.term.cmp(&b.term)));
        Ok(Self { terms })
    }

    /// The share alone of [`Self::by`].
    pub(crate) fn share(&self, held: &Held) -> f32 {
        let (mut all, mut share) = (0.0, 0.0);
        for term in self.terms.iter().filter(|term| term.informative) {
            all += term.worth;
            share += term.worth * if held.contains(term.hash) { 1.0 } else { term.by_synonym(held) };
        }
        if all > 0.0 { share / all } else { 0.0 }
    }

    /// What a document or a passage holds of the question.
    pub(crate) fn by(&self, held: &Held) -> Covered {
        let mut covered = Covered::default();
        for term in &self.terms {
            let here = held.contains(term.hash);
            let synonym = term.by_synonym(held);
            if here {
                covered.terms.push(term.term.clone());
            } else if term.informative && synonym == 0.0 && covered.missing.len() < MISSING_MAX {
                covered.missing.push(term.term.clone());
            }
        }
        covered.share = self.share(held);
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
    hits: &[&Hit],
    declaring: Declaring,
) -> Option<Insufficient> {
    if declaring.documents == 0 {
        return Some(Insufficient::EmptyIndex);
    }
    if coverage.terms.is_empty() {
        return Some(Insufficient::NothingAsked);
    }
    let Some(best) = hits.first() else { return Some(Insufficient::NothingFound) };
    if best.why.alert.is_some() || best.why.code.is_some() {
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
