//! A complete journal in memory.
//!
//! Keeps every promise of the port but that of the disk: what is "durable" is one value, `Durable`, that a batch changes
//! whole or not at all. A crash is a copy of that value under a new journal; the old one answers `Stopped` from then on, so
//! that whatever still runs of the old life can write no more.

mod durable;

pub use durable::Caps;

use super::lock;
use crate::journal::{
    Accepted, Batch, Boot, Change, Committed, DeadLetter, DueTimer, EffectRecord, IncidentFilter, Journal,
    JournalError, JournalHealth, MailboxDepth, Slot, Table,
};
use async_trait::async_trait;
use durable::{Durable, RETRY_AFTER_MS};
use medic_core::audit::ChainedRecord;
use medic_core::mail::{Address, Envelope, Lane, Letter};
use medic_core::replay::Decided;
use medic_core::{EffectId, Incident, IncidentId, TimestampMs};
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, broadcast, watch};

/// Changes a slow reader may be behind before it is told that it lagged.
const CHANGES_KEPT_MAX: usize = 4_096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Running {
    Open,
    /// A write failed; nothing is written any more.
    Poisoned,
    Stopped,
}

struct State {
    durable: Durable,
    running: Running,
    low_space: bool,
    /// Writes still let through before the journal stops of itself.
    writes_left: Option<u64>,
    /// The next write is carried out and answered as failed.
    lose_next_answer: bool,
    sync_ms: u64,
    sync_slow: bool,
}

/// Clones are handles on one journal.
#[derive(Clone)]
pub struct FakeJournal {
    shared: Arc<Shared>,
}

struct Shared {
    caps: Caps,
    boot: Boot,
    state: Mutex<State>,
    arrivals: [Arc<Notify>; Address::ALL.len()],
    changes: broadcast::Sender<Change>,
    /// `commit_seq`, for tests that wait.
    commits: watch::Sender<u64>,
}

impl Default for FakeJournal {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeJournal {
    pub fn new() -> Self {
        Self::with_caps(Caps::default())
    }

    pub fn with_caps(caps: Caps) -> Self {
        Self::over(Durable::new(), caps, false)
    }

    fn over(durable: Durable, caps: Caps, restored: bool) -> Self {
        let commit_seq = durable.commit_seq;
        let boot = durable.run.boot(durable.epoch, restored);
        let state = State {
            durable,
            running: Running::Open,
            low_space: false,
            writes_left: None,
            lose_next_answer: false,
            sync_ms: 0,
            sync_slow: false,
        };
        Self {
            shared: Arc::new(Shared {
                caps,
                boot,
                state: Mutex::new(state),
                arrivals: std::array::from_fn(|_| Arc::new(Notify::new())),
                changes: broadcast::Sender::new(CHANGES_KEPT_MAX),
                commits: watch::Sender::new(commit_seq),
            }),
        }
    }

    /// Ends this life and opens the next on what was durable.
    pub fn crash(&self) -> Self {
        let mut state = lock(&self.shared.state);
        state.running = Running::Stopped;
        Self::over(state.durable.clone().opened_again(), self.shared.caps, false)
    }

    /// Ends this life in order and opens the next.
    pub fn close(&self) -> Self {
        lock(&self.shared.state).durable.run.closed = true;
        self.crash()
    }

    /// Ends this life; the next is opened on a copy of what was durable, as if it were put back from a backup.
    pub fn restored(&self) -> Self {
        let mut state = lock(&self.shared.state);
        state.running = Running::Stopped;
        Self::over(state.durable.clone().restored(), self.shared.caps, true)
    }

    /// Lets `writes` more writes through, then answers `Stopped`: a crash at an exact place.
    pub fn stop_after(&self, writes: u64) {
        lock(&self.shared.state).writes_left = Some(writes);
    }

    /// From now on every write answers that storage failed.
    pub fn fail_writes(&self) {
        lock(&self.shared.state).running = Running::Poisoned;
    }

    /// The next write happens, and its writer is told that storage failed: the unknown outcome of a real disk. The
    /// journal is poisoned afterwards, as the port demands.
    pub fn lose_next_answer(&self) {
        lock(&self.shared.state).lose_next_answer = true;
    }

    /// Whether intake is refused for want of space.
    pub fn set_low_space(&self, low_space: bool) {
        lock(&self.shared.state).low_space = low_space;
    }

