//! Owns how a tool fails: constructors for [`ToolError`], and how a host's refusal becomes one.

use crate::types::{HostError, HostErrorKind, ToolError, ToolErrorKind};

/// What every function of a tool answers.
pub type ToolResult<T> = Result<T, ToolError>;

impl ToolError {
    fn new(
        kind: ToolErrorKind,
        code: impl Into<String>,
        message: impl Into<String>,
        retryable: bool,
    ) -> Self {
        Self { kind, code: code.into(), message: message.into(), retryable }
    }

    /// The arguments cannot be used; the caller must send others.
    pub fn invalid_args(message: impl Into<String>) -> Self {
        Self::new(ToolErrorKind::InvalidArgs, "INVALID_ARGS", message, false)
    }

    /// The world is not in a state in which this tool applies; nothing was done.
    pub fn precondition(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ToolErrorKind::Precondition, code, message, false)
    }

    /// A system behind the host failed or answered what could not be understood; asking again may help.
    pub fn upstream(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ToolErrorKind::Upstream, code, message, true)
    }

    /// The tool itself is wrong.
    pub fn internal(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ToolErrorKind::Internal, code, message, false)
    }

    /// Puts what was being attempted before the message.
    #[must_use]
    pub fn while_doing(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

/// A refusal stays a refusal, a timeout a timeout; the host's code and message are kept. `invalid` means that the tool
/// asked wrongly, which is the tool's fault, not its caller's.
impl From<HostError> for ToolError {
    fn from(error: HostError) -> Self {
        let (kind, retryable) = match error.kind {
            HostErrorKind::Denied | HostErrorKind::OutsidePlan => (ToolErrorKind::Denied, false),
            HostErrorKind::Quota => (ToolErrorKind::Denied, error.retry_after_ms.is_some()),
            HostErrorKind::NotFound => (ToolErrorKind::Precondition, false),
            HostErrorKind::Conflict => (ToolErrorKind::Precondition, true),
            HostErrorKind::Timeout => (ToolErrorKind::Timeout, true),
            HostErrorKind::Upstream => (ToolErrorKind::Upstream, true),
            HostErrorKind::Invalid | HostErrorKind::Internal => (ToolErrorKind::Internal, false),
        };
        Self::new(kind, error.code, error.message, retryable)
    }
}
