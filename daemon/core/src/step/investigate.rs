//! From facts to a cause, and from a cause to a plan.

use super::draft::Draft;
use super::{Step, execute, wrong_phase};
use crate::approval::{Proposal, Requirement};
use crate::diagnosis::{Diagnosis, Hypothesis, Verdict};
use crate::effect::{NoticeKind, PlanSource, TimerKind};
use crate::event::EventKind;
use crate::evidence::Evidence;
use crate::plan::ActionPlan;
use crate::{Effect, EscalationReason, Event, Incident, Phase, Policy};
use serde_json::json;

pub(super) fn step(incident: &Incident, event: &Event, policy: &Policy) -> Step {
    let mut draft = Draft::new(incident, event, policy);
    match (&incident.phase, &event.kind) {
        (Phase::GatheringInfo { .. }, EventKind::Gathered { evidence, findings, gaps, .. }) => {
            draft.next.findings = findings.clone();
            draft.next.gaps = gaps.clone();
            draft.next.iteration += 1;
            let iteration = draft.next.iteration;
            // An earlier look of the same round is replaced by this one.
            draft.next.evidence.retain(|known| !known.id.is_of_round(iteration));
            keep_evidence(&mut draft, evidence);
            let awaiting = draft.order(Effect::Diagnose { iteration });
            draft.enter(
                Phase::Diagnosing { iteration, planning: false, awaiting, requested_by: None },
                format!("{} finding(s), {} gap(s)", findings.len(), gaps.len()),
            );
            draft.deadline_in(policy.diagnose_deadline_ms);
            draft.done()
        }
        (
            Phase::Diagnosing { iteration, planning: false, .. },
            EventKind::Diagnosed { diagnosis, evidence, .. },
        ) => {
            keep_evidence(&mut draft, evidence);
            draft.next.diagnoses.retain(|known| known.iteration != *iteration);
            draft.next.diagnoses.push((**diagnosis).clone());
            draft.record(
                "diagnoser",
                "diagnosis",
                format!("round {iteration}"),
                json!({ "verdict": diagnosis.verdict, "digest": crate::Digest::of(diagnosis) }),
            );
            let best = match conclusion(diagnosis, policy) {
                Ok(best) => best,
                Err(detail) if draft.at.since_ms(incident.opened_at) < policy.patience_ms => {
                    // The same round again: what is known so far stays readable until the next look replaces it.
                    draft.next.iteration -= 1;
                    draft.gather(policy.look_again_ms, &format!("not known yet, looking again: {detail}"));
                    return draft.done();
                }
                Err(detail) => return draft.escalate(EscalationReason::LowConfidence { detail }),
            };
            let awaiting = draft.order(Effect::Plan { source: PlanSource::Diagnosis });
            draft.enter(
                Phase::Diagnosing { iteration: *iteration, planning: true, awaiting, requested_by: None },
                format!("{} (confidence {})", best.statement, best.confidence),
            );
            draft.deadline_in(policy.plan_deadline_ms);
            draft.done()
        }
        (Phase::Diagnosing { planning: true, requested_by, .. }, EventKind::Planned { plan, .. }) => {
            propose(draft, plan, requested_by.clone())
        }
        (Phase::Diagnosing { planning: true, .. }, EventKind::PlanFailed { fault, .. }) => {
            draft.escalate(EscalationReason::NoRemedy { detail: format!("{}: {fault}", fault.code) })
        }
        (Phase::GatheringInfo { .. } | Phase::Diagnosing { .. }, EventKind::WorkFailed { fault, .. }) => {
            draft
                .escalate(EscalationReason::Fault { code: fault.code.clone(), detail: fault.message.clone() })
        }
        (Phase::GatheringInfo { .. } | Phase::Diagnosing { .. }, EventKind::DiagnosisRequested { .. }) => {
            Step::Unchanged
        }
        (Phase::AwaitingDecision { .. }, EventKind::DiagnosisRequested { by }) => {
            if incident.iteration >= policy.iterations_max {
                return draft.escalate(EscalationReason::IterationLimit { rounds: incident.iteration });
            }
            draft.cancel(TimerKind::ApprovalLifetime);
            draft.gather(0, &format!("{by} asked for a fresh look; the proposal is withdrawn"));
            draft.done()
        }
        (
            Phase::AlertReceived | Phase::GatheringInfo { .. } | Phase::Diagnosing { .. },
            EventKind::RemedyRequested { call, by, title },
        ) => {
            if matches!(incident.phase, Phase::AlertReceived) {
                draft.next.title = title.clone();
                draft.next.requested_by = Some(by.clone());
            }
            draft.record(by.as_str(), "request", call.tool.to_string(), json!({ "args": call.args_json }));
            let iteration = incident.iteration;
            let awaiting = draft.order(Effect::Plan { source: PlanSource::Request(call.clone()) });
            draft.enter(
                Phase::Diagnosing { iteration, planning: true, awaiting, requested_by: Some(by.clone()) },
                format!("{by} asked for {}", call.tool),
            );
            draft.deadline_in(policy.plan_deadline_ms);
            draft.done()
        }
        _ => wrong_phase(incident, event),
    }
}

