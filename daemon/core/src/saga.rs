//! The state of a plan being carried out: which steps are done, which are undone, what comes next.

use crate::approval::Proposal;
use crate::plan::StepRef;
use crate::{Digest, EffectId, Fault, TimestampMs};
use serde::{Deserialize, Serialize};

/// What one step came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum StepState {
    Pending,
    /// The order is out; the effect's own record tells whether it has started.
    Ordered {
        effect: EffectId,
    },
    Applied {
        effect: EffectId,
        at: TimestampMs,
        report: StepReport,
    },
    Failed {
        effect: EffectId,
        at: TimestampMs,
        fault: Fault,
    },
    Unknown {
        effect: EffectId,
        at: TimestampMs,
        detail: String,
    },
    Undoing {
        applied: EffectId,
        effect: EffectId,
    },
    Undone {
        at: TimestampMs,
        report: StepReport,
    },
    /// Succeeded and cannot be put back; said so, not hidden.
    NotUndoable {
        at: TimestampMs,
        why: String,
    },
    UndoFailed {
        at: TimestampMs,
        fault: Fault,
    },
}

/// What the host saw a step do, readable by machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReport {
    pub started_at: TimestampMs,
    pub finished_at: TimestampMs,
    /// Idempotency keys of the mutating calls, in order.
    pub idempotency_keys: Vec<String>,
    /// The host's receipts, as JSON text.
    pub receipts: Vec<String>,
    /// The tool's words; untrusted.
    pub notes: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Forward,
    Unwinding,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SagaStep {
    pub at: StepRef,
    pub state: StepState,
}

/// A proposal under way. Consent travels with it, so that each step can be proven anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saga {
    pub proposal: Proposal,
    pub direction: Direction,
    /// Why it is unwound.
    pub unwind_reason: Option<String>,
    pub steps: Vec<SagaStep>,
    pub started_at: TimestampMs,
}

impl Saga {
    pub fn new(proposal: Proposal, started_at: TimestampMs) -> Self {
        let steps =
            proposal.plan.steps().map(|(at, ..)| SagaStep { at, state: StepState::Pending }).collect();
        Self { proposal, direction: Direction::Forward, unwind_reason: None, steps, started_at }
    }

    pub fn digest(&self) -> &Digest {
        &self.proposal.digest
    }

    pub fn state(&self, at: StepRef) -> Option<&StepState> {
        self.steps.iter().find(|step| step.at == at).map(|step| &step.state)
    }

    pub fn set(&mut self, at: StepRef, state: StepState) {
        if let Some(step) = self.steps.iter_mut().find(|step| step.at == at) {
            step.state = state;
        }
    }

    /// The first step not begun, in plan order.
    pub fn next_forward(&self) -> Option<StepRef> {
        self.steps.iter().find(|step| matches!(step.state, StepState::Pending)).map(|step| step.at)
    }

    /// The last step that was applied and is not yet put back.
    pub fn next_unwind(&self) -> Option<(StepRef, EffectId)> {
        self.steps.iter().rev().find_map(|step| match &step.state {
            StepState::Applied { effect, .. } => Some((step.at, effect.clone())),
            _ => None,
        })
    }

    /// Steps whose undo failed or is impossible, in words; empty when everything was put back.
    pub fn left_behind(&self) -> Vec<String> {
        self.steps
            .iter()
            .filter_map(|step| match &step.state {
                StepState::NotUndoable { why, .. } => {
                    Some(format!("step {} cannot be undone: {why}", step.at))
                }
                StepState::UndoFailed { fault, .. } => {
                    Some(format!("undo of step {} failed: {fault}", step.at))
                }
                StepState::Applied { .. } => Some(format!("step {} is still applied", step.at)),
                StepState::Unknown { detail, .. } => Some(format!("step {} is unknown: {detail}", step.at)),
                _ => None,
            })
            .collect()
    }

    pub fn undo_failed(&self) -> bool {
        self.steps
            .iter()
            .any(|step| matches!(step.state, StepState::UndoFailed { .. } | StepState::Unknown { .. }))
    }
}
