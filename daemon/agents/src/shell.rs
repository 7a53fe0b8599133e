//! The shell of every agent: a ractor actor that drains a durable mailbox.
//!
//! A ractor message is only a nudge ([`Nudge`]); the letters live in the journal, so a dead actor loses nothing. Letters
//! of one incident are handled in order, incidents side by side. Handling runs in tasks of its own and never inside the
//! actor's message loop: a slow query for one incident delays no other. Never decides what a letter means; that is the
//! [`Worker`]'s.

mod flight;
mod tray;
mod watch;
mod worker;

use crate::careful::{Admission, Turn};
use crate::desk::ActorStatus;
use crate::guard::{Pen, WRITING};
use crate::pace::Pace;
use crate::setbacks;
use crate::world::World;
use flight::{Flight, Outcome, Report, Running, Trouble};
use futures::FutureExt as _;
use medic_core::mail::Envelope;
use medic_ports::journal::{Batch, JournalError, Slot};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tray::{Bundle, Room};

pub(crate) use worker::{WorkError, Worker};

/// Between two questions whether what the worker held back may be started. 100 ms: safe mode and full mailboxes end by
/// somebody else's hand, who tells nobody here.
const HELD_LOOK_MS: u64 = 100;

#[derive(Debug)]
pub(crate) enum Nudge {
    /// There may be mail, or something has finished.
    Wake,
    /// The time has come that the actor itself wanted to look again.
    Alarm,
}

/// How its actor fares.
struct Standing {
    state: &'static str,
    restarts: u64,
    last_error: Option<String>,
}

/// Clones are handles on one shell: one is the actor, others watch it.
#[derive(Clone)]
pub(crate) struct Shell {
    world: Arc<World>,
    worker: Arc<dyn Worker>,
    pace: Pace,
    flight: Arc<Mutex<Flight>>,
    tasks: Arc<Mutex<JoinSet<()>>>,
    /// Rung when a task ends: heard by whichever actor is alive.
    bell: Arc<Notify>,
    standing: Arc<Mutex<Standing>>,
}

impl Shell {
    pub fn new(world: Arc<World>, worker: Arc<dyn Worker>, pace: Pace) -> Self {
        let standing = Standing { state: "starting", restarts: 0, last_error: None };
        Self {
            world,
            worker,
            pace,
            flight: Arc::default(),
            tasks: Arc::default(),
            bell: Arc::default(),
            standing: Arc::new(Mutex::new(standing)),
        }
    }

    pub fn name(&self) -> String {
        self.worker.address().to_string()
    }

    pub fn status(&self) -> ActorStatus {
        let (in_flight, oldest_in_flight_ms, stuck, hung) = {
            let flight = lock(&self.flight);
            let running = || flight.running.values();
            let keys = running().map(|running| {
                let mut keys: Vec<&str> = running.places.iter().map(|(key, _)| key.as_str()).collect();
                keys.dedup();
                keys.len()
            });
            let oldest = running().map(|running| running.ran_ms).max().unwrap_or_default();
            let stuck = running().any(|running| running.ran_ms > running.patience_ms);
            (keys.sum(), oldest, stuck, running().any(|running| running.hung))
        };
        let standing = lock(&self.standing);
        let state = if hung { "hung" } else { standing.state };
        ActorStatus {
            name: self.name(),
            state: state.to_owned(),
            restarts: standing.restarts,
            in_flight,
            oldest_in_flight_ms,
            stuck,
            last_error: standing.last_error.clone(),
        }
    }

    /// Its actor has died. `for_good`: and will not be restarted.
    pub fn died(&self, error: &str, for_good: bool) {
        let mut standing = lock(&self.standing);
        standing.restarts += 1;
        standing.state = if for_good { "stopped" } else { "restarting" };
        standing.last_error = Some(error.to_owned());
    }

    /// Waits until nothing is in flight, at most until `enough` is. What is then still at work is ended, and its letters
    /// are there at the next start.
    pub async fn drained(&self, enough: impl Future<Output = ()>) -> bool {
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        let all = async { while tasks.join_next().await.is_some() {} };
        let done = tokio::select! { biased; () = all => true, () = enough => false };
        if !done {
            tasks.abort_all();
        }
        done
    }

