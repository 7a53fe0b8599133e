//! The ports as the agents use them: every call's outcome is noted, and what does not answer is not asked by everybody.
//!
//! Owns the circuit breakers and the conditions that come of them. Never changes an answer: a call is made as it was
//! asked, or refused with the fault that the last one met.

mod breaker;
mod journal;
mod outside;
mod tools;

use crate::conditions::{Code, Conditions};
use crate::world::Ports;
use breaker::Breaker;
use journal::GuardedJournal;
use medic_ports::Clock;
use outside::{GuardedKnowledge, GuardedLogs, GuardedMetrics, GuardedModel, GuardedNotifier};
use std::sync::Arc;
use tools::GuardedTools;

pub(crate) use journal::{Pen, WRITING};

/// The same ports, watched. `clock` takes the place of theirs.
pub(crate) fn ports(ports: Ports, clock: Arc<dyn Clock>, conditions: &Conditions) -> Ports {
    let breaker =
        |code, shown_after| Arc::new(Breaker::new(code, shown_after, clock.clone(), conditions.clone()));
    Ports {
        journal: Arc::new(GuardedJournal::new(ports.journal, conditions.clone())),
        metrics: Arc::new(GuardedMetrics {
            inner: ports.metrics,
            breaker: breaker(Code::MetricsUnreachable, 2),
        }),
        logs: Arc::new(GuardedLogs { inner: ports.logs, breaker: breaker(Code::LogsUnreachable, 1) }),
        tools: Arc::new(GuardedTools { inner: ports.tools, conditions: conditions.clone() }),
        notifier: Arc::new(GuardedNotifier {
            inner: ports.notifier,
            breaker: breaker(Code::NotifierFailing, 1),
        }),
        knowledge: ports.knowledge.map(|inner| {
            let breaker = breaker(Code::KnowledgeUnavailable, 1);
            Arc::new(GuardedKnowledge { inner, breaker }) as Arc<dyn medic_ports::Knowledge>
        }),
        model: ports.model.map(|inner| {
            let breaker = breaker(Code::ModelUnavailable, 1);
            Arc::new(GuardedModel { inner, breaker }) as Arc<dyn medic_ports::Model>
        }),
        clock,
    }
}
