//! The values: one version byte, then JSON. The border between stored bytes and core's nouns.
//!
//! A version that was ever written is read for ever (see `tests/golden`); a version this build does not know is an
//! error that says so, never a guess.

use medic_core::audit::{ChainHead, ChainedRecord};
use medic_core::mail::{Body, Causation, Envelope, Letter};
use medic_core::replay::Decided;
use medic_core::{EnvelopeId, Incident, Phase, PhaseName, TimestampMs};
use medic_ports::JournalError;
use medic_ports::boot::Run;
use medic_ports::journal::{DeadLetter, DueTimer, EffectRecord, Slot};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use thiserror::Error;

/// What this build writes.
pub const SCHEMA_VERSION: u32 = 2;
/// The oldest build that may read what this one writes, by its schema. 2: an older one would not count what it writes.
pub const MIN_READER_VERSION: u32 = 2;

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
    /// When it ended, for retention. Version 1 did not keep it: then the snapshot tells.
    pub ended_at: Option<TimestampMs>,
}

impl IncidentHead {
    pub fn of(incident: &Incident) -> Self {
        Self {
            revision: incident.revision,
            phase: incident.phase.name(),
            ended_at: match &incident.phase {
                Phase::Resolved { at, .. } | Phase::Escalated { at, .. } => Some(*at),
                _ => None,
            },
        }
    }
}

impl Record for IncidentHead {
    const KIND: &'static str = "incident head";
    const VERSION: u8 = 2;

    fn decode_version(version: u8, body: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct V1 {
            revision: u64,
            phase: PhaseName,
        }
        if version == 1 {
            let V1 { revision, phase } = serde_json::from_slice(body)?;
            return Ok(Self { revision, phase, ended_at: None });
        }
        serde_json::from_slice(body)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Format {
    pub schema_version: u32,
    pub min_reader_version: u32,
    /// Counts the openings of this store; in a restored copy it goes on.
    pub boot_epoch: u64,
    /// Names the history, in 32 hex digits: copies keep it. Empty in version 1, which had none.
    pub store_id: String,
}

impl Record for Format {
    const KIND: &'static str = "format row";
    const VERSION: u8 = 2;

    fn decode_version(version: u8, body: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct V1 {
            schema_version: u32,
            min_reader_version: u32,
            boot_epoch: u64,
        }
        if version == 1 {
            let V1 { schema_version, min_reader_version, boot_epoch } = serde_json::from_slice(body)?;
            return Ok(Self { schema_version, min_reader_version, boot_epoch, store_id: String::new() });
        }
        serde_json::from_slice(body)
    }
}

/// Rewritten in every batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoreHead {
    pub commit_seq: u64,
    pub audit: ChainHead,
    pub dead_letters: u64,
    /// Incidents by phase; a phase without any is left out.
    pub incidents: BTreeMap<PhaseName, u64>,
    pub effects_open: u64,
    /// The latest time in any audit record or letter.
    pub latest_at: TimestampMs,
}

impl StoreHead {
    pub fn genesis() -> Self {
        Self {
            commit_seq: 0,
            audit: ChainHead::genesis(),
            dead_letters: 0,
            incidents: BTreeMap::new(),
            effects_open: 0,
            latest_at: TimestampMs::default(),
        }
    }

    /// An incident goes from one phase to another; `None` stands for not being there.
    pub fn count_phase(&mut self, before: Option<PhaseName>, after: Option<PhaseName>) {
        if before == after {
            return;
        }
        if let Some(before) = before {
            let left = self.incidents.get(&before).copied().unwrap_or(0).saturating_sub(1);
            if left == 0 {
                self.incidents.remove(&before);
            } else {
                self.incidents.insert(before, left);
            }
        }
        if let Some(after) = after {
            *self.incidents.entry(after).or_insert(0) += 1;
        }
    }

    /// An effect's record goes from one state to another.
    pub fn count_effect(&mut self, was_open: bool, is_open: bool) {
        match (was_open, is_open) {
            (false, true) => self.effects_open += 1,
            (true, false) => self.effects_open = self.effects_open.saturating_sub(1),
            _ => {}
        }
    }
}

/// Version 1 counted neither incidents nor effects: its decoded counts are zero, and opening counts them anew.
impl Record for StoreHead {
    const KIND: &'static str = "store head";
    const VERSION: u8 = 2;

    fn decode_version(version: u8, body: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct V1 {
            commit_seq: u64,
            audit: ChainHead,
            dead_letters: u64,
        }
        if version == 1 {
            let V1 { commit_seq, audit, dead_letters } = serde_json::from_slice(body)?;
            return Ok(Self { commit_seq, audit, dead_letters, ..Self::genesis() });
        }
        serde_json::from_slice(body)
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

/// An answer with the time it was kept at, so that retention can tell its age: 0x01 · at_ms u64 · the answer's bytes.
/// A row of schema 1 is the bytes alone, which are JSON and never begin with 0x01.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredAnswer<'a> {
    /// The latest time the journal knew when it was written. 0: not known.
    pub at: TimestampMs,
    pub answer: &'a [u8],
}

impl<'a> StoredAnswer<'a> {
    const VERSION: u8 = 1;

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![Self::VERSION];
        bytes.extend(self.at.0.to_be_bytes());
        bytes.extend(self.answer);
        bytes
    }

    pub fn decode(bytes: &'a [u8]) -> Self {
        let stamped = bytes.strip_prefix(&[Self::VERSION]).and_then(<[u8]>::split_first_chunk::<8>);
        match stamped {
            Some((at, answer)) => Self { at: TimestampMs(u64::from_be_bytes(*at)), answer },
            None => Self { at: TimestampMs(0), answer: bytes },
        }
    }

    /// Sets the time of an encoded answer.
    pub fn stamp(bytes: &mut [u8], at: TimestampMs) {
        if let Some(place) = bytes.get_mut(1..9) {
            place.copy_from_slice(&at.0.to_be_bytes());
        }
    }
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
    EffectRecord => "effect record";
    DueTimer => "timer";
    TimerDue => "timer index row";
    DeadLetter => "dead letter";
    ChainedRecord => "audit record";
    Run => "run row";
    Decided => "decisions row";
    LaneSpan => "lane row";
}

#[cfg(test)]
mod golden;
