//! The values: one version byte, then JSON. The border between stored bytes and core's nouns.
//!
//! A version that was ever written is read for ever (see `tests/golden`); a version this build does not know is an
//! error that says so, never a guess.

use medic_core::audit::{ChainHead, ChainedRecord};
use medic_core::mail::{Body, Causation, Envelope, Letter};
use medic_core::{EnvelopeId, Incident, PhaseName, TimestampMs};
use medic_ports::JournalError;
use medic_ports::journal::{DeadLetter, DueTimer, EffectRecord, Slot};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What this build writes.
pub const SCHEMA_VERSION: u32 = 1;
/// The oldest build that may read what this one writes, by its schema.
pub const MIN_READER_VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    #[error("a {kind} was written in version {found}; this build reads up to {reads}")]
    Newer { kind: &'static str, found: u8, reads: u8 },
    #[error("a {kind} is damaged: {reason}")]
    Damaged { kind: &'static str, reason: String },
    #[error("a {kind} cannot be written: {reason}")]
    Unwritable { kind: &'static str, reason: String },
}

impl RecordError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Newer { .. } => "STORE_NEWER_RECORD",
            Self::Damaged { .. } | Self::Unwritable { .. } => "STORE_CORRUPT",
        }
    }
}

impl From<RecordError> for JournalError {
    fn from(error: RecordError) -> Self {
        Self::Corrupt(error.to_string())
    }
}

/// A stored kind of record. An older shape gets its own arm in `decode_version`.
pub(crate) trait Record: Serialize + DeserializeOwned {
    const KIND: &'static str;
    const VERSION: u8 = 1;

    fn decode_version(_version: u8, body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }

    fn encode(&self) -> Result<Vec<u8>, RecordError> {
        let mut bytes = vec![Self::VERSION];
        serde_json::to_writer(&mut bytes, self)
            .map_err(|error| RecordError::Unwritable { kind: Self::KIND, reason: error.to_string() })?;
        debug_assert!(Self::decode(&bytes).is_ok(), "a {} must be readable again", Self::KIND);
        Ok(bytes)
    }

    fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let damaged = |reason: String| RecordError::Damaged { kind: Self::KIND, reason };
        match bytes.split_first() {
            None => Err(damaged("it is empty".to_owned())),
            Some((0, _)) => Err(damaged("it has version 0".to_owned())),
            Some((&found, _)) if found > Self::VERSION => {
                Err(RecordError::Newer { kind: Self::KIND, found, reads: Self::VERSION })
            }
            Some((&version, body)) => {
                Self::decode_version(version, body).map_err(|error| damaged(error.to_string()))
            }
        }
    }
}

/// An envelope without its place, which is the key it lies under.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredEnvelope {
    pub id: EnvelopeId,
    pub cause: Causation,
    pub at: TimestampMs,
    pub attempts: u32,
    pub visible_at: TimestampMs,
    pub body: Body,
}

impl StoredEnvelope {
    pub fn from_letter(letter: Letter) -> Self {
        let Letter { id, cause, at, body, .. } = letter;
        Self { id, cause, at, attempts: 0, visible_at: at, body }
    }

    pub fn at_slot(self, slot: Slot) -> Envelope {
        let Self { id, cause, at, attempts, visible_at, body } = self;
        Envelope { id, to: slot.to, lane: slot.lane, seq: slot.seq, cause, at, attempts, visible_at, body }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DedupRow {
    pub id: EnvelopeId,
    /// When the letter was taken in: retention sweeps by it.
    pub at: TimestampMs,
}

/// Revision and phase of an incident, so that a compare-and-set does not parse the whole snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IncidentHead {
    pub revision: u64,
    pub phase: PhaseName,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Format {
    pub schema_version: u32,
    pub min_reader_version: u32,
    /// Counts the openings of this store; in a restored copy it goes on.
    pub boot_epoch: u64,
}

/// Rewritten in every batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoreHead {
    pub commit_seq: u64,
    pub audit: ChainHead,
    pub dead_letters: u64,
}

impl StoreHead {
    pub fn genesis() -> Self {
        Self { commit_seq: 0, audit: ChainHead::genesis(), dead_letters: 0 }
    }
}

/// Where a lane begins and ends. Live envelopes lie in `head..tail`, with gaps where later ones were consumed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LaneSpan {
    pub head: u64,
    /// The next place to be given; never given twice.
    pub tail: u64,
    pub envelopes: u64,
    pub bytes: u64,
}

impl Default for LaneSpan {
    /// The first envelope of a lane has seq 1.
    fn default() -> Self {
        Self { head: 1, tail: 1, envelopes: 0, bytes: 0 }
    }
}

/// The due time of a timer, found by its incident and kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TimerDue {
    pub due: TimestampMs,
}

macro_rules! record {
    ($($type:ty => $kind:literal;)*) => {$(
        impl Record for $type {
            const KIND: &'static str = $kind;
        }
    )*};
}

record! {
    StoredEnvelope => "envelope";
    DedupRow => "dedup row";
    Incident => "incident";
    IncidentHead => "incident head";
    EffectRecord => "effect record";
    DueTimer => "timer";
    TimerDue => "timer index row";
    DeadLetter => "dead letter";
    ChainedRecord => "audit record";
    Format => "format row";
    StoreHead => "store head";
    LaneSpan => "lane row";
}

#[cfg(test)]
mod golden;
