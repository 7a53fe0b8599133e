//! The nouns and the laws of an incident.
//!
//! Owns every word the rest of the daemon speaks and the one function that decides what happens next: [`step`].
//! Never reads a clock, draws a random number, touches a file or a socket, or logs: time and ids arrive with the
//! event, and what is worth telling is returned as an [`audit::AuditRecord`]. Same input, same output, for ever.

pub mod alert;
pub mod approval;
pub mod audit;
pub mod call;
pub mod diagnosis;
pub mod digest;
pub mod effect;
pub mod event;
pub mod evidence;
pub mod grouping;
pub mod ids;
pub mod incident;
pub mod invariants;
pub mod mail;
pub mod outcome;
pub mod permit;
pub mod phase;
pub mod plan;
pub mod policy;
pub mod replay;
pub mod saga;
pub mod step;
pub mod time;
pub mod tool;

pub use alert::{Alert, AlertBatch, AlertStatus, Labels, Severity};
pub use approval::{Approval, ApprovedPlan, Requirement};
pub use digest::Digest;
pub use effect::{Effect, EffectId};
pub use event::{Event, EventKind};
pub use ids::{
    AlertFingerprint, ApprovalId, Component, EnvelopeId, EvidenceId, HypothesisId, IncidentId, Principal,
    ToolName,
};
pub use incident::Incident;
pub use outcome::{EscalationReason, Fault, FaultKind, Refusal};
pub use permit::Permit;
pub use phase::{Phase, PhaseName};
pub use plan::ActionPlan;
pub use policy::Policy;
pub use step::{Advance, Step, step};
pub use time::{TimeRange, TimestampMs};
pub use tool::{ToolCategory, ToolDescriptor};
