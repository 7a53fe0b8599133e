//! One mutating host call, as it is journalled around the deed.
//!
//! The intent is committed before a byte leaves, the receipt after the answer. What is found with an intent and no
//! receipt may have happened: it is looked up at the endpoint by its key, never simply sent again.

use crate::{Digest, EffectId, TimestampMs};
use serde::{Deserialize, Serialize};

/// What a mutating call aims at, in the words of the tool contract's `resource-ref`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// A cluster, or for HTTP the endpoint's name in the grant.
    pub cluster: String,
    pub api_version: String,
    /// A resource kind, or for HTTP the method.
    pub kind: String,
    pub namespace: Option<String>,
    /// A resource name, or for HTTP the path.
    pub name: String,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {}/{} @{}", self.kind, namespace, self.name, self.cluster),
            None => write!(f, "{} {} @{}", self.kind, self.name, self.cluster),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallIntent {
    /// Counts the mutating calls of one step from 0.
    pub ordinal: u32,
    /// `http-change.send`.
    pub function: String,
    pub target: Target,
    /// Of everything that makes the call what it is; a replayed guest that asks for something else is caught by it.
    pub request_digest: Digest,
    /// Handed to the endpoint where it takes one; constant over attempts.
    pub idempotency_key: String,
    pub at: TimestampMs,
}

impl CallIntent {
    /// `medic-` and 32 hex digits over effect, ordinal and request: the same call has the same key for ever.
    pub fn idempotency_key(effect: &EffectId, ordinal: u32, request: &Digest) -> String {
        let digest = Digest::of(&(effect, ordinal, request));
        format!("medic-{}", digest.as_str().get(7..39).unwrap_or_default())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallReceipt {
    pub ordinal: u32,
    /// `None` when the call was refused or failed before anything could have happened.
    pub snapshot_id: Option<String>,
    pub detail_json: String,
    pub at: TimestampMs,
}

/// Both halves as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    pub intent: CallIntent,
    pub receipt: Option<CallReceipt>,
    /// What the host read before the call, to put back: canonical text of the endpoint's own representation.
    pub pre_image: Option<String>,
}
