//! What lies in a mailbox.

use crate::{AlertBatch, Effect, EffectId, EnvelopeId, Event, IncidentId, TimestampMs};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The actors that own a durable mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Address {
    Supervisor,
    Monitor,
    Diagnoser,
    Executor,
    Notifier,
}

impl Address {
    pub const ALL: [Self; 5] =
        [Self::Supervisor, Self::Monitor, Self::Diagnoser, Self::Executor, Self::Notifier];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Supervisor => "supervisor",
            Self::Monitor => "monitor",
            Self::Diagnoser => "diagnoser",
            Self::Executor => "executor",
            Self::Notifier => "notifier",
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Served in this order: an approval is never stuck behind a storm of alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    Control,
    Approval,
    Normal,
}

impl Lane {
    /// In the order in which they are served.
    pub const ALL: [Self; 3] = [Self::Control, Self::Approval, Self::Normal];
}

/// What caused a message: the chain of these is the story of an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Causation {
    /// Came in from outside: `webhook`, `grpc`, `rest`, with the principal when there is one.
    Outside {
        door: String,
        principal: Option<crate::Principal>,
    },
    Envelope(EnvelopeId),
    Timer,
    Restart,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "mail")]
pub enum Body {
    /// To Monitor: a delivery, to be grouped.
    /// `displaced` when the incident these were placed in closed meanwhile: they open a new one, whatever is known of
    /// their episodes.
    Alerts { batch: AlertBatch, displaced: bool },
    /// To Supervisor: something happened to an incident. `opens` when the incident does not exist yet.
    Occurred { incident: IncidentId, event: Box<Event>, opens: Option<Opening> },
    /// To Monitor, Diagnoser, Executor, Notifier: an effect to perform.
    Order { id: EffectId, effect: Effect },
}

/// What an incident is opened with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    pub group: String,
    pub title: String,
}

impl Body {
    pub fn incident(&self) -> Option<&IncidentId> {
        match self {
            Self::Alerts { .. } => None,
            Self::Occurred { incident, .. } => Some(incident),
            Self::Order { id, .. } => Some(&id.incident),
        }
    }
}

/// A message as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    pub id: EnvelopeId,
    pub to: Address,
    pub lane: Lane,
    /// Place in the recipient's lane, given at enqueue.
    pub seq: u64,
    pub cause: Causation,
    pub at: TimestampMs,
    /// How often handling it has been tried and failed.
    pub attempts: u32,
    /// Not to be handled before this.
    pub visible_at: TimestampMs,
    pub body: Body,
}

/// A message to be stored. `dedup` makes storing it twice a no-op.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    pub id: EnvelopeId,
    pub to: Address,
    pub lane: Lane,
    pub cause: Causation,
    pub at: TimestampMs,
    pub dedup: String,
    pub body: Body,
}
