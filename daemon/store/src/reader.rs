//! A store that is only looked at, while no process has it open: the journal's questions without its writes.

use crate::check::Offline;
use crate::error::OpenError;
use crate::reads::Reads;
use crate::records::StoreHead;
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
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{Notify, broadcast};

/// Reads; every write is refused with [`JournalError::Stopped`], and nothing ever arrives.
pub struct Reader {
    offline: Offline,
    head: StoreHead,
    boot: Boot,
    store_id: String,
    changes: broadcast::Sender<Change>,
}

impl Reader {
    /// # Errors
    /// [`OpenError`] when there is no store, it is in use, cannot be read, or is newer than this build.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let offline = Offline::open(dir)?;
        let inspection = offline.inspection();
        let format = inspection.format()?.ok_or_else(|| OpenError::Missing { dir: dir.to_owned() })?;
        let head = inspection.head()?;
        let boot = Boot { epoch: format.boot_epoch, ..Boot::default() };
        Ok(Self { offline, head, boot, store_id: format.store_id, changes: broadcast::Sender::new(1) })
    }

    /// As [`crate::Store::id`]; empty for a store that an older build wrote last.
    pub fn id(&self) -> &str {
        &self.store_id
    }

    fn reads(&self) -> Reads<'_> {
        Reads(&self.offline.engine)
    }
}

#[async_trait]
impl Journal for Reader {
    async fn enqueue(&self, _: Vec<Letter>) -> Result<Vec<Accepted>, JournalError> {
        Err(JournalError::Stopped)
    }

    async fn commit(&self, _: Batch) -> Result<Committed, JournalError> {
        Err(JournalError::Stopped)
    }

    fn mail(
        &self,
        to: Address,
        lane: Lane,
        from_seq: u64,
        limit: usize,
    ) -> Result<Vec<Envelope>, JournalError> {
        let span = self.offline.inspection().span(to, lane);
        let span = span.map_err(|error| JournalError::Corrupt(error.to_string()))?;
        self.reads().mail(to, lane, span, from_seq, limit)
    }

    fn mail_arrived(&self, _: Address) -> Arc<Notify> {
        Arc::default()
    }

    fn incident(&self, id: &IncidentId) -> Result<Option<Incident>, JournalError> {
        self.reads().incident(id)
    }

    fn incidents(&self, filter: &IncidentFilter) -> Result<Vec<Incident>, JournalError> {
        self.reads().incidents(filter)
    }

    fn document(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, JournalError> {
        self.reads().document(table, key)
    }

    fn effect(&self, id: &EffectId) -> Result<Option<EffectRecord>, JournalError> {
        self.reads().effect(id)
    }

    fn timers_due(&self, now: TimestampMs, limit: usize) -> Result<Vec<DueTimer>, JournalError> {
        self.reads().timers_due(TimestampMs(0), now, limit)
    }

    fn next_timer(&self) -> Result<Option<TimestampMs>, JournalError> {
        let earliest = self.offline.inspection().earliest_timer();
        earliest.map_err(|error| JournalError::Corrupt(error.to_string()))
    }

    fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, JournalError> {
        self.reads().dead_letters(limit)
    }

    fn audit(&self, from_seq: u64, limit: usize) -> Result<Vec<ChainedRecord>, JournalError> {
        self.reads().audit(from_seq, limit)
    }

    fn audit_of(
        &self,
        incident: &IncidentId,
        from_seq: u64,
        limit: usize,
    ) -> Result<Vec<ChainedRecord>, JournalError> {
        self.reads().audit_of(incident, from_seq, limit)
    }

    fn decided(
        &self,
        incident: &IncidentId,
        from_commit: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Decided)>, JournalError> {
        self.reads().decided(incident, from_commit, limit)
    }

    /// Of the last run: nothing is opened here.
    fn boot(&self) -> Boot {
        self.boot.clone()
    }

    async fn mark(&self, _: Option<Slot>) -> Result<(), JournalError> {
        Err(JournalError::Stopped)
    }

    async fn settled(&self) -> Result<(), JournalError> {
        Err(JournalError::Stopped)
    }

    fn health(&self) -> JournalHealth {
        let depth = |to| {
            let lanes = crate::keys::LANES
                .into_iter()
                .filter_map(|lane| self.offline.inspection().span(to, lane).ok());
            lanes.fold(MailboxDepth { to, envelopes: 0, bytes: 0 }, |depth, span| MailboxDepth {
                to,
                envelopes: depth.envelopes + span.envelopes,
                bytes: depth.bytes + span.bytes,
            })
        };
        JournalHealth {
            writable: false,
            low_space: false,
            commit_seq: self.head.commit_seq,
            audit_head: self.head.audit.clone(),
            mailboxes: Address::ALL.map(depth).to_vec(),
            dead_letters: self.head.dead_letters,
            incidents: self.head.incidents.clone(),
            latest_at: self.head.latest_at,
            sync_ms: 0,
            sync_slow: false,
            open_effects: self.head.effects_open,
        }
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }
}
