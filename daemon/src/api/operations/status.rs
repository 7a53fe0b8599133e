//! How the daemon is.

use super::{Operations, Role};
use crate::api::auth::Caller;
use crate::api::problem::Problem;
use medic_agents::desk::Status;
use medic_core::{PhaseName, TimestampMs};
use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

/// How old a look at Prometheus may be: a scraper and a person a second cost one look.
const LOOK_AGE_MAX_MS: u64 = 5_000;
/// A scraper does not wait for a Prometheus that hangs.
const PROMETHEUS_WAIT: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub struct StatusView {
    pub status: Status,
    /// Names the store; absent without one on disk.
    pub store_id: Option<String>,
    pub now: TimestampMs,
    pub by_phase: BTreeMap<PhaseName, u64>,
    /// `ok`, or what came of asking it.
    pub prometheus: String,
    /// Empty when alerts are taken in and can be acted on.
    pub not_ready_because: String,
    pub caller: Caller,
}

/// What a probe is told: nothing that names an incident or an address, and nothing that has to be waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Empty when alerts are taken in and can be acted on.
    pub not_ready_because: String,
    pub safe_mode: bool,
    /// Codes of what works worse than it should, each once.
    pub conditions: Vec<String>,
    /// As known from the last time it was asked.
    pub prometheus_reachable: bool,
}

/// Prometheus' answer, and when it came.
#[derive(Clone, Debug)]
pub struct Look {
    at: TimestampMs,
    answer: String,
}

const REACHABLE: &str = "ok";

impl Operations {
    pub async fn status(&self, caller: &Caller) -> Result<StatusView, Problem> {
        caller.needs(Role::Viewer)?;
        let status = self.desk.status()?;
        let now = self.now();
        let prometheus = self.prometheus(now).await;
        Ok(StatusView {
            by_phase: by_phase(&status),
            not_ready_because: not_ready(&status),
            store_id: self.custodian.as_ref().map(|custodian| custodian.store_id()),
            status,
            now,
            prometheus,
            caller: caller.clone(),
        })
    }

    /// From what is known already: no row is read and nobody is asked.
    pub fn readiness(&self) -> Result<Readiness, Problem> {
        let status = self.desk.status()?;
        let mut conditions: Vec<String> = status
            .conditions
            .iter()
            .filter(|condition| condition.healed_at.is_none())
            .map(|condition| condition.code.clone())
            .collect();
        conditions.dedup();
        let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let silent = conditions.iter().any(|code| code == "METRICS_UNREACHABLE");
        Ok(Readiness {
            not_ready_because: not_ready(&status),
            safe_mode: status.safe_mode.is_some(),
            conditions,
            prometheus_reachable: !silent && looked.is_none_or(|look| look.answer == REACHABLE),
        })
    }

    async fn prometheus(&self, now: TimestampMs) -> String {
        let known = self.looked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(look) = known.filter(|look| look.at <= now && now.since_ms(look.at) < LOOK_AGE_MAX_MS) {
            return look.answer;
        }
        let answer = match tokio::time::timeout(PROMETHEUS_WAIT, self.desk.ports().metrics.ready()).await {
            Ok(Ok(())) => REACHABLE.to_owned(),
            Ok(Err(fault)) => format!("{}: {}", fault.code, fault.message),
            Err(_) => format!("no answer within {} s", PROMETHEUS_WAIT.as_secs()),
        };
        let look = Look { at: now, answer: answer.clone() };
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Some(look);
        answer
    }
}

/// Every phase, those without an incident too.
fn by_phase(status: &Status) -> BTreeMap<PhaseName, u64> {
    let counted = &status.journal.incidents;
    PhaseName::ALL.into_iter().map(|phase| (phase, counted.get(&phase).copied().unwrap_or(0))).collect()
}

/// Safe mode is no reason: alerts are still stored and the API answers.
fn not_ready(status: &Status) -> String {
    let mut because = Vec::new();
    if !status.journal.writable {
        because.push("STORE_FAILED: the journal cannot be written".to_owned());
    }
    if status.journal.low_space {
        because.push("STORE_LOW_SPACE: the disk is nearly full and intake is refused".to_owned());
    }
    if status.stopping {
        because.push("the daemon is stopping".to_owned());
    }
    if status.safe_mode.is_none() {
        let down = status.actors.iter().filter(|actor| actor.state != "running");
        because.extend(down.map(|actor| format!("{} is {}", actor.name, actor.state)));
    }
    because.join("; ")
}
