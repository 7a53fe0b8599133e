//! Sees what does not move, and what has healed.
//!
//! An actor that ticks: lets time pass over the handlings in flight, ends a careful start, and keeps the conditions that
//! nobody else would heal. Never handles a letter.

use crate::careful::Probation;
use crate::conditions::Code;
use crate::desk::ActorStatus;
use crate::shell::{Shell, lock};
use crate::world::World;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;

/// Between two looks. 250 ms: small beside the shortest patience.
const LOOK_MS: u64 = 250;
/// What one look lets pass, at most: a process that was stopped did not work meanwhile.
const STEP_MS_MAX: u64 = 1_000;
/// Between two questions to a Prometheus that did not answer and that nobody else asks.
const PROBE_MS: u64 = 5_000;
/// How long the clocks must have agreed after a jump for it to be over. 10 min: people have seen it, timers have settled.
const CLOCK_CALM_MS: u64 = 10 * 60 * 1000;
/// Ahead of the machine's clock by less is not worth telling.
const AHEAD_MS_MAX: u64 = 1_000;

#[derive(Clone)]
pub(crate) struct Watchdog {
    pub world: Arc<World>,
    pub shells: Vec<Shell>,
    /// Until this life has proven itself. Survives this actor.
    pub probation: Arc<Mutex<Option<Probation>>>,
}

pub(crate) struct Look;

pub(crate) struct WatchdogState {
    _ticker: JoinSet<()>,
    probes: JoinSet<()>,
    looked_ms: u64,
    probed_ms: u64,
}

impl Watchdog {
    async fn look(&self, state: &mut WatchdogState) {
        let now_ms = self.world.ports.clock.elapsed_ms();
        let passed_ms = now_ms.saturating_sub(state.looked_ms).min(STEP_MS_MAX);
        state.looked_ms = now_ms;
        self.shells.iter().for_each(|shell| shell.watch(passed_ms));
        self.refresh();
        self.probe(state, now_ms);
        let probation = lock(&self.probation).take();
        if let Some(mut probation) = probation {
            let over = probation.pass(&self.world, passed_ms).await;
            if !matches!(over, Ok(true)) {
                // An unreadable journal is everybody's trouble and told elsewhere.
                *lock(&self.probation) = Some(probation);
            }
        }
    }

    /// Conditions that follow from what is there to be read.
    pub fn refresh(&self) {
        let down = |actor: &ActorStatus| matches!(actor.state.as_str(), "restarting" | "stopped");
        let actors = self.shells.iter().map(Shell::status).filter(down);
        let restarting: Vec<String> =
            actors.map(|actor| format!("{} is {}", actor.name, actor.state)).collect();
        let conditions = &self.world.conditions;
        let restarting = (!restarting.is_empty()).then(|| restarting.join(", "));
        conditions.keep(Code::ActorRestarting, "", restarting.as_deref());
        self.world.refresh_conditions();
        let calm = self
            .world
            .jumped_at_ms()
            .is_none_or(|at_ms| self.world.ports.clock.elapsed_ms().saturating_sub(at_ms) >= CLOCK_CALM_MS);
        let ahead_ms = self.world.steady.ahead_ms();
        if ahead_ms > crate::steady::JUMP_MS {
            let detail =
                format!("the machine's clock is {} s behind what was written before", ahead_ms / 1000);
            conditions.set(Code::ClockJumped, "", &detail);
        } else if calm && ahead_ms <= AHEAD_MS_MAX {
            conditions.heal(Code::ClockJumped, "");
        }
    }

    /// Prometheus is asked whether it is back even when no incident asks it.
    fn probe(&self, state: &mut WatchdogState, now_ms: u64) {
        while state.probes.try_join_next().is_some() {}
        let lost = self.world.conditions.is_set(Code::MetricsUnreachable);
        if lost && state.probes.is_empty() && now_ms.saturating_sub(state.probed_ms) >= PROBE_MS {
            state.probed_ms = now_ms;
            let metrics = self.world.ports.metrics.clone();
            state.probes.spawn(async move {
                // The guard notes the answer.
                let _ = metrics.ready().await;
            });
        }
    }
}

impl Actor for Watchdog {
    type Msg = Look;
    type State = WatchdogState;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Look>, (): ()) -> Result<WatchdogState, ActorProcessingErr> {
        let clock = self.world.ports.clock.clone();
        let looked_ms = clock.elapsed_ms();
        let mut ticker = JoinSet::new();
        ticker.spawn(async move {
            while myself.send_message(Look).is_ok() {
                clock.sleep(LOOK_MS).await;
            }
        });
        Ok(WatchdogState { _ticker: ticker, probes: JoinSet::new(), looked_ms, probed_ms: looked_ms })
    }

    async fn handle(
        &self,
        _: ActorRef<Look>,
        Look: Look,
        state: &mut WatchdogState,
    ) -> Result<(), ActorProcessingErr> {
        self.look(state).await;
        Ok(())
    }
}
