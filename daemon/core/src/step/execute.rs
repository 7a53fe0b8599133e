//! An approved plan, step by step, forwards and back.

use super::draft::Draft;
use super::{Step, wrong_phase};
use crate::approval::Proposal;
use crate::effect::{NoticeKind, Subject, TimerKind};
use crate::event::EventKind;
use crate::incident::{ExecutedAction, FailedRemedy};
use crate::phase::Resolution;
use crate::plan::StepRef;
use crate::saga::{Direction, Saga, StepReport, StepState};
use crate::{ApprovalId, Effect, EffectId, EscalationReason, Event, Incident, Phase, Policy};
use serde_json::json;

/// Beyond settle time and deadline of a verification, for the asking itself. 60 s: Prometheus may take 30 s per query.
const VERIFY_SLACK_MS: u64 = 60_000;

pub(super) fn begin(mut draft: Draft<'_>, proposal: Proposal, why: &str) -> Step {
    draft.cancel(TimerKind::ApprovalLifetime);
    draft.notify(NoticeKind::Executing, format!("plan {}: {why}", proposal.digest.short()));
    let saga = Saga::new(proposal, draft.at);
    forward(draft, saga, why)
}

pub(super) fn step(incident: &Incident, event: &Event, policy: &Policy) -> Step {
    let mut draft = Draft::new(incident, event, policy);
    let at = draft.at;
    match (&incident.phase, &event.kind) {
        (Phase::Executing { saga, .. }, kind) => {
            let mut saga = (**saga).clone();
            match (kind, saga.direction) {
                (EventKind::StepApplied { effect, step, report }, Direction::Forward) => {
                    note_action(&mut draft, &saga, *step, effect, "applied", "", report);
                    saga.set(
                        *step,
                        StepState::Applied { effect: effect.clone(), at, report: report.clone() },
                    );
                    forward(draft, saga, &format!("step {step} applied"))
                }
                (EventKind::StepFailed { effect, step, fault, anything_done }, Direction::Forward) => {
                    let report = StepReport { started_at: at, finished_at: at, ..StepReport::default() };
                    note_action(&mut draft, &saga, *step, effect, "failed", &fault.to_string(), &report);
                    // A step that failed halfway is undone like one that succeeded.
                    let state = if *anything_done {
                        StepState::Applied { effect: effect.clone(), at, report }
                    } else {
                        StepState::Failed { effect: effect.clone(), at, fault: fault.clone() }
                    };
                    saga.set(*step, state);
                    unwind(draft, saga, format!("step {step} failed: {} ({})", fault, fault.code))
                }
                (EventKind::StepUnknown { effect, step, target, detail }, _) => {
                    let report = StepReport { started_at: at, finished_at: at, ..StepReport::default() };
                    note_action(&mut draft, &saga, *step, effect, "unknown", detail, &report);
                    draft.escalate(EscalationReason::UnknownOutcome {
                        step: step.to_string(),
                        target: target.clone(),
                        detail: detail.clone(),
                    })
                }
                (EventKind::StepReverted { effect, step, report }, Direction::Unwinding) => {
                    note_action(&mut draft, &saga, *step, effect, "undone", "", report);
                    saga.set(*step, StepState::Undone { at, report: report.clone() });
                    unwind_next(draft, saga, &format!("step {step} undone"))
                }
                (EventKind::StepNotUndoable { effect, step, why }, Direction::Unwinding) => {
                    let report = StepReport { started_at: at, finished_at: at, ..StepReport::default() };
                    note_action(&mut draft, &saga, *step, effect, "not_undoable", why, &report);
                    saga.set(*step, StepState::NotUndoable { at, why: why.clone() });
                    unwind_next(draft, saga, &format!("step {step} has nothing to undo: {why}"))
                }
                (EventKind::RevertFailed { effect, step, fault }, Direction::Unwinding) => {
                    let report = StepReport { started_at: at, finished_at: at, ..StepReport::default() };
                    note_action(&mut draft, &saga, *step, effect, "undo_failed", &fault.to_string(), &report);
                    saga.set(*step, StepState::UndoFailed { at, fault: fault.clone() });
                    unwind_next(draft, saga, &format!("undo of step {step} failed: {fault}"))
                }
                _ => wrong_phase(incident, event),
            }
        }
        (
            Phase::Verifying { saga, subject, .. },
            EventKind::Verified { subject: asked, healthy, evidence, detail, .. },
        ) if subject == asked => {
            draft.next.evidence.extend(evidence.iter().cloned());
            draft.record(
                "executor",
                "verification",
                saga.digest().to_string(),
                json!({ "subject": subject, "healthy": healthy, "detail": detail }),
            );
            let saga = (**saga).clone();
            match (subject, healthy) {
                (Subject::Remedy, true) => {
                    draft.resolve(Resolution::Remedied, &format!("verified: {detail}"))
                }
                (Subject::Remedy, false) => unwind(draft, saga, format!("the remedy did not help: {detail}")),
                (Subject::Rollback, true) => {
                    let told = format!("rollback verified: {detail}");
                    draft.note(told.clone());
                    draft.notify(NoticeKind::RolledBack, told);
                    next_round(draft, &saga, true)
                }
                (Subject::Rollback, false) => draft.escalate(EscalationReason::RollbackFailed {
                    detail: format!("what was there before is not back: {detail}"),
                }),
            }
        }
        _ => wrong_phase(incident, event),
    }
}

