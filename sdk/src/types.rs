//! Owns the names under which the contract's records are known to a tool.

use crate::bindings::imports::medic::{host, tool};

pub use host::http_change::Method as ChangeMethod;
pub use host::http_read::{Method as ReadMethod, Response as HttpResponse};
pub use host::k8s_read::Selector;
pub use host::knowledge::Hit as KnowledgeHit;
pub use host::log::Level as LogLevel;
pub use host::logs::Entry as LogEntry;
pub use host::metrics::{Sample, Series};
pub use host::probe::Outcome as ProbeOutcome;
pub use host::types::{Attr, ErrorKind as HostErrorKind, HostError, Receipt, ResourceRef, TimeRange};
pub use tool::types::{
    CallContext, ChangePlan, ErrorKind as ToolErrorKind, Health, Output, SnapshotItem, Step, StepReport,
    ToolError, ToolInfo, Verdict,
};
