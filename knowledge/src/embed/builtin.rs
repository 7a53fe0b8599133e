//! The embedder that needs no weights: signed hashing of words, word pairs, concepts of the thesaurus and character
//! n-grams, weighted by how rare they are in the corpus.
//!
//! What it can do that BM25 cannot: meet words that share a stem only in part (n-grams) and words that share a
//! concept. What it cannot do: know that two words mean the same when the thesaurus does not say so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Embedder, Passage, normalise};
use crate::error::{Error, Result};
use crate::thesaurus::Thesaurus;
use crate::words;

/// Raised whenever the same text would get another vector.
const REVISION: u32 = 2;

/// Places a feature is hashed to. With one, two features that collide are the same; with four they share a quarter.
const PROBES: u64 = 4;

const WORD_WEIGHT: f32 = 1.0;
const PAIR_WEIGHT: f32 = 0.3;
const CONCEPT_WEIGHT: f32 = 0.7;
const GRAM_WEIGHT: f32 = 0.35;
/// A word of any sentence, against one that names a thing.
const FILLER_WEIGHT: f32 = 0.4;
/// A word of the title or a heading counts as this many in the text.
const CONTEXT_WEIGHT: f32 = 2.0;
/// Characters of an n-gram. Four is a stem's worth: long enough to mean something, short enough to be shared.
const GRAM_CHARS: usize = 4;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BuiltinEmbedder(Arc<Model>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Model {
    revision: u32,
    dimension: usize,
    passages: u32,
    /// Feature (a word, or a concept as `#n`) → passages that hold it.
    holding: BTreeMap<String, u32>,
}

pub(super) fn id(dimension: usize) -> String {
    format!("builtin-hash-r{REVISION}/{dimension}")
}

impl BuiltinEmbedder {
    pub(crate) fn fit(dimension: usize, passages: &[Passage]) -> Self {
        let mut holding: BTreeMap<String, u32> = BTreeMap::new();
        for passage in passages {
            let mut terms = words::terms(&passage.context);
            terms.extend(words::terms(&passage.text));
            let mut once: BTreeSet<String> = concepts(&terms).into_iter().collect();
            once.extend(terms);
            for feature in once {
                *holding.entry(feature).or_insert(0) += 1;
            }
        }
        let passages = u32::try_from(passages.len()).unwrap_or(u32::MAX);
        Self(Arc::new(Model { revision: REVISION, dimension, passages, holding }))
    }

    pub(crate) fn from_model(model: &[u8]) -> Result<Self> {
        let refuse = |reason: String| Error::Embedder { embedder: "builtin".to_owned(), reason };
        let read: Model = serde_json::from_slice(model)
            .map_err(|error| refuse(format!("its model cannot be read: {error}")))?;
        if read.revision != REVISION || read.dimension == 0 {
            return Err(refuse("its model is of another revision".to_owned()));
        }
        Ok(Self(Arc::new(read)))
    }
}

impl Model {
    fn idf(&self, feature: &str) -> f32 {
        let holding = self.holding.get(feature).copied().unwrap_or(0) as f32;
        (1.0 + (self.passages as f32 - holding + 0.5).max(0.0) / (holding + 0.5)).ln()
    }

    fn vector(&self, context: &str, text: &str) -> Vec<f32> {
        let mut features: BTreeMap<Feature, f32> = BTreeMap::new();
        for (part, weight) in [(context, CONTEXT_WEIGHT), (text, 1.0)] {
            let terms = words::terms(part);
            for concept in concepts(&terms) {
                *features.entry(Feature::Concept(concept)).or_insert(0.0) += weight;
            }
            for pair in terms.windows(2) {
                *features.entry(Feature::Pair(pair.join(" "))).or_insert(0.0) += weight;
            }
            for term in terms {
                *features.entry(Feature::Word(term)).or_insert(0.0) += weight;
            }
        }
        let mut vector = vec![0.0; self.dimension];
        for (feature, count) in &features {
            let damped = 1.0 + count.ln().max(-0.5);
            match feature {
                Feature::Word(word) => {
                    let filler = if words::is_filler(word) { FILLER_WEIGHT } else { 1.0 };
                    let weight = damped * filler * self.idf(word);
                    add(&mut vector, b'w', word, WORD_WEIGHT * weight);
                    let grams = grams(word);
                    // A long word has more grams and must not weigh more for it.
                    let share = GRAM_WEIGHT * weight / (grams.len().max(1) as f32).sqrt();
                    for gram in grams {
                        add(&mut vector, b'g', &gram, share);
                    }
                }
                Feature::Pair(pair) => {
                    let rarest = pair.split(' ').map(|word| self.idf(word)).fold(0.0, f32::max);
                    add(&mut vector, b'p', pair, PAIR_WEIGHT * damped * rarest);
                }
                Feature::Concept(concept) => {
                    add(&mut vector, b'c', concept, CONCEPT_WEIGHT * damped * self.idf(concept));
                }
            }
        }
        normalise(&mut vector);
        vector
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Feature {
    Word(String),
    Pair(String),
    Concept(String),
}

fn concepts(terms: &[String]) -> Vec<String> {
    Thesaurus::shared().find(terms).iter().map(|found| format!("#{}", found.concept.0)).collect()
}

/// `^disk$` in fours; a word of three letters is its own gram.
fn grams(word: &str) -> Vec<String> {
    let marked: Vec<char> = ['^'].into_iter().chain(word.chars()).chain(['$']).collect();
    marked.windows(GRAM_CHARS).map(|window| window.iter().collect()).collect()
}

fn add(vector: &mut [f32], space: u8, feature: &str, weight: f32) {
    let dimension = vector.len() as u64;
    let mut hash = fnv1a(space, feature);
    for _ in 0..PROBES {
        hash = mix(hash);
        let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
        let place = usize::try_from(hash.checked_rem(dimension).unwrap_or(0)).unwrap_or(0);
        if let Some(value) = vector.get_mut(place) {
            *value += sign * weight / (PROBES as f32).sqrt();
        }
    }
}

/// FNV-1a, 64 bit: stable over builds and machines, which the standard hasher does not promise.
fn fnv1a(space: u8, feature: &str) -> u64 {
    [space].iter().chain(feature.as_bytes()).fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The finaliser of SplitMix64: each call gives the next independent-looking value.
fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[async_trait]
impl Embedder for BuiltinEmbedder {
    fn id(&self) -> String {
        id(self.0.dimension)
    }

    fn dimension(&self) -> usize {
        self.0.dimension
    }

    async fn embed(&self, passages: &[Passage]) -> Result<Vec<Vec<f32>>> {
        let (model, passages) = (Arc::clone(&self.0), passages.to_vec());
        crate::error::off_runtime(move || {
            Ok(passages.iter().map(|passage| model.vector(&passage.context, &passage.text)).collect())
        })
        .await
    }

    async fn embed_query(&self, text: &str) -> Result<Vec<f32>> {
        Ok(self.0.vector("", text))
    }

    fn model(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(self.0.as_ref()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosine(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(x, y)| x * y).sum()
    }

    fn fitted() -> BuiltinEmbedder {
        let passages =
            ["the disk of the node is full", "certificate expires tomorrow", "pods restart in a loop"]
                .map(|text| Passage { context: String::new(), text: text.to_owned() });
        BuiltinEmbedder::fit(512, &passages)
    }

    #[test]
    fn a_paraphrase_is_nearer_than_another_fault() {
        let model = fitted();
        let disk = model.0.vector("", "the disk of the node is full");
        let paraphrase = model.0.vector("", "no space left on the volume of this machine");
        let other = model.0.vector("", "certificate expires tomorrow");
        assert!(cosine(&disk, &paraphrase) > cosine(&disk, &other) + 0.1);
        assert!((cosine(&disk, &disk) - 1.0).abs() < 1e-5);
    }

    #[test]
    fn words_of_one_family_meet_without_a_common_stem() {
        let model = fitted();
        let authentication = model.0.vector("", "authentication");
        assert!(cosine(&authentication, &model.0.vector("", "authenticator")) > 0.1);
        assert!(cosine(&authentication, &model.0.vector("", "volume")).abs() < 0.1);
    }

    #[test]
    fn the_model_comes_back_as_it_was_and_a_foreign_one_is_refused() {
        let model = fitted();
        let bytes = model.model().unwrap();
        assert_eq!(BuiltinEmbedder::from_model(&bytes).unwrap(), model);
        assert!(BuiltinEmbedder::from_model(b"{}").is_err());
    }

    #[test]
    fn nothing_gives_the_zero_vector() {
        assert!(fitted().0.vector("", "the of and").iter().all(|x| *x == 0.0));
    }
}
