//! A complete journal in memory.
//!
//! Keeps every promise of the port but that of the disk: what is "durable" is one value, [`Durable`], that a batch changes
//! whole or not at all. A crash is a copy of that value under a new journal; the old one answers `Stopped` from then on, so
//! that whatever still runs of the old life can write no more.

use super::lock;
use crate::journal::{
    Accepted, Batch, Change, Committed, DeadLetter, DueTimer, EffectRecord, IncidentFilter, IncidentWrite,
    Journal, JournalError, JournalHealth, MailboxDepth, Slot, Table,
};
use async_trait::async_trait;
use medic_core::audit::{ChainHead, ChainedRecord};
use medic_core::effect::{TimerChange, TimerKind};
use medic_core::mail::{Address, Envelope, Lane, Letter};
use medic_core::{EffectId, EnvelopeId, Incident, IncidentId, TimestampMs};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, broadcast, watch};

/// Told to a sender whose mailbox is full.
const RETRY_AFTER_MS: u64 = 1_000;
/// Changes a slow reader may be behind before it is told that it lagged.
const CHANGES_KEPT_MAX: usize = 4_096;

/// How much a mailbox takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Letters over all lanes of one mailbox.
    pub envelopes_max: u64,
    /// Bytes of their JSON over all lanes of one mailbox.
    pub bytes_max: u64,
    /// Share of both, in percent, that only internal mail may fill.
    pub reserved_percent: u64,
}

impl Default for Caps {
    fn default() -> Self {
        Self { envelopes_max: 10_000, bytes_max: 64 << 20, reserved_percent: 20 }
    }
}

impl Caps {
    fn admits(self, envelopes: u64, bytes: u64, internal: bool) -> bool {
        let share = if internal { 100 } else { 100 - self.reserved_percent.min(100) };
        envelopes <= self.envelopes_max.saturating_mul(share) / 100
            && bytes <= self.bytes_max.saturating_mul(share) / 100
    }
}

#[derive(Clone, Debug)]
struct Stored {
    envelope: Envelope,
    bytes: u64,
}

/// What survives a crash. Rows are shared between copies: every write makes one.
#[derive(Clone, Debug)]
struct Durable {
    mail: BTreeMap<Slot, Arc<Stored>>,
    tails: BTreeMap<(Address, Lane), u64>,
    dedup: BTreeMap<Arc<str>, EnvelopeId>,
    incidents: BTreeMap<IncidentId, Arc<Incident>>,
    documents: BTreeMap<(Table, String), Arc<[u8]>>,
    effects: BTreeMap<EffectId, Arc<EffectRecord>>,
    timers: BTreeMap<(IncidentId, TimerKind), TimestampMs>,
    dead: Vec<DeadLetter>,
    audit: Vec<Arc<ChainedRecord>>,
    audit_head: ChainHead,
    commit_seq: u64,
}

impl Durable {
    fn new() -> Self {
        Self {
            mail: BTreeMap::new(),
            tails: BTreeMap::new(),
            dedup: BTreeMap::new(),
            incidents: BTreeMap::new(),
            documents: BTreeMap::new(),
            effects: BTreeMap::new(),
            timers: BTreeMap::new(),
            dead: Vec::new(),
            audit: Vec::new(),
            audit_head: ChainHead::genesis(),
            commit_seq: 0,
        }
    }

    fn depth(&self, to: Address) -> (u64, u64) {
        self.mail
            .iter()
            .filter(|(slot, _)| slot.to == to)
            .fold((0, 0), |(envelopes, bytes), (_, stored)| (envelopes + 1, bytes + stored.bytes))
    }

    fn deliver(&mut self, letter: Letter, caps: Caps, internal: bool) -> Result<Accepted, JournalError> {
        if let Some(first) = self.dedup.get(letter.dedup.as_str()) {
            return Ok(Accepted { id: first.clone(), duplicate: true });
        }
        let tail = self.tails.entry((letter.to, letter.lane)).or_insert(0);
        let envelope = Envelope {
            id: letter.id.clone(),
            to: letter.to,
            lane: letter.lane,
            seq: *tail + 1,
            cause: letter.cause,
            at: letter.at,
            attempts: 0,
            visible_at: letter.at,
            body: letter.body,
        };
        let bytes = size_of(&envelope)?;
        let (envelopes, held) = self.depth(letter.to);
        if !caps.admits(envelopes + 1, held + bytes, internal) {
            return Err(JournalError::Full { to: letter.to, retry_after_ms: RETRY_AFTER_MS });
        }
        self.tails.insert((letter.to, letter.lane), envelope.seq);
        self.dedup.insert(letter.dedup.into(), letter.id.clone());
        self.mail.insert(Slot::of(&envelope), Arc::new(Stored { envelope, bytes }));
        Ok(Accepted { id: letter.id, duplicate: false })
    }

    fn write_incident(&mut self, write: IncidentWrite) -> Result<Change, JournalError> {
        let IncidentWrite { next, expected_revision } = write;
        let found = self.incidents.get(&next.id);
        let conflict =
            |expected, found| JournalError::Conflict { incident: next.id.clone(), expected, found };
        match (expected_revision, found) {
            (None, Some(found)) => return Err(conflict(0, found.revision)),
            (Some(expected), None) => return Err(conflict(expected, 0)),
            (Some(expected), Some(found)) if expected != found.revision => {
                return Err(conflict(expected, found.revision));
            }
            _ => {}
        }
        let change = Change {
            incident: next.id.clone(),
            revision: next.revision,
            phase: next.phase.name(),
            entered: found.is_none_or(|before| before.phase.name() != next.phase.name()),
        };
        self.incidents.insert(next.id.clone(), Arc::new(next));
        Ok(change)
    }

