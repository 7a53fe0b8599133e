//! Template mining: the constant part of messages, found as they come.
//!
//! Owns the growing set of templates. Never keeps more than its limit: the templates unused for longest are
//! forgotten, and how many is said.
//!
//! Method: a tree of fixed depth as in Drain (P. He et al., "Drain: An Online Log Parsing Approach with Fixed
//! Depth Tree", ICWS 2017): messages meet only templates of the same length and the same first word. Three
//! things differ. Masks come first ([`super::mask`]), with runs of variables as one token, so that a list's
//! length makes no new template. A cache from the masked text to its template answers nearly all messages
//! without a search. And the similarity counts words only, those given up included, so that a template with
//! many variables is not easier to join than one with few.
//!
//! A template's id is the FNV-1a hash of its text *at creation*: it stays when the template generalises, and
//! is the same again after a restart that saw the same first message or was seeded with the same texts.

use super::mask::{Masked, WILDCARD};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

mod parameter;

pub use parameter::{Parameter, ParameterKind};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TemplateId(pub u64);

impl TemplateId {
    /// The id of a template created with this text.
    pub fn of(text: &str) -> Self {
        Self(fnv1a(text.as_bytes()))
    }
}

impl fmt::Display for TemplateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Not sixteen hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a template id is 16 hexadecimal digits, not {0:?}")]
pub struct TemplateIdError(String);

impl FromStr for TemplateId {
    type Err = TemplateIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let value = hex.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        value.map(Self).ok_or_else(|| TemplateIdError(text.to_owned()))
    }
}

