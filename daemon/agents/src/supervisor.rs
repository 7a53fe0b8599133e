//! Runs the law: event in, `step`, one commit, letters out. Owns every incident; nobody else writes one.

use crate::desk::{Answer, Waiters};
use crate::shell::{WorkError, Worker};
use crate::world::World;
use async_trait::async_trait;
use medic_core::audit::AuditRecord;
use medic_core::event::EventKind;
use medic_core::mail::{Address, Body, Causation, Envelope, Lane, Letter};
use medic_core::{
    AlertBatch, Effect, EffectId, EnvelopeId, Event, Incident, Step, TimestampMs, invariants, step,
};
use medic_ports::journal::{Batch, DocumentWrite, EffectRecord, EffectState, IncidentWrite, Slot, Table};
use std::sync::Arc;

/// Incidents decided on side by side. 64: their commits share a sync.
const CONCURRENCY: usize = 64;

pub(crate) struct Supervisor {
    pub world: Arc<World>,
    pub waiters: Arc<Waiters>,
}

#[async_trait]
impl Worker for Supervisor {
    fn address(&self) -> Address {
        Address::Supervisor
    }
    fn concurrency(&self) -> usize {
        CONCURRENCY
    }
    fn drains(&self) -> bool {
        true
    }

    async fn handle(&self, envelopes: &[Envelope]) -> Result<(), WorkError> {
        let Some(id) = envelopes.first().and_then(|envelope| envelope.body.incident()) else { return Ok(()) };
        let journal = &self.world.ports.journal;
        let stored = journal.incident(id)?;
        let mut decision = Decision {
            world: &self.world,
            expected_revision: stored.as_ref().map(|incident| incident.revision),
            incident: stored,
            changed: false,
            batch: Batch::default(),
            answers: Vec::new(),
        };
        for envelope in envelopes {
            decision.batch.consumed.push(Slot::of(envelope));
            if let Body::Occurred { incident, event, opens } = &envelope.body {
                if decision.incident.is_none() {
                    decision.incident =
                        opens.clone().map(|opening| Incident::open(incident.clone(), opening, event.at));
                }
                decision.decide(envelope, event)?;
            }
        }
        let answers = decision.answers;
        let mut batch = decision.batch;
        if decision.changed
            && let Some(next) = decision.incident
        {
            batch.incidents.push(IncidentWrite { next, expected_revision: decision.expected_revision });
        }
        journal.commit(batch).await?;
        for (id, answer) in answers {
            self.waiters.answer(&id, answer);
        }
        Ok(())
    }
}

struct Decision<'a> {
    world: &'a World,
    expected_revision: Option<u64>,
    incident: Option<Incident>,
    changed: bool,
    batch: Batch,
    answers: Vec<(EnvelopeId, Answer)>,
}

impl Decision<'_> {
    fn decide(&mut self, envelope: &Envelope, event: &Event) -> Result<(), WorkError> {
        let Some(incident) = &self.incident else {
            self.audit(envelope, "refusal", "there is no such incident");
            self.answer(envelope, Answer::NoSuchIncident);
            return Ok(());
        };
        match step(incident, event, &self.world.policy) {
            Step::Advanced(advance) => {
                let broken = invariants::of_advance(incident, &advance, &self.world.policy);
                if let Some(broken) = broken.first() {
                    // A bug of ours: what would break a law is not committed.
                    return Err(WorkError::Failed(format!("refusing to break a law: {broken}")));
                }
                for (id, effect) in advance.effects_with_ids() {
                    self.batch.letters.push(order(&id, effect, envelope, event.at));
                    if effect.changes_systems() {
                        self.batch.effects.push(EffectRecord {
                            id,
                            state: EffectState::Intent,
                            at: event.at,
                            calls: Vec::new(),
                            detail: effect.name().to_owned(),
                        });
                    }
                }
                self.batch
                    .timers
                    .extend(advance.timers.into_iter().map(|change| (advance.next.id.clone(), change)));
                self.batch.audit.extend(advance.records);
                self.changed = true;
                let told = Answer::told(&advance.next);
                self.incident = Some(advance.next);
                self.answer(envelope, told);
            }
            Step::Unchanged => {
                let told = Answer::told(incident);
                self.answer(envelope, told);
            }
            Step::Refused(refusal) => {
                self.audit(envelope, "refusal", &format!("{}: {refusal}", refusal.code()));
                if let EventKind::AlertsArrived { alerts, truncated } = &event.kind {
                    self.batch.letters.push(displaced(envelope, alerts, *truncated, event.at));
                }
                self.answer(envelope, Answer::Refused(refusal));
            }
        }
        Ok(())
    }

    fn audit(&mut self, envelope: &Envelope, kind: &str, detail: &str) {
        let actor = match &envelope.cause {
            Causation::Outside { principal: Some(principal), .. } => principal.to_string(),
            _ => "supervisor".to_owned(),
        };
        self.batch.audit.push(AuditRecord {
            at: self.world.now(),
            incident: envelope.body.incident().cloned(),
            actor,
            kind: kind.to_owned(),
            subject: envelope.id.to_string(),
            rule: None,
            detail: serde_json::json!({ "why": detail }),
        });
    }

    /// Answers whoever asked: now if they wait, and from the journal if they ask again.
    fn answer(&mut self, envelope: &Envelope, answer: Answer) {
        if let Causation::Outside { principal: Some(_), .. } = &envelope.cause {
            let value = serde_json::to_vec(&answer).unwrap_or_default();
            let key = envelope.id.to_string();
            self.batch.documents.push(DocumentWrite { table: Table::Answer, key, value: Some(value) });
        }
        self.answers.push((envelope.id.clone(), answer));
    }
}

fn order(id: &EffectId, effect: &Effect, cause: &Envelope, at: TimestampMs) -> Letter {
    let to = match effect {
        Effect::Gather { .. } => Address::Monitor,
        Effect::Diagnose { .. } => Address::Diagnoser,
        Effect::Plan { .. } | Effect::Apply { .. } | Effect::Verify { .. } | Effect::Revert { .. } => {
            Address::Executor
        }
        Effect::Notify { .. } => Address::Notifier,
    };
    Letter {
        id: EnvelopeId::new(format!("order:{id}")),
        to,
        lane: Lane::Normal,
        cause: Causation::Envelope(cause.id.clone()),
        at,
        dedup: format!("order:{id}"),
        body: Body::Order { id: id.clone(), effect: effect.clone() },
    }
}

/// Alerts that came too late for a resolved incident go back to be grouped anew: none is lost.
fn displaced(envelope: &Envelope, alerts: &[medic_core::Alert], truncated: u64, at: TimestampMs) -> Letter {
    let name = format!("displaced:{}", envelope.id);
    Letter {
        id: EnvelopeId::new(name.clone()),
        to: Address::Monitor,
        lane: Lane::Normal,
        cause: Causation::Envelope(envelope.id.clone()),
        at,
        dedup: name,
        body: Body::Alerts {
            batch: AlertBatch { group_key: String::new(), alerts: alerts.to_vec(), truncated },
            displaced: true,
        },
    }
}
