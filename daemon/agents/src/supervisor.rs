//! Runs the law: event in, `step`, one commit, letters out. Owns every incident; nobody else writes one.

use crate::desk::{Answer, Waiters};
use crate::shell::{WorkError, Worker};
use crate::world::World;
use async_trait::async_trait;
use medic_core::audit::AuditRecord;
use medic_core::event::EventKind;
use medic_core::mail::{Address, Body, Causation, Envelope, Lane, Letter, Opening};
use medic_core::replay::{Decided, Decision, Outcome};
use medic_core::{
    AlertBatch, Digest, Effect, EffectId, EnvelopeId, Event, Incident, IncidentId, Step, TimestampMs,
    invariants, step,
};
use medic_ports::journal::{Batch, DocumentWrite, EffectRecord, EffectState, IncidentWrite, Slot, Table};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Commits under way side by side. 8: enough that one is being decided while others are synced; more only makes each
/// smaller.
const CONCURRENCY: usize = 8;
/// Incidents decided on in one commit. 64: what a storm of different troubles costs in syncs is shared by as many.
const INCIDENTS_PER_COMMIT_MAX: usize = 64;
/// Deciding touches nothing but the journal. 10 s: a thousand times what it takes.
const PATIENCE_MS: u64 = 10_000;

pub(crate) struct Supervisor {
    world: Arc<World>,
    waiters: Arc<Waiters>,
    /// Whether the journal holds the policy in force, so that its decisions can be made again.
    policy_kept: AtomicBool,
}

impl Supervisor {
    pub fn new(world: Arc<World>, waiters: Arc<Waiters>) -> Self {
        Self { world, waiters, policy_kept: AtomicBool::new(false) }
    }

    /// The policy's text under its digest, in the first commit that decides by it.
    fn keep_policy(&self, batch: &mut Batch) -> Result<(), WorkError> {
        let key = self.world.policy_digest.as_str();
        if self.policy_kept.load(Ordering::Relaxed)
            || self.world.ports.journal.document(Table::Policy, key)?.is_some()
        {
            return Ok(());
        }
        let text = serde_json::to_vec(&self.world.policy)
            .map_err(|error| WorkError::Failed(format!("cannot write down the policy: {error}")))?;
        batch.documents.push(DocumentWrite { table: Table::Policy, key: key.to_owned(), value: Some(text) });
        Ok(())
    }
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
    fn keys_per_commit(&self) -> usize {
        INCIDENTS_PER_COMMIT_MAX
    }
    fn patience_ms(&self, _: &Envelope) -> u64 {
        PATIENCE_MS
    }

    async fn handle(&self, envelopes: &[Envelope]) -> Result<(), WorkError> {
        let mut batch = Batch::default();
        let mut answers = Vec::new();
        for letters in envelopes.chunk_by(|a, b| a.body.incident() == b.body.incident()) {
            batch.consumed.extend(letters.iter().map(Slot::of));
            let Some(id) = letters.first().and_then(|letter| letter.body.incident()) else { continue };
            let stored = self.world.ports.journal.incident(id)?;
            let mut sitting = Sitting {
                world: &self.world,
                expected_revision: stored.as_ref().map(|incident| incident.revision),
                incident: stored,
                changed: false,
                decisions: Vec::new(),
                batch: &mut batch,
                answers: &mut answers,
            };
            for letter in letters {
                if let Body::Occurred { incident, event, opens } = &letter.body {
                    sitting.hear(letter, incident, event, opens.as_ref())?;
                }
            }
            sitting.rise();
        }
        if !batch.decided.is_empty() {
            self.keep_policy(&mut batch)?;
        }
        let decided = !batch.decided.is_empty();
        self.world.ports.journal.commit(batch).await?;
        if decided {
            self.policy_kept.store(true, Ordering::Relaxed);
        }
        for (id, answer) in answers {
            self.waiters.answer(&id, answer);
        }
        Ok(())
    }
}

/// The decisions of one commit on one incident.
struct Sitting<'a> {
    world: &'a World,
    expected_revision: Option<u64>,
    incident: Option<Incident>,
    changed: bool,
    decisions: Vec<Decision>,
    batch: &'a mut Batch,
    answers: &'a mut Vec<(EnvelopeId, Answer)>,
}

impl Sitting<'_> {
    fn hear(
        &mut self,
        letter: &Envelope,
        id: &IncidentId,
        event: &Event,
        opens: Option<&Opening>,
    ) -> Result<(), WorkError> {
        let opens = opens.filter(|_| self.incident.is_none());
        if let Some(opening) = opens {
            self.incident = Some(Incident::open(id.clone(), opening.clone(), event.at));
        }
        let Some(outcome) = self.decide(letter, event)? else { return Ok(()) };
        self.decisions.push(Decision {
            incident: id.clone(),
            envelope: letter.id.clone(),
            cause: letter.cause.clone(),
            opens: opens.cloned(),
            event: event.clone(),
            policy: self.world.policy_digest.clone(),
            outcome,
        });
        Ok(())
    }

    /// Puts what was decided into the batch: however many letters there were, the incident is written once.
    fn rise(self) {
        let Some(incident) = self.incident else { return };
        // An opening that was not taken up leaves no incident to decide on.
        let exists = self.changed || self.expected_revision.is_some();
        if exists && !self.decisions.is_empty() {
            self.batch.decided.push(Decided {
                decisions: self.decisions,
                state: Digest::of(&incident),
                phase: incident.phase.name(),
            });
        }
        if self.changed {
            let write = IncidentWrite { next: incident, expected_revision: self.expected_revision };
            self.batch.incidents.push(write);
        }
    }

    /// What the law makes of one event; `None` when there is no incident to ask it about.
    fn decide(&mut self, envelope: &Envelope, event: &Event) -> Result<Option<Outcome>, WorkError> {
        let Some(incident) = &self.incident else {
            self.audit(envelope, "refusal", "there is no such incident");
            self.answer(envelope, Answer::NoSuchIncident);
            return Ok(None);
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
                let outcome = Outcome::Advanced {
                    revision: advance.next.revision,
                    effects: Digest::of(&advance.effects),
                    records: Digest::of(&advance.records),
                };
                self.batch.audit.extend(advance.records);
                self.changed = true;
                let told = Answer::told(&advance.next);
                self.incident = Some(advance.next);
                self.answer(envelope, told);
                Ok(Some(outcome))
            }
            Step::Unchanged => {
                let told = Answer::told(incident);
                self.answer(envelope, told);
                Ok(Some(Outcome::Unchanged))
            }
            Step::Refused(refusal) => {
                self.audit(envelope, "refusal", &format!("{}: {refusal}", refusal.code()));
                if let EventKind::AlertsArrived { alerts, truncated } = &event.kind {
                    self.batch.letters.push(displaced(envelope, alerts, *truncated, event.at));
                }
                let code = refusal.code().to_owned();
                self.answer(envelope, Answer::Refused(refusal));
                Ok(Some(Outcome::Refused { code }))
            }
        }
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
