//! Names of things. Each is a string with a type, so that a fingerprint cannot be passed where an incident is meant.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! string_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            pub fn new(value: impl Into<String>) -> Self {
                Self(value.into())
            }
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
        impl From<&str> for $name {
            fn from(value: &str) -> Self {
                Self(value.to_owned())
            }
        }
    )*};
}

string_id! {
    /// A ULID made by whoever opened the incident; sorts by time of opening.
    IncidentId;
    /// Hash of an alert's sorted labels; see [`crate::alert::Labels::fingerprint`].
    AlertFingerprint;
    /// `e<iteration>-<n>` within one incident: short, because people and models cite it.
    EvidenceId;
    /// `h<iteration>-<n>` within one incident.
    HypothesisId;
    /// Name of a tool as its catalogue tells it: `^[a-z][a-z0-9_]{0,47}$`.
    ToolName;
    /// What an approval is called in the audit log and in receipts.
    ApprovalId;
    /// A ULID: the identity of a message, and the key that makes sending it twice harmless.
    EnvelopeId;
    /// A service, as the operator's `component_labels` name it.
    Component;
    /// Who acts, as its credential says: `token:alice`, `policy:auto-approve`, `agent:medic`.
    Principal;
}

impl EvidenceId {
    /// Whether it was gathered in, or for, that round of diagnosis: `e2-…`, `k2-…`.
    pub fn is_of_round(&self, round: u32) -> bool {
        let of = |kind: char| self.0.strip_prefix(kind).and_then(|rest| rest.split_once('-')).map(|(n, _)| n);
        [of('e'), of('k')].into_iter().flatten().any(|n| n == round.to_string())
    }
}

impl Principal {
    /// Medic itself: may propose, never approve.
    pub fn agent() -> Self {
        Self::new("agent:medic")
    }
    /// The configured rule that answers for a human in unattended runs.
    pub fn auto_approve() -> Self {
        Self::new("policy:auto-approve")
    }
    /// Whether this principal is software acting for itself, whose word never counts as a human's.
    pub fn is_agent(&self) -> bool {
        self.0.starts_with("agent:")
    }
    pub fn is_policy(&self) -> bool {
        self.0.starts_with("policy:")
    }
}
