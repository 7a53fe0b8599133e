//! Executor: plans, carries out step by step, verifies, puts back. Never acts without the proof that core hands out, and
//! never repeats what may have happened.

mod change;
mod effect_journal;
mod planning;
mod verify;

use crate::reply::result;
use crate::shell::{WorkError, Worker};
use crate::world::World;
use async_trait::async_trait;
use medic_core::Effect;
use medic_core::EffectId;
use medic_core::mail::{Address, Body, Envelope};
use medic_ports::journal::{Batch, EffectRecord, EffectState, Slot};
use std::sync::Arc;

/// Incidents worked on side by side. 64: most of them wait for a verification; how many change systems at once is limited by
/// the tool host.
const CONCURRENCY: usize = 64;
/// Beyond the deadline of what is done, which escalates: by then the sandbox has ended it, or nobody will.
const SLACK_MS: u64 = 30_000;
/// How long a verification may take when it cannot be looked up. 1 h: longer than any settle time people configure.
const VERIFY_MS: u64 = 60 * 60 * 1000;

pub(crate) struct Executor {
    pub world: Arc<World>,
}

#[async_trait]
impl Worker for Executor {
    fn address(&self) -> Address {
        Address::Executor
    }
    fn concurrency(&self) -> usize {
        CONCURRENCY
    }
    fn may_start(&self, envelope: &Envelope) -> bool {
        // In safe mode nothing new is changed; an undo is owed and goes on.
        let changes = matches!(&envelope.body, Body::Order { effect: Effect::Apply { .. }, .. });
        !(changes && self.world.safe_mode.is_on())
    }

    fn patience_ms(&self, envelope: &Envelope) -> u64 {
        let policy = &self.world.policy;
        let Body::Order { id, effect } = &envelope.body else { return SLACK_MS };
        let deadline_ms = match effect {
            Effect::Apply { .. } | Effect::Revert { .. } => policy.step_deadline_ms,
            Effect::Verify { .. } => {
                let incident = self.world.ports.journal.incident(&id.incident).ok().flatten();
                incident
                    .and_then(|incident| incident.deadline)
                    .map_or(VERIFY_MS, |due| due.since_ms(envelope.at))
            }
            _ => policy.plan_deadline_ms,
        };
        deadline_ms.saturating_add(SLACK_MS)
    }

    async fn handle(&self, envelopes: &[Envelope]) -> Result<(), WorkError> {
        for envelope in envelopes {
            let done = match &envelope.body {
                Body::Order { id, effect } => self.perform(envelope, id, effect).await?,
                _ => Batch::default(),
            };
            let mut batch = done;
            batch.consumed.push(Slot::of(envelope));
            batch.audit.extend(crate::audit::host_calls(&self.world));
            self.world.ports.journal.commit(batch).await?;
        }
        Ok(())
    }
}

impl Executor {
    async fn perform(&self, envelope: &Envelope, id: &EffectId, effect: &Effect) -> Result<Batch, WorkError> {
        let mut batch = Batch::default();
        let Some(incident) = self.world.ports.journal.incident(&id.incident)? else { return Ok(batch) };
        if incident.phase.awaiting() != Some(id) {
            // Withdrawn before it began. A change that had begun is brought to its end all the same: its outcome is owed.
            match self.world.ports.journal.effect(id)? {
                Some(record) if effect.changes_systems() && record.state == EffectState::Started => {}
                Some(record) if record.state == EffectState::Intent => {
                    let detail = "WITHDRAWN".to_owned();
                    batch.effects.push(EffectRecord { state: EffectState::Failed, detail, ..record });
                    return Ok(batch);
                }
                _ => return Ok(batch),
            }
        }
        let kind = match effect {
            Effect::Plan { source } => planning::run(&self.world, &incident, id, source, &mut batch).await,
            Effect::Verify { subject } => verify::run(&self.world, &incident, id, *subject).await,
            Effect::Apply { step } => change::apply(&self.world, &incident, id, *step, &mut batch).await?,
            Effect::Revert { step, applied } => {
                change::revert(&self.world, &incident, id, *step, applied, &mut batch).await?
            }
            Effect::Gather { .. } | Effect::Diagnose { .. } | Effect::Notify { .. } => return Ok(batch),
        };
        batch.letters.push(result(envelope, kind, self.world.now()));
        Ok(batch)
    }
}
