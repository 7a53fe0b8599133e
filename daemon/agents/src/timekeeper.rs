//! Turns due timers into letters. Rows in the journal are the timers; this only looks at them.
//!
//! Also the one who looks at the clocks: a timer that is due only because the wall clock jumped is given the time it had
//! left, once. What an approval is still worth is not decided here and goes by the later clock.

use crate::conditions::Code;
use crate::shell::lock;
use crate::steady::Jump;
use crate::world::World;
use medic_core::audit::AuditRecord;
use medic_core::effect::TimerKind;
use medic_core::event::EventKind;
use medic_core::mail::{Address, Body, Causation, Lane, Letter};
use medic_core::{EnvelopeId, Event, IncidentId, TimestampMs};
use medic_ports::Clock as _;
use medic_ports::journal::{Batch, DueTimer, JournalError};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;

/// Timers fired in one commit.
const FIRE_MAX: usize = 256;
/// How often the table is looked at. 200 ms: far below the shortest deadline, and a look is one bounded seek.
const LOOK_MS: u64 = 200;
/// Timers given grace after one jump. 10,000: as many as there may be mail; beyond that the earliest fire at once.
const GRACE_MAX: usize = 10_000;

#[derive(Clone)]
pub(crate) struct Timekeeper {
    pub world: Arc<World>,
    /// Until when, on the clock's `elapsed_ms`, a timer that a jump made due is held. An entry stays until its timer has
    /// fired or is gone: there is one grace, whatever the clock does next.
    grace: Arc<Mutex<BTreeMap<Held, u64>>>,
}

type Held = (IncidentId, TimerKind, TimestampMs);

fn held(timer: &DueTimer) -> Held {
    (timer.incident.clone(), timer.kind, timer.due)
}

pub(crate) struct Tick;

impl Timekeeper {
    pub fn new(world: Arc<World>) -> Self {
        Self { world, grace: Arc::default() }
    }

    async fn tick(&self) -> Result<(), JournalError> {
        if let Some(jump) = self.world.steady.look() {
            self.jumped(jump).await?;
        }
        self.fire().await
    }

    async fn jumped(&self, jump: Jump) -> Result<(), JournalError> {
        let now = self.world.now();
        let seconds = jump.by_ms / 1000;
        let detail = match (jump.stood_still, seconds >= 0) {
            (true, _) => format!("the process stood still for {seconds} s"),
            (false, true) => format!("the machine's clock jumped forward by {seconds} s"),
            (false, false) => format!("the machine's clock jumped back by {} s", -seconds),
        };
        tracing::warn!(by_ms = jump.by_ms, stood_still = jump.stood_still, "the clock jumped");
        self.world.clock_jumped();
        self.world.conditions.set(Code::ClockJumped, "", &detail);
        let given = if jump.by_ms > 0 { self.give_grace(jump.expected, now)? } else { 0 };
        let record = AuditRecord {
            at: now,
            incident: None,
            actor: "timekeeper".to_owned(),
            kind: "clock_jump".to_owned(),
            subject: "clock".to_owned(),
            rule: None,
            detail: serde_json::json!({
                "by_ms": jump.by_ms,
                "stood_still": jump.stood_still,
                "machine": self.world.wall(),
                "timers_given_grace": given,
            }),
        };
        self.world.ports.journal.commit(Batch { audit: vec![record], ..Batch::default() }).await?;
        Ok(())
    }

    /// What is due now and would not have been at `expected` gets the time it had left.
    fn give_grace(&self, expected: TimestampMs, now: TimestampMs) -> Result<usize, JournalError> {
        let elapsed_ms = self.world.steady.elapsed_ms();
        let due = self.world.ports.journal.timers_due(now, GRACE_MAX)?;
        let mut grace = lock(&self.grace);
        let mut given = 0;
        for timer in due.into_iter().filter(|timer| timer.due > expected) {
            let until_ms = elapsed_ms.saturating_add(timer.due.since_ms(expected));
            if let Entry::Vacant(entry) = grace.entry(held(&timer)) {
                entry.insert(until_ms);
                given += 1;
            }
        }
        Ok(given)
    }

    /// Takes those out that are still held; forgets the grace of those that are not.
    /// `all`: whether `due` is all there is.
    fn release(&self, due: &mut Vec<DueTimer>, all: bool) {
        let elapsed_ms = self.world.steady.elapsed_ms();
        let mut grace = lock(&self.grace);
        if grace.is_empty() {
            return;
        }
        let seen: BTreeSet<Held> = due.iter().map(held).collect();
        due.retain(|timer| grace.get(&held(timer)).is_none_or(|until_ms| *until_ms <= elapsed_ms));
        // A timer that was set anew or cancelled has no more need of it.
        grace.retain(|timer, until_ms| (!all || seen.contains(timer)) && *until_ms > elapsed_ms);
    }

    async fn fire(&self) -> Result<(), JournalError> {
        let journal = &self.world.ports.journal;
        loop {
            let now = self.world.now();
            let limit = FIRE_MAX + lock(&self.grace).len();
            let mut due = journal.timers_due(now, limit)?;
            let all = due.len() < limit;
            self.release(&mut due, all);
            if due.is_empty() {
                return Ok(());
            }
            let letters = due.iter().map(|timer| {
                let name = format!("timer:{}:{:?}:{}", timer.incident, timer.kind, timer.due.0);
                let kind = EventKind::TimerFired { kind: timer.kind, due: timer.due };
                Letter {
                    id: EnvelopeId::new(name.clone()),
                    to: Address::Supervisor,
                    lane: Lane::Control,
                    cause: Causation::Timer,
                    at: now,
                    dedup: name,
                    body: Body::Occurred {
                        incident: timer.incident.clone(),
                        event: Box::new(Event { at: now, kind }),
                        opens: None,
                    },
                }
            });
            let batch = Batch { letters: letters.collect(), fired: due, ..Batch::default() };
            match journal.commit(batch).await {
                Ok(_) => {}
                // The supervisor has more to do than its mailbox holds: the next tick tries again.
                Err(JournalError::Full { .. }) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Actor for Timekeeper {
    type Msg = Tick;
    type State = JoinSet<()>;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Tick>, (): ()) -> Result<JoinSet<()>, ActorProcessingErr> {
        let mut ticker = JoinSet::new();
        let clock = self.world.ports.clock.clone();
        ticker.spawn(async move {
            while myself.send_message(Tick).is_ok() {
                clock.sleep(LOOK_MS).await;
            }
        });
        Ok(ticker)
    }

    async fn handle(
        &self,
        _: ActorRef<Tick>,
        Tick: Tick,
        _: &mut JoinSet<()>,
    ) -> Result<(), ActorProcessingErr> {
        self.tick().await?;
        Ok(())
    }
}
