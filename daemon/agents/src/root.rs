//! Restarts children that die.
//!
//! ractor has no restart strategies and its default is to die with the child; this is ours: one for one, with back-off,
//! and beyond an intensity safe mode instead of a loop.

use crate::conditions::{Code, Conditions};
use crate::safe_mode::SafeMode;
use crate::shell::{Nudge, Shell};
use crate::timekeeper::{Tick, Timekeeper};
use crate::watchdog::{Look, Watchdog};
use medic_ports::Clock;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RestartPolicy {
    /// First wait; doubles with every restart within the window. 100 ms: a reload of state costs less.
    pub backoff_first_ms: u64,
    /// 30 s.
    pub backoff_max_ms: u64,
    /// Restarts of one child within the window before safe mode. 10: three letters that each panic three times are
    /// still the letters' fault.
    pub restarts_max: usize,
    /// 60 s.
    pub window_ms: u64,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self { backoff_first_ms: 100, backoff_max_ms: 30_000, restarts_max: 10, window_ms: 60_000 }
    }
}

/// A child and how to make it again.
pub(crate) enum Spec {
    Mail(Shell),
    Time(Timekeeper),
    Watch(Watchdog),
}

impl Spec {
    fn name(&self) -> String {
        match self {
            Self::Mail(shell) => shell.name(),
            Self::Time(_) => "timekeeper".to_owned(),
            Self::Watch(_) => "watchdog".to_owned(),
        }
    }

    async fn spawn(&self, root: ActorCell) -> Result<ActorCell, ractor::SpawnErr> {
        match self {
            Self::Mail(shell) => {
                let (child, _): (ActorRef<Nudge>, _) =
                    Actor::spawn_linked(None, shell.clone(), (), root).await?;
                Ok(child.get_cell())
            }
            Self::Time(timekeeper) => {
                let (child, _): (ActorRef<Tick>, _) =
                    Actor::spawn_linked(None, timekeeper.clone(), (), root).await?;
                Ok(child.get_cell())
            }
            Self::Watch(watchdog) => {
                let (child, _): (ActorRef<Look>, _) =
                    Actor::spawn_linked(None, watchdog.clone(), (), root).await?;
                Ok(child.get_cell())
            }
        }
    }
}

pub(crate) struct Root {
    pub children: Vec<Spec>,
    pub policy: RestartPolicy,
    pub clock: Arc<dyn Clock>,
    pub safe_mode: SafeMode,
    pub conditions: Conditions,
}

pub(crate) enum RootMessage {
    Restart(usize),
}

#[derive(Default)]
pub(crate) struct RootState {
    running: BTreeMap<ActorId, usize>,
    deaths: BTreeMap<usize, VecDeque<u64>>,
}

impl Root {
    async fn start(&self, index: usize, myself: &ActorRef<RootMessage>, state: &mut RootState) {
        let Some(spec) = self.children.get(index) else { return };
        match spec.spawn(myself.get_cell()).await {
            Ok(cell) => {
                state.running.insert(cell.get_id(), index);
            }
            // A panic in pre_start raises no supervision event: it is counted here.
            Err(error) => self.died(index, &error.to_string(), myself, state),
        }
    }

    fn died(&self, index: usize, error: &str, myself: &ActorRef<RootMessage>, state: &mut RootState) {
        let Some(spec) = self.children.get(index) else { return };
        let (name, now) = (spec.name(), self.clock.elapsed_ms());
        let deaths = state.deaths.entry(index).or_default();
        deaths.push_back(now);
        while deaths.front().is_some_and(|at| at.saturating_add(self.policy.window_ms) < now) {
            deaths.pop_front();
        }
        let recent = deaths.len();
        let for_good = recent > self.policy.restarts_max;
        if let Spec::Mail(shell) = spec {
            shell.died(error, for_good);
        }
        self.conditions.set(Code::ActorRestarting, "", &format!("{name}: {error}"));
        if for_good {
            self.safe_mode
                .enter(format!("{name} died {recent} times in {} s: {error}", self.policy.window_ms / 1000));
            return;
        }
        if self.safe_mode.reason().is_some_and(|reason| reason.starts_with("STORE_")) {
            return;
        }
        let doublings = u32::try_from(recent.saturating_sub(1)).unwrap_or(u32::MAX).min(20);
        let wait_ms = (self.policy.backoff_first_ms << doublings).min(self.policy.backoff_max_ms);
        tracing::warn!(actor = name, error, wait_ms, recent, "restarting");
        myself.send_after(Duration::from_millis(wait_ms), move || RootMessage::Restart(index));
    }
}

impl Actor for Root {
    type Msg = RootMessage;
    type State = RootState;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<RootMessage>, (): ()) -> Result<RootState, ActorProcessingErr> {
        Ok(RootState::default())
    }

    async fn post_start(
        &self,
        myself: ActorRef<RootMessage>,
        state: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        for index in 0..self.children.len() {
            self.start(index, &myself, state).await;
        }
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<RootMessage>,
        RootMessage::Restart(index): RootMessage,
        state: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        self.start(index, &myself, state).await;
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<RootMessage>,
        event: SupervisionEvent,
        state: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        let (who, error) = match event {
            SupervisionEvent::ActorFailed(who, error) => (who, error.to_string()),
            SupervisionEvent::ActorTerminated(who, _, reason) => (who, reason.unwrap_or_default()),
            _ => return Ok(()),
        };
        if let Some(index) = state.running.remove(&who.get_id()) {
            self.died(index, &error, &myself, state);
        }
        Ok(())
    }
}