    /// What health tells of the disk's speed.
    pub fn set_sync(&self, sync_ms: u64, sync_slow: bool) {
        let mut state = lock(&self.shared.state);
        (state.sync_ms, state.sync_slow) = (sync_ms, sync_slow);
    }

    /// Number of writes carried out in all lives.
    pub fn commit_seq(&self) -> u64 {
        lock(&self.shared.state).durable.commit_seq
    }

    /// Returns once `wanted` holds, looking after every write.
    pub async fn wait_until(&self, mut wanted: impl FnMut(&Self) -> bool) {
        let mut commits = self.shared.commits.subscribe();
        while !wanted(self) {
            // The sender lives in `self`: waiting cannot fail.
            let _ = commits.changed().await;
        }
    }

    /// Every effect record, in order of id.
    pub fn effects(&self) -> Vec<EffectRecord> {
        lock(&self.shared.state).durable.effects.values().map(|effect| effect.as_ref().clone()).collect()
    }

    fn read<T>(&self, look: impl FnOnce(&Durable) -> T) -> T {
        look(&lock(&self.shared.state).durable)
    }

    /// Lets `change` judge and write. It must leave everything as it was when it fails.
    fn write<T>(
        &self,
        intake: bool,
        change: impl FnOnce(&mut Durable, Caps) -> Result<(T, Vec<Change>, bool), JournalError>,
    ) -> Result<T, JournalError> {
        let (answer, changes, commit_seq, lost) = {
            let mut state = lock(&self.shared.state);
            match state.running {
                Running::Open => {}
                Running::Poisoned => return Err(JournalError::Storage("an earlier write failed".to_owned())),
                Running::Stopped => return Err(JournalError::Stopped),
            }
            if intake && state.low_space {
                return Err(JournalError::LowSpace { retry_after_ms: RETRY_AFTER_MS });
            }
            if state.writes_left == Some(0) {
                state.running = Running::Stopped;
                return Err(JournalError::Stopped);
            }
            let (answer, changes, written) = change(&mut state.durable, self.shared.caps)?;
            let lost = written && std::mem::take(&mut state.lose_next_answer);
            if written {
                state.writes_left = state.writes_left.map(|left| left.saturating_sub(1));
            }
            if lost {
                state.running = Running::Poisoned;
            }
            (answer, changes, state.durable.commit_seq, lost)
        };
        for change in changes {
            // No watcher is no error.
            let _ = self.shared.changes.send(change);
        }
        self.shared.commits.send_replace(commit_seq);
        if lost {
            return Err(JournalError::Storage("the answer of the disk was lost".to_owned()));
        }
        Ok(answer)
    }

    fn arrival(&self, to: Address) -> Arc<Notify> {
        let [supervisor, monitor, diagnoser, executor, notifier] = &self.shared.arrivals;
        let notify = match to {
            Address::Supervisor => supervisor,
            Address::Monitor => monitor,
            Address::Diagnoser => diagnoser,
            Address::Executor => executor,
            Address::Notifier => notifier,
        };
        notify.clone()
    }

    fn wake(&self, recipients: &[Address]) {
        for to in Address::ALL.into_iter().filter(|to| recipients.contains(to)) {
            self.arrival(to).notify_one();
        }
    }
}

#[async_trait]
impl Journal for FakeJournal {
    async fn enqueue(&self, letters: Vec<Letter>) -> Result<Vec<Accepted>, JournalError> {
        let recipients: Vec<Address> = letters.iter().map(|letter| letter.to).collect();
        let accepted = self.write(true, |durable, caps| {
            let judged = durable.judge_intake(letters, caps)?;
            Ok(durable.apply(Batch::default(), judged))
        })?;
        self.wake(&recipients);
        Ok(accepted)
    }

    async fn commit(&self, mut batch: Batch) -> Result<Committed, JournalError> {
        let recipients: Vec<Address> = batch.letters.iter().map(|letter| letter.to).collect();
        let committed = self.write(false, |durable, caps| {
            let judged = durable.judge(&mut batch, caps)?;
            let (accepted, changes, written) = durable.apply(batch, judged);
            let (commit_seq, audit_head) = (durable.commit_seq, durable.audit_head.clone());
            Ok((Committed { commit_seq, audit_head, accepted }, changes, written))
        })?;
        self.wake(&recipients);
        Ok(committed)
    }