fn forward(mut draft: Draft<'_>, mut saga: Saga, why: &str) -> Step {
    if let Some(step) = saga.next_forward() {
        let effect = draft.order(Effect::Apply { step });
        saga.set(step, StepState::Ordered { effect: effect.clone() });
        draft.enter(Phase::Executing { saga: Box::new(saga), awaiting: effect }, why);
        draft.deadline_in(draft.policy.step_deadline_ms);
        return draft.done();
    }
    verify(draft, saga, Subject::Remedy, why)
}

fn verify(mut draft: Draft<'_>, saga: Saga, subject: Subject, why: &str) -> Step {
    let asked = &saga.proposal.plan.verification;
    let within = asked.settle_ms.saturating_add(asked.deadline_ms).saturating_add(VERIFY_SLACK_MS);
    let awaiting = draft.order(Effect::Verify { subject });
    draft.enter(Phase::Verifying { saga: Box::new(saga), subject, awaiting }, why);
    draft.deadline_in(within);
    draft.done()
}

fn unwind(draft: Draft<'_>, mut saga: Saga, reason: String) -> Step {
    saga.direction = Direction::Unwinding;
    saga.unwind_reason = Some(reason.clone());
    unwind_next(draft, saga, &reason)
}

fn unwind_next(mut draft: Draft<'_>, mut saga: Saga, why: &str) -> Step {
    if let Some((step, applied)) = saga.next_unwind() {
        let effect = draft.order(Effect::Revert { step, applied: applied.clone() });
        saga.set(step, StepState::Undoing { applied, effect: effect.clone() });
        draft.enter(Phase::Executing { saga: Box::new(saga), awaiting: effect }, why);
        draft.deadline_in(draft.policy.step_deadline_ms);
        return draft.done();
    }
    if saga.undo_failed() {
        let detail = saga.left_behind().join("; ");
        return draft.escalate(EscalationReason::RollbackFailed { detail });
    }
    if saga.steps.iter().any(|step| matches!(step.state, StepState::Undone { .. })) {
        return verify(draft, saga, Subject::Rollback, why);
    }
    // Nothing was put back because nothing could be or nothing had been done: there is no rollback to verify.
    next_round(draft, &saga, false)
}

