//! Template mining: the constant part of messages, found as they come.
//!
//! Owns the growing set of templates. Never keeps more than its limit: the templates unused for longest are
//! forgotten, and how many is said. What is known survives a restart as a [`MinerState`].
//!
//! Method: a tree of fixed depth as in Drain (P. He et al., "Drain: An Online Log Parsing Approach with Fixed
//! Depth Tree", ICWS 2017): messages meet only templates of the same length and the same first word. Three
//! things differ. Masks come first ([`super::mask`]), with runs of variables as one token, so that a list's
//! length makes no new template. A cache from the masked text to its template answers nearly all messages
//! without a search. And the similarity counts words only, those given up included, so that a template with
//! many variables is not easier to join than one with few.
//!
//! Where messages differ in one word only, the word may be a name or the point of the message: `opened` and `closed`. So
//! both stay, as siblings, until so many words have stood in that place ([`MinerOptions::words_min`]) that it is a place for
//! names; then they merge ([`siblings`]). Words that mean opposites and states in capitals never become a variable
//! together ([`contrast`]).
//!
//! A template's id is the FNV-1a hash of its text *at creation*: it stays when the template generalises, and
//! is the same again after a restart that saw the same first message or was seeded with the same texts. Of templates that
//! merge the oldest's id stays, and [`Miner::resolve`] knows the others.

use super::mask::{Masked, WILDCARD};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

mod contrast;
mod id;
mod likeness;
mod parameter;
mod siblings;
mod state;

pub use id::{TemplateId, TemplateIdError};
pub use parameter::{Parameter, ParameterKind};
pub use state::{MINER_STATE_VERSION, MinerState, MinerStateError};

use contrast::Contrast;
use likeness::{Best, Fit, is_word};
use siblings::Siblings;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MinerOptions {
    /// Templates remembered at once.
    pub templates_max: usize,
    /// The share of constant positions that must agree for a message to join a template, in (0, 1].
    pub similarity_min: f64,
    /// Masked texts remembered for a direct answer; forgotten all at once when full.
    pub cache_entries_max: usize,
    /// Different words that must have stood in a place, all else equal, before it is a variable.
    pub words_min: usize,
}

impl Default for MinerOptions {
    /// 8192 templates of a few hundred bytes are about 4 MiB; a large system has a few thousand. 65 536 cache entries of 24 bytes are below 3 MiB.
    fn default() -> Self {
        Self { templates_max: 8192, similarity_min: 0.6, cache_entries_max: 65_536, words_min: 3 }
    }
}

/// A template as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    pub id: TemplateId,
    /// Words and `<*>`, separated by single spaces.
    pub text: String,
    /// Messages that matched it, seeds not counted.
    pub count: u64,
}

/// What a message was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    pub id: TemplateId,
    /// No template fitted: this message made one.
    pub is_new: bool,
}

/// A message with its template in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mined {
    pub id: TemplateId,
    pub template: String,
    pub parameters: Vec<Parameter>,
    pub is_new: bool,
}

/// Templates of one length and first word that a message is compared with, the newest: bounds the time of a message
/// that fits none.
const COMPARED_MAX: usize = 512;
/// First words are verbs more often than names: this many must differ.
const FIRST_WORDS_MIN: usize = 5;
/// And so many words behind them agree.
const SIBLING_WORDS_MIN: usize = 3;
/// The similarity of a message whose words are all the template's own.
const EXACT: f64 = 2.0;

struct Cluster {
    id: TemplateId,
    tokens: Vec<Box<str>>,
    count: u64,
    used: u64,
    bucket: u64,
    /// Rises with each creation: the order of age.
    generation: u64,
    /// Known before the lines at hand: merges with no other such.
    settled: bool,
}

/// The growing set of templates. Deterministic: the same messages in the same order give the same templates.
pub struct Miner {
    options: MinerOptions,
    clusters: Vec<Option<Cluster>>,
    free: Vec<u32>,
    /// Length and first word → slots, in order of creation.
    buckets: HashMap<u64, Vec<u32>>,
    by_id: HashMap<TemplateId, u32>,
    siblings: Siblings,
    contrast: Contrast,
    /// Ids of templates that merged into another.
    merged: HashMap<TemplateId, TemplateId>,
    cache: HashMap<u64, (u32, u64)>,
    masked: Masked,
    clock: u64,
    generation: u64,
    evicted: u64,
}

