//! The journal, with an eye on writes that fail, and on who waits for one.

use crate::conditions::{Code, Conditions};
use async_trait::async_trait;
use medic_core::audit::ChainedRecord;
use medic_core::mail::{Address, Envelope, Lane, Letter};
use medic_core::replay::Decided;
use medic_core::{EffectId, Incident, IncidentId, TimestampMs};
use medic_ports::Journal;
use medic_ports::journal::{
    Accepted, Batch, Boot, Change, Committed, DeadLetter, DueTimer, EffectRecord, IncidentFilter,
    JournalError, JournalHealth, Slot, Table,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::{Notify, broadcast};

/// Whether the work of a task waits for the disk. A slow disk is not a hung handler.
#[derive(Debug, Default)]
pub(crate) struct Pen(AtomicU32);

impl Pen {
    pub fn is_writing(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

tokio::task_local! {
    /// The pen of the letter that this task handles.
    pub(crate) static WRITING: Arc<Pen>;
}

/// Put down again when the write is answered, or when nobody waits for it any more.
struct Writing(Option<Arc<Pen>>);

impl Writing {
    fn begin() -> Self {
        let pen = WRITING.try_with(Arc::clone).ok();
        if let Some(pen) = &pen {
            pen.0.fetch_add(1, Ordering::Relaxed);
        }
        Self(pen)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Some(pen) = &self.0 {
            pen.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

pub(super) struct GuardedJournal {
    inner: Arc<dyn Journal>,
    conditions: Conditions,
}

impl GuardedJournal {
    pub fn new(inner: Arc<dyn Journal>, conditions: Conditions) -> Self {
        Self { inner, conditions }
    }

    fn noted<T>(&self, answer: Result<T, JournalError>) -> Result<T, JournalError> {
        if let Err(error @ (JournalError::Storage(_) | JournalError::Corrupt(_))) = &answer {
            self.conditions.set(Code::StoreFailed, "", &format!("{}: {error}", error.code()));
        }
        answer
    }
}

#[async_trait]
impl Journal for GuardedJournal {
    async fn enqueue(&self, letters: Vec<Letter>) -> Result<Vec<Accepted>, JournalError> {
        let _writing = Writing::begin();
        self.noted(self.inner.enqueue(letters).await)
    }
    async fn commit(&self, batch: Batch) -> Result<Committed, JournalError> {
        let _writing = Writing::begin();
        self.noted(self.inner.commit(batch).await)
    }
    fn mail(
        &self,
        to: Address,
        lane: Lane,
        from_seq: u64,
        limit: usize,
    ) -> Result<Vec<Envelope>, JournalError> {
        self.noted(self.inner.mail(to, lane, from_seq, limit))
    }
    fn mail_arrived(&self, to: Address) -> Arc<Notify> {
        self.inner.mail_arrived(to)
    }
    fn incident(&self, id: &IncidentId) -> Result<Option<Incident>, JournalError> {
        self.noted(self.inner.incident(id))
    }
    fn incidents(&self, filter: &IncidentFilter) -> Result<Vec<Incident>, JournalError> {
        self.noted(self.inner.incidents(filter))
    }
    fn document(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, JournalError> {
        self.noted(self.inner.document(table, key))
    }
    fn effect(&self, id: &EffectId) -> Result<Option<EffectRecord>, JournalError> {
        self.noted(self.inner.effect(id))
    }
    fn timers_due(&self, now: TimestampMs, limit: usize) -> Result<Vec<DueTimer>, JournalError> {
        self.noted(self.inner.timers_due(now, limit))
    }
    fn next_timer(&self) -> Result<Option<TimestampMs>, JournalError> {
        self.noted(self.inner.next_timer())
    }
    fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, JournalError> {
        self.noted(self.inner.dead_letters(limit))
    }
    fn audit(&self, from_seq: u64, limit: usize) -> Result<Vec<ChainedRecord>, JournalError> {
        self.noted(self.inner.audit(from_seq, limit))
    }
    fn audit_of(
        &self,
        incident: &IncidentId,
        from_seq: u64,
        limit: usize,
    ) -> Result<Vec<ChainedRecord>, JournalError> {
        self.noted(self.inner.audit_of(incident, from_seq, limit))
    }
    fn decided(
        &self,
        incident: &IncidentId,
        from_commit: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Decided)>, JournalError> {
        self.noted(self.inner.decided(incident, from_commit, limit))
    }
    fn health(&self) -> JournalHealth {
        self.inner.health()
    }
    fn changes(&self) -> broadcast::Receiver<Change> {
        self.inner.changes()
    }
    fn boot(&self) -> Boot {
        self.inner.boot()
    }
    async fn mark(&self, slot: Option<Slot>) -> Result<(), JournalError> {
        let _writing = Writing::begin();
        self.noted(self.inner.mark(slot).await)
    }
    async fn settled(&self) -> Result<(), JournalError> {
        self.noted(self.inner.settled().await)
    }
}
