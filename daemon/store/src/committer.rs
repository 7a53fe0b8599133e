//! The one thread that writes.
//!
//! Takes what waits, merges it into one synced batch, and answers after the sync. Each operation is judged against the
//! database *and* what earlier operations of the same group are about to write, so that a group reads as if its
//! operations had come one by one; one that is refused leaves no trace and the others go on. The first failed write ends
//! it: every later operation is answered with that failure. Only a full disk is waited for: the same rows are tried again
//! until there is room, and nobody is answered before they are in. `judge` says whether an operation may be, `stage` turns
//! one that may into rows, `retire` deletes what retention lets go.

mod judge;
mod retire;
mod stage;

pub(crate) use retire::{Expiry, Retirement, Slice};

use crate::engine::{Engine, Family, Staging, Unwritten};
use crate::keeper::{Ending, Space};
use crate::keys;
use crate::mailboxes::Mailboxes;
use crate::prepare::{PreparedBatch, PreparedLetter};
use crate::records::{IncidentHead, LaneSpan, Record as _, StoreHead};
use crate::shared::Shared;
use medic_core::mail::{Address, Lane};
use medic_core::{EnvelopeId, IncidentId, TimestampMs};
use medic_ports::JournalError;
use medic_ports::boot::Run;
use medic_ports::journal::{Accepted, Change, Committed, DeadPlace, EffectState, Origin, Slot};
use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Operations in one batch. 512: beyond that the sync is no longer what costs.
const GROUP_OPERATIONS_MAX: usize = 512;
/// Bytes in one batch, reached rather than kept: an operation alone may be larger.
const GROUP_BYTES_MAX: usize = 1 << 20;

/// Between two tries of a write that waits for room.
const FULL_RETRY: Duration = Duration::from_millis(250);
/// An engine that still refuses this long after there was room will not go on by itself. 2 min: it was seen to take 2 to 8 s.
const RESUME_MS_MAX: u64 = 120_000;

pub(crate) struct Asked<T> {
    pub reply: oneshot::Sender<Result<T, JournalError>>,
    /// The operation's share of the intake queue, given back with the answer.
    pub _room: OwnedSemaphorePermit,
}

impl<T> Asked<T> {
    fn answer(self, result: Result<T, JournalError>) {
        // Whoever asked may be gone; what was written stays written.
        let _ = self.reply.send(result);
    }
}

pub(crate) enum Operation {
    Enqueue {
        letters: Vec<PreparedLetter>,
        asked: Asked<Vec<Accepted>>,
    },
    Commit {
        batch: Box<PreparedBatch>,
        asked: Asked<Committed>,
    },
    /// A word on the present run.
    Note {
        note: Note,
        asked: Asked<()>,
    },
    /// A slice of retention: a batch of its own, judged against the database alone.
    Sweep {
        slice: Slice,
        /// Rows that were deleted; a slice that is out of date deletes none.
        reply: SyncSender<Result<u64, JournalError>>,
    },
    /// Everything sent before is still written.
    Stop,
}

pub(crate) enum Note {
    Mark(Option<Slot>),
    Settled,
}

impl Operation {
    fn size_bytes(&self) -> usize {
        match self {
            Self::Enqueue { letters, .. } => letters.iter().map(PreparedLetter::size_bytes).sum(),
            Self::Commit { batch, .. } => batch.size_bytes,
            Self::Note { .. } | Self::Sweep { .. } | Self::Stop => 0,
        }
    }
}

enum Answer {
    Enqueued(Asked<Vec<Accepted>>, Result<Vec<Accepted>, JournalError>),
    Committed(Asked<Committed>, Result<Committed, JournalError>),
    Noted(Asked<()>, Result<(), JournalError>),
}

impl Answer {
    fn give(self) {
        match self {
            Self::Enqueued(asked, result) => asked.answer(result),
            Self::Committed(asked, result) => asked.answer(result),
            Self::Noted(asked, result) => asked.answer(result),
        }
    }

