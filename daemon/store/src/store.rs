//! The journal over RocksDB.

use crate::committer::{Asked, Committer, Operation};
use crate::config::StoreConfig;
use crate::engine::{END, Engine, Family};
use crate::error::{BackupError, OpenError};
use crate::keeper::{Ending, Keeper, look_at_space};
use crate::keys;
use crate::open::{Opened, database_dir, open};
use crate::prepare::{PreparedBatch, PreparedLetter};
use crate::records::{Record, StoredEnvelope};
use crate::shared::{Published, Shared, lock};
use crate::witness::{Witness, Witnessed};
use async_trait::async_trait;
use medic_core::audit::{ChainHead, ChainedRecord};
use medic_core::mail::{Address, Envelope, Lane, Letter};
use medic_core::{EffectId, Incident, IncidentId, PhaseName, TimestampMs};
use medic_ports::journal::{
    Accepted, Batch, Change, Committed, DeadLetter, DueTimer, EffectRecord, IncidentFilter, JournalHealth,
    MailboxDepth, Slot, Table,
};
use medic_ports::{Journal, JournalError};
use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use tokio::sync::{Notify, Semaphore, broadcast, mpsc, oneshot};

/// Encoded operations that may wait for the committer. 32 MiB: some thirty groups; beyond it senders wait.
const INTAKE_KIB_MAX: u32 = 32 << 10;
/// What a sender refused for want of space is told to wait: nobody frees a disk faster.
const LOW_SPACE_RETRY_AFTER_MS: u64 = 30_000;

/// One open store. Cheap to share behind an `Arc`; closed by [`Store::shutdown`] or when dropped.
pub struct Store {
    dir: PathBuf,
    boot_epoch: u64,
    shared: Arc<Shared>,
    /// `None` once shut down. Readers hold it for the length of a read, so that closing waits for them.
    engine: RwLock<Option<Arc<Engine>>>,
    intake: mpsc::UnboundedSender<Operation>,
    intake_room: Arc<Semaphore>,
    ending: Arc<Ending>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    lock: Mutex<Option<File>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("dir", &self.dir)
            .field("boot_epoch", &self.boot_epoch)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in `config.dir`, or makes an empty one there. Blocks: it replays the log, recomputes the end of the
    /// audit chain and counts the mailboxes.
    ///
    /// # Errors
    /// [`OpenError`] for a directory in use, and for anything damaged, missing, rolled back or written by a newer build:
    /// nothing is repaired and nothing is changed.
    pub fn open(config: &StoreConfig) -> Result<Self, OpenError> {
        let Opened { lock, engine, witness, head, boot_epoch, mailboxes, next_timer } = open(config)?;
        let published = Published { head: head.clone(), lanes: mailboxes.spans(), next_timer };
        let shared = Arc::new(Shared::new(published, witness));
        look_at_space(&shared, &config.dir, config.low_space_bytes);
        let engine = Arc::new(engine);
        let (intake, operations) = mpsc::unbounded_channel();
        let ending = Arc::new(Ending::default());
        let committer = Committer {
            engine: Arc::clone(&engine),
            shared: Arc::clone(&shared),
            mailboxes,
            head,
            next_timer,
        };
        let keeper = Keeper {
            shared: Arc::clone(&shared),
            ending: Arc::clone(&ending),
            dir: config.dir.clone(),
            low_space_bytes: config.low_space_bytes,
        };
        let store = Self {
            dir: config.dir.clone(),
            boot_epoch,
            shared,
            engine: RwLock::new(Some(engine)),
            intake,
            intake_room: Arc::new(Semaphore::new(INTAKE_KIB_MAX as usize)),
            ending,
            threads: Mutex::new(Vec::new()),
            lock: Mutex::new(Some(lock)),
        };
        let failed = |source| OpenError::Io { path: config.dir.clone(), source };
        let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let committer = named("store-committer").spawn(move || committer.run(operations)).map_err(failed)?;
        lock_threads(&store).push(committer);
        let keeper = named("store-keeper").spawn(move || keeper.run()).map_err(failed)?;
        lock_threads(&store).push(keeper);
        tracing::info!(dir = %config.dir.display(), boot_epoch, "store opened");
        Ok(store)
    }

    /// Counts the openings of this store, from 1.
    pub fn boot_epoch(&self) -> u64 {
        self.boot_epoch
    }

