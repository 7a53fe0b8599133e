//! One step of an approved plan, forwards or back.
//!
//! Order of things: prove the consent, compare the world with the snapshot, commit `Started`, act, commit what came of it.
//! After a crash the effect's record says how far it came; what may have happened is asked about, never done again.

use super::effect_journal::EffectJournal;
use super::planning::{issue, refused, snapshot_key};
use crate::shell::WorkError;
use crate::world::World;
use medic_core::approval::ApprovedPlan;
use medic_core::call::CallRecord;
use medic_core::event::EventKind;
use medic_core::outcome::FaultKind;
use medic_core::permit::Ground;
use medic_core::plan::{ActionItem, StepRef};
use medic_core::saga::{Saga, StepReport};
use medic_core::tool::{ToolCall, ToolDescriptor};
use medic_core::{EffectId, Fault, Incident};
use medic_ports::Batch;
use medic_ports::journal::{EffectState, Table};
use medic_ports::tools::{RevertOutcome, Snapshot, StepOutcome, ToolPlan};
use std::sync::Arc;

pub(super) async fn apply(
    world: &Arc<World>,
    incident: &Incident,
    effect: &EffectId,
    step: StepRef,
    batch: &mut Batch,
) -> Result<EventKind, WorkError> {
    let journal = Arc::new(EffectJournal::open(world, effect)?);
    if let Some(unknown) = left_unknown(&journal, effect, step) {
        return Ok(unknown);
    }
    let Some(saga) = incident.phase.saga() else {
        return Ok(orphaned(&journal, effect, step, batch));
    };
    let failed = |fault: Fault, anything_done: bool| EventKind::StepFailed {
        effect: effect.clone(),
        step,
        fault,
        anything_done,
    };
    let ready = match Ready::prove(world, incident, saga, step, &journal) {
        Ok(ready) => ready,
        Err(fault) => {
            // Consent ran out between two lives of the daemon: what the first one did decides.
            let anything_done = journal.record().calls.iter().any(has_happened);
            if journal.record().calls.iter().any(|call| call.receipt.is_none()) {
                return Ok(orphaned(&journal, effect, step, batch));
            }
            batch.effects.push(journal.ended(EffectState::Failed, &fault.code));
            return Ok(failed(fault, anything_done));
        }
    };
    let ground = Ground::Apply { plan: &ready.approved, step, effect: effect.clone() };
    let permit = match issue(world, incident, &ready.tool, &ready.call, ground) {
        Ok(permit) => permit,
        Err(fault) => {
            batch.effects.push(journal.ended(EffectState::Failed, &fault.code));
            return Ok(failed(fault, false));
        }
    };
    let first_of_item =
        saga.steps.iter().find(|known| known.at.item == step.item).is_some_and(|s| s.at == step);
    if first_of_item
        && journal.record().state == EffectState::Intent
        && let Err(fault) = ready.unchanged(world, incident).await
    {
        batch.effects.push(journal.ended(EffectState::Failed, &fault.code));
        return Ok(failed(fault, false));
    }
    // Committed before the call: after a crash we must know that we may have acted.
    journal.start(incident, ready.approved.digest().as_str()).await?;
    let outcome = world.ports.tools.apply(&permit, &ready.plan, journal.clone()).await;
    let (state, detail, event) = match outcome {
        StepOutcome::Applied(report) => (
            EffectState::Done,
            String::new(),
            EventKind::StepApplied { effect: effect.clone(), step, report },
        ),
        StepOutcome::Failed { fault, anything_done } => {
            (EffectState::Failed, fault.code.clone(), failed(fault, anything_done))
        }
        StepOutcome::Unknown { target, detail } => {
            let event =
                EventKind::StepUnknown { effect: effect.clone(), step, target, detail: detail.clone() };
            (EffectState::Unknown, detail, event)
        }
    };
    batch.effects.push(journal.ended(state, &detail));
    Ok(event)
}