    /// Also for what had been refused: it was judged by writes whose fate is now unknown.
    fn give_failure(self, failure: &JournalError) {
        match self {
            Self::Enqueued(asked, _) => asked.answer(Err(failure.clone())),
            Self::Committed(asked, _) => asked.answer(Err(failure.clone())),
            Self::Noted(asked, _) => asked.answer(Err(failure.clone())),
        }
    }
}

/// What one batch is about to write, as later operations of the same group must see it.
struct Group<'e> {
    staging: Staging<'e>,
    dedup: HashMap<Vec<u8>, EnvelopeId>,
    heads: HashMap<IncidentId, IncidentHead>,
    timers: HashMap<Vec<u8>, Option<TimestampMs>>,
    effects: HashMap<Vec<u8>, EffectState>,
    unburied: BTreeSet<DeadPlace>,
    lanes: BTreeSet<(Address, Lane)>,
    arrived: BTreeSet<Address>,
    changes: Vec<Change>,
    /// A changing effect begins: the witness must know before anybody acts on it.
    effect_started: bool,
    timers_changed: bool,
    earliest_set: Option<TimestampMs>,
}

impl<'e> Group<'e> {
    fn new(engine: &'e Engine) -> Self {
        Self {
            staging: engine.stage(),
            dedup: HashMap::new(),
            heads: HashMap::new(),
            timers: HashMap::new(),
            effects: HashMap::new(),
            unburied: BTreeSet::new(),
            lanes: BTreeSet::new(),
            arrived: BTreeSet::new(),
            changes: Vec::new(),
            effect_started: false,
            timers_changed: false,
            earliest_set: None,
        }
    }
}

pub(crate) struct Committer {
    pub engine: Arc<Engine>,
    pub shared: Arc<Shared>,
    pub mailboxes: Mailboxes,
    pub head: StoreHead,
    pub next_timer: Option<TimestampMs>,
    pub run: Run,
    pub space: Arc<Space>,
    pub ending: Arc<Ending>,
}

/// A panic of the committer is a failed store, not a quiet one.
struct FailOnPanic(Arc<Shared>);

impl Drop for FailOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail("the committer panicked");
        }
    }
}

impl Committer {
    pub fn run(mut self, mut intake: UnboundedReceiver<Operation>) {
        let _guard = FailOnPanic(Arc::clone(&self.shared));
        let mut open = true;
        while open {
            let Some(first) = intake.blocking_recv() else { break };
            let (mut size_bytes, mut operations) = (0, Vec::new());
            let mut next = Some(first);
            // Only what waits already: no delay is added to make a group larger.
            while let Some(operation) = next.take() {
                if let Operation::Sweep { slice, reply } = operation {
                    self.perform(std::mem::take(&mut operations));
                    let result = self.sweep(slice);
                    // Whoever asked may be gone; what was deleted stays deleted.
                    let _ = reply.send(result);
                    break;
                }
                size_bytes += operation.size_bytes();
                operations.push(operation);
                if operations.len() < GROUP_OPERATIONS_MAX && size_bytes < GROUP_BYTES_MAX {
                    next = intake.try_recv().ok();
                }
            }
            open = !operations.iter().any(|operation| matches!(operation, Operation::Stop));
            self.perform(operations);
        }
        // What comes after the stop is dropped: its sender sees that the store has ended.
        intake.close();
        self.close();
    }

    /// The last write of an orderly end: the next opening need not wonder what happened.
    fn close(&mut self) {
        if self.shared.failure().is_some() {
            return;
        }
        self.run.closed = true;
        let written = self.run.encode().map_err(JournalError::from).and_then(|row| {
            let mut staging = self.engine.stage();
            staging.put(Family::Meta, keys::RUN, &row)?;
            staging.write()
        });
        if let Err(error) = written {
            tracing::warn!(%error, "the orderly end is not noted: the next start counts it as unclean");
        }
    }

