//! Where an incident stands. Each phase carries what only that phase needs.

use crate::approval::Proposal;
use crate::effect::Subject;
use crate::saga::Saga;
use crate::{EffectId, EscalationReason, TimestampMs};
use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum Phase {
    AlertReceived,
    GatheringInfo {
        awaiting: EffectId,
    },
    /// `planning` once the cause is concluded and the remedy is being planned.
    Diagnosing {
        iteration: u32,
        planning: bool,
        awaiting: EffectId,
        requested_by: Option<crate::Principal>,
    },
    AwaitingDecision {
        proposal: Box<Proposal>,
    },
    /// Forwards or unwinding; `awaiting` is the step's effect.
    Executing {
        saga: Box<Saga>,
        awaiting: EffectId,
    },
    Verifying {
        saga: Box<Saga>,
        subject: Subject,
        awaiting: EffectId,
    },
    Resolved {
        at: TimestampMs,
        how: Resolution,
    },
    Escalated {
        at: TimestampMs,
        why: EscalationReason,
        left: PhaseName,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// The remedy was carried out and verified.
    Remedied,
    /// Every alert was resolved before anything was done.
    ByItself,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PhaseName {
    AlertReceived,
    GatheringInfo,
    Diagnosing,
    AwaitingDecision,
    Executing,
    Verifying,
    Resolved,
    Escalated,
}

impl PhaseName {
    pub const ALL: [Self; 8] = [
        Self::AlertReceived,
        Self::GatheringInfo,
        Self::Diagnosing,
        Self::AwaitingDecision,
        Self::Executing,
        Self::Verifying,
        Self::Resolved,
        Self::Escalated,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::AlertReceived => "ALERT_RECEIVED",
            Self::GatheringInfo => "GATHERING_INFO",
            Self::Diagnosing => "DIAGNOSING",
            Self::AwaitingDecision => "AWAITING_DECISION",
            Self::Executing => "EXECUTING",
            Self::Verifying => "VERIFYING",
            Self::Resolved => "RESOLVED",
            Self::Escalated => "ESCALATED",
        }
    }
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Resolved | Self::Escalated)
    }

    /// Whether an incident may go from `self` to `next`. Staying is always allowed.
    pub fn may_become(self, next: Self) -> bool {
        use PhaseName::*;
        self == next
            || match self {
                AlertReceived => matches!(next, GatheringInfo | Diagnosing | Resolved | Escalated),
                GatheringInfo => matches!(next, Diagnosing | Resolved | Escalated),
                Diagnosing => {
                    matches!(next, GatheringInfo | AwaitingDecision | Executing | Resolved | Escalated)
                }
                AwaitingDecision => {
                    matches!(next, GatheringInfo | Diagnosing | Executing | Resolved | Escalated)
                }
                // Back to the facts when a step failed and there was nothing to put back.
                Executing => matches!(next, Verifying | GatheringInfo | Escalated),
                Verifying => matches!(next, Executing | GatheringInfo | Resolved | Escalated),
                Resolved | Escalated => false,
            }
    }
}

impl fmt::Display for PhaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Phase {
    pub fn name(&self) -> PhaseName {
        match self {
            Self::AlertReceived => PhaseName::AlertReceived,
            Self::GatheringInfo { .. } => PhaseName::GatheringInfo,
            Self::Diagnosing { .. } => PhaseName::Diagnosing,
            Self::AwaitingDecision { .. } => PhaseName::AwaitingDecision,
            Self::Executing { .. } => PhaseName::Executing,
            Self::Verifying { .. } => PhaseName::Verifying,
            Self::Resolved { .. } => PhaseName::Resolved,
            Self::Escalated { .. } => PhaseName::Escalated,
        }
    }
    pub fn is_terminal(&self) -> bool {
        self.name().is_terminal()
    }
    /// The effect whose result this phase waits for.
    pub fn awaiting(&self) -> Option<&EffectId> {
        match self {
            Self::GatheringInfo { awaiting }
            | Self::Diagnosing { awaiting, .. }
            | Self::Executing { awaiting, .. }
            | Self::Verifying { awaiting, .. } => Some(awaiting),
            _ => None,
        }
    }
    pub fn saga(&self) -> Option<&Saga> {
        match self {
            Self::Executing { saga, .. } | Self::Verifying { saga, .. } => Some(saga),
            _ => None,
        }
    }
}