impl From<TemplateId> for String {
    fn from(id: TemplateId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for TemplateId {
    type Error = TemplateIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MinerOptions {
    /// Templates remembered at once.
    pub templates_max: usize,
    /// The share of constant positions that must agree for a message to join a template, in (0, 1].
    pub similarity_min: f64,
    /// Masked texts remembered for a direct answer; forgotten all at once when full.
    pub cache_entries_max: usize,
}

impl Default for MinerOptions {
    /// 8192 templates of a few hundred bytes are about 4 MiB; a large system has a few thousand. 65 536 cache entries of 24 bytes are below 3 MiB.
    fn default() -> Self {
        Self { templates_max: 8192, similarity_min: 0.6, cache_entries_max: 65_536 }
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
/// Below the 1 of a message that fits as it is.
const ALMOST: f64 = 0.999;

struct Cluster {
    id: TemplateId,
    tokens: Vec<Box<str>>,
    count: u64,
    used: u64,
    bucket: u64,
    generation: u32,
}

/// The growing set of templates. Deterministic: the same messages in the same order give the same templates.
pub struct Miner {
    options: MinerOptions,
    clusters: Vec<Option<Cluster>>,
    free: Vec<u32>,
    /// Length and first word → slots, in order of creation.
    buckets: HashMap<u64, Vec<u32>>,
    by_id: HashMap<TemplateId, u32>,
    cache: HashMap<u64, (u32, u32)>,
    masked: Masked,
    clock: u64,
    generation: u32,
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
        let tokens = self.slot(found.id).map(|cluster| cluster.tokens.as_slice()).unwrap_or_default();
        Mined {
            id: found.id,
            template: tokens.join(" "),
            parameters: parameter::parameters(tokens, &self.masked, message),
            is_new: found.is_new,
        }
    }

    /// The template of `message` if one is known; learns nothing.
    pub fn find(&self, message: &str) -> Option<TemplateId> {
        let masked = Masked::of(message);
        let (slot, _) = self.best(&masked, bucket_of(masked.tokens.len(), masked.token(0)))?;
        self.cluster(slot).map(|cluster| cluster.id)
    }

    pub fn template(&self, id: TemplateId) -> Option<Template> {
        self.slot(id).map(show)
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
        let key = fnv1a(masked.text.as_bytes());
        if let Some(&(slot, generation)) = self.cache.get(&key)
            && let Some(cluster) = self.clusters.get_mut(slot as usize).and_then(Option::as_mut)
            && cluster.generation == generation
        {
            cluster.count += 1;
            cluster.used = clock;
            return Match { id: cluster.id, is_new: false };
        }
        let bucket = bucket_of(masked.tokens.len(), masked.token(0));
        let (slot, is_new) = match self.best(masked, bucket) {
            Some((slot, exact)) => {
                if !exact {
                    self.generalise(slot, masked);
                }
                (slot, false)
            }
            None => self.create(masked, bucket),
        };
        if self.cache.len() >= self.options.cache_entries_max {
            self.cache.clear();
        }
        let Some(cluster) = self.clusters.get_mut(slot as usize).and_then(Option::as_mut) else {
            return Match { id: TemplateId(key), is_new };
        };
        cluster.count += 1;
        cluster.used = clock;
        self.cache.insert(key, (slot, cluster.generation));
        Match { id: cluster.id, is_new }
    }

    fn create(&mut self, masked: &Masked, bucket: u64) -> (u32, bool) {
        let id = TemplateId::of(&masked.text);
        if let Some(slot) = self.by_id.get(&id) {
            // Its text has since generalised away from where it began; the message is still its own.
            return (*slot, false);
        }
        let tokens = (0..masked.tokens.len()).map(|index| masked.token(index).into()).collect();
        (self.insert(id, tokens, bucket), true)
    }

    fn insert(&mut self, id: TemplateId, tokens: Vec<Box<str>>, bucket: u64) -> u32 {
        if self.by_id.len() >= self.options.templates_max.max(1) {
            self.evict();
        }
        self.generation = self.generation.wrapping_add(1);
        let cluster = Cluster { id, tokens, count: 0, used: self.clock, bucket, generation: self.generation };
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(place) = self.clusters.get_mut(slot as usize) {
                    *place = Some(cluster);
                }
                slot
            }
            None => {
                self.clusters.push(Some(cluster));
                (self.clusters.len() - 1) as u32
            }
        };
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
            let Some(cluster) = self.clusters.get_mut(*slot as usize).and_then(Option::take) else {
                continue;
            };
            if let Some(slots) = self.buckets.get_mut(&cluster.bucket) {
                slots.retain(|other| other != slot);
                if slots.is_empty() {
                    self.buckets.remove(&cluster.bucket);
                }
            }
            self.by_id.remove(&cluster.id);
            self.free.push(*slot);
            self.evicted += 1;
        }
    }

    /// The most similar template of the bucket that is similar enough, and whether it fits without change. The
    /// oldest wins between equals.
    fn best(&self, masked: &Masked, bucket: u64) -> Option<(u32, bool)> {
        let mut best: Option<(u32, f64)> = None;
        let slots = self.buckets.get(&bucket)?;
        for slot in slots.iter().skip(slots.len().saturating_sub(COMPARED_MAX)) {
            let Some(cluster) = self.cluster(*slot) else { continue };
            let Some(similarity) = similarity(&cluster.tokens, masked) else { continue };
            if similarity == 1.0 {
                return Some((*slot, true));
            }
            if similarity >= self.options.similarity_min && best.is_none_or(|(_, other)| similarity > other) {
                best = Some((*slot, similarity));
            }
        }
        best.map(|(slot, _)| (slot, false))
    }

    fn generalise(&mut self, slot: u32, masked: &Masked) {
        let Some(cluster) = self.clusters.get_mut(slot as usize).and_then(Option::as_mut) else { return };
        for (index, token) in cluster.tokens.iter_mut().enumerate() {
            if **token != *masked.token(index) && **token != *WILDCARD {
                *token = WILDCARD.into();
            }
        }
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

/// The share of positions with words on either side that are alike; None for another length. 1 means that the
/// message fits without change. Positions that the template has given up count against a word there: a template that
/// gave up one word after the other would otherwise take in anything.
fn similarity(template: &[Box<str>], masked: &Masked) -> Option<f64> {
    if template.len() != masked.tokens.len() {
        return None;
    }
    let (mut words, mut alike, mut fits) = (0u32, 0u32, true);
    for (index, token) in template.iter().enumerate() {
        let other = masked.token(index);
        let same = **token == *other;
        fits &= same || **token == *WILDCARD;
        if is_word(token) || is_word(other) {
            words += 1;
            alike += u32::from(same);
        } else if !same {
            // Punctuation around variables is structure: `<*>:` is not `(<*>)`.
            words += 1;
        }
    }
    let similarity = if words == 0 { 1.0 } else { f64::from(alike) / f64::from(words) };
    Some(if fits { 1.0 } else { similarity.min(ALMOST) })
}

/// A token that says something besides its variables.
fn is_word(token: &str) -> bool {
    token.bytes().any(|byte| byte.is_ascii_alphabetic() || byte >= 0x80)
}

fn bucket_of(length: usize, first: &str) -> u64 {
    fnv1a(first.as_bytes()) ^ (length as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// FNV-1a, 64 bits: small, stable for ever, and fast on short texts.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