    /// Starts what may be started. Returns after how long there may be more, in ms.
    fn start_work(&self) -> Result<Option<u64>, JournalError> {
        if self.world.stop.is_asked() {
            return Ok(None);
        }
        let journal = &*self.world.ports.journal;
        let now = self.world.now();
        let mut flight = lock(&self.flight);
        let more = flight.tray.read(journal, &*self.worker)?;
        let side_by_side = self.worker.concurrency().min(self.pace.side_by_side_max);
        let mut room = Room {
            bundles: side_by_side.saturating_sub(flight.running.len()),
            letters: self.pace.letters_per_commit_max,
        };
        let mut turn = None;
        if room.bundles > 0 && self.world.careful.is_on() {
            match self.world.careful.admit() {
                Admission::Free => {}
                // Whoever has the turn now changes it when done, and that wakes this shell.
                Admission::Wait => return Ok(None),
                Admission::Alone(given) => {
                    room = Room { bundles: 1, letters: 1 };
                    turn = Some(given);
                }
            }
        }
        let bundles = flight.tray.take(journal, &*self.worker, room, now)?;
        let mut wait_ms = flight.tray.next_due().map(|due| due.since_ms(now));
        if flight.tray.holds_back() {
            wait_ms = Some(wait_ms.map_or(HELD_LOOK_MS, |known| known.min(HELD_LOOK_MS)));
        }
        drop(flight);
        for bundle in bundles {
            self.spawn(bundle, turn.take());
        }
        Ok(if more { Some(0) } else { wait_ms })
    }

    fn spawn(&self, bundle: Bundle, turn: Option<Turn>) {
        let Bundle { envelopes, places, .. } = bundle;
        let pen = Arc::new(Pen::default());
        let patience_ms =
            envelopes.iter().map(|envelope| self.worker.patience_ms(envelope)).max().unwrap_or(0);
        let task = lock(&self.flight).board(Running {
            places,
            letter: envelopes.first().map(|envelope| envelope.id.to_string()).unwrap_or_default(),
            patience_ms,
            ran_ms: 0,
            pen: pen.clone(),
            abort: None,
            aborted_at_ms: None,
            hung: false,
        });
        let (world, worker) = (self.world.clone(), self.worker.clone());
        let report = Report { flight: self.flight.clone(), bell: self.bell.clone(), task, result: None };
        let work = async move {
            let done = AssertUnwindSafe(handle(&world, &*worker, &envelopes, turn)).catch_unwind().await;
            report.file(match done {
                Ok(done) => done.map_err(Trouble::Work),
                Err(panic) => Err(Trouble::Panicked(panic_text(&*panic))),
            });
        };
        // Not under the flight's lock: a runtime that is going down drops the task here, which then reports.
        let abort = {
            let mut tasks = lock(&self.tasks);
            while tasks.try_join_next().is_some() {}
            tasks.spawn(WRITING.scope(pen, work))
        };
        if let Some(running) = lock(&self.flight).running.get_mut(&task) {
            running.abort = Some(abort);
        }
    }

    /// Looks at what has ended; what went wrong is written down. An error is the actor's end, and comes last.
    async fn finish(&self, outcomes: Vec<Outcome>) -> Result<(), ActorProcessingErr> {
        let mut death: Option<ActorProcessingErr> = None;
        for outcome in outcomes {
            if let Err(error) = self.finish_one(outcome).await {
                death.get_or_insert(error);
            }
        }
        death.map_or(Ok(()), Err)
    }

    async fn finish_one(&self, Outcome { task, result }: Outcome) -> Result<(), ActorProcessingErr> {
        let Some(Running { places, ran_ms, .. }) = lock(&self.flight).running.remove(&task) else {
            return Ok(());
        };
        let trouble = match result {
            Ok(()) => {
                lock(&self.flight).tray.handled(&places);
                return Ok(());
            }
            Err(trouble) => trouble,
        };
        let (error, panicked) = match trouble {
            Trouble::Work(WorkError::Storage(error)) => {
                self.world.safe_mode.enter(format!("{}: {error}", error.code()));
                return Err(error.into());
            }
            // Nothing was written: the same letters are decided on again at once, each by itself.
            Trouble::Work(WorkError::Conflict) => {
                self.give_back(&places, true)?;
                return Ok(());
            }
            Trouble::Work(WorkError::Busy { retry_after_ms, why }) => {
                tracing::debug!(actor = self.name(), why, retry_after_ms, "no room: waiting");
                self.give_back(&places, false)?;
                self.defer(&places, retry_after_ms);
                return Ok(());
            }
            Trouble::Work(WorkError::Failed(text)) => (text, false),
            Trouble::Panicked(text) => (format!("panicked: {text}"), true),
            Trouble::CutOff => (format!("HANDLER_HUNG: no result after {} s", ran_ms / 1000), false),
        };
        lock(&self.standing).last_error = Some(error.clone());
        if places.len() == 1 {
            self.put_off(&places, &error).await?;
        } else {
            // Nothing of the group was committed. Alone, each will show whether it was the one.
            self.give_back(&places, true)?;
        }
        if panicked { Err(error.into()) } else { Ok(()) }
    }

    /// Letters that were not handled go back as the journal has them. `apart`: each to be handled alone.
    fn give_back(&self, places: &[(String, Slot)], apart: bool) -> Result<(), JournalError> {
        lock(&self.flight).tray.failed(&*self.world.ports.journal, &*self.worker, places, apart)
    }

