//! Why a request got no answer it wanted: one noun for both doors.
//!
//! Owns the translation of desk errors, refusals and faults into HTTP and gRPC statuses. Never hides a code: what the
//! operator can look up in the docs travels in the body's `code` and in gRPC's `medic-code`.

use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use medic_agents::desk::DeskError;
use medic_core::{Fault, FaultKind, Refusal};
use medic_ports::JournalError;
use serde::Serialize;
use std::borrow::Cow;

/// Metadata key that carries [`Problem::code`] over gRPC.
pub const CODE_METADATA: &str = "medic-code";

/// Suggested wait when the store failed and says no time of its own: a restart of the daemon takes about that long.
const STORE_RETRY_AFTER_MS: u64 = 5_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The request itself can never be accepted.
    Invalid,
    Unauthenticated,
    /// Known, and not allowed.
    Forbidden,
    NotFound,
    /// Not in the present state.
    Conflict,
    TooLarge,
    /// The body took too long to arrive.
    Slow,
    /// Nothing was stored; trying again may help.
    Unavailable,
    /// Stored, and not yet answered.
    Pending,
    /// Somebody behind us failed.
    Upstream,
    UpstreamTimeout,
    Internal,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub kind: ProblemKind,
    /// Stable, upper snake case.
    pub code: Cow<'static, str>,
    pub message: String,
    /// Where in the request: `alerts[3].labels.severity`.
    pub path: Option<String>,
    pub retry_after_ms: Option<u64>,
}