/// The hypothesis to act on, or why there is none.
fn conclusion<'a>(diagnosis: &'a Diagnosis, policy: &Policy) -> Result<&'a Hypothesis, String> {
    let best = diagnosis.concluded().ok_or_else(|| match &diagnosis.verdict {
        Verdict::Abstained { reason } => reason.clone(),
        Verdict::Concluded { hypothesis } => {
            format!("the diagnosis concludes {hypothesis}, which it does not contain")
        }
    })?;
    if best.confidence < policy.confidence_min {
        let minimum = policy.confidence_min;
        return Err(format!(
            "{} with confidence {}, the minimum is {minimum}",
            best.statement, best.confidence
        ));
    }
    Ok(best)
}

fn keep_evidence(draft: &mut Draft<'_>, evidence: &[Evidence]) {
    let bytes_max = draft.policy.evidence_bytes_max as usize;
    for piece in evidence {
        if draft.next.evidence.len() >= draft.policy.evidence_max as usize {
            break;
        }
        let mut piece = piece.clone();
        if piece.excerpt.len() > bytes_max {
            let cut = (0..=bytes_max).rev().find(|at| piece.excerpt.is_char_boundary(*at)).unwrap_or(0);
            piece.excerpt.truncate(cut);
        }
        draft.next.evidence.push(piece);
    }
}

fn propose(mut draft: Draft<'_>, plan: &ActionPlan, requester: Option<crate::Principal>) -> Step {
    let (requirement, because) = draft.policy.judge(plan);
    let digest = plan.digest(&draft.next.id);
    draft.record(
        "executor",
        "proposal",
        digest.to_string(),
        json!({ "requirement": requirement, "because": because, "requester": requester }),
    );
    if requirement == Requirement::Forbidden {
        return draft.escalate(EscalationReason::ForbiddenByPolicy { detail: because.join("; ") });
    }
    let proposal = Proposal {
        plan: plan.clone(),
        digest: digest.clone(),
        requirement,
        because,
        requester,
        approvals: Vec::new(),
        proposed_at: draft.at,
        expires_at: draft.at.after_ms(draft.policy.approval_lifetime_ms),
    };
    if proposal.missing() == 0 {
        draft.record(
            crate::Principal::auto_approve().as_str(),
            "approval",
            digest.to_string(),
            json!({ "rule": "auto_approve", "because": proposal.because }),
        );
        return execute::begin(draft, proposal, "the auto-approve rule covers the plan");
    }
    let tools: Vec<_> = plan.items.iter().map(|item| item.tool.as_str()).collect();
    let text =
        format!("{} needs {} approval(s), plan {}", tools.join(", "), proposal.missing(), digest.short());
    draft.cancel(TimerKind::PhaseDeadline);
    draft.approval_timer(proposal.expires_at);
    draft.enter(Phase::AwaitingDecision { proposal: Box::new(proposal) }, text.clone());
    draft.notify(NoticeKind::DecisionNeeded, text);
    draft.done()
}