    /// Ends in order: what was sent before is written and answered, the memtables are flushed, the witness is brought up
    /// to date, and the database is closed before this returns. Later calls answer [`JournalError::Stopped`]. Harmless
    /// when repeated. Blocks for a few milliseconds.
    pub fn shutdown(&self) {
        self.shared.stop();
        self.intake_room.close();
        // Fails only when the committer has ended already.
        let _ = self.intake.send(Operation::Stop);
        self.ending.tell();
        for thread in lock_threads(self).drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store had panicked");
            }
        }
        let Some(engine) = self.engine.write().unwrap_or_else(PoisonError::into_inner).take() else { return };
        if self.shared.failure().is_none()
            && let Err(error) = engine.flush()
        {
            tracing::warn!(%error, "memtables not flushed: the next start replays the log");
        }
        if let Err(error) = self.shared.witness_published() {
            tracing::warn!(%error, "head witness not written");
        }
        drop(engine);
        *lock(&self.lock) = None;
        tracing::info!(dir = %self.dir.display(), "store closed");
    }

    /// Copies the store as of now into the new directory `to`, without stopping writes. The copy is a store directory:
    /// opened in place of the original, it makes every effect that was open unknown.
    ///
    /// # Errors
    /// [`BackupError`]; a half-written copy has no witness and is refused at opening.
    pub fn backup(&self, to: &Path) -> Result<(), BackupError> {
        if to.exists() {
            return Err(BackupError::Exists { to: to.to_owned() });
        }
        let failed = |reason: String| BackupError::Failed { to: to.to_owned(), reason };
        let guard = self.engine.read().unwrap_or_else(PoisonError::into_inner);
        let engine = guard.as_ref().ok_or(BackupError::Stopped)?;
        // Read before the copy is taken: the copy is at least as new.
        let head = self.shared.published().head.clone();
        std::fs::create_dir_all(to).map_err(|error| failed(error.to_string()))?;
        engine.checkpoint(&database_dir(to)).map_err(failed)?;
        let witnessed = Witnessed { commit_seq: head.commit_seq, audit: head.audit, copied: true };
        Witness::create(to, witnessed).map_err(|error| failed(error.to_string()))?;
        Ok(())
    }

    /// Writes the audit log as of now; see [`crate::export`].
    ///
    /// # Errors
    /// [`crate::ExportError`] when it cannot be read or written.
    pub fn export_audit(&self, to: &mut dyn std::io::Write) -> Result<ChainHead, crate::ExportError> {
        let head = self.shared.published().head.audit.clone();
        self.read(|engine| Ok(crate::export::export(engine, &head, to)))??;
        Ok(head)
    }

    fn read<T>(&self, read: impl FnOnce(&Engine) -> Result<T, JournalError>) -> Result<T, JournalError> {
        let guard = self.engine.read().unwrap_or_else(PoisonError::into_inner);
        read(guard.as_ref().ok_or(JournalError::Stopped)?)
    }

    fn row<T: Record>(&self, family: Family, key: &[u8]) -> Result<Option<T>, JournalError> {
        let bytes = self.read(|engine| engine.get(family, key))?;
        Ok(bytes.map(|bytes| T::decode(&bytes)).transpose()?)
    }

    /// At most `limit` rows of `from..until`, decoded.
    fn rows<T: Record>(
        &self,
        family: Family,
        from: &[u8],
        until: &[u8],
        limit: usize,
    ) -> Result<Vec<T>, JournalError> {
        let mut rows = Vec::new();
        if limit == 0 {
            return Ok(rows);
        }
        self.read(|engine| {
            engine.scan(family, from, until, false, |_, value| {
                rows.push(T::decode(value)?);
                Ok(if rows.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })
        })?;
        Ok(rows)
    }

    /// Hands an operation to the committer and waits for its sync.
    async fn ask<T>(
        &self,
        size_bytes: usize,
        operation: impl FnOnce(Asked<T>) -> Operation,
    ) -> Result<T, JournalError> {
        let kib = u32::try_from(size_bytes / 1024).unwrap_or(INTAKE_KIB_MAX).clamp(1, INTAKE_KIB_MAX);
        let room =
            Arc::clone(&self.intake_room).acquire_many_owned(kib).await.map_err(|_| self.shared.ended())?;
        let (reply, answer) = oneshot::channel();
        let sent = self.intake.send(operation(Asked { reply, _room: room }));
        sent.map_err(|_| self.shared.ended())?;
        answer.await.unwrap_or_else(|_| Err(self.shared.ended()))
    }

    fn writable(&self) -> Result<(), JournalError> {
        match self.shared.failure() {
            Some(failure) => Err(failure),
            None if self.shared.accepts_writes() => Ok(()),
            None => Err(JournalError::Stopped),
        }
    }

    /// Ids of incidents in one phase, newest first.
    fn incidents_in(
        &self,
        engine: &Engine,
        phase: PhaseName,
        before: Option<&IncidentId>,
        limit: usize,
    ) -> Result<Vec<IncidentId>, JournalError> {
        let from = [keys::phase_code(phase)];
        let until = match before {
            Some(before) => keys::phase(phase, before),
            None => vec![keys::phase_code(phase) + 1],
        };
        let mut ids = Vec::new();
        engine.scan(Family::IncidentPhases, &from, &until, true, |key, _| {
            let id = key.get(1..).and_then(keys::incident_id);
            ids.push(id.ok_or_else(|| JournalError::Corrupt("an incident id is not text".to_owned()))?);
            Ok(if ids.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(ids)
    }
}

fn lock_threads(store: &Store) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
    lock(&store.threads)
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shutdown();
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
        let mut envelopes = Vec::new();
        if limit == 0 || from_seq >= span.tail || span.envelopes == 0 {
            return Ok(envelopes);
        }
        // From the head, not from the lane's beginning: what lies before it are tombstones.
        let at = |seq| keys::inbox(Slot { to, lane, seq });
        self.read(|engine| {
            engine.scan(Family::Inbox, &at(from_seq.max(span.head)), &at(span.tail), false, |key, value| {
                let slot = keys::inbox_slot(key)
                    .ok_or_else(|| JournalError::Corrupt("an inbox key is malformed".to_owned()))?;
                envelopes.push(StoredEnvelope::decode(value)?.at_slot(slot));
                Ok(if envelopes.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })
        })?;
        Ok(envelopes)
    }

    fn mail_arrived(&self, to: Address) -> Arc<Notify> {
        self.shared.arrived(to)
    }

    fn incident(&self, id: &IncidentId) -> Result<Option<Incident>, JournalError> {
        self.row(Family::Incidents, &keys::incident(id))
    }

    fn incidents(&self, filter: &IncidentFilter) -> Result<Vec<Incident>, JournalError> {
        let wanted = |phase: &PhaseName| {
            filter.phase.is_none_or(|only| only == *phase) && !(filter.live_only && phase.is_terminal())
        };
        let mut incidents = Vec::new();
        if filter.limit == 0 {
            return Ok(incidents);
        }
        self.read(|engine| {
            let mut ids = Vec::new();
            for phase in PhaseName::ALL.into_iter().filter(wanted) {
                ids.extend(self.incidents_in(engine, phase, filter.before.as_ref(), filter.limit)?);
            }
            // An incident that moved between two of the reads is listed once.
            ids.sort_by(|a, b| b.cmp(a));
            ids.dedup();
            for id in ids.iter().take(filter.limit) {
                let Some(row) = engine.get(Family::Incidents, &keys::incident(id))? else { continue };
                let incident = Incident::decode(&row)?;
                // It may have moved on since it was listed.
                if wanted(&incident.phase.name()) {
                    incidents.push(incident);
                }
            }
            Ok(())
        })?;
        Ok(incidents)
    }

    fn document(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, JournalError> {
        self.read(|engine| engine.get(Family::Documents, &keys::document(table, key)))
    }

    fn effect(&self, id: &EffectId) -> Result<Option<EffectRecord>, JournalError> {
        self.row(Family::Effects, &keys::effect(id))
    }

    fn timers_due(&self, now: TimestampMs, limit: usize) -> Result<Vec<DueTimer>, JournalError> {
        let earliest = self.shared.published().next_timer;
        match earliest.filter(|earliest| *earliest <= now) {
            None => Ok(Vec::new()),
            Some(earliest) => {
                let until = now.0.checked_add(1).map_or(END.to_vec(), |after| after.to_be_bytes().to_vec());
                self.rows(Family::Timers, &earliest.0.to_be_bytes(), &until, limit)
            }
        }
    }

    fn next_timer(&self) -> Result<Option<TimestampMs>, JournalError> {
        Ok(self.shared.published().next_timer)
    }

    fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, JournalError> {
        self.rows(Family::Dead, &[], END, limit)
    }

    fn audit(&self, from_seq: u64, limit: usize) -> Result<Vec<ChainedRecord>, JournalError> {
        self.rows(Family::Audit, &from_seq.to_be_bytes(), END, limit)
    }

    fn health(&self) -> JournalHealth {
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
        }
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.shared.changes.subscribe()
    }
}