fn next_round(mut draft: Draft<'_>, saga: &Saga, rolled_back: bool) -> Step {
    let why = saga.unwind_reason.clone().unwrap_or_default();
    let plan = &saga.proposal.plan;
    let hypothesis = plan.hypothesis.as_ref().and_then(|id| {
        draft.next.diagnoses.iter().flat_map(|diagnosis| &diagnosis.hypotheses).find(|h| h.id == *id)
    });
    let failed = FailedRemedy {
        iteration: plan.iteration,
        hypothesis: plan.hypothesis.clone(),
        component: hypothesis.map(|h| h.component.clone()),
        category: hypothesis.map(|h| h.category.clone()),
        plan: saga.digest().clone(),
        tried: saga.steps.iter().any(|step| {
            !matches!(step.state, StepState::Pending | StepState::Ordered { .. } | StepState::Failed { .. })
        }),
        rolled_back,
        why: why.clone(),
    };
    draft.next.failed_remedies.push(failed);
    let left = saga.left_behind();
    let left = if left.is_empty() { String::new() } else { format!(" ({})", left.join("; ")) };
    if draft.next.firing().next().is_none() {
        return draft.escalate(EscalationReason::RemedyFailed { detail: format!("{why}{left}") });
    }
    if draft.next.iteration >= draft.policy.iterations_max {
        let rounds = draft.next.iteration;
        return draft.escalate(EscalationReason::IterationLimit { rounds });
    }
    draft.gather(0, &format!("{why}{left}; looking again"));
    draft.done()
}

fn note_action(
    draft: &mut Draft<'_>,
    saga: &Saga,
    step: StepRef,
    effect: &EffectId,
    outcome: &str,
    detail: &str,
    report: &StepReport,
) {
    let Some((item, planned)) = saga.proposal.plan.find(step) else { return };
    let mut approvals: Vec<_> = saga.proposal.approvals.iter().map(|approval| approval.id.clone()).collect();
    if approvals.is_empty() {
        approvals.push(ApprovalId::new(format!("auto-{}", saga.digest().short())));
    }
    let action = ExecutedAction {
        effect: effect.clone(),
        step,
        reverting: saga.direction == Direction::Unwinding,
        tool: item.tool.clone(),
        args_json: item.args_json.clone(),
        target: planned.target.to_string(),
        plan: saga.digest().clone(),
        approvals,
        outcome: outcome.to_owned(),
        detail: detail.to_owned(),
        idempotency_keys: report.idempotency_keys.clone(),
        receipts: report.receipts.clone(),
        started_at: report.started_at,
        finished_at: report.finished_at,
    };
    draft.record(
        "executor",
        "outcome",
        effect.to_string(),
        json!({ "outcome": outcome, "detail": detail, "target": action.target, "tool": action.tool }),
    );
    draft.next.executed.push(action);
}

/// A result nobody waits for any more. What a deed came to is still written down: the human who took over needs it.
pub(super) fn late_result(incident: &Incident, event: &Event) -> Step {
    let told = match &event.kind {
        EventKind::StepApplied { effect, step, .. } => {
            Some((effect, format!("step {step} was applied after all")))
        }
        EventKind::StepFailed { effect, step, fault, .. } => {
            Some((effect, format!("step {step} had failed: {fault}")))
        }
        EventKind::StepReverted { effect, step, .. } => {
            Some((effect, format!("step {step} was undone after all")))
        }
        EventKind::StepUnknown { effect, step, detail, .. } => {
            Some((effect, format!("step {step} stays unknown: {detail}")))
        }
        EventKind::RevertFailed { effect, step, fault } => {
            Some((effect, format!("undo of step {step} had failed: {fault}")))
        }
        _ => None,
    };
    let Some((effect, told)) = told else { return Step::Unchanged };
    let known = incident.executed.iter().any(|action| action.effect == *effect)
        || incident.history.iter().any(|line| line.why.starts_with(&late_prefix(effect)));
    if known || !matches!(incident.phase, Phase::Escalated { .. }) || effect.incident != incident.id {
        return Step::Unchanged;
    }
    let policy = Policy::default();
    let mut draft = Draft::new(incident, event, &policy);
    draft.record("executor", "late_outcome", effect.to_string(), json!({ "told": told }));
    draft.note(format!("{}{told}", late_prefix(effect)));
    draft.done()
}

fn late_prefix(effect: &EffectId) -> String {
    format!("late result of {}/{}: ", effect.revision, effect.index)
}
