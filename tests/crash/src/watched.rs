//! The journal as the agents see it, with somebody looking over its shoulder.
//!
//! Notes outside what was promised, counts the places between commits, and keeps the clock from leaping while the disk
//! works. Changes nothing.

use crate::faultfs::point;
use crate::outside::{Note, Outside};
use async_trait::async_trait;
use medic_core::audit::ChainedRecord;
use medic_core::mail::{Address, Envelope, Lane, Letter};
use medic_core::replay::Decided;
use medic_core::{EffectId, Incident, IncidentId, TimestampMs};
use medic_ports::journal::{
    Accepted, Batch, Boot, Change, Committed, DeadLetter, DueTimer, EffectRecord, IncidentFilter,
    JournalHealth, Slot, Table,
};
use medic_ports::{Clock, Journal, JournalError};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use tokio::sync::{Notify, broadcast};

pub struct Watched {
    pub inner: Arc<dyn Journal>,
    pub outside: Arc<Outside>,
    pub clock: Arc<dyn Clock>,
}

/// While one is held, time stands still: tokio's paused clock leaps only when nobody blocks.
pub struct Busy(#[expect(dead_code, reason = "dropping it is what ends the wait")] Sender<()>);

impl Busy {
    pub fn begin() -> Self {
        let (sender, receiver) = channel();
        drop(tokio::task::spawn_blocking(move || {
            // Ends with an error when the sender is dropped: that is the end of the work.
            let _ = receiver.recv();
        }));
        Self(sender)
    }
}

impl Watched {
    fn note(&self, note: Note) {
        self.outside.set_time(self.clock.now());
        self.outside.note(note);
    }
}

#[async_trait]
impl Journal for Watched {
    async fn enqueue(&self, letters: Vec<Letter>) -> Result<Vec<Accepted>, JournalError> {
        let _busy = Busy::begin();
        let sent: Vec<(Address, String)> =
            letters.iter().map(|letter| (letter.to, letter.dedup.clone())).collect();
        point("enqueue: before");
        let accepted = self.inner.enqueue(letters).await?;
        for ((to, dedup), Accepted { id, duplicate }) in sent.into_iter().zip(&accepted) {
            self.note(Note::Acknowledged { id: id.clone(), to, dedup, duplicate: *duplicate });
        }
        point("enqueue: acknowledged, before the sender knows");
        Ok(accepted)
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, JournalError> {
        let _busy = Busy::begin();
        point("commit: before");
        let committed = self.inner.commit(batch).await?;
        let (commit_seq, audit) = (committed.commit_seq, committed.audit_head.clone());
        self.note(Note::Committed { commit_seq, audit });
        point("commit: after, before anybody wakes");
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
    fn audit_of(&self, id: &IncidentId, from: u64, limit: usize) -> Result<Vec<ChainedRecord>, JournalError> {
        self.inner.audit_of(id, from, limit)
    }
    fn decided(&self, id: &IncidentId, from: u64, limit: usize) -> Result<Vec<(u64, Decided)>, JournalError> {
        self.inner.decided(id, from, limit)
    }
    fn boot(&self) -> Boot {
        self.inner.boot()
    }
    async fn mark(&self, slot: Option<Slot>) -> Result<(), JournalError> {
        let _busy = Busy::begin();
        self.inner.mark(slot).await
    }
    async fn settled(&self) -> Result<(), JournalError> {
        let _busy = Busy::begin();
        self.inner.settled().await
    }
    fn health(&self) -> JournalHealth {
        self.inner.health()
    }
    fn changes(&self) -> broadcast::Receiver<Change> {
        self.inner.changes()
    }
}
