//! A journal on a disk that takes its time. Writes that wait at the same moment share a sync, as a committer's do.

use async_trait::async_trait;
use medic_core::audit::ChainedRecord;
use medic_core::mail::{Address, Envelope, Lane, Letter};
use medic_core::replay::Decided;
use medic_core::{EffectId, Incident, IncidentId, TimestampMs};
use medic_ports::fake::FakeJournal;
use medic_ports::journal::{
    Accepted, Batch, Boot, Change, Committed, DeadLetter, DueTimer, EffectRecord, IncidentFilter,
    JournalError, JournalHealth, Slot, Table,
};
use medic_ports::{Clock, Journal};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Mutex, Notify, broadcast};

pub struct SlowDisk {
    inner: FakeJournal,
    clock: Arc<dyn Clock>,
    sync_ms: Arc<AtomicU64>,
    /// Syncs begun. Held while one is under way.
    head: Mutex<()>,
    begun: AtomicU64,
    synced: AtomicU64,
}

impl SlowDisk {
    pub fn new(inner: FakeJournal, clock: Arc<dyn Clock>, sync_ms: Arc<AtomicU64>) -> Self {
        let (begun, synced) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { inner, clock, sync_ms, head: Mutex::new(()), begun, synced }
    }

    /// Returns after a sync that began after this was called.
    async fn sync(&self) {
        if self.sync_ms.load(Ordering::SeqCst) == 0 {
            return;
        }
        let wanted = self.begun.load(Ordering::SeqCst) + 1;
        let _head = self.head.lock().await;
        if self.synced.load(Ordering::SeqCst) >= wanted {
            return;
        }
        let this = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        self.clock.sleep(self.sync_ms.load(Ordering::SeqCst)).await;
        self.synced.store(this, Ordering::SeqCst);
    }
}

#[async_trait]
impl Journal for SlowDisk {
    async fn enqueue(&self, letters: Vec<Letter>) -> Result<Vec<Accepted>, JournalError> {
        let accepted = self.inner.enqueue(letters).await?;
        self.sync().await;
        Ok(accepted)
    }
    async fn commit(&self, batch: Batch) -> Result<Committed, JournalError> {
        let committed = self.inner.commit(batch).await?;
        self.sync().await;
        Ok(committed)
    }
    fn mail(
        &self,
        to: Address,
        lane: Lane,
        from_seq: u64,
        limit: usize,
    ) -> Result<Vec<Envelope>, JournalError> {
        self.inner.mail(to, lane, from_seq, limit)
    }
    fn mail_arrived(&self, to: Address) -> Arc<Notify> {
        self.inner.mail_arrived(to)
    }
    fn incident(&self, id: &IncidentId) -> Result<Option<Incident>, JournalError> {
        self.inner.incident(id)
    }
    fn incidents(&self, filter: &IncidentFilter) -> Result<Vec<Incident>, JournalError> {
        self.inner.incidents(filter)
    }
    fn document(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, JournalError> {
        self.inner.document(table, key)
    }
    fn effect(&self, id: &EffectId) -> Result<Option<EffectRecord>, JournalError> {
        self.inner.effect(id)
    }
    fn timers_due(&self, now: TimestampMs, limit: usize) -> Result<Vec<DueTimer>, JournalError> {
        self.inner.timers_due(now, limit)
    }
    fn next_timer(&self) -> Result<Option<TimestampMs>, JournalError> {
        self.inner.next_timer()
    }
    fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, JournalError> {
        self.inner.dead_letters(limit)
    }
    fn audit(&self, from_seq: u64, limit: usize) -> Result<Vec<ChainedRecord>, JournalError> {
        self.inner.audit(from_seq, limit)
    }
    fn audit_of(
        &self,
        incident: &IncidentId,
        from_seq: u64,
        limit: usize,
    ) -> Result<Vec<ChainedRecord>, JournalError> {
        self.inner.audit_of(incident, from_seq, limit)
    }
    fn decided(
        &self,
        incident: &IncidentId,
        from_commit: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Decided)>, JournalError> {
        self.inner.decided(incident, from_commit, limit)
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
        self.inner.mark(slot).await?;
        self.sync().await;
        Ok(())
    }
    async fn settled(&self) -> Result<(), JournalError> {
        self.inner.settled().await
    }
}