pub(super) async fn revert(
    world: &Arc<World>,
    incident: &Incident,
    effect: &EffectId,
    step: StepRef,
    applied: &EffectId,
    batch: &mut Batch,
) -> Result<EventKind, WorkError> {
    let journal = Arc::new(EffectJournal::open(world, effect)?);
    if let Some(unknown) = left_unknown(&journal, effect, step) {
        return Ok(unknown);
    }
    let Some(saga) = incident.phase.saga() else {
        return Ok(orphaned(&journal, effect, step, batch));
    };
    let failed = |fault: Fault| EventKind::RevertFailed { effect: effect.clone(), step, fault };
    let ready = match Ready::prove(world, incident, saga, step, &journal) {
        Ok(ready) => ready,
        Err(fault) => return Ok(failed(fault)),
    };
    let ground = Ground::Revert { plan: &ready.approved, step, effect: effect.clone() };
    let permit = match issue(world, incident, &ready.tool, &ready.call, ground) {
        Ok(permit) => permit,
        Err(fault) => return Ok(failed(fault)),
    };
    let done = world.ports.journal.effect(applied)?.map(|record| record.calls).unwrap_or_default();
    let saved = ready.snapshot(world, incident)?;
    journal.start(incident, ready.approved.digest().as_str()).await?;
    let outcome = world.ports.tools.revert(&permit, &ready.plan, &saved, &done, journal.clone()).await;
    let (state, detail, event) = match outcome {
        RevertOutcome::Reverted(report) => (
            EffectState::Done,
            String::new(),
            EventKind::StepReverted { effect: effect.clone(), step, report },
        ),
        RevertOutcome::NothingToRevert { why } => {
            let event = EventKind::StepNotUndoable { effect: effect.clone(), step, why: why.clone() };
            (EffectState::Done, why, event)
        }
        RevertOutcome::Failed(fault) => (EffectState::Failed, fault.code.clone(), failed(fault)),
        RevertOutcome::Unknown { target, detail } => {
            let event =
                EventKind::StepUnknown { effect: effect.clone(), step, target, detail: detail.clone() };
            (EffectState::Unknown, detail, event)
        }
    };
    batch.effects.push(journal.ended(state, &detail));
    Ok(event)
}

/// The store was restored from a backup, or the letter was given up once: what this effect did nobody here can tell, and it
/// is not begun again.
fn left_unknown(journal: &EffectJournal, effect: &EffectId, step: StepRef) -> Option<EventKind> {
    let record = journal.record();
    (record.state == EffectState::Unknown).then(|| EventKind::StepUnknown {
        effect: effect.clone(),
        step,
        target: record.calls.last().map(|call| call.intent.target.to_string()).unwrap_or_default(),
        detail: record.detail,
    })
}

/// Whether a call was answered with anything but a refusal; a refused one leaves no snapshot to go back to.
fn has_happened(call: &CallRecord) -> bool {
    call.receipt.as_ref().is_some_and(|receipt| receipt.snapshot_id.is_some())
}

/// The incident was taken over while this effect was under way, and then the daemon died. Nothing is called any more; what
/// the record shows is told.
fn orphaned(journal: &EffectJournal, effect: &EffectId, step: StepRef, batch: &mut Batch) -> EventKind {
    let record = journal.record();
    let open = record.calls.iter().find(|call| call.receipt.is_none());
    match open {
        Some(call) => {
            let detail = "the daemon stopped between this call and its receipt".to_owned();
            batch.effects.push(journal.ended(EffectState::Unknown, &detail));
            EventKind::StepUnknown {
                effect: effect.clone(),
                step,
                target: call.intent.target.to_string(),
                detail,
            }
        }
        None if !record.calls.iter().any(has_happened) => {
            let fault = Fault::new(FaultKind::Denied, "WITHDRAWN", "withdrawn before anything was done");
            batch.effects.push(journal.ended(EffectState::Failed, &fault.code));
            EventKind::StepFailed { effect: effect.clone(), step, fault, anything_done: false }
        }
        None => {
            batch.effects.push(journal.ended(EffectState::Done, "from receipts"));
            let report = report_of(&record.calls, record.at);
            EventKind::StepApplied { effect: effect.clone(), step, report }
        }
    }
}