    /// Everything in the order in which it may depend on each other: room is made before it is filled.
    fn apply(&mut self, batch: Batch, caps: Caps) -> Result<(Vec<Accepted>, Vec<Change>), JournalError> {
        let changes = batch
            .incidents
            .into_iter()
            .map(|write| self.write_incident(write))
            .collect::<Result<Vec<_>, _>>()?;
        for slot in batch.consumed {
            self.mail.remove(&slot);
        }
        for (slot, dead) in batch.dead {
            self.mail.remove(&slot);
            self.dead.push(dead);
        }
        for retry in batch.retries {
            if let Some(stored) = self.mail.get_mut(&retry.slot) {
                let stored = Arc::make_mut(stored);
                stored.envelope.attempts = retry.attempts;
                stored.envelope.visible_at = retry.visible_at;
                stored.bytes = size_of(&stored.envelope)?;
            }
        }
        for document in batch.documents {
            let key = (document.table, document.key);
            match document.value {
                Some(value) => self.documents.insert(key, value.into()),
                None => self.documents.remove(&key),
            };
        }
        for fired in batch.fired {
            // A timer set anew since it came due is another one and stays.
            let key = (fired.incident, fired.kind);
            if self.timers.get(&key) == Some(&fired.due) {
                self.timers.remove(&key);
            }
        }
        for (incident, change) in batch.timers {
            match change {
                TimerChange::Set { kind, due } => self.timers.insert((incident, kind), due),
                TimerChange::Cancel { kind } => self.timers.remove(&(incident, kind)),
            };
        }
        for effect in batch.effects {
            self.effects.insert(effect.id.clone(), Arc::new(effect));
        }
        for record in batch.audit {
            let (chained, head) = self.audit_head.append(record);
            self.audit.push(Arc::new(chained));
            self.audit_head = head;
        }
        let accepted = batch
            .letters
            .into_iter()
            .map(|letter| self.deliver(letter, caps, true))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((accepted, changes))
    }
}

fn size_of(envelope: &Envelope) -> Result<u64, JournalError> {
    let bytes = serde_json::to_vec(envelope).map_err(|error| JournalError::Storage(error.to_string()))?;
    Ok(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
}

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
}

/// Clones are handles on one journal.
#[derive(Clone)]
pub struct FakeJournal {
    shared: Arc<Shared>,
}

struct Shared {
    caps: Caps,
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
        Self::over(Durable::new(), caps)
    }

    fn over(durable: Durable, caps: Caps) -> Self {
        let commit_seq = durable.commit_seq;
        let state = State {
            durable,
            running: Running::Open,
            low_space: false,
            writes_left: None,
            lose_next_answer: false,
        };
        Self {
            shared: Arc::new(Shared {
                caps,
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
        Self::over(state.durable.clone(), self.shared.caps)
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

    fn write<T>(
        &self,
        intake: bool,
        change: impl FnOnce(&mut Durable, Caps) -> Result<(T, Vec<Change>), JournalError>,
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
            // Whole or not at all: a refused change leaves only the copy behind.
            let mut next = state.durable.clone();
            let (answer, changes) = change(&mut next, self.shared.caps)?;
            next.commit_seq += 1;
            state.durable = next;
            state.writes_left = state.writes_left.map(|left| left.saturating_sub(1));
            let lost = std::mem::take(&mut state.lose_next_answer);
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
            let accepted = letters
                .into_iter()
                .map(|letter| durable.deliver(letter, caps, false))
                .collect::<Result<Vec<_>, _>>()?;
            Ok((accepted, Vec::new()))
        })?;
        self.wake(&recipients);
        Ok(accepted)
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, JournalError> {
        let recipients: Vec<Address> = batch.letters.iter().map(|letter| letter.to).collect();
        let committed = self.write(false, |durable, caps| {
            let (accepted, changes) = durable.apply(batch, caps)?;
            let (commit_seq, audit_head) = (durable.commit_seq + 1, durable.audit_head.clone());
            Ok((Committed { commit_seq, audit_head, accepted }, changes))
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
        let mut due: Vec<DueTimer> = self.read(|durable| {
            let overdue = durable.timers.iter().filter(|(_, due)| **due <= now);
            overdue
                .map(|((incident, kind), due)| DueTimer {
                    incident: incident.clone(),
                    kind: *kind,
                    due: *due,
                })
                .collect()
        });
        due.sort_by(|a, b| (a.due, &a.incident, a.kind).cmp(&(b.due, &b.incident, b.kind)));
        due.truncate(limit);
        Ok(due)
    }

    fn next_timer(&self) -> Result<Option<TimestampMs>, JournalError> {
        Ok(self.read(|durable| durable.timers.values().min().copied()))
    }

    fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, JournalError> {
        Ok(self.read(|durable| durable.dead.iter().take(limit).cloned().collect()))
    }

    fn audit(&self, from_seq: u64, limit: usize) -> Result<Vec<ChainedRecord>, JournalError> {
        Ok(self.read(|durable| {
            let found = durable.audit.iter().filter(|record| record.seq >= from_seq).take(limit);
            found.map(|record| record.as_ref().clone()).collect()
        }))
    }

    fn health(&self) -> JournalHealth {
        let state = lock(&self.shared.state);
        let mailboxes = Address::ALL.map(|to| {
            let (envelopes, bytes) = state.durable.depth(to);
            MailboxDepth { to, envelopes, bytes }
        });
        JournalHealth {
            writable: state.running == Running::Open,
            low_space: state.low_space,
            commit_seq: state.durable.commit_seq,
            audit_head: state.durable.audit_head.clone(),
            mailboxes: mailboxes.to_vec(),
            dead_letters: u64::try_from(state.durable.dead.len()).unwrap_or(u64::MAX),
        }
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.shared.changes.subscribe()
    }
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
            journal.crash()
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
