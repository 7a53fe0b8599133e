//! What the shell must now do. An effect is committed as an order in its actor's mailbox before anything happens.

use crate::plan::StepRef;
use crate::tool::ToolCall;
use crate::{IncidentId, TimestampMs};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Names one effect for ever: the revision of the incident that ordered it, and its place among that revision's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EffectId {
    pub incident: IncidentId,
    pub revision: u64,
    pub index: u32,
}

impl fmt::Display for EffectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.incident, self.revision, self.index)
    }
}

/// What is being verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// That the remedy helped.
    Remedy,
    /// That the rollback left what was there before.
    Rollback,
}

/// Where a plan comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanSource {
    /// The concluded hypothesis of the current diagnosis.
    Diagnosis,
    /// A person named the call.
    Request(ToolCall),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "effect")]
pub enum Effect {
    /// Monitor: read metrics and logs around the onset, not before the time given.
    Gather { not_before: TimestampMs },
    /// Diagnoser: weigh what was gathered.
    Diagnose { iteration: u32 },
    /// Executor: make a plan, dry-run it, compute its blast radius. Changes nothing.
    Plan { source: PlanSource },
    /// Executor: carry out one step.
    Apply { step: StepRef },
    /// Executor: ask Prometheus.
    Verify { subject: Subject },
    /// Executor: put one step back. `applied` is the effect that did it.
    Revert { step: StepRef, applied: EffectId },
    /// Tell people.
    Notify { notice: Notice },
}

impl Effect {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Gather { .. } => "gather",
            Self::Diagnose { .. } => "diagnose",
            Self::Plan { .. } => "plan",
            Self::Apply { .. } => "apply",
            Self::Verify { .. } => "verify",
            Self::Revert { .. } => "revert",
            Self::Notify { .. } => "notify",
        }
    }
    /// Whether doing it may change a system; such an effect is never blindly done again.
    pub fn changes_systems(&self) -> bool {
        matches!(self, Self::Apply { .. } | Self::Revert { .. })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    Opened,
    DecisionNeeded,
    Executing,
    Resolved,
    Escalated,
    RolledBack,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub kind: NoticeKind,
    pub text: String,
}

/// What a durable timer is for. One of a kind per incident: setting it again replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimerKind {
    /// The work ordered in this phase gave no result in time.
    PhaseDeadline,
    /// Nobody decided.
    ApprovalLifetime,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "timer")]
pub enum TimerChange {
    Set { kind: TimerKind, due: TimestampMs },
    Cancel { kind: TimerKind },
}
