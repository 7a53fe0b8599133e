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
use medic_ports::journal::{Batch, Slot};
use std::sync::Arc;

/// Incidents worked on side by side. 64: most of them wait for a verification; how many change systems at once is limited by
/// the tool host.
const CONCURRENCY: usize = 64;

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
            if !effect.changes_systems() || !self.has_begun(id)? {
                return Ok(batch);
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

    fn has_begun(&self, id: &EffectId) -> Result<bool, WorkError> {
        let record = self.world.ports.journal.effect(id)?;
        Ok(record.is_some_and(|record| record.state == medic_ports::journal::EffectState::Started))
    }
}
