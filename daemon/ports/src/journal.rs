//! The durable memory: mailboxes, incidents, timers, effects, audit chain.
//!
//! Promises only what a second engine could also give: an atomic batch, compare-and-set on a revision, ordered scans.
//! `Ok` means synced to disk. `Err(Storage)` means *unknown*, not "not written": the caller stops starting effects.

pub use crate::boot::{Boot, Suspect};
use async_trait::async_trait;
use medic_core::audit::{AuditRecord, ChainHead, ChainedRecord};
use medic_core::call::CallRecord;
use medic_core::effect::TimerChange;
use medic_core::mail::{Address, Envelope, Lane, Letter};
use medic_core::replay::Decided;
use medic_core::{EffectId, EnvelopeId, Incident, IncidentId, PhaseName, TimestampMs};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
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
    /// A policy's canonical JSON, by its digest: what a replay decides by.
    Policy,
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

impl EffectState {
    pub const ALL: [Self; 5] = [Self::Intent, Self::Started, Self::Done, Self::Failed, Self::Unknown];

    /// Whether the outcome is still to come.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Intent | Self::Started)
    }

    /// Whether a record in state `before` (`None`: there is none) may be replaced by one in this state. Nothing is done
    /// that was not started, nothing ended starts again; an unknown outcome may be settled by a person or a receipt.
    pub fn may_follow(self, before: Option<Self>) -> bool {
        use EffectState::*;
        match before {
            None => matches!(self, Intent | Started),
            Some(before) if before == self => true,
            Some(Intent) => matches!(self, Started | Failed | Unknown),
            Some(Started) => matches!(self, Done | Failed | Unknown),
            Some(Unknown) => matches!(self, Done | Failed),
            Some(Done | Failed) => false,
        }
    }
}

impl fmt::Display for EffectState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Intent => "intent",
            Self::Started => "started",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        })
    }
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

impl DeadLetter {
    /// Where it lies: one place per letter, for a slot is never given twice.
    pub fn place(&self) -> DeadPlace {
        DeadPlace { at: self.at, slot: Slot::of(&self.envelope) }
    }
}

/// A place among the dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeadPlace {
    pub at: TimestampMs,
    pub slot: Slot,
}

/// One atomic, synced write.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Consumed: removed from their mailboxes.
    pub consumed: Vec<Slot>,
    pub incidents: Vec<IncidentWrite>,
    /// Incidents that must still be at this revision, though nothing of them is written: what the batch says holds only
    /// of that state.
    pub rests_on: Vec<(IncidentId, u64)>,
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
    /// Dead letters taken out for good: discarded, or sent again as one of `letters`.
    pub unburied: Vec<DeadPlace>,
    /// Kept for replay: one an incident, none without a decision, all decisions of one on the same incident.
    pub decided: Vec<Decided>,
    pub audit: Vec<AuditRecord>,
}

impl Batch {
    /// The incident of each row in `decided`, in order.
    ///
    /// # Errors
    /// [`JournalError::Illegal`] when a row is empty or of two incidents, or when two rows are of one.
    pub fn incidents_decided(&self) -> Result<Vec<&IncidentId>, JournalError> {
        let mut incidents = Vec::with_capacity(self.decided.len());
        for row in &self.decided {
            let Some(first) = row.decisions.first() else {
                return Err(JournalError::Illegal("nothing was decided".to_owned()));
            };
            if row.decisions.iter().any(|decision| decision.incident != first.incident) {
                return Err(JournalError::Illegal("decisions on two incidents are kept as one".to_owned()));
            }
            if incidents.contains(&&first.incident) {
                return Err(JournalError::Illegal(format!("two rows of decisions on {}", first.incident)));
            }
            incidents.push(&first.incident);
        }
        Ok(incidents)
    }
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

/// Who sends a letter. Mail from outside is refused first, so that a storm of it never stops the work it caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Outside,
    Inside,
}

