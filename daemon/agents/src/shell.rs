//! The shell of every agent: a ractor actor that drains a durable mailbox.
//!
//! A ractor message is only a nudge ([`Nudge`]); the letters live in the journal, so a dead actor loses nothing. Letters
//! of one incident are handled in order, incidents side by side. Handling runs in tasks of its own and never inside the
//! actor's message loop: a slow query for one incident delays no other. Never decides what a letter means; that is the
//! [`Worker`]'s.

use crate::desk::ActorStatus;
use crate::world::World;
use async_trait::async_trait;
use futures::FutureExt as _;
use medic_core::audit::AuditRecord;
use medic_core::event::EventKind;
use medic_core::mail::{Address, Body, Causation, Envelope, Lane, Letter};
use medic_core::{EnvelopeId, Event, IncidentId};
use medic_ports::journal::{Batch, DeadLetter, JournalError, Retry, Slot};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinSet;

/// Letters of one key handled in one commit, at most. 64: the knee of the measured curve of drained commits.
const DRAIN_MAX: usize = 64;
/// Letters looked at per lane in one scan. 1,024: beyond what may be in flight at once, so that a scan always finds work.
const SCAN_MAX: usize = 1_024;
/// Failed handlings before a letter is set aside. 3: twice may be bad luck.
pub(crate) const ATTEMPTS_MAX: u32 = 3;
/// Wait before the second try; quadruples. 500 ms: outlives a Prometheus reload.
const RETRY_FIRST_MS: u64 = 500;

/// Why handling did not come to its commit.
#[derive(Debug)]
pub(crate) enum WorkError {
    /// Another commit came between; decide again on what is there now.
    Conflict,
    /// Storage failed: nothing more may be started.
    Storage(JournalError),
    /// Counted against the letter.
    Failed(String),
}

impl From<JournalError> for WorkError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Conflict { .. } => Self::Conflict,
            JournalError::Full { .. } | JournalError::LowSpace { .. } => Self::Failed(error.to_string()),
            other => Self::Storage(other),
        }
    }
}

/// What a mailbox's letters mean.
#[async_trait]
pub(crate) trait Worker: Send + Sync + 'static {
    fn address(&self) -> Address;
    /// Keys handled side by side.
    fn concurrency(&self) -> usize;
    /// Letters with the same key are handled one after the other; letters that may be handled in one commit share it too.
    fn key(&self, envelope: &Envelope) -> String {
        envelope.body.incident().map(|incident| incident.to_string()).unwrap_or_default()
    }
    /// Whether several letters of one key may go into one commit.
    fn drains(&self) -> bool {
        false
    }
    /// Whether this letter may be worked on now; one held back stays where it is.
    fn may_start(&self, _envelope: &Envelope) -> bool {
        true
    }
    /// Handles letters of one key wholly, their commit included.
    async fn handle(&self, envelopes: &[Envelope]) -> Result<(), WorkError>;
}

#[derive(Debug)]
pub(crate) enum Nudge {
    /// There may be mail, or something has finished.
    Wake,
}

#[derive(Debug)]
struct Outcome {
    key: String,
    slots: Vec<Slot>,
    result: Result<(), Trouble>,
}

#[derive(Debug)]
enum Trouble {
    Work(WorkError),
    Panicked(String),
}

/// What is being worked on. Outlives the actor: a restarted one must not start what its predecessor's task still does.
#[derive(Default)]
struct InFlight {
    keys: BTreeSet<String>,
    slots: BTreeSet<Slot>,
    /// Letters that made a drained group panic: handled alone from now on, so that the culprit is known.
    alone: BTreeSet<Slot>,
    /// What ended and has not been looked at; waits here when the actor is dead at that moment.
    finished: Vec<Outcome>,
    tasks: JoinSet<()>,
}

pub(crate) struct Shell {
    world: Arc<World>,
    worker: Arc<dyn Worker>,
    flight: Arc<Mutex<InFlight>>,
    status: Arc<Mutex<ActorStatus>>,
}

impl Shell {
    pub fn new(world: Arc<World>, worker: Arc<dyn Worker>) -> Self {
        let status = ActorStatus {
            name: worker.address().to_string(),
            state: "starting".to_owned(),
            restarts: 0,
            in_flight: 0,
            last_error: None,
        };
        Self { world, worker, flight: Arc::default(), status: Arc::new(Mutex::new(status)) }
    }

    /// The same shell for a restarted actor: what is in flight is remembered.
    pub fn again(&self) -> Self {
        Self {
            world: self.world.clone(),
            worker: self.worker.clone(),
            flight: self.flight.clone(),
            status: self.status.clone(),
        }
    }