    /// Nothing of these keys is taken up for `ms`.
    fn defer(&self, places: &[(String, Slot)], ms: u64) {
        let due = self.world.now().after_ms(ms);
        let mut flight = lock(&self.flight);
        places.iter().for_each(|(key, _)| flight.tray.defer(key, due));
    }

    /// Counts a failed attempt.
    async fn put_off(&self, places: &[(String, Slot)], error: &str) -> Result<(), ActorProcessingErr> {
        let journal = &*self.world.ports.journal;
        loop {
            let mut batch = Batch::default();
            for (_, slot) in places {
                let found = journal.mail(slot.to, slot.lane, slot.seq, 1)?;
                // Gone: what was cut off had come to its commit after all.
                if let Some(envelope) = found.into_iter().find(|envelope| envelope.seq == slot.seq) {
                    setbacks::put_off(&self.world, envelope, error, &mut batch)?;
                }
            }
            if batch == Batch::default() {
                break;
            }
            match journal.commit(batch).await {
                Ok(_) => break,
                // It was committed between the two: look again.
                Err(JournalError::Conflict { .. }) => {}
                // The supervisor's mailbox has no room for the notice: later, and counted then.
                Err(JournalError::Full { retry_after_ms, .. }) => {
                    self.give_back(places, true)?;
                    self.defer(places, retry_after_ms);
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.give_back(places, true)?;
        Ok(())
    }
}

/// Handles letters; in careful mode it is noted durably which one, and that it is over.
async fn handle(
    world: &World,
    worker: &dyn Worker,
    envelopes: &[Envelope],
    turn: Option<Turn>,
) -> Result<(), WorkError> {
    let careful = turn.is_some();
    if let (true, Some(envelope)) = (careful, envelopes.first()) {
        world.ports.journal.mark(Some(Slot::of(envelope))).await?;
    }
    let work = worker.handle(envelopes);
    if !careful {
        return work.await;
    }
    tokio::pin!(work);
    // One that waits for the world, such as a verification, must not keep an approval waiting.
    let soon = tokio::select! {
        done = &mut work => Some(done),
        () = world.ports.clock.sleep(CAREFUL_TURN_MS) => None,
    };
    world.ports.journal.mark(None).await?;
    drop(turn);
    match soon {
        Some(done) => done,
        None => work.await,
    }
}

/// Given to the one letter that is handled in careful mode. 2 s: what ends a process does so in its first steps.
const CAREFUL_TURN_MS: u64 = 2_000;

pub(crate) struct ShellState {
    /// Turns bells into nudges; ends with the actor.
    _forwarder: JoinSet<()>,
    /// When the actor looks again by itself, on the clock's `elapsed_ms`.
    look_again_at_ms: Option<u64>,
}

impl Actor for Shell {
    type Msg = Nudge;
    type State = ShellState;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Nudge>, (): ()) -> Result<ShellState, ActorProcessingErr> {
        let arrived = self.world.ports.journal.mail_arrived(self.worker.address());
        let (bell, mut turns) = (self.bell.clone(), self.world.careful.changes());
        let mut forwarder = JoinSet::new();
        forwarder.spawn(async move {
            loop {
                let rung = tokio::select! {
                    () = arrived.notified() => true,
                    () = bell.notified() => true,
                    changed = turns.changed() => changed.is_ok(),
                };
                if !rung || myself.send_message(Nudge::Wake).is_err() {
                    return;
                }
            }
        });
        Ok(ShellState { _forwarder: forwarder, look_again_at_ms: None })
    }

    async fn post_start(
        &self,
        myself: ActorRef<Nudge>,
        _: &mut ShellState,
    ) -> Result<(), ActorProcessingErr> {
        lock(&self.standing).state = "running";
        myself.send_message(Nudge::Wake)?;
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Nudge>,
        nudge: Nudge,
        state: &mut ShellState,
    ) -> Result<(), ActorProcessingErr> {
        if matches!(nudge, Nudge::Alarm) {
            state.look_again_at_ms = None;
        }
        let finished = std::mem::take(&mut lock(&self.flight).finished);
        self.finish(finished).await?;
        let Some(wait_ms) = self.start_work()? else { return Ok(()) };
        if wait_ms == 0 {
            myself.send_message(Nudge::Wake)?;
            return Ok(());
        }
        // One alarm is enough: nudges come often, and each would set its own.
        let now_ms = self.world.ports.clock.elapsed_ms();
        let at_ms = now_ms.saturating_add(wait_ms);
        if state.look_again_at_ms.is_none_or(|known| at_ms < known) {
            state.look_again_at_ms = Some(at_ms);
            myself.send_after(Duration::from_millis(wait_ms), || Nudge::Alarm);
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
