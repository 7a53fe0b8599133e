//! People's words, and time running out.

use super::draft::Draft;
use super::{Step, execute, wrong_phase};
use crate::approval::Approval;
use crate::effect::TimerKind;
use crate::event::EventKind;
use crate::{EscalationReason, Event, Incident, Phase, Policy};
use serde_json::json;

pub(super) fn step(incident: &Incident, event: &Event, policy: &Policy) -> Step {
    match &event.kind {
        EventKind::Approved { approval } => approved(incident, event, policy, approval),
        EventKind::Rejected { by, reason } => {
            if !matches!(incident.phase, Phase::AwaitingDecision { .. }) {
                return wrong_phase(incident, event);
            }
            let mut draft = Draft::new(incident, event, policy);
            draft.record(by.as_str(), "rejection", incident.id.to_string(), json!({ "reason": reason }));
            draft.escalate(EscalationReason::Rejected { by: by.to_string(), detail: reason.clone() })
        }
        EventKind::EscalationRequested { by, reason } => {
            if incident.is_terminal() {
                return wrong_phase(incident, event);
            }
            let mut draft = Draft::new(incident, event, policy);
            draft.record(by.as_str(), "escalation", incident.id.to_string(), json!({ "reason": reason }));
            draft.escalate(EscalationReason::Human { by: by.to_string(), detail: reason.clone() })
        }
        EventKind::DeadLettered { detail } => {
            if incident.is_terminal() {
                return Step::Unchanged;
            }
            Draft::new(incident, event, policy)
                .escalate(EscalationReason::DeadLetter { detail: detail.clone() })
        }
        EventKind::TimerFired { kind, due } => match kind {
            TimerKind::ApprovalLifetime => match &incident.phase {
                Phase::AwaitingDecision { proposal }
                    if event.at >= proposal.expires_at && *due >= proposal.expires_at =>
                {
                    let lifetime_ms = proposal.expires_at.since_ms(proposal.proposed_at);
                    Draft::new(incident, event, policy)
                        .escalate(EscalationReason::ApprovalTimeout { lifetime_ms })
                }
                _ => Step::Unchanged,
            },
            TimerKind::PhaseDeadline => deadline(incident, event, policy, *due),
        },
        _ => wrong_phase(incident, event),
    }
}

fn approved(incident: &Incident, event: &Event, policy: &Policy, approval: &Approval) -> Step {
    // A retry of the same approval is not a second one, whatever has happened since.
    let given = match &incident.phase {
        Phase::AwaitingDecision { proposal } => &proposal.approvals,
        phase => match phase.saga() {
            Some(saga) => &saga.proposal.approvals,
            None => return wrong_phase(incident, event),
        },
    };
    if given.iter().any(|known| known.id == approval.id) {
        return Step::Unchanged;
    }
    let Phase::AwaitingDecision { proposal } = &incident.phase else {
        return wrong_phase(incident, event);
    };
    // Judged by the later of the two clocks: one that was set back does not bring an expired proposal to life.
    let approval = Approval { at: approval.at.max(event.at).max(incident.updated_at), ..approval.clone() };
    if let Err(refusal) = proposal.admit(&approval) {
        return Step::Refused(refusal);
    }
    let mut proposal = (**proposal).clone();
    let mut draft = Draft::new(incident, event, policy);
    draft.record(
        approval.principal.as_str(),
        "approval",
        proposal.digest.to_string(),
        json!({ "approval": approval.id }),
    );
    let by = approval.principal.to_string();
    proposal.approvals.push(approval);
    let missing = proposal.missing();
    if missing == 0 {
        return execute::begin(draft, proposal, &format!("approved by {by}"));
    }
    draft.next.phase = Phase::AwaitingDecision { proposal: Box::new(proposal) };
    draft.note(format!("approved by {by}; {missing} more needed"));
    draft.done()
}

fn deadline(incident: &Incident, event: &Event, policy: &Policy, due: crate::TimestampMs) -> Step {
    if incident.is_terminal() || incident.deadline != Some(due) {
        return Step::Unchanged;
    }
    let draft = Draft::new(incident, event, policy);
    let deadline =
        |what: &str, deadline_ms: u64| EscalationReason::Deadline { what: what.to_owned(), deadline_ms };
    match &incident.phase {
        Phase::GatheringInfo { .. } => draft.escalate(deadline("gathering", policy.gather_deadline_ms)),
        Phase::Diagnosing { planning: false, .. } => {
            draft.escalate(deadline("diagnosis", policy.diagnose_deadline_ms))
        }
        Phase::Diagnosing { .. } => draft.escalate(deadline("planning", policy.plan_deadline_ms)),
        // What is under way when its time is up may have happened.
        Phase::Executing { saga, awaiting } => {
            let current = saga.steps.iter().find(|step| {
                matches!(&step.state,
                    crate::saga::StepState::Ordered { effect } | crate::saga::StepState::Undoing { effect, .. }
                        if effect == awaiting)
            });
            let at = current.map(|step| step.at);
            let target =
                at.and_then(|at| saga.proposal.plan.find(at)).map(|(_, step)| step.target.to_string());
            draft.escalate(EscalationReason::UnknownOutcome {
                step: at.map(|at| at.to_string()).unwrap_or_default(),
                target: target.unwrap_or_default(),
                detail: format!("no result within {} s", policy.step_deadline_ms / 1000),
            })
        }
        Phase::Verifying { saga, .. } => {
            draft.escalate(deadline("verification", saga.proposal.plan.verification.deadline_ms))
        }
        _ => Step::Unchanged,
    }
}
