//! A miner's memory as bytes, and back.
//!
//! Owns the form in which templates survive a restart: with their ids, counts and age, so that the next line is answered as
//! if nothing had happened. Never holds a message.

use super::{Miner, MinerOptions, TemplateId, bucket_of};
use serde::{Deserialize, Serialize};

/// Version of the serialised form.
pub const MINER_STATE_VERSION: u8 = 1;

/// What a miner knows. Of the same miner always the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MinerState {
    pub version: u8,
    pub options: MinerOptions,
    /// Messages seen.
    pub messages: u64,
    pub evicted: u64,
    /// Oldest first.
    pub templates: Vec<TemplateState>,
    /// Merged ids and what they merged into, in order of id.
    pub merged: Vec<(TemplateId, TemplateId)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TemplateState {
    pub id: TemplateId,
    /// Tokens separated by single spaces.
    pub text: String,
    pub count: u64,
    /// The number of the last message that was its own.
    pub used: u64,
    pub settled: bool,
}

/// Written by a later version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the templates: version {0} is unknown, {MINER_STATE_VERSION} is the latest known")]
pub struct MinerStateError(pub u8);

impl Miner {
    pub fn state(&self) -> MinerState {
        let mut clusters: Vec<_> = self.clusters.iter().flatten().collect();
        clusters.sort_by_key(|cluster| cluster.generation);
        let templates = clusters
            .into_iter()
            .map(|cluster| TemplateState {
                id: cluster.id,
                text: cluster.tokens.join(" "),
                count: cluster.count,
                used: cluster.used,
                settled: cluster.settled,
            })
            .collect();
        let mut merged: Vec<(TemplateId, TemplateId)> = self.merged.iter().map(|(a, b)| (*a, *b)).collect();
        merged.sort_unstable();
        MinerState {
            version: MINER_STATE_VERSION,
            options: self.options.clone(),
            messages: self.clock,
            evicted: self.evicted,
            templates,
            merged,
        }
    }

    /// A miner that goes on where the other stopped.
    ///
    /// # Errors
    /// A version later than [`MINER_STATE_VERSION`].
    pub fn restore(state: MinerState) -> Result<Self, MinerStateError> {
        if state.version > MINER_STATE_VERSION {
            return Err(MinerStateError(state.version));
        }
        let mut miner = Self::new(state.options);
        for template in state.templates {
            let tokens: Vec<Box<str>> =
                template.text.split(' ').filter(|token| !token.is_empty()).map(Into::into).collect();
            let bucket = bucket_of(tokens.len(), tokens.first().map_or("", |token| token));
            let slot = miner.insert(template.id, tokens, bucket);
            if let Some(cluster) = miner.clusters.get_mut(slot as usize).and_then(Option::as_mut) {
                cluster.count = template.count;
                cluster.used = template.used;
                cluster.settled = template.settled;
            }
        }
        miner.merged = state.merged.into_iter().collect();
        (miner.clock, miner.evicted) = (state.messages, state.evicted);
        Ok(miner)
    }
}
