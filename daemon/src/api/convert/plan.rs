//! What is proposed, and how far it has got.

use medic_core::approval::{Approval, Proposal, Requirement};
use medic_core::call::Target;
use medic_core::effect::Subject;
use medic_core::plan::{ActionItem, ActionPlan, PlannedStep, StepRef};
use medic_core::saga::{Direction, Saga, SagaStep, StepState};
use medic_core::{Phase, TimestampMs};
use medic_proto::v1;

pub fn proposal(proposal: &Proposal) -> v1::Proposal {
    v1::Proposal {
        plan_digest: proposal.digest.to_string(),
        requirement: match proposal.requirement {
            Requirement::Auto => "auto",
            Requirement::OneApprover => "one_approver",
            Requirement::TwoApprovers => "two_approvers",
            Requirement::Forbidden => "forbidden",
        }
        .to_owned(),
        because: proposal.because.clone(),
        requester: proposal.requester.as_ref().map(ToString::to_string),
        approvals: proposal.approvals.iter().map(approval).collect(),
        approvals_missing: proposal.missing(),
        proposed_at_ms: proposal.proposed_at.0,
        expires_at_ms: proposal.expires_at.0,
        plan: Some(plan(&proposal.plan)),
    }
}

fn approval(approval: &Approval) -> v1::Approval {
    v1::Approval {
        id: approval.id.to_string(),
        principal: approval.principal.to_string(),
        plan_digest: approval.plan.to_string(),
        at_ms: approval.at.0,
    }
}

fn plan(plan: &ActionPlan) -> v1::Plan {
    let radius = &plan.blast_radius;
    let checks = &plan.verification;
    v1::Plan {
        iteration: plan.iteration,
        hypothesis_id: plan.hypothesis.as_ref().map(ToString::to_string),
        evidence_ids: plan.evidence.iter().map(ToString::to_string).collect(),
        category: plan.category().to_string(),
        items: plan.items.iter().zip(0u32..).map(|(item, index)| self::item(item, index)).collect(),
        blast_radius: Some(v1::BlastRadius {
            components: radius.components.iter().map(ToString::to_string).collect(),
            dependents: radius.dependents.iter().map(ToString::to_string).collect(),
            targets: radius.targets.iter().map(target).collect(),
            operations: radius.operations,
            irreversible: radius.irreversible,
            pods: radius.pods,
        }),
        verification: Some(v1::Verification {
            must_be_silent: checks.must_be_silent.clone(),
            must_be_true: checks.must_be_true.clone(),
            settle_ms: checks.settle_ms,
            hold_ms: checks.hold_ms,
            deadline_ms: checks.deadline_ms,
        }),
    }
}

fn item(item: &ActionItem, index: u32) -> v1::PlanItem {
    v1::PlanItem {
        tool: item.tool.to_string(),
        category: item.category.to_string(),
        args_json: item.args_json.clone(),
        rationale: item.rationale.clone(),
        steps: item.steps.iter().map(|step| self::step(step, index)).collect(),
        component_digest: item.component_digest.to_string(),
        grant_digest: item.grant_digest.to_string(),
        snapshot_digest: item.snapshot_digest.to_string(),
        tool_checks: item.tool_checks.clone(),
    }
}

fn step(step: &PlannedStep, item: u32) -> v1::PlanStep {
    v1::PlanStep {
        r#ref: StepRef { item, step: step.id }.to_string(),
        operation: step.operation.clone(),
        target: Some(target(&step.target)),
        params_json: step.params_json.clone(),
        summary: step.summary.clone(),
    }
}

fn target(target: &Target) -> v1::Target {
    v1::Target {
        cluster: target.cluster.clone(),
        api_version: target.api_version.clone(),
        kind: target.kind.clone(),
        namespace: target.namespace.clone(),
        name: target.name.clone(),
    }
}

pub fn execution(saga: &Saga, phase: &Phase) -> v1::Execution {
    v1::Execution {
        direction: match saga.direction {
            Direction::Forward => "forward",
            Direction::Unwinding => "unwinding",
        }
        .to_owned(),
        unwind_reason: saga.unwind_reason.clone(),
        verifying: match phase {
            Phase::Verifying { subject: Subject::Remedy, .. } => Some("remedy".to_owned()),
            Phase::Verifying { subject: Subject::Rollback, .. } => Some("rollback".to_owned()),
            _ => None,
        },
        started_at_ms: saga.started_at.0,
        steps: saga.steps.iter().map(step_status).collect(),
    }
}

fn step_status(step: &SagaStep) -> v1::StepStatus {
    let (state, at, detail): (_, Option<TimestampMs>, String) = match &step.state {
        StepState::Pending => ("pending", None, String::new()),
        StepState::Ordered { effect } => ("ordered", None, effect.to_string()),
        StepState::Applied { at, report, .. } => ("applied", Some(*at), report.notes.clone()),
        StepState::Failed { at, fault, .. } => ("failed", Some(*at), format!("{}: {fault}", fault.code)),
        StepState::Unknown { at, detail, .. } => ("unknown", Some(*at), detail.clone()),
        StepState::Undoing { effect, .. } => ("undoing", None, effect.to_string()),
        StepState::Undone { at, report } => ("undone", Some(*at), report.notes.clone()),
        StepState::NotUndoable { at, why } => ("not_undoable", Some(*at), why.clone()),
        StepState::UndoFailed { at, fault } => ("undo_failed", Some(*at), format!("{}: {fault}", fault.code)),
    };
    v1::StepStatus { r#ref: step.at.to_string(), state: state.to_owned(), at_ms: at.map(|at| at.0), detail }
}
