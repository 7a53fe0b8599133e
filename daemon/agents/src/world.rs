//! Everything the agents reach the world through, in one bundle.

use crate::careful::Careful;
use crate::conditions::{Code, Conditions};
use crate::safe_mode::SafeMode;
use crate::shell::lock;
use crate::steady::SteadyClock;
use crate::stop::Stop;
use crate::taxonomy::Taxonomy;
use medic_core::grouping::GroupingPolicy;
use medic_core::{Digest, EnvelopeId, IncidentId, Policy, TimestampMs};
use medic_ports::{Clock, Journal, Knowledge, Logs, Metrics, Model, Notifier, ToolHost};
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

#[derive(Clone)]
pub struct Ports {
    pub journal: Arc<dyn Journal>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<dyn Metrics>,
    pub logs: Arc<dyn Logs>,
    pub tools: Arc<dyn ToolHost>,
    pub notifier: Arc<dyn Notifier>,
    /// `None`: no runbooks are consulted.
    pub knowledge: Option<Arc<dyn Knowledge>>,
    /// `None`: no model is asked.
    pub model: Option<Arc<dyn Model>>,
}

/// What every worker is given.
pub(crate) struct World {
    /// Guarded: what they meet is noted, and their clock is the steady one.
    pub ports: Ports,
    pub steady: Arc<SteadyClock>,
    pub policy: Policy,
    /// Of the policy's canonical JSON.
    pub policy_digest: Digest,
    pub grouping: GroupingPolicy,
    pub taxonomy: Taxonomy,
    pub safe_mode: SafeMode,
    pub conditions: Conditions,
    pub careful: Arc<Careful>,
    pub stop: Stop,
    /// Incidents whose lines and series are held in memory: in a storm they take turns. 4: some 300 MB at the limits.
    pub analyses: Semaphore,
    /// When the clock jumped last, on its `elapsed_ms`.
    jumped_at_ms: Mutex<Option<u64>>,
}

impl World {
    pub fn new(config: crate::AgentsConfig, ports: Ports) -> Self {
        let steady = Arc::new(SteadyClock::new(ports.clock.clone(), ports.journal.health().latest_at));
        let conditions = Conditions::new(steady.clone());
        Self {
            ports: crate::guard::ports(ports, steady.clone(), &conditions),
            steady,
            policy_digest: Digest::of(&config.policy),
            policy: config.policy,
            grouping: config.grouping,
            taxonomy: config.taxonomy,
            safe_mode: SafeMode::default(),
            conditions,
            careful: Arc::default(),
            stop: Stop::default(),
            analyses: Semaphore::new(4),
            jumped_at_ms: Mutex::default(),
        }
    }

    /// The daemon's time: never goes back.
    pub fn now(&self) -> TimestampMs {
        self.steady.now()
    }

    /// The machine's time: what others, who have clocks of their own, are asked by.
    pub fn wall(&self) -> TimestampMs {
        self.steady.wall()
    }

    pub fn clock_jumped(&self) {
        *lock(&self.jumped_at_ms) = Some(self.steady.elapsed_ms());
    }
    pub fn jumped_at_ms(&self) -> Option<u64> {
        *lock(&self.jumped_at_ms)
    }

    /// Conditions of the store and of the daemon as a whole, as they are at this moment.
    pub fn refresh_conditions(&self) {
        let health = self.ports.journal.health();
        let conditions = &self.conditions;
        conditions.keep(
            Code::StoreLowSpace,
            "",
            health.low_space.then_some("the disk is nearly full: intake is refused until space is freed"),
        );
        let slow = format!("a write takes {} ms to be synced", health.sync_ms);
        conditions.keep(Code::StoreSlow, "", health.sync_slow.then_some(slow.as_str()));
        if !health.writable {
            conditions.set(Code::StoreFailed, "", "nothing can be written any more: a restart is needed");
        }
        let dead = format!("{} letter(s) could not be handled and wait for an operator", health.dead_letters);
        conditions.keep(Code::DeadLetters, "", (health.dead_letters > 0).then_some(dead.as_str()));
        conditions.keep(Code::SafeMode, "", self.safe_mode.reason());
        let careful = self.careful.is_on();
        conditions.keep(
            Code::CarefulMode,
            "",
            careful.then_some("the process kept dying: one letter is handled at a time"),
        );
    }

    /// A ULID whose time is the clock port's.
    fn ulid(&self) -> String {
        ulid::Ulid::from_parts(self.now().0, ulid::Ulid::new().random()).to_string()
    }
    pub fn new_incident_id(&self) -> IncidentId {
        IncidentId::new(self.ulid())
    }
    pub fn new_envelope_id(&self) -> EnvelopeId {
        EnvelopeId::new(self.ulid())
    }
}