    pub fn status(&self) -> Arc<Mutex<ActorStatus>> {
        self.status.clone()
    }

    /// Waits until nothing is in flight, at most `ms`.
    pub async fn drained(&self, ms: u64) -> bool {
        let mut tasks = std::mem::take(&mut lock(&self.flight).tasks);
        let all = async { while tasks.join_next().await.is_some() {} };
        let done = tokio::select! { () = all => true, () = self.world.ports.clock.sleep(ms) => false };
        if !done {
            tasks.abort_all();
        }
        done
    }

    /// Starts what may be started. Returns when the earliest letter that is put off becomes visible.
    fn start_work(&self, myself: &ActorRef<Nudge>) -> Result<Option<u64>, JournalError> {
        let now = self.world.now();
        let mut wait_ms: Option<u64> = None;
        let mut groups: BTreeMap<String, Vec<Envelope>> = BTreeMap::new();
        // A key whose earlier letter must wait holds its later ones back too, in every lane behind.
        let mut held: BTreeSet<String> = BTreeSet::new();
        let mut flight = lock(&self.flight);
        let room = self.worker.concurrency().saturating_sub(flight.keys.len());
        if room == 0 {
            return Ok(None);
        }
        'lanes: for lane in [Lane::Control, Lane::Approval, Lane::Normal] {
            for envelope in self.world.ports.journal.mail(self.worker.address(), lane, 0, SCAN_MAX)? {
                let slot = Slot::of(&envelope);
                let key = self.worker.key(&envelope);
                if flight.slots.contains(&slot) || flight.keys.contains(&key) || held.contains(&key) {
                    continue;
                }
                if envelope.visible_at > now {
                    let due = envelope.visible_at.since_ms(now);
                    wait_ms = Some(wait_ms.map_or(due, |known| known.min(due)));
                    held.insert(key);
                    continue;
                }
                if !self.worker.may_start(&envelope) {
                    held.insert(key);
                    continue;
                }
                let alone = !self.worker.drains() || envelope.attempts > 0 || flight.alone.contains(&slot);
                let full = groups.len() >= room;
                match groups.get_mut(&key) {
                    Some(_) if alone => {
                        held.insert(key);
                    }
                    Some(group) if group.len() < DRAIN_MAX => group.push(envelope),
                    Some(_) => {
                        held.insert(key);
                    }
                    None if full => break 'lanes,
                    None => {
                        if alone {
                            held.insert(key.clone());
                        }
                        groups.insert(key, vec![envelope]);
                    }
                }
            }
        }
        for (key, envelopes) in groups {
            let slots: Vec<Slot> = envelopes.iter().map(Slot::of).collect();
            flight.keys.insert(key.clone());
            flight.slots.extend(slots.iter().copied());
            let (worker, myself, finished) = (self.worker.clone(), myself.clone(), self.flight.clone());
            flight.tasks.spawn(async move {
                let result = match AssertUnwindSafe(worker.handle(&envelopes)).catch_unwind().await {
                    Ok(done) => done.map_err(Trouble::Work),
                    Err(panic) => Err(Trouble::Panicked(panic_text(&*panic))),
                };
                lock(&finished).finished.push(Outcome { key, slots, result });
                // A dead actor cannot be nudged; its successor looks by itself when it starts.
                let _ = myself.send_message(Nudge::Wake);
            });
        }
        while flight.tasks.try_join_next().is_some() {}
        lock(&self.status).in_flight = flight.keys.len();
        Ok(wait_ms)
    }

    async fn finish(&self, outcome: Outcome) -> Result<(), ActorProcessingErr> {
        {
            let mut flight = lock(&self.flight);
            flight.keys.remove(&outcome.key);
            for slot in &outcome.slots {
                flight.slots.remove(slot);
                if outcome.result.is_ok() {
                    flight.alone.remove(slot);
                }
            }
            lock(&self.status).in_flight = flight.keys.len();
        }
        let trouble = match outcome.result {
            Ok(()) => return Ok(()),
            Err(trouble) => trouble,
        };
        let (text, panicked) = match trouble {
            Trouble::Work(WorkError::Storage(error)) => {
                self.world.safe_mode.enter(format!("{}: {error}", error.code()));
                return Err(error.to_string().into());
            }
            // Nothing was written: the same letters are decided on again at once.
            Trouble::Work(WorkError::Conflict) => return Ok(()),
            Trouble::Work(WorkError::Failed(text)) => (text, false),
            Trouble::Panicked(text) => (format!("panicked: {text}"), true),
        };
        lock(&self.status).last_error = Some(text.clone());
        if outcome.slots.len() > 1 {
            // Nothing of the group was committed. Alone, each will show whether it was the one.
            lock(&self.flight).alone.extend(outcome.slots);
        } else if let Some(slot) = outcome.slots.first() {
            self.put_off(*slot, &text).await?;
        }
        if panicked { Err(text.into()) } else { Ok(()) }
    }

    /// Counts a failed attempt: the letter waits, or after the last one lies in the dead letters.
    async fn put_off(&self, slot: Slot, error: &str) -> Result<(), ActorProcessingErr> {
        let journal = &self.world.ports.journal;
        let found = journal.mail(slot.to, slot.lane, slot.seq, 1)?.into_iter().find(|e| e.seq == slot.seq);
        let Some(envelope) = found else { return Ok(()) };
        let now = self.world.now();
        let attempts = envelope.attempts + 1;
        let mut batch = Batch::default();
        let incident = envelope.body.incident().cloned();
        let dead = attempts >= ATTEMPTS_MAX;
        batch.audit.push(AuditRecord {
            at: now,
            incident: incident.clone(),
            actor: self.worker.address().to_string(),
            kind: if dead { "dead_letter" } else { "retry" }.to_owned(),
            subject: envelope.id.to_string(),
            rule: None,
            detail: serde_json::json!({ "attempts": attempts, "error": error }),
        });
        if dead {
            tracing::error!(actor = %slot.to, letter = %envelope.id, error, "letter set aside");
            if let Some(incident) = incident {
                batch.letters.push(dead_letter_notice(&incident, &envelope, error, now));
            }
            batch.dead.push((slot, DeadLetter { envelope, error: error.to_owned(), at: now }));
        } else {
            let wait_ms = RETRY_FIRST_MS.saturating_mul(4u64.saturating_pow(attempts - 1));
            tracing::warn!(actor = %slot.to, letter = %envelope.id, attempts, wait_ms, error, "letter put off");
            batch.retries.push(Retry { slot, attempts, visible_at: now.after_ms(wait_ms) });
        }
        journal.commit(batch).await?;
        Ok(())
    }
}

