//! Three things that are never mixed: a [`Fault`] (the tool or the world failed), a [`Refusal`] (the law forbids)
//! and an [`EscalationReason`] (a human must take over). Each has a stable code that the docs explain.

use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// No answer within the deadline.
    Timeout,
    /// The other side answered, and the answer was an error.
    Upstream,
    /// The other side could not be reached.
    Unreachable,
    /// The answer could not be understood.
    Malformed,
    /// A limit of the sandbox was reached, or the guest trapped.
    Sandbox,
    /// The world is not as the plan took it to be.
    Drift,
    /// The arguments were not acceptable to the tool.
    InvalidArguments,
    /// The broker said no.
    Denied,
    /// Storage failed.
    Storage,
    Internal,
}

/// Something failed; nobody forbade it.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Fault {
    pub kind: FaultKind,
    /// Stable, upper snake case, finer than `kind`: `PROMETHEUS_TIMEOUT`.
    pub code: String,
    /// What was being done and what came of it, redacted.
    pub message: String,
}

impl Fault {
    pub fn new(kind: FaultKind, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, code: code.into(), message: message.into() }
    }
}

/// The law forbids it. Answered to the caller and audited; never retried.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "refusal")]
pub enum Refusal {
    #[error("{event} is not possible while the incident is {phase}")]
    WrongPhase { event: String, phase: String },
    #[error("the approval names plan {given}, the plan to decide on is {current}")]
    WrongPlan { given: String, current: String },
    #[error("the approval came after the proposal had expired")]
    ApprovalExpired,
    #[error("{principal} has approved this plan already; a second approval must come from another person")]
    DuplicateApprover { principal: String },
    #[error("{principal} asked for this change and may not approve it")]
    RequesterApproves { principal: String },
    #[error("{principal} is an agent: agents propose, people approve")]
    AgentApproves { principal: String },
    #[error("the plan still lacks {missing} of {required} approvals")]
    NotApproved { required: u32, missing: u32 },
    #[error("policy forbids this plan: {reason}")]
    Forbidden { reason: String },
    #[error("the approved plan was not started within {window_ms} ms of its approval")]
    ApprovalStale { window_ms: u64 },
    #[error("a {category} tool does not run without an approved plan")]
    NeedsApproval { category: String },
    #[error("the approved plan holds no step {step}")]
    StepNotInPlan { step: String },
    #[error("{what} exceeds its limit of {limit}")]
    LimitExceeded { what: String, limit: u64 },
    #[error("safe mode: {reason}")]
    SafeMode { reason: String },
}

impl Refusal {
    pub fn code(&self) -> &'static str {
        match self {
            Self::WrongPhase { .. } => "WRONG_PHASE",
            Self::WrongPlan { .. } => "WRONG_PLAN",
            Self::ApprovalExpired => "APPROVAL_EXPIRED",
            Self::DuplicateApprover { .. } => "DUPLICATE_APPROVER",
            Self::RequesterApproves { .. } => "REQUESTER_APPROVES",
            Self::AgentApproves { .. } => "AGENT_APPROVES",
            Self::NotApproved { .. } => "NOT_APPROVED",
            Self::Forbidden { .. } => "FORBIDDEN_BY_POLICY",
            Self::ApprovalStale { .. } => "APPROVAL_STALE",
            Self::NeedsApproval { .. } => "NEEDS_APPROVAL",
            Self::StepNotInPlan { .. } => "STEP_NOT_IN_PLAN",
            Self::LimitExceeded { .. } => "LIMIT_EXCEEDED",
            Self::SafeMode { .. } => "SAFE_MODE",
        }
    }
}

/// Why a human must take over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum EscalationReason {
    /// The diagnosis is not sure enough to act on, or says that it does not know.
    LowConfidence {
        detail: String,
    },
    /// The cause is known and no configured remedy treats it, or the remedy could not be planned.
    NoRemedy {
        detail: String,
    },
    ForbiddenByPolicy {
        detail: String,
    },
    ApprovalTimeout {
        lifetime_ms: u64,
    },
    Rejected {
        by: String,
        detail: String,
    },
    /// Every allowed round of diagnosis has been used.
    IterationLimit {
        rounds: u32,
    },
    /// A change may or may not have happened: only a human may look and decide.
    UnknownOutcome {
        step: String,
        target: String,
        detail: String,
    },
    /// The remedy did not help and could not be undone completely.
    RollbackFailed {
        detail: String,
    },
    RemedyFailed {
        detail: String,
    },
    /// Work on the incident failed in a way that is not retried.
    Fault {
        code: String,
        detail: String,
    },
    /// Handling a message of this incident kept failing; it lies in the dead letters.
    DeadLetter {
        detail: String,
    },
    Human {
        by: String,
        detail: String,
    },
    Deadline {
        what: String,
        deadline_ms: u64,
    },
}

impl EscalationReason {
    pub fn code(&self) -> &'static str {
        match self {
            Self::LowConfidence { .. } => "LOW_CONFIDENCE",
            Self::NoRemedy { .. } => "NO_REMEDY",
            Self::ForbiddenByPolicy { .. } => "FORBIDDEN_BY_POLICY",
            Self::ApprovalTimeout { .. } => "APPROVAL_TIMEOUT",
            Self::Rejected { .. } => "REJECTED",
            Self::IterationLimit { .. } => "ITERATION_LIMIT",
            Self::UnknownOutcome { .. } => "UNKNOWN_OUTCOME",
            Self::RollbackFailed { .. } => "ROLLBACK_FAILED",
            Self::RemedyFailed { .. } => "REMEDY_FAILED",
            Self::Fault { .. } => "FAULT",
            Self::DeadLetter { .. } => "DEAD_LETTER",
            Self::Human { .. } => "HUMAN",
            Self::Deadline { .. } => "DEADLINE",
        }
    }
}

impl fmt::Display for EscalationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LowConfidence { detail } => write!(f, "the cause is not known well enough: {detail}"),
            Self::NoRemedy { detail } => write!(f, "no remedy can be offered: {detail}"),
            Self::ForbiddenByPolicy { detail } => write!(f, "policy forbids the remedy: {detail}"),
            Self::ApprovalTimeout { lifetime_ms } => {
                write!(f, "nobody decided within {} s", lifetime_ms / 1000)
            }
            Self::Rejected { by, detail } => write!(f, "{by} rejected the plan: {detail}"),
            Self::IterationLimit { rounds } => write!(f, "{rounds} rounds of diagnosis did not solve it"),
            Self::UnknownOutcome { step, target, detail } => {
                write!(f, "step {step} on {target} may or may not have happened: {detail}")
            }
            Self::RollbackFailed { detail } => write!(f, "the rollback is incomplete: {detail}"),
            Self::RemedyFailed { detail } => write!(f, "the remedy did not help: {detail}"),
            Self::Fault { code, detail } => write!(f, "work on it failed ({code}): {detail}"),
            Self::DeadLetter { detail } => write!(f, "a message could not be handled: {detail}"),
            Self::Human { by, detail } => write!(f, "{by} took over: {detail}"),
            Self::Deadline { what, deadline_ms } => {
                write!(f, "{what} gave no result in {} s", deadline_ms / 1000)
            }
        }
    }
}
