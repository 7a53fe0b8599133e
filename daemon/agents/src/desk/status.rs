//! How the daemon fares.

use super::{Desk, DeskError};
use crate::conditions::Condition;
use crate::shell::Shell;
use medic_core::{PhaseName, TimestampMs};
use medic_ports::journal::{Boot, JournalHealth};
use medic_ports::tools::RejectedPlugin;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActorStatus {
    pub name: String,
    /// `starting`, `running`, `restarting`, `stopped`, `hung`.
    pub state: String,
    pub restarts: u64,
    /// Incidents being worked on.
    pub in_flight: usize,
    /// How long the oldest of these has been worked on; zero when there is none.
    pub oldest_in_flight_ms: u64,
    /// Something in flight has made no progress for longer than it may take.
    pub stuck: bool,
    pub last_error: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Why only queries run and approvals are frozen.
    pub safe_mode: Option<String>,
    pub actors: Vec<ActorStatus>,
    pub journal: JournalHealth,
    /// Neither resolved nor escalated.
    pub live_incidents: usize,
    /// What is wrong, then what has healed within the last hour.
    pub conditions: Vec<Condition>,
    pub boot: Boot,
    /// Nothing new is taken in any more: the daemon is about to end.
    pub stopping: bool,
    pub started_at: TimestampMs,
    pub now: TimestampMs,
    pub tools: usize,
    pub rejected_plugins: Vec<RejectedPlugin>,
    pub knowledge: bool,
    pub model: Option<String>,
}

impl Desk {
    /// Reads counters only: as cheap with a million incidents as with one.
    ///
    /// # Errors
    /// None at present; the journal may come to have one.
    pub fn status(&self) -> Result<Status, DeskError> {
        let ports = &self.world.ports;
        self.world.refresh_conditions();
        let journal = ports.journal.health();
        Ok(Status {
            safe_mode: self.world.safe_mode.reason().map(str::to_owned),
            actors: self.shells.iter().map(Shell::status).collect(),
            live_incidents: live(&journal.incidents),
            journal,
            conditions: self.world.conditions.list(),
            boot: ports.journal.boot(),
            stopping: self.world.stop.is_asked(),
            started_at: self.started_at,
            now: self.world.now(),
            tools: ports.tools.list().len(),
            rejected_plugins: ports.tools.rejected(),
            knowledge: ports.knowledge.is_some(),
            model: ports.model.as_ref().map(|model| model.name()),
        })
    }
}

fn live(incidents: &BTreeMap<PhaseName, u64>) -> usize {
    let live = incidents.iter().filter(|(phase, _)| !phase.is_terminal());
    usize::try_from(live.map(|(_, count)| *count).sum::<u64>()).unwrap_or(usize::MAX)
}
