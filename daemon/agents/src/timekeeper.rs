//! Turns due timers into letters. Rows in the journal are the timers; this only looks at them.

use crate::world::World;
use medic_core::event::EventKind;
use medic_core::mail::{Address, Body, Causation, Lane, Letter};
use medic_core::{EnvelopeId, Event};
use medic_ports::journal::Batch;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Timers fired in one commit.
const FIRE_MAX: usize = 256;
/// How often the table is looked at. 200 ms: far below the shortest deadline, and a look is one bounded seek.
const LOOK_MS: u64 = 200;

#[derive(Clone)]
pub(crate) struct Timekeeper {
    pub world: Arc<World>,
}

pub(crate) struct Tick;

impl Timekeeper {
    async fn fire(&self) -> Result<(), ActorProcessingErr> {
        let journal = &self.world.ports.journal;
        loop {
            let now = self.world.now();
            let due = journal.timers_due(now, FIRE_MAX)?;
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
            journal.commit(batch).await?;
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
        self.fire().await
    }
}