/// Tells the incident that a letter of it could not be handled. When that very notice cannot be handled, nobody is told
/// again: it lies in the dead letters, which status counts.
fn dead_letter_notice(
    incident: &IncidentId,
    envelope: &Envelope,
    error: &str,
    now: medic_core::TimestampMs,
) -> Letter {
    let kind = EventKind::DeadLettered { detail: format!("{} for {}: {error}", envelope.id, envelope.to) };
    Letter {
        id: EnvelopeId::new(format!("dead-{}", envelope.id)),
        to: Address::Supervisor,
        lane: Lane::Control,
        cause: Causation::Envelope(envelope.id.clone()),
        at: now,
        dedup: format!("dead:{}", envelope.id),
        body: Body::Occurred {
            incident: incident.clone(),
            event: Box::new(Event { at: now, kind }),
            opens: None,
        },
    }
}

pub(crate) struct ShellState {
    /// Turns the journal's notices into nudges; ends with the actor.
    _forwarder: JoinSet<()>,
}

impl Actor for Shell {
    type Msg = Nudge;
    type State = ShellState;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Nudge>, (): ()) -> Result<ShellState, ActorProcessingErr> {
        let arrived = self.world.ports.journal.mail_arrived(self.worker.address());
        let mut forwarder = JoinSet::new();
        forwarder.spawn(async move {
            loop {
                arrived.notified().await;
                if myself.send_message(Nudge::Wake).is_err() {
                    return;
                }
            }
        });
        Ok(ShellState { _forwarder: forwarder })
    }

    async fn post_start(
        &self,
        myself: ActorRef<Nudge>,
        _: &mut ShellState,
    ) -> Result<(), ActorProcessingErr> {
        lock(&self.status).state = "running".to_owned();
        myself.send_message(Nudge::Wake)?;
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Nudge>,
        Nudge::Wake: Nudge,
        _: &mut ShellState,
    ) -> Result<(), ActorProcessingErr> {
        let finished = std::mem::take(&mut lock(&self.flight).finished);
        let mut death = Ok(());
        for outcome in finished {
            // Each is looked at before the actor may die of one.
            death = death.and(self.finish(outcome).await);
        }
        death?;
        if let Some(wait_ms) = self.start_work(&myself)? {
            myself.send_after(std::time::Duration::from_millis(wait_ms.max(1)), || Nudge::Wake);
        }
        Ok(())
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is behind these locks is counters and sets, whole after each statement: a panic elsewhere leaves them usable.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}