    fn mail(
        &self,
        to: Address,
        lane: Lane,
        from_seq: u64,
        limit: usize,
    ) -> Result<Vec<Envelope>, JournalError> {
        let first = Slot { to, lane, seq: from_seq };
        let last = Slot { to, lane, seq: u64::MAX };
        Ok(self.read(|durable| {
            durable.mail.range(first..=last).take(limit).map(|(_, stored)| stored.envelope.clone()).collect()
        }))
    }

    fn mail_arrived(&self, to: Address) -> Arc<Notify> {
        self.arrival(to)
    }

    fn incident(&self, id: &IncidentId) -> Result<Option<Incident>, JournalError> {
        Ok(self.read(|durable| durable.incidents.get(id).map(|incident| incident.as_ref().clone())))
    }

    fn incidents(&self, filter: &IncidentFilter) -> Result<Vec<Incident>, JournalError> {
        let wanted = |incident: &&Arc<Incident>| {
            !(filter.live_only && incident.is_terminal())
                && filter.phase.is_none_or(|phase| incident.phase.name() == phase)
                && filter.before.as_ref().is_none_or(|before| incident.id < *before)
        };
        Ok(self.read(|durable| {
            let found = durable.incidents.values().rev().filter(wanted).take(filter.limit);
            found.map(|incident| incident.as_ref().clone()).collect()
        }))
    }

