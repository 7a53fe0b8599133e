//! Words of the field that stand for one another. People describe a fault in other words than its runbook uses;
//! a page of general synonyms closes part of that gap without a model.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::words;

const TEXT: &str = include_str!("thesaurus.txt");

/// A concept found in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConceptId(pub(crate) u16);

/// A phrase of a concept: its terms in order.
type Phrase = Vec<String>;

pub(crate) struct Thesaurus {
    concepts: Vec<Vec<Phrase>>,
    /// First term of a phrase → where such phrases are.
    starts: HashMap<String, Vec<(ConceptId, usize)>>,
}

/// A concept and the places of the terms that name it.
pub(crate) struct Found {
    pub(crate) concept: ConceptId,
    pub(crate) at: usize,
    pub(crate) length: usize,
}

impl Thesaurus {
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Thesaurus> = OnceLock::new();
        SHARED.get_or_init(|| Self::parse(TEXT))
    }

    fn parse(text: &str) -> Self {
        let mut concepts = Vec::new();
        let mut starts: HashMap<String, Vec<(ConceptId, usize)>> = HashMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            let concept = ConceptId(u16::try_from(concepts.len()).unwrap_or(u16::MAX));
            let mut phrases: Vec<Phrase> = Vec::new();
            for phrase in line.split(',').map(words::terms) {
                if phrase.is_empty() || phrases.contains(&phrase) {
                    continue;
                }
                if let Some(first) = phrase.first() {
                    starts.entry(first.clone()).or_default().push((concept, phrases.len()));
                }
                phrases.push(phrase);
            }
            concepts.push(phrases);
        }
        Self { concepts, starts }
    }

    /// The concepts that `terms` name, in order of appearance.
    pub(crate) fn find(&self, terms: &[String]) -> Vec<Found> {
        let mut found = Vec::new();
        for (at, term) in terms.iter().enumerate() {
            for (concept, phrase) in self.starts.get(term).into_iter().flatten() {
                let Some(phrase) = self.phrases(*concept).get(*phrase) else { continue };
                if terms.get(at..).is_some_and(|rest| rest.starts_with(phrase)) {
                    found.push(Found { concept: *concept, at, length: phrase.len() });
                }
            }
        }
        found
    }

    pub(crate) fn phrases(&self, concept: ConceptId) -> &[Phrase] {
        self.concepts.get(usize::from(concept.0)).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_found_only_whole_and_in_order() {
        let thesaurus = Thesaurus::parse("# note\noom, out of memory\nfull, no space\n");
        let find = |text: &str| {
            thesaurus.find(&words::terms(text)).iter().map(|found| found.concept.0).collect::<Vec<_>>()
        };
        assert_eq!(find("killed: out of memory"), [0]);
        assert_eq!(find("no space left"), [1]);
        assert_eq!(find("space no"), Vec::<u16>::new());
    }

    #[test]
    fn every_line_has_at_least_two_phrases_that_differ_after_stemming() {
        for phrases in &Thesaurus::shared().concepts {
            assert!(phrases.len() >= 2, "{phrases:?}");
        }
    }
}
