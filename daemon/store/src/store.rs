//! The journal over RocksDB.

use crate::anchor::Anchors;
use crate::committer::{Asked, Committer, Operation, Slice};
use crate::config::StoreConfig;
use crate::engine::Engine;
use crate::error::{BackupError, OpenError};
use crate::keeper::{Ending, Keeper};
use crate::open::{Opened, database_dir, open};
use crate::pace::Pace;
use crate::records::LaneSpan;
use crate::retention::Sweeper;
use crate::shared::{Published, Shared, lock};
use crate::witness::{Witness, Witnessed};
use medic_core::audit::ChainHead;
use medic_ports::JournalError;
use medic_ports::journal::Boot;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use tokio::sync::{Semaphore, mpsc, oneshot};

mod journal;

/// Encoded operations that may wait for the committer. 32 MiB: some thirty groups; beyond it senders wait.
const INTAKE_KIB_MAX: u32 = 32 << 10;

/// One open store. Cheap to share behind an `Arc`; closed by [`Store::shutdown`] or when dropped.
pub struct Store {
    dir: PathBuf,
    id: String,
    boot: Boot,
    shared: Arc<Shared>,
    /// `None` once shut down. Readers hold it for the length of a read, so that closing waits for them.
    engine: RwLock<Option<Arc<Engine>>>,
    intake: mpsc::UnboundedSender<Operation>,
    intake_room: Arc<Semaphore>,
    ending: Arc<Ending>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    anchors: Option<Arc<Anchors>>,
    pub(crate) sweeper: Mutex<Sweeper>,
    lock: Mutex<Option<File>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.dir).field("boot", &self.boot).finish_non_exhaustive()
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
        let Opened { lock, engine, witness, head, store_id, boot, run, space, mailboxes, next_timer } =
            open(config)?;
        let anchors = match Anchors::of(config, &store_id) {
            Ok(anchors) => anchors.map(Arc::new),
            Err(source) => return Err(OpenError::Anchor { source }),
        };
        let published = Published { head: head.clone(), lanes: mailboxes.spans(), next_timer };
        let shared = Arc::new(Shared::new(published, witness, Pace::new(config.slow_sync_ms)));
        let space = Arc::new(space);
        space.look(&shared);
        let engine = Arc::new(engine);
        let (intake, operations) = mpsc::unbounded_channel();
        let ending = Arc::new(Ending::default());
        let committer = Committer {
            engine: Arc::clone(&engine),
            shared: Arc::clone(&shared),
            mailboxes,
            head,
            next_timer,
            run,
            space: Arc::clone(&space),
            ending: Arc::clone(&ending),
        };
        let keeper = Keeper {
            shared: Arc::clone(&shared),
            ending: Arc::clone(&ending),
            space,
            anchors: anchors.clone(),
        };
        let store = Self {
            dir: config.dir.clone(),
            id: store_id,
            boot,
            shared,
            engine: RwLock::new(Some(engine)),
            intake,
            intake_room: Arc::new(Semaphore::new(INTAKE_KIB_MAX as usize)),
            ending,
            threads: Mutex::new(Vec::new()),
            anchors,
            sweeper: Mutex::new(Sweeper::of(config)),
            lock: Mutex::new(Some(lock)),
        };
        let failed = |source| OpenError::Io { path: config.dir.clone(), source };
        let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let committer = named("store-committer").spawn(move || committer.run(operations)).map_err(failed)?;
        lock_threads(&store).push(committer);
        let keeper = named("store-keeper").spawn(move || keeper.run()).map_err(failed)?;
        lock_threads(&store).push(keeper);
        tracing::info!(dir = %config.dir.display(), boot = ?store.boot, "store opened");
        Ok(store)
    }

    /// Counts the openings of this store, from 1.
    pub fn boot_epoch(&self) -> u64 {
        self.boot.epoch
    }

    /// Batches synced since the opening: what was accepted, by this, is how many share a sync.
    pub fn syncs(&self) -> u64 {
        self.shared.pace.writes()
    }

    /// Names the history in 32 hex digits; a copy has the name of its original.
    pub fn id(&self) -> &str {
        &self.id
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
        if let Some(anchors) = &self.anchors {
            anchors.append(&self.shared.published().head.clone());
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
        let io = |error: std::io::Error| failed(error.to_string());
        std::fs::create_dir_all(to).map_err(io)?;
        engine.checkpoint(&database_dir(to)).map_err(failed)?;
        let witnessed = Witnessed { commit_seq: head.commit_seq, audit: head.audit, copied: true };
        Witness::create(to, witnessed).map_err(io)?;
        // The copy's own name must outlive a power loss too.
        match to.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => File::open(parent).and_then(|dir| dir.sync_all()).map_err(io),
            None => Ok(()),
        }
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

    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Engine) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let guard = self.engine.read().unwrap_or_else(PoisonError::into_inner);
        read(guard.as_ref().ok_or(JournalError::Stopped)?)
    }

    /// Hands a slice of retention to the committer and waits for its sync. Blocks.
    pub(crate) fn ask_sweep(&self, slice: Slice) -> Result<u64, JournalError> {
        self.writable()?;
        let (reply, answer) = std::sync::mpsc::sync_channel(1);
        self.intake.send(Operation::Sweep { slice, reply }).map_err(|_| self.shared.ended())?;
        answer.recv().unwrap_or_else(|_| Err(self.shared.ended()))
    }

    /// Where every lane ends, as of the last commit.
    pub(crate) fn lanes(
        &self,
    ) -> std::collections::BTreeMap<(medic_core::mail::Address, medic_core::mail::Lane), LaneSpan> {
        self.shared.published().lanes.clone()
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
}

fn lock_threads(store: &Store) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
    lock(&store.threads)
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shutdown();
    }
}