impl Origin {
    /// Share of a mailbox, in percent, that such mail may not use. Outside 20: one place in five is kept for the work that
    /// is under way. Inside 5: actors' own mail cannot starve an approval either. Approvals and control: none.
    pub fn reserved_percent(self, lane: Lane) -> u64 {
        match (self, lane) {
            (_, Lane::Control | Lane::Approval) => 0,
            (Self::Inside, Lane::Normal) => 5,
            (Self::Outside, Lane::Normal) => 20,
        }
    }
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
    /// Incidents by phase; a phase without any is left out. Counted as they are written, never by a scan.
    pub incidents: BTreeMap<PhaseName, u64>,
    /// The latest time in any committed audit record or letter: time never goes back behind it.
    pub latest_at: TimestampMs,
    /// How long the last write took to be synced, or the present one has been taking, in ms.
    pub sync_ms: u64,
    /// Writes have lately taken longer than the store is configured to take for normal.
    pub sync_slow: bool,
    /// Effects in Intent or Started.
    pub open_effects: u64,
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
    /// A bug of the writer: nothing was written.
    #[error("refusing an illegal write: {0}")]
    Illegal(String),
    #[error("the store is shutting down")]
    Stopped,
}

impl JournalError {
    /// What was to be consumed, put off, buried or unburied is not there: a decision was made on what is no longer so, and
    /// the handler reads again.
    pub fn gone(slot: Slot) -> Self {
        let place = format!("mailbox:{}/{:?}/{}", slot.to, slot.lane, slot.seq).to_lowercase();
        Self::Conflict { incident: IncidentId::new(place), expected: 1, found: 0 }
    }

    /// See [`EffectState::may_follow`].
    pub fn illegal_effect(id: &EffectId, before: Option<EffectState>, next: EffectState) -> Self {
        let before = before.map_or("none".to_owned(), |before| before.to_string());
        Self::Illegal(format!("effect {id} may not go from {before} to {next}"))
    }

    pub fn code(&self) -> &'static str {
        match self {
            Self::Full { .. } => "MAILBOX_FULL",
            Self::LowSpace { .. } => "STORE_LOW_SPACE",
            Self::Conflict { .. } => "REVISION_CONFLICT",
            Self::Storage(_) => "STORE_FAILED",
            Self::Corrupt(_) => "STORE_CORRUPT",
            Self::Illegal(_) => "ILLEGAL_WRITE",
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

    /// Writes one batch, whole or not at all.
    ///
    /// # Errors
    /// Nothing was written after [`JournalError::Conflict`] (a revision does not match, or what is consumed, put off or
    /// unburied is gone: then the incident's place in the error names the letter as `mailbox:…`),
    /// [`JournalError::Illegal`] (an effect would go from Done to Started, …) and [`JournalError::Full`].
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
    /// Records of one incident with their places in the chain, oldest first, from `from_seq` on. By an index, not a scan.
    fn audit_of(
        &self,
        incident: &IncidentId,
        from_seq: u64,
        limit: usize,
    ) -> Result<Vec<ChainedRecord>, JournalError>;
    /// What was decided on one incident, oldest first, each with its `commit_seq`, from commit `from_commit` on.
    fn decided(
        &self,
        incident: &IncidentId,
        from_commit: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Decided)>, JournalError>;
    fn boot(&self) -> Boot;
    /// Notes durably which single letter is about to be handled; `None`: none is. A process that dies while one is noted
    /// finds it as [`Boot::suspect`].
    async fn mark(&self, slot: Option<Slot>) -> Result<(), JournalError>;
    /// The process has lived long enough: earlier unclean ends no longer count.
    async fn settled(&self) -> Result<(), JournalError>;
    fn health(&self) -> JournalHealth;
    /// Changes from now on. A slow reader is told that it lagged and reads the state again.
    fn changes(&self) -> broadcast::Receiver<Change>;
}
