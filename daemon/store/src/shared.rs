//! What the committer tells everybody else: the synced head, mailbox spans, health, and who is to be woken.
//!
//! Nothing here is ahead of the disk: it is set after the sync.

use crate::pace::Pace;
use crate::records::{LaneSpan, StoreHead};
use crate::witness::{Witness, Witnessed};
use medic_core::TimestampMs;
use medic_core::mail::{Address, Lane};
use medic_ports::JournalError;
use medic_ports::journal::Change;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, broadcast};

/// A watcher that falls behind by more than this is told that it lagged and reads the state again. 4,096: a minute of a
/// storm of 64 changes a second.
const CHANGES_KEPT: usize = 4_096;

pub(crate) struct Published {
    pub head: StoreHead,
    pub lanes: BTreeMap<(Address, Lane), LaneSpan>,
    /// Due time of the earliest timer: reads start here and never walk over timers long gone.
    pub next_timer: Option<TimestampMs>,
}

pub(crate) struct Shared {
    published: Mutex<Published>,
    witness: Mutex<Witness>,
    failure: Mutex<Option<String>>,
    failed: AtomicBool,
    stopping: AtomicBool,
    pub low_space: AtomicBool,
    /// A write waits for room.
    pub disk_full: AtomicBool,
    pub pace: Pace,
    arrived: BTreeMap<Address, Arc<Notify>>,
    pub changes: broadcast::Sender<Change>,
}

/// A panic while a lock was held leaves plain data behind, each field of it valid on its own.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub fn new(published: Published, witness: Witness, pace: Pace) -> Self {
        Self {
            published: Mutex::new(published),
            witness: Mutex::new(witness),
            failure: Mutex::new(None),
            failed: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            low_space: AtomicBool::new(false),
            disk_full: AtomicBool::new(false),
            pace,
            arrived: Address::ALL.into_iter().map(|to| (to, Arc::new(Notify::new()))).collect(),
            changes: broadcast::Sender::new(CHANGES_KEPT),
        }
    }

    pub fn published(&self) -> MutexGuard<'_, Published> {
        lock(&self.published)
    }

    pub fn arrived(&self, to: Address) -> Arc<Notify> {
        self.arrived.get(&to).map(Arc::clone).unwrap_or_default()
    }

    /// Writes the head as published, when it is newer than what the witness has.
    pub fn witness_published(&self) -> io::Result<()> {
        let head = self.published().head.clone();
        self.witness(&head)
    }

    pub fn witness(&self, head: &StoreHead) -> io::Result<()> {
        let witnessed = Witnessed { commit_seq: head.commit_seq, audit: head.audit.clone(), copied: false };
        lock(&self.witness).write(witnessed)
    }

    /// The first failed write decides: nothing is written after it, because what was written before is unknown.
    pub fn fail(&self, reason: &str) {
        if !self.failed.swap(true, Ordering::SeqCst) {
            tracing::error!(reason, "storage failed: no write is accepted any more until a restart");
            *lock(&self.failure) = Some(reason.to_owned());
        }
    }

    pub fn failure(&self) -> Option<JournalError> {
        if !self.failed.load(Ordering::SeqCst) {
            return None;
        }
        Some(JournalError::Storage(
            lock(&self.failure).clone().unwrap_or_else(|| "an earlier write failed".to_owned()),
        ))
    }

    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    pub fn accepts_writes(&self) -> bool {
        !self.failed.load(Ordering::SeqCst) && !self.stopping.load(Ordering::SeqCst)
    }

    /// Why an operation was dropped without an answer.
    pub fn ended(&self) -> JournalError {
        self.failure().unwrap_or(JournalError::Stopped)
    }
}