    fn perform(&mut self, operations: Vec<Operation>) {
        let engine = Arc::clone(&self.engine);
        let mut answers = Vec::with_capacity(operations.len());
        let mut group = Group::new(&engine);
        let mut failure = self.shared.failure();
        for operation in operations {
            // Once staging went wrong half-way nothing of this group may be written.
            let skip = failure.clone();
            match operation {
                Operation::Enqueue { letters, asked } => {
                    let result = skip.map_or_else(|| self.enqueue(&mut group, letters), Err);
                    failure = failure.or_else(|| fatal(&result));
                    answers.push(Answer::Enqueued(asked, result));
                }
                Operation::Commit { batch, asked } => {
                    let result = skip.map_or_else(|| self.commit(&mut group, *batch), Err);
                    failure = failure.or_else(|| fatal(&result));
                    answers.push(Answer::Committed(asked, result));
                }
                Operation::Note { note, asked } => {
                    let result = skip.map_or_else(|| self.note(&mut group, note), Err);
                    failure = failure.or_else(|| fatal(&result));
                    answers.push(Answer::Noted(asked, result));
                }
                // A sweep never comes here: it is a batch of its own.
                Operation::Sweep { .. } | Operation::Stop => break,
            }
        }
        let outcome = match failure {
            Some(failure) => Err(failure),
            None => self.write(group),
        };
        match outcome {
            Ok(()) => answers.into_iter().for_each(Answer::give),
            Err(failure) => {
                let failure = self.fail(failure);
                answers.into_iter().for_each(|answer| answer.give_failure(&failure));
            }
        }
    }

    /// Ends all writing; what everybody is told from now on.
    fn fail(&self, failure: JournalError) -> JournalError {
        self.shared.fail(&match &failure {
            JournalError::Storage(reason) => reason.clone(),
            other => other.to_string(),
        });
        self.shared.failure().unwrap_or(failure)
    }

    fn note(&mut self, group: &mut Group<'_>, note: Note) -> Result<(), JournalError> {
        match note {
            Note::Mark(slot) => self.run.marked = slot,
            Note::Settled => self.run.settle(),
        }
        group.staging.put(Family::Meta, keys::RUN, &self.run.encode()?)
    }

    /// Returns once the rows are on disk. A full disk is waited for: the outcome of a refused write is unknown until its
    /// rows were written again, so nobody is answered and nothing else is written before.
    fn sync(&self, staging: Staging<'_>) -> Result<(), JournalError> {
        self.shared.pace.begin();
        let mut waiting = staging;
        let mut room_since = None;
        let result = loop {
            match waiting.try_write() {
                Ok(()) => break Ok(()),
                Err(Unwritten::Full { again, reason }) => {
                    if !self.shared.disk_full.swap(true, Ordering::SeqCst) {
                        tracing::error!(reason, "the disk is full: writes wait for room");
                    }
                    self.space.look(&self.shared);
                    let now_ms = self.shared.pace.now_ms();
                    let since_ms = *room_since.get_or_insert(now_ms);
                    if !self.space.has_room() {
                        room_since = None;
                    } else if now_ms.saturating_sub(since_ms) > RESUME_MS_MAX {
                        break Err(JournalError::Storage(format!("there is room, and still: {reason}")));
                    }
                    if !self.ending.wait(FULL_RETRY) {
                        break Err(JournalError::Storage(format!("closed while waiting for room: {reason}")));
                    }
                    waiting = again;
                }
                Err(error @ Unwritten::Unknown(_)) => break Err(error.into_error()),
            }
        };
        self.shared.pace.end();
        if self.shared.disk_full.swap(false, Ordering::SeqCst) && result.is_ok() {
            tracing::warn!("there is room again: writing goes on, nothing was lost");
        }
        result
    }