impl Default for Miner {
    fn default() -> Self {
        Self::new(MinerOptions::default())
    }
}

impl Miner {
    pub fn new(options: MinerOptions) -> Self {
        Self {
            options,
            clusters: Vec::new(),
            free: Vec::new(),
            buckets: HashMap::new(),
            by_id: HashMap::new(),
            siblings: Siblings::default(),
            contrast: Contrast::default(),
            merged: HashMap::new(),
            cache: HashMap::new(),
            masked: Masked::default(),
            clock: 0,
            generation: 0,
            evicted: 0,
        }
    }

    /// Makes known templates of an earlier run, with their ids.
    pub fn seed<'a>(&mut self, templates: impl IntoIterator<Item = (TemplateId, &'a str)>) {
        for (id, text) in templates {
            if !self.by_id.contains_key(&id) {
                let tokens: Vec<Box<str>> =
                    text.split(' ').filter(|t| !t.is_empty()).map(Into::into).collect();
                let bucket = bucket_of(tokens.len(), tokens.first().map_or("", |token| token));
                self.insert(id, tokens, bucket);
            }
        }
        self.settle();
    }

    /// From here on the templates known so far keep apart: what was learned by their ids stays true.
    pub fn settle(&mut self) {
        for cluster in self.clusters.iter_mut().flatten() {
            cluster.settled = true;
        }
    }

    /// The id that a template has now: its own, or that of the one into which it merged.
    pub fn resolve(&self, id: TemplateId) -> TemplateId {
        let mut id = id;
        // Merged ids point at the survivor of that time, which may itself have merged: each step is younger.
        for _ in 0..self.merged.len() {
            match self.merged.get(&id) {
                Some(next) => id = *next,
                None => break,
            }
        }
        id
    }

    /// Finds or makes the template of `message`. The fast path: no parameters are copied out.
    pub fn learn(&mut self, message: &str) -> Match {
        let mut masked = std::mem::take(&mut self.masked);
        masked.fill(message);
        let found = self.learn_masked(&masked);
        self.masked = masked;
        found
    }

    /// As [`Miner::learn`], with the template's text and the parameters.
    pub fn mine(&mut self, message: &str) -> Mined {
        let found = self.learn(message);
        let tokens =
            self.slot(self.resolve(found.id)).map(|cluster| cluster.tokens.as_slice()).unwrap_or_default();
        Mined {
            id: found.id,
            template: tokens.join(" "),
            parameters: parameter::parameters(tokens, &self.masked, message),
            is_new: found.is_new,
        }
    }

    /// The template of `message` if one is known; learns nothing.
    pub fn find(&self, message: &str) -> Option<TemplateId> {
        let found = self.best(&Masked::of(message))?;
        self.cluster(found.slot).map(|cluster| cluster.id)
    }

    /// Also by the id of one that merged into it.
    pub fn template(&self, id: TemplateId) -> Option<Template> {
        self.slot(self.resolve(id)).map(show)
    }

    /// All templates, most frequent first; equal counts in order of id.
    pub fn templates(&self) -> Vec<Template> {
        let mut all: Vec<Template> = self.clusters.iter().flatten().map(show).collect();
        all.sort_by(|a, b| b.count.cmp(&a.count).then(a.id.cmp(&b.id)));
        all
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Templates forgotten so far to keep within the limit.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    fn learn_masked(&mut self, masked: &Masked) -> Match {
        self.clock += 1;
        let clock = self.clock;
        let key = cache_key(masked.text.as_bytes());
        if let Some(&(slot, generation)) = self.cache.get(&key)
            && let Some(cluster) = self.clusters.get_mut(slot as usize).and_then(Option::as_mut)
            && cluster.generation == generation
        {
            cluster.count += 1;
            cluster.used = clock;
            return Match { id: cluster.id, is_new: false };
        }
        let (slot, is_new) = match self.best(masked) {
            Some(Best { slot, fit: Fit::Whole, .. }) => (slot, false),
            Some(Best { slot, fit: Fit::Similar, .. }) => {
                self.generalise(slot, masked);
                (slot, false)
            }
            // All but a word: a sibling, unless there are enough of them to show that the word is a name.
            Some(Best { fit: Fit::AllBut(at), .. }) => self.sibling(masked, at),
            None => self.sibling(masked, 0),
        };
        if self.cache.len() >= self.options.cache_entries_max {
            self.cache.clear();
        }
        let Some(cluster) = self.clusters.get_mut(slot as usize).and_then(Option::as_mut) else {
            return Match { id: TemplateId::of(&masked.text), is_new };
        };
        cluster.count += 1;
        cluster.used = clock;
        self.cache.insert(key, (slot, cluster.generation));
        Match { id: cluster.id, is_new }
    }

    fn create(&mut self, masked: &Masked) -> (u32, bool) {
        let id = TemplateId::of(&masked.text);
        if let Some(slot) = self.by_id.get(&self.resolve(id)) {
            // Its text has since generalised away from where it began; the message is still its own.
            return (*slot, false);
        }
        self.merged.remove(&id);
        let tokens = (0..masked.tokens.len()).map(|index| masked.token(index).into()).collect();
        (self.insert(id, tokens, bucket_of(masked.tokens.len(), masked.token(0))), true)
    }

    /// Makes a template beside those that differ from it in the word at `at` only, or merges them all.
    fn sibling(&mut self, masked: &Masked, at: usize) -> (u32, bool) {
        let (slot, is_new) = self.create(masked);
        let Some(tokens) = self.cluster(slot).filter(|_| is_new).map(|cluster| &cluster.tokens) else {
            return (slot, is_new);
        };
        let enough =
            if at == 0 { FIRST_WORDS_MIN.max(self.options.words_min) } else { self.options.words_min };
        let words = tokens.iter().enumerate().filter(|(index, token)| *index != at && is_word(token)).count();
        if words < SIBLING_WORDS_MIN && at == 0 {
            return (slot, is_new);
        }
        let mut group: Vec<u32> = self.siblings.of(tokens, at).to_vec();
        group.sort_by_key(|slot| self.cluster(*slot).map(|cluster| cluster.generation));
        if group.len() < enough
            || self.contrast.forbids(group.iter().filter_map(|slot| self.cluster(*slot)?.tokens.get(at)))
        {
            return (slot, is_new);
        }
        // The oldest goes on; of those settled only one may take part.
        let Some(oldest) = group.first().copied() else { return (slot, is_new) };
        let settled = |slot: &u32| self.cluster(*slot).is_some_and(|cluster| cluster.settled);
        let group: Vec<u32> =
            group.iter().copied().filter(|other| *other != oldest && !settled(other)).collect();
        for other in group {
            self.merge(oldest, other);
        }
        self.give_up(oldest, |index, _| index == at);
        // The message made no template after all.
        (oldest, false)
    }

    fn merge(&mut self, into: u32, slot: u32) {
        let Some(target) = self.cluster(into).map(|cluster| cluster.id) else { return };
        let Some(gone) = self.remove(slot) else { return };
        if let Some(cluster) = self.clusters.get_mut(into as usize).and_then(Option::as_mut) {
            cluster.count += gone.count;
        }
        if self.merged.len() >= 4 * self.options.templates_max.max(1) {
            self.merged.clear();
        }
        self.merged.insert(gone.id, target);
    }

    /// Turns the tokens that `is_given_up` (by place and text) into variables.
    fn give_up(&mut self, slot: u32, is_given_up: impl Fn(usize, &str) -> bool) {
        let Some(cluster) = self.clusters.get_mut(slot as usize).and_then(Option::as_mut) else { return };
        self.siblings.remove(&cluster.tokens, slot);
        for (index, token) in cluster.tokens.iter_mut().enumerate() {
            if is_given_up(index, token) {
                *token = WILDCARD.into();
            }
        }
        self.siblings.add(&cluster.tokens, slot);
        // What was answered before may now be better answered by this one.
        self.cache.clear();
        let bucket = bucket_of(cluster.tokens.len(), cluster.tokens.first().map_or("", |token| token));
        if bucket != cluster.bucket {
            let old = std::mem::replace(&mut cluster.bucket, bucket);
            if let Some(slots) = self.buckets.get_mut(&old) {
                slots.retain(|other| *other != slot);
            }
            self.buckets.entry(bucket).or_default().push(slot);
        }
    }

    fn insert(&mut self, id: TemplateId, tokens: Vec<Box<str>>, bucket: u64) -> u32 {
        if self.by_id.len() >= self.options.templates_max.max(1) {
            self.evict();
        }
        self.generation += 1;
        self.contrast.learn(&tokens);
        let cluster = Cluster {
            id,
            tokens,
            count: 0,
            used: self.clock,
            bucket,
            generation: self.generation,
            settled: false,
        };
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.clusters.push(None);
                (self.clusters.len() - 1) as u32
            }
        };
        self.siblings.add(&cluster.tokens, slot);
        if let Some(place) = self.clusters.get_mut(slot as usize) {
            *place = Some(cluster);
        }
        self.buckets.entry(bucket).or_default().push(slot);
        self.by_id.insert(id, slot);
        slot
    }

    /// Forgets the sixteenth that was not used for longest: one at a time would cost a search each.
    fn evict(&mut self) {
        let mut ages: Vec<(u64, u32)> = self
            .clusters
            .iter()
            .enumerate()
            .filter_map(|(slot, cluster)| Some((cluster.as_ref()?.used, slot as u32)))
            .collect();
        ages.sort_unstable();
        for (_, slot) in ages.iter().take((self.options.templates_max / 16).max(1)) {
            self.evicted += u64::from(self.remove(*slot).is_some());
        }
    }

    fn remove(&mut self, slot: u32) -> Option<Cluster> {
        let cluster = self.clusters.get_mut(slot as usize)?.take()?;
        if let Some(slots) = self.buckets.get_mut(&cluster.bucket) {
            slots.retain(|other| *other != slot);
            if slots.is_empty() {
                self.buckets.remove(&cluster.bucket);
            }
        }
        self.siblings.remove(&cluster.tokens, slot);
        self.contrast.forget(&cluster.tokens);
        self.by_id.remove(&cluster.id);
        self.free.push(slot);
        Some(cluster)
    }

    /// The most similar template that is similar enough: among those that begin alike, then among those that begin with
    /// anything. The oldest wins between equals.
    fn best(&self, masked: &Masked) -> Option<Best> {
        let first = masked.token(0);
        let found = self.best_in(masked, bucket_of(masked.tokens.len(), first));
        match found {
            Some(Best { fit: Fit::Whole, .. }) => found,
            _ if first == WILDCARD => found,
            _ => self
                .best_in(masked, bucket_of(masked.tokens.len(), WILDCARD))
                .filter(|other| other.fit == Fit::Whole)
                .or(found),
        }
    }

    fn best_in(&self, masked: &Masked, bucket: u64) -> Option<Best> {
        let mut best: Option<Best> = None;
        let slots = self.buckets.get(&bucket)?;
        for slot in slots.iter().skip(slots.len().saturating_sub(COMPARED_MAX)) {
            let Some(cluster) = self.cluster(*slot) else { continue };
            let Some((similarity, fit)) = self.similarity(&cluster.tokens, masked) else { continue };
            let found = Best { slot: *slot, similarity, fit };
            if similarity >= EXACT {
                return Some(found);
            }
            if similarity >= self.options.similarity_min
                && best.as_ref().is_none_or(|other| similarity > other.similarity)
            {
                best = Some(found);
            }
        }
        best
    }

    fn generalise(&mut self, slot: u32, masked: &Masked) {
        self.give_up(slot, |index, token| *token != *masked.token(index));
    }

    fn cluster(&self, slot: u32) -> Option<&Cluster> {
        self.clusters.get(slot as usize).and_then(Option::as_ref)
    }

    fn slot(&self, id: TemplateId) -> Option<&Cluster> {
        self.cluster(*self.by_id.get(&id)?)
    }
}

fn show(cluster: &Cluster) -> Template {
    Template { id: cluster.id, text: cluster.tokens.join(" "), count: cluster.count }
}

fn bucket_of(length: usize, first: &str) -> u64 {
    fnv1a(first.as_bytes()) ^ (length as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Eight bytes at a time; never stored, never shown.
fn cache_key(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, word: u64| {
        let mixed = u128::from(hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        (mixed >> 64) as u64 ^ mixed as u64
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(bytes.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let mut last = [0u8; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    mix(hash, u64::from_le_bytes(last))
}

/// FNV-1a, 64 bits: small, stable for ever, and fast on short texts.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
