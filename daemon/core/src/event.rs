//! What happened, as an incident hears of it.

use crate::approval::Approval;
use crate::diagnosis::Diagnosis;
use crate::effect::{Subject, TimerKind};
use crate::evidence::{Evidence, Finding, Gap};
use crate::plan::StepRef;
use crate::saga::StepReport;
use crate::tool::ToolCall;
use crate::{ActionPlan, Alert, AlertFingerprint, EffectId, Fault, Principal, TimestampMs};
use serde::{Deserialize, Serialize};

/// `at` is when the shell took the event in; core knows no other time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub at: TimestampMs,
    pub kind: EventKind,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum EventKind {
    /// New episodes of alerts belong to this incident.
    AlertsArrived {
        alerts: Vec<Alert>,
        truncated: u64,
    },
    /// The sender said again what is known.
    AlertsRepeated {
        fingerprints: Vec<AlertFingerprint>,
    },
    AlertsResolved {
        fingerprints: Vec<AlertFingerprint>,
    },
    /// A person asks for a change without waiting for a diagnosis.
    RemedyRequested {
        call: ToolCall,
        by: Principal,
        title: String,
    },

    Gathered {
        effect: EffectId,
        evidence: Vec<Evidence>,
        findings: Vec<Finding>,
        gaps: Vec<Gap>,
    },
    Diagnosed {
        effect: EffectId,
        diagnosis: Box<Diagnosis>,
        evidence: Vec<Evidence>,
    },
    /// `components`/`evidence` of the plan were checked by the host, not claimed by the tool.
    Planned {
        effect: EffectId,
        plan: Box<ActionPlan>,
    },
    /// No plan could be made: no remedy configured, the tool or the dry run failed, the plan was out of bounds.
    PlanFailed {
        effect: EffectId,
        fault: Fault,
    },
    /// Gathering or diagnosing failed as a whole.
    WorkFailed {
        effect: EffectId,
        fault: Fault,
    },

    Approved {
        approval: Approval,
    },
    Rejected {
        by: Principal,
        reason: String,
    },
    EscalationRequested {
        by: Principal,
        reason: String,
    },
    /// A person asks for a fresh look.
    DiagnosisRequested {
        by: Principal,
    },

    StepApplied {
        effect: EffectId,
        step: StepRef,
        report: StepReport,
    },
    /// Certainly did not take effect, or took effect in part that the report's receipts name.
    StepFailed {
        effect: EffectId,
        step: StepRef,
        fault: Fault,
        anything_done: bool,
    },
    StepUnknown {
        effect: EffectId,
        step: StepRef,
        target: String,
        detail: String,
    },
    StepReverted {
        effect: EffectId,
        step: StepRef,
        report: StepReport,
    },
    StepNotUndoable {
        effect: EffectId,
        step: StepRef,
        why: String,
    },
    RevertFailed {
        effect: EffectId,
        step: StepRef,
        fault: Fault,
    },
    Verified {
        effect: EffectId,
        subject: Subject,
        healthy: bool,
        evidence: Vec<Evidence>,
        detail: String,
    },

    TimerFired {
        kind: TimerKind,
        due: TimestampMs,
    },
    /// A message of this incident could not be handled and lies in the dead letters.
    DeadLettered {
        detail: String,
    },
}

impl EventKind {
    pub fn name(&self) -> &'static str {
        match self {
            Self::AlertsArrived { .. } => "alerts_arrived",
            Self::AlertsRepeated { .. } => "alerts_repeated",
            Self::AlertsResolved { .. } => "alerts_resolved",
            Self::RemedyRequested { .. } => "remedy_requested",
            Self::Gathered { .. } => "gathered",
            Self::Diagnosed { .. } => "diagnosed",
            Self::Planned { .. } => "planned",
            Self::PlanFailed { .. } => "plan_failed",
            Self::WorkFailed { .. } => "work_failed",
            Self::Approved { .. } => "approved",
            Self::Rejected { .. } => "rejected",
            Self::EscalationRequested { .. } => "escalation_requested",
            Self::DiagnosisRequested { .. } => "diagnosis_requested",
            Self::StepApplied { .. } => "step_applied",
            Self::StepFailed { .. } => "step_failed",
            Self::StepUnknown { .. } => "step_unknown",
            Self::StepReverted { .. } => "step_reverted",
            Self::StepNotUndoable { .. } => "step_not_undoable",
            Self::RevertFailed { .. } => "revert_failed",
            Self::Verified { .. } => "verified",
            Self::TimerFired { .. } => "timer_fired",
            Self::DeadLettered { .. } => "dead_lettered",
        }
    }

    /// The effect whose result this is. A result of an effect that is not awaited any more is stale.
    pub fn effect(&self) -> Option<&EffectId> {
        match self {
            Self::Gathered { effect, .. }
            | Self::Diagnosed { effect, .. }
            | Self::Planned { effect, .. }
            | Self::PlanFailed { effect, .. }
            | Self::WorkFailed { effect, .. }
            | Self::StepApplied { effect, .. }
            | Self::StepFailed { effect, .. }
            | Self::StepUnknown { effect, .. }
            | Self::StepReverted { effect, .. }
            | Self::StepNotUndoable { effect, .. }
            | Self::RevertFailed { effect, .. }
            | Self::Verified { effect, .. } => Some(effect),
            _ => None,
        }
    }
}