    /// Writes the group, then tells the world.
    fn write(&mut self, mut group: Group<'_>) -> Result<(), JournalError> {
        if group.staging.len() == 0 {
            return Ok(());
        }
        let mut spans: Vec<((Address, Lane), LaneSpan)> = Vec::with_capacity(group.lanes.len());
        for (to, lane) in group.lanes {
            let span = self.mailboxes.span(to, lane);
            group.staging.put(Family::Meta, &keys::lane(to, lane), &span.encode()?)?;
            spans.push(((to, lane), span));
        }
        group.staging.put(Family::Meta, keys::HEAD, &self.head.encode()?)?;
        self.sync(group.staging)?;
        if group.timers_changed {
            self.next_timer = self.earliest_timer(group.earliest_set)?;
        }
        if group.effect_started {
            self.shared
                .witness(&self.head)
                .map_err(|error| JournalError::Storage(format!("cannot write the head witness: {error}")))?;
        }
        {
            let mut published = self.shared.published();
            published.head = self.head.clone();
            published.lanes.extend(spans);
            published.next_timer = self.next_timer;
        }
        for to in group.arrived {
            self.shared.arrived(to).notify_one();
        }
        for change in group.changes {
            // Nobody may be watching.
            let _ = self.shared.changes.send(change);
        }
        Ok(())
    }

    /// The earliest timer on disk. Looks from the last known earliest, or an earlier one set meanwhile, so that each
    /// tombstone is passed once.
    fn earliest_timer(&self, set: Option<TimestampMs>) -> Result<Option<TimestampMs>, JournalError> {
        let Some(from) = self.next_timer.into_iter().chain(set).min() else { return Ok(None) };
        let mut earliest = None;
        self.engine.scan(Family::Timers, &from.0.to_be_bytes(), crate::engine::END, false, |key, _| {
            earliest = keys::leading_u64(key).map(TimestampMs);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(earliest)
    }

    fn enqueue(
        &mut self,
        group: &mut Group<'_>,
        letters: Vec<PreparedLetter>,
    ) -> Result<Vec<Accepted>, JournalError> {
        let fates = self.judge_letters(group, Origin::Outside, &letters, &BTreeSet::new())?;
        let rows_before = group.staging.len();
        let accepted = self.stage_letters(group, letters, fates).map_err(staging_failed)?;
        self.count_commit(group, rows_before);
        Ok(accepted)
    }

    fn commit(&mut self, group: &mut Group<'_>, batch: PreparedBatch) -> Result<Committed, JournalError> {
        let mut leaving = batch.consumed.clone();
        leaving.extend(batch.dead.iter().map(|(slot, ..)| *slot));
        let retried = self.judge_places(&batch, &leaving)?;
        self.judge_unburied(group, &batch.unburied)?;
        self.judge_revisions(group, &batch.rests_on, &batch.incidents)?;
        self.judge_effects(group, &batch.effects)?;
        self.judge_rows(group, &batch)?;
        let fates = self.judge_letters(group, Origin::Inside, &batch.letters, &leaving)?;
        let rows_before = group.staging.len();
        let accepted = self.stage_batch(group, batch, &leaving, retried, fates).map_err(staging_failed)?;
        self.count_commit(group, rows_before);
        Ok(Committed { commit_seq: self.head.commit_seq, audit_head: self.head.audit.clone(), accepted })
    }

    fn count_commit(&mut self, group: &Group<'_>, rows_before: usize) {
        if group.staging.len() > rows_before {
            self.head.commit_seq += 1;
        }
    }
}

/// An error after judging leaves the committer's memory ahead of the batch: only a restart makes them agree again.
fn staging_failed(error: JournalError) -> JournalError {
    match error {
        JournalError::Storage(reason) => JournalError::Storage(reason),
        other => JournalError::Storage(other.to_string()),
    }
}

/// The failure that ends the whole group, not just the operation that met it.
fn fatal<T>(result: &Result<T, JournalError>) -> Option<JournalError> {
    match result {
        Err(failure @ JournalError::Storage(_)) => Some(failure.clone()),
        _ => None,
    }
}