fn report_of(calls: &[CallRecord], started_at: medic_core::TimestampMs) -> StepReport {
    StepReport {
        started_at,
        finished_at: calls
            .iter()
            .filter_map(|c| c.receipt.as_ref())
            .map(|r| r.at)
            .max()
            .unwrap_or(started_at),
        idempotency_keys: calls.iter().map(|call| call.intent.idempotency_key.clone()).collect(),
        receipts: calls.iter().filter_map(|c| c.receipt.as_ref()).map(|r| r.detail_json.clone()).collect(),
        notes: String::new(),
    }
}

/// Everything a step needs, proven.
pub(super) struct Ready {
    pub approved: ApprovedPlan,
    pub tool: ToolDescriptor,
    pub call: ToolCall,
    pub plan: ToolPlan,
    item: ActionItem,
}

impl Ready {
    fn prove(
        world: &World,
        incident: &Incident,
        saga: &Saga,
        step: StepRef,
        journal: &EffectJournal,
    ) -> Result<Self, Fault> {
        let record = journal.record();
        // A step that began in time is finished on the consent it began with; so is the undo of a step that was done.
        let began = record.state == EffectState::Started;
        let undoing = saga.direction == medic_core::saga::Direction::Unwinding;
        let at = if began {
            record.at
        } else if undoing {
            saga.started_at
        } else {
            world.now()
        };
        let approved = ApprovedPlan::prove(&incident.id, &saga.proposal, &world.policy, at)
            .map_err(|refusal| refused(&refusal))?;
        Self::of_item(world, approved, step)
    }

    pub(super) fn of_item(world: &World, approved: ApprovedPlan, step: StepRef) -> Result<Self, Fault> {
        let item = approved.plan().find(step).map(|(item, _)| item.clone()).ok_or_else(|| {
            Fault::new(FaultKind::Internal, "STEP_NOT_IN_PLAN", format!("the plan holds no step {step}"))
        })?;
        let tool = world.ports.tools.describe(&item.tool).ok_or_else(|| {
            Fault::new(
                FaultKind::Denied,
                "TOOL_NOT_LOADED",
                format!("the tool {} is not loaded any more", item.tool),
            )
        })?;
        let call = ToolCall { tool: item.tool.clone(), args_json: item.args_json.clone() };
        let plan = ToolPlan {
            rationale: item.rationale.clone(),
            steps: item.steps.clone(),
            checks: item.tool_checks.clone(),
            component_digest: item.component_digest.clone(),
            grant_digest: item.grant_digest.clone(),
        };
        Ok(Self { approved, tool, call, plan, item })
    }

    /// Reads again what was read when the plan was made; a difference is drift, and drift fails closed.
    pub(super) async fn unchanged(&self, world: &World, incident: &Incident) -> Result<(), Fault> {
        let permit = issue(world, incident, &self.tool, &self.call, Ground::Prepare)?;
        let now = world.ports.tools.capture(&permit, &self.plan).await?.digest();
        if now != self.item.snapshot_digest {
            let text = format!(
                "what {} would change is not as it was when the plan was made (snapshot {}, now {})",
                self.item.tool,
                self.item.snapshot_digest.short(),
                now.short()
            );
            return Err(Fault::new(FaultKind::Drift, "DRIFT", text));
        }
        Ok(())
    }

    fn snapshot(&self, world: &World, incident: &Incident) -> Result<Snapshot, WorkError> {
        let key = snapshot_key(&incident.id, &self.item.snapshot_digest);
        let Some(bytes) = world.ports.journal.document(Table::Snapshot, &key)? else {
            return Err(WorkError::Failed(format!("the snapshot {key} is gone")));
        };
        serde_json::from_slice(&bytes)
            .map_err(|error| WorkError::Failed(format!("cannot read snapshot {key}: {error}")))
    }
}
