//! An incident's decisions, kept so that they can be made again.
//!
//! Owns what is recorded of each decision and how a recorded one is held against the law: [`Replay`] makes every decision
//! anew with [`step`](crate::step()) and compares outcome, revision, effects, audit records and state, digest by digest.
//! [`export`] is one incident as a file. Never reads a file: the records come in.

mod again;
pub mod export;

pub use again::{Divergence, LAW_KINDS, Made, Place, Replay, Replayed, Verdict};

use crate::mail::{Causation, Opening};
use crate::{Digest, EnvelopeId, Event, IncidentId, PhaseName};
use serde::{Deserialize, Serialize};

/// One event as the law decided it: everything a replay needs beside the policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    pub incident: IncidentId,
    /// The letter that carried the event.
    pub envelope: EnvelopeId,
    pub cause: Causation,
    /// With what the incident was opened, when this event was its first.
    pub opens: Option<Opening>,
    pub event: Event,
    /// The policy in force.
    pub policy: Digest,
    pub outcome: Outcome,
}

/// What the law made of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    Advanced {
        revision: u64,
        /// Of the ordered effects, in order.
        effects: Digest,
        /// Of the audit records, in order.
        records: Digest,
    },
    Unchanged,
    Refused {
        code: String,
    },
}

/// The decisions of one commit on one incident, and what they came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    pub decisions: Vec<Decision>,
    /// Of the incident after the last of them.
    pub state: Digest,
    pub phase: PhaseName,
}