    fn document(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, JournalError> {
        Ok(self.read(|durable| durable.documents.get(&(table, key.to_owned())).map(|value| value.to_vec())))
    }

    fn effect(&self, id: &EffectId) -> Result<Option<EffectRecord>, JournalError> {
        Ok(self.read(|durable| durable.effects.get(id).map(|effect| effect.as_ref().clone())))
    }

    fn timers_due(&self, now: TimestampMs, limit: usize) -> Result<Vec<DueTimer>, JournalError> {
        Ok(self.read(|durable| {
            let overdue = durable.due.iter().take_while(|(due, ..)| *due <= now).take(limit);
            let timer = |(due, incident, kind): &(TimestampMs, IncidentId, _)| DueTimer {
                incident: incident.clone(),
                kind: *kind,
                due: *due,
            };
            overdue.map(timer).collect()
        }))
    }

    fn next_timer(&self) -> Result<Option<TimestampMs>, JournalError> {
        Ok(self.read(|durable| durable.due.first().map(|(due, ..)| *due)))
    }

    fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, JournalError> {
        Ok(self.read(|durable| durable.dead.values().take(limit).map(|dead| dead.as_ref().clone()).collect()))
    }

    fn audit(&self, from_seq: u64, limit: usize) -> Result<Vec<ChainedRecord>, JournalError> {
        Ok(self.read(|durable| page(&durable.audit, from_seq, limit)))
    }

    fn audit_of(
        &self,
        incident: &IncidentId,
        from_seq: u64,
        limit: usize,
    ) -> Result<Vec<ChainedRecord>, JournalError> {
        Ok(self.read(|durable| {
            durable.audit_of.get(incident).map(|records| page(records, from_seq, limit)).unwrap_or_default()
        }))
    }

    fn decided(
        &self,
        incident: &IncidentId,
        from_commit: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Decided)>, JournalError> {
        let (first, last) = ((incident.clone(), from_commit), (incident.clone(), u64::MAX));
        Ok(self.read(|durable| {
            let rows = durable.decided.range(first..=last).take(limit);
            rows.map(|((_, commit_seq), decided)| (*commit_seq, decided.as_ref().clone())).collect()
        }))
    }

    fn boot(&self) -> Boot {
        self.shared.boot.clone()
    }

    async fn mark(&self, slot: Option<Slot>) -> Result<(), JournalError> {
        self.write(false, |durable, _| {
            durable.run.marked = slot;
            Ok(((), Vec::new(), true))
        })
    }

    async fn settled(&self) -> Result<(), JournalError> {
        self.write(false, |durable, _| {
            durable.run.settle();
            Ok(((), Vec::new(), true))
        })
    }

    fn health(&self) -> JournalHealth {
        let state = lock(&self.shared.state);
        let mailboxes = Address::ALL.map(|to| {
            let load = state.durable.loads.get(&to).copied().unwrap_or_default();
            MailboxDepth { to, envelopes: load.envelopes, bytes: load.bytes }
        });
        JournalHealth {
            writable: state.running == Running::Open,
            low_space: state.low_space,
            commit_seq: state.durable.commit_seq,
            audit_head: state.durable.audit_head.clone(),
            mailboxes: mailboxes.to_vec(),
            dead_letters: u64::try_from(state.durable.dead.len()).unwrap_or(u64::MAX),
            incidents: state.durable.phases.clone(),
            latest_at: state.durable.latest_at,
            sync_ms: state.sync_ms,
            sync_slow: state.sync_slow,
            open_effects: state.durable.effects_open,
        }
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.shared.changes.subscribe()
    }
}

/// Records in order of `seq`, from `from_seq` on.
fn page(records: &[Arc<ChainedRecord>], from_seq: u64, limit: usize) -> Vec<ChainedRecord> {
    let first = records.partition_point(|record| record.seq < from_seq);
    records.iter().skip(first).take(limit).map(|record| record.as_ref().clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::journal_contract::{self, JournalMaker, letter};

    struct Maker;

    #[async_trait]
    impl JournalMaker for Maker {
        type Journal = FakeJournal;

        async fn make(&self, envelopes_max: u64) -> FakeJournal {
            FakeJournal::with_caps(Caps { envelopes_max, ..Caps::default() })
        }
        async fn reopen(&self, journal: FakeJournal) -> FakeJournal {
            journal.close()
        }
        async fn crash(&self, journal: FakeJournal) -> FakeJournal {
            journal.crash()
        }
        async fn restore(&self, journal: FakeJournal) -> FakeJournal {
            journal.restored()
        }
    }

    #[tokio::test]
    async fn fake_journal_keeps_the_contract() {
        journal_contract::all(&Maker).await;
    }

    #[tokio::test]
    async fn life_before_a_crash_can_write_no_more() {
        let before = FakeJournal::new();
        before.enqueue(vec![letter("a", Address::Monitor, Lane::Normal)]).await.unwrap();
        let after = before.crash();
        let late = before.enqueue(vec![letter("b", Address::Monitor, Lane::Normal)]).await;
        assert_eq!(late, Err(JournalError::Stopped));
        assert_eq!(after.mail(Address::Monitor, Lane::Normal, 0, 10).unwrap().len(), 1);
    }

    #[tokio::test]
    async fn stop_after_lets_exactly_that_many_writes_through() {
        let journal = FakeJournal::new();
        journal.stop_after(1);
        journal.enqueue(vec![letter("a", Address::Monitor, Lane::Normal)]).await.unwrap();
        let refused = journal.commit(Batch::default()).await;
        assert_eq!(refused, Err(JournalError::Stopped));
        assert!(!journal.health().writable);
        assert_eq!(journal.crash().commit_seq(), 1);
    }

    #[tokio::test]
    async fn lost_answer_was_written_and_stops_further_writes() {
        let journal = FakeJournal::new();
        journal.lose_next_answer();
        let lost = journal.enqueue(vec![letter("a", Address::Monitor, Lane::Normal)]).await;
        assert!(matches!(lost, Err(JournalError::Storage(_))), "{lost:?}");
        let refused = journal.enqueue(vec![letter("b", Address::Monitor, Lane::Normal)]).await;
        assert!(matches!(refused, Err(JournalError::Storage(_))), "{refused:?}");
        let next = journal.crash();
        assert_eq!(next.mail(Address::Monitor, Lane::Normal, 0, 10).unwrap().len(), 1);
    }

    #[tokio::test]
    async fn low_space_refuses_intake_and_lets_running_work_go_on() {
        let journal = FakeJournal::new();
        journal.set_low_space(true);
        let refused = journal.enqueue(vec![letter("a", Address::Monitor, Lane::Normal)]).await;
        assert!(matches!(refused, Err(JournalError::LowSpace { .. })), "{refused:?}");
        let inside = Batch { letters: vec![letter("a", Address::Monitor, Lane::Normal)], ..Batch::default() };
        journal.commit(inside).await.unwrap();
        journal.set_low_space(false);
        journal.enqueue(vec![letter("b", Address::Monitor, Lane::Normal)]).await.unwrap();
    }
}