impl Problem {
    pub fn new(kind: ProblemKind, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { kind, code: code.into(), message: message.into(), path: None, retry_after_ms: None }
    }
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ProblemKind::Invalid, code, message)
    }
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }
    fn retry_after(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }

    pub fn status(&self) -> StatusCode {
        match self.kind {
            ProblemKind::Invalid => StatusCode::BAD_REQUEST,
            ProblemKind::Unauthenticated => StatusCode::UNAUTHORIZED,
            ProblemKind::Forbidden => StatusCode::FORBIDDEN,
            ProblemKind::NotFound => StatusCode::NOT_FOUND,
            ProblemKind::Conflict => StatusCode::CONFLICT,
            ProblemKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ProblemKind::Slow => StatusCode::REQUEST_TIMEOUT,
            ProblemKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ProblemKind::Pending => StatusCode::ACCEPTED,
            ProblemKind::Upstream => StatusCode::BAD_GATEWAY,
            ProblemKind::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            ProblemKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Json(Body { code: &self.code, message: &self.message, path: self.path.as_deref() });
        let mut response = (self.status(), body).into_response();
        if let Some(ms) = self.retry_after_ms {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000).max(1)));
        }
        if self.kind == ProblemKind::Unauthenticated {
            let challenge = HeaderValue::from_static("Bearer realm=\"medic\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<Problem> for tonic::Status {
    fn from(problem: Problem) -> Self {
        let code = match problem.kind {
            ProblemKind::Invalid => tonic::Code::InvalidArgument,
            ProblemKind::Unauthenticated => tonic::Code::Unauthenticated,
            ProblemKind::Forbidden => tonic::Code::PermissionDenied,
            ProblemKind::NotFound => tonic::Code::NotFound,
            ProblemKind::Conflict => tonic::Code::FailedPrecondition,
            ProblemKind::TooLarge => tonic::Code::ResourceExhausted,
            ProblemKind::Unavailable => tonic::Code::Unavailable,
            // "May have completed": exactly what it is.
            ProblemKind::Pending | ProblemKind::Slow | ProblemKind::UpstreamTimeout => {
                tonic::Code::DeadlineExceeded
            }
            ProblemKind::Upstream | ProblemKind::Internal => tonic::Code::Internal,
        };
        let message = match &problem.path {
            Some(path) => format!("{path}: {}", problem.message),
            None => problem.message.clone(),
        };
        let mut status = Self::new(code, message);
        if let Ok(value) = problem.code.parse() {
            status.metadata_mut().insert(CODE_METADATA, value);
        }
        if let Some(ms) = problem.retry_after_ms {
            status.metadata_mut().insert("retry-after-ms", ms.into());
        }
        status
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let kind = match &refusal {
            Refusal::RequesterApproves { .. } | Refusal::AgentApproves { .. } | Refusal::Forbidden { .. } => {
                ProblemKind::Forbidden
            }
            Refusal::LimitExceeded { .. } => ProblemKind::Invalid,
            Refusal::SafeMode { .. } => ProblemKind::Unavailable,
            Refusal::WrongPhase { .. }
            | Refusal::WrongPlan { .. }
            | Refusal::ApprovalExpired
            | Refusal::DuplicateApprover { .. }
            | Refusal::NotApproved { .. }
            | Refusal::ApprovalStale { .. }
            | Refusal::NeedsApproval { .. }
            | Refusal::StepNotInPlan { .. } => ProblemKind::Conflict,
        };
        Self::new(kind, refusal.code(), refusal.to_string())
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let kind = match fault.kind {
            FaultKind::Timeout => ProblemKind::UpstreamTimeout,
            FaultKind::Upstream | FaultKind::Unreachable | FaultKind::Malformed | FaultKind::Sandbox => {
                ProblemKind::Upstream
            }
            FaultKind::Drift => ProblemKind::Conflict,
            FaultKind::InvalidArguments => ProblemKind::Invalid,
            FaultKind::Denied => ProblemKind::Forbidden,
            FaultKind::Storage => ProblemKind::Unavailable,
            FaultKind::Internal => ProblemKind::Internal,
        };
        Self::new(kind, fault.code, fault.message)
    }
}

impl From<DeskError> for Problem {
    fn from(error: DeskError) -> Self {
        let message = error.to_string();
        match error {
            DeskError::NoSuchIncident(_) => Self::new(ProblemKind::NotFound, "NO_SUCH_INCIDENT", message),
            DeskError::NoSuchTool(_) => Self::new(ProblemKind::NotFound, "NO_SUCH_TOOL", message),
            DeskError::NoSuchLetter(_) => Self::new(ProblemKind::NotFound, "NO_SUCH_LETTER", message),
            DeskError::Invalid(_) => Self::new(ProblemKind::Invalid, "INVALID_REQUEST", message),
            DeskError::Refused(refusal) => refusal.into(),
            DeskError::Failed(fault) => fault.into(),
            DeskError::Unavailable { code, message, retry_after_ms } => {
                Self::new(ProblemKind::Unavailable, code, message).retry_after(retry_after_ms)
            }
            DeskError::Pending => Self::new(ProblemKind::Pending, "PENDING", message),
        }
    }
}

/// Of reads: writes go through the desk.
impl From<JournalError> for Problem {
    fn from(error: JournalError) -> Self {
        let (code, message) = (error.code(), error.to_string());
        match error {
            JournalError::Full { retry_after_ms, .. } | JournalError::LowSpace { retry_after_ms } => {
                Self::new(ProblemKind::Unavailable, code, message).retry_after(retry_after_ms)
            }
            JournalError::Storage(_) | JournalError::Stopped => {
                Self::new(ProblemKind::Unavailable, code, message).retry_after(STORE_RETRY_AFTER_MS)
            }
            JournalError::Conflict { .. } => Self::new(ProblemKind::Conflict, code, message),
            JournalError::Corrupt(_) | JournalError::Illegal(_) => {
                Self::new(ProblemKind::Internal, code, message)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart_by_whose_fault_they_are() {
        let cases = [
            (Refusal::ApprovalExpired, StatusCode::CONFLICT, tonic::Code::FailedPrecondition),
            (
                Refusal::RequesterApproves { principal: "token:a".into() },
                StatusCode::FORBIDDEN,
                tonic::Code::PermissionDenied,
            ),
            (
                Refusal::SafeMode { reason: "x".into() },
                StatusCode::SERVICE_UNAVAILABLE,
                tonic::Code::Unavailable,
            ),
        ];
        for (refusal, http, grpc) in cases {
            let problem = Problem::from(refusal.clone());
            assert_eq!(problem.status(), http);
            assert_eq!(problem.code, refusal.code());
            let status = tonic::Status::from(problem);
            assert_eq!(status.code(), grpc);
            assert_eq!(status.metadata().get(CODE_METADATA).unwrap(), refusal.code());
        }
    }

    #[test]
    fn retry_after_is_said_in_whole_seconds_and_only_when_nothing_was_stored() {
        let full =
            DeskError::Unavailable { code: "MAILBOX_FULL", message: "full".into(), retry_after_ms: 1200 };
        let response = Problem::from(full).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers().get(RETRY_AFTER).unwrap(), "2");
        let pending = Problem::from(DeskError::Pending).into_response();
        assert_eq!(pending.status(), StatusCode::ACCEPTED);
        assert!(pending.headers().get(RETRY_AFTER).is_none());
    }
}
