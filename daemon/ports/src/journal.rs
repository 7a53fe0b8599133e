//! The durable memory: mailboxes, incidents, timers, effects, audit chain.
//!
//! Promises only what a second engine could also give: an atomic batch, compare-and-set on a revision, ordered scans.
//! `Ok` means synced to disk. `Err(Storage)` means *unknown*, not "not written": the caller stops starting effects.

use async_trait::async_trait;
use medic_core::audit::{AuditRecord, ChainHead, ChainedRecord};
use medic_core::call::CallRecord;
use medic_core::effect::TimerChange;
use medic_core::mail::{Address, Envelope, Lane, Letter};
use medic_core::{EffectId, EnvelopeId, Incident, IncidentId, PhaseName, TimestampMs};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::{Notify, broadcast};

/// A place in a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot {
    pub to: Address,
    pub lane: Lane,
    pub seq: u64,
}

impl Slot {
    pub fn of(envelope: &Envelope) -> Self {
        Self { to: envelope.to, lane: envelope.lane, seq: envelope.seq }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct IncidentWrite {
    pub next: Incident,
    /// Revision the decision was made on; `None` when the incident must not exist yet.
    pub expected_revision: Option<u64>,
}

/// A row of an actor's own memory. `value: None` deletes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentWrite {
    pub table: Table,
    pub key: String,
    pub value: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Last known episode by alert fingerprint.
    Episode,
    /// Open group by group key.
    Group,
    /// Snapshots taken before a change, by `<incident>/<plan digest>/<item>`.
    Snapshot,
    /// A tool's own private state, by `<plugin>/<tool>/<key>`.
    ToolState,
    /// Answers already given to an outside request id.
    Answer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectState {
    /// Ordered; nothing has happened.
    Intent,
    /// Written before the first byte leaves: from here on something may have happened.
    Started,
    Done,
    Failed,
    Unknown,
}

/// The life of a changing effect. Read-only effects need none: they are done again after a crash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EffectRecord {
    pub id: EffectId,
    pub state: EffectState,
    pub at: TimestampMs,
    pub calls: Vec<CallRecord>,
    pub detail: String,
}

/// Puts an envelope off: handling it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    pub slot: Slot,
    pub attempts: u32,
    pub visible_at: TimestampMs,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    pub envelope: Envelope,
    pub error: String,
    pub at: TimestampMs,
}

/// One atomic, synced write.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Consumed: removed from their mailboxes.
    pub consumed: Vec<Slot>,
    pub incidents: Vec<IncidentWrite>,
    pub documents: Vec<DocumentWrite>,
    /// To other mailboxes. Internal mail draws on reserved room and is refused only when that is used up too.
    pub letters: Vec<Letter>,
    pub timers: Vec<(IncidentId, TimerChange)>,
    /// Timers that have been turned into mail.
    pub fired: Vec<DueTimer>,
    pub effects: Vec<EffectRecord>,
    pub retries: Vec<Retry>,
    /// Envelopes moved out of their mailboxes for good.
    pub dead: Vec<(Slot, DeadLetter)>,
    pub audit: Vec<AuditRecord>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueTimer {
    pub incident: IncidentId,
    pub kind: medic_core::effect::TimerKind,
    pub due: TimestampMs,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub id: EnvelopeId,
    /// `true` when its dedup key was known: nothing was stored again, `id` is the first one's.
    pub duplicate: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub commit_seq: u64,
    pub audit_head: ChainHead,
    /// In the order of `Batch::letters`.
    pub accepted: Vec<Accepted>,
}

/// Something a watcher may want to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub incident: IncidentId,
    pub revision: u64,
    pub phase: PhaseName,
    /// Whether this revision changed the phase.
    pub entered: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MailboxDepth {
    pub to: Address,
    pub envelopes: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JournalHealth {
    /// `false`: storage failed, nothing is accepted any more; restart.
    pub writable: bool,
    /// Set while the disk is nearly full: intake is refused, running work goes on.
    pub low_space: bool,
    pub commit_seq: u64,
    pub audit_head: ChainHead,
    pub mailboxes: Vec<MailboxDepth>,
    pub dead_letters: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JournalError {
    #[error("the mailbox of {to} is full")]
    Full { to: Address, retry_after_ms: u64 },
    #[error("the disk is nearly full: intake is refused until space is freed")]
    LowSpace { retry_after_ms: u64 },
    #[error("incident {incident} is at revision {found}, the write was made on {expected}")]
    Conflict { incident: IncidentId, expected: u64, found: u64 },
    #[error("storage failed: {0}")]
    Storage(String),
    #[error("a stored record cannot be read: {0}")]
    Corrupt(String),
    #[error("the store is shutting down")]
    Stopped,
}

impl JournalError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Full { .. } => "MAILBOX_FULL",
            Self::LowSpace { .. } => "STORE_LOW_SPACE",
            Self::Conflict { .. } => "REVISION_CONFLICT",
            Self::Storage(_) => "STORE_FAILED",
            Self::Corrupt(_) => "STORE_CORRUPT",
            Self::Stopped => "STORE_STOPPED",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncidentFilter {
    /// Only incidents that are neither resolved nor escalated.
    pub live_only: bool,
    pub phase: Option<PhaseName>,
    /// Only older than this one; for paging.
    pub before: Option<IncidentId>,
    pub limit: usize,
}

#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Stores letters from outside, all or none. `Ok` only once they are synced; a letter whose dedup key is known is
    /// acknowledged and not stored again.
    ///
    /// # Errors
    /// [`JournalError::Full`] and [`JournalError::LowSpace`] before anything is written.
    async fn enqueue(&self, letters: Vec<Letter>) -> Result<Vec<Accepted>, JournalError>;

    /// Writes one batch. Fails with [`JournalError::Conflict`] and writes nothing when a revision does not match.
    async fn commit(&self, batch: Batch) -> Result<Committed, JournalError>;

    /// Envelopes of one lane from `from_seq` on, in order, whether visible yet or not.
    fn mail(
        &self,
        to: Address,
        lane: Lane,
        from_seq: u64,
        limit: usize,
    ) -> Result<Vec<Envelope>, JournalError>;
    /// Told whenever mail for `to` was committed. One permit is kept, so a wake-up is never missed.
    fn mail_arrived(&self, to: Address) -> Arc<Notify>;

    fn incident(&self, id: &IncidentId) -> Result<Option<Incident>, JournalError>;
    /// Newest first.
    fn incidents(&self, filter: &IncidentFilter) -> Result<Vec<Incident>, JournalError>;
    fn document(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, JournalError>;
    fn effect(&self, id: &EffectId) -> Result<Option<EffectRecord>, JournalError>;
    /// In order of their due time.
    fn timers_due(&self, now: TimestampMs, limit: usize) -> Result<Vec<DueTimer>, JournalError>;
    /// Due time of the earliest timer.
    fn next_timer(&self) -> Result<Option<TimestampMs>, JournalError>;
    fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, JournalError>;
    /// Records `from_seq..`, at most `limit`.
    fn audit(&self, from_seq: u64, limit: usize) -> Result<Vec<ChainedRecord>, JournalError>;
    fn health(&self) -> JournalHealth;
    /// Changes from now on. A slow reader is told that it lagged and reads the state again.
    fn changes(&self) -> broadcast::Receiver<Change>;
}
