//! The port, answered: writes go to the committer, reads to the database.

use super::Store;
use crate::committer::{Note, Operation};
use crate::prepare::{PreparedBatch, PreparedLetter};
use crate::reads::Reads;
use async_trait::async_trait;
use medic_core::audit::ChainedRecord;
use medic_core::mail::{Address, Envelope, Lane, Letter};
use medic_core::replay::Decided;
use medic_core::{EffectId, Incident, IncidentId, TimestampMs};
use medic_ports::journal::{
    Accepted, Batch, Boot, Change, Committed, DeadLetter, DueTimer, EffectRecord, IncidentFilter,
    JournalHealth, MailboxDepth, Slot, Table,
};
use medic_ports::{Journal, JournalError};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{Notify, broadcast};

/// What a sender refused for want of space is told to wait: nobody frees a disk faster.
const LOW_SPACE_RETRY_AFTER_MS: u64 = 30_000;

impl Store {
    fn look<T>(&self, look: impl FnOnce(Reads<'_>) -> Result<T, JournalError>) -> Result<T, JournalError> {
        self.read(|engine| look(Reads(engine)))
    }
}

#[async_trait]
impl Journal for Store {
    async fn enqueue(&self, letters: Vec<Letter>) -> Result<Vec<Accepted>, JournalError> {
        self.writable()?;
        if self.shared.low_space.load(Ordering::SeqCst) {
            return Err(JournalError::LowSpace { retry_after_ms: LOW_SPACE_RETRY_AFTER_MS });
        }
        let letters = letters.into_iter().map(PreparedLetter::new).collect::<Result<Vec<_>, _>>()?;
        let size_bytes = letters.iter().map(PreparedLetter::size_bytes).sum();
        self.ask(size_bytes, |asked| Operation::Enqueue { letters, asked }).await
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, JournalError> {
        self.writable()?;
        let batch = Box::new(PreparedBatch::new(batch)?);
        self.ask(batch.size_bytes, |asked| Operation::Commit { batch, asked }).await
    }

    fn mail(
        &self,
        to: Address,
        lane: Lane,
        from_seq: u64,
        limit: usize,
    ) -> Result<Vec<Envelope>, JournalError> {
        let span = self.shared.published().lanes.get(&(to, lane)).copied().unwrap_or_default();
        self.look(|reads| reads.mail(to, lane, span, from_seq, limit))
    }

    fn mail_arrived(&self, to: Address) -> Arc<Notify> {
        self.shared.arrived(to)
    }

    fn incident(&self, id: &IncidentId) -> Result<Option<Incident>, JournalError> {
        self.look(|reads| reads.incident(id))
    }

    fn incidents(&self, filter: &IncidentFilter) -> Result<Vec<Incident>, JournalError> {
        self.look(|reads| reads.incidents(filter))
    }

    fn document(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, JournalError> {
        self.look(|reads| reads.document(table, key))
    }

    fn effect(&self, id: &EffectId) -> Result<Option<EffectRecord>, JournalError> {
        self.look(|reads| reads.effect(id))
    }

    fn timers_due(&self, now: TimestampMs, limit: usize) -> Result<Vec<DueTimer>, JournalError> {
        let earliest = self.shared.published().next_timer;
        match earliest.filter(|earliest| *earliest <= now) {
            None => Ok(Vec::new()),
            Some(earliest) => self.look(|reads| reads.timers_due(earliest, now, limit)),
        }
    }

    fn next_timer(&self) -> Result<Option<TimestampMs>, JournalError> {
        Ok(self.shared.published().next_timer)
    }

    fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, JournalError> {
        self.look(|reads| reads.dead_letters(limit))
    }

    fn audit(&self, from_seq: u64, limit: usize) -> Result<Vec<ChainedRecord>, JournalError> {
        self.look(|reads| reads.audit(from_seq, limit))
    }

    fn audit_of(
        &self,
        incident: &IncidentId,
        from_seq: u64,
        limit: usize,
    ) -> Result<Vec<ChainedRecord>, JournalError> {
        self.look(|reads| reads.audit_of(incident, from_seq, limit))
    }

    fn decided(
        &self,
        incident: &IncidentId,
        from_commit: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Decided)>, JournalError> {
        self.look(|reads| reads.decided(incident, from_commit, limit))
    }

    fn boot(&self) -> Boot {
        self.boot.clone()
    }

    async fn mark(&self, slot: Option<Slot>) -> Result<(), JournalError> {
        self.writable()?;
        self.ask(0, |asked| Operation::Note { note: Note::Mark(slot), asked }).await
    }

    async fn settled(&self) -> Result<(), JournalError> {
        self.writable()?;
        self.ask(0, |asked| Operation::Note { note: Note::Settled, asked }).await
    }

    fn health(&self) -> JournalHealth {
        let (sync_ms, sync_slow) = self.shared.pace.look();
        let published = self.shared.published();
        let mailboxes = Address::ALL.into_iter().map(|to| {
            let lanes = published.lanes.iter().filter(|((address, _), _)| *address == to);
            lanes.fold(MailboxDepth { to, envelopes: 0, bytes: 0 }, |depth, (_, span)| MailboxDepth {
                to,
                envelopes: depth.envelopes + span.envelopes,
                bytes: depth.bytes + span.bytes,
            })
        });
        JournalHealth {
            writable: self.shared.accepts_writes(),
            low_space: self.shared.low_space.load(Ordering::SeqCst),
            commit_seq: published.head.commit_seq,
            audit_head: published.head.audit.clone(),
            mailboxes: mailboxes.collect(),
            dead_letters: published.head.dead_letters,
            incidents: published.head.incidents.clone(),
            latest_at: published.head.latest_at,
            sync_ms,
            sync_slow,
            open_effects: published.head.effects_open,
        }
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.shared.changes.subscribe()
    }
}
