//! What an API server says when it refuses, in the words of the contract.

use serde::Deserialize;

use crate::contract::host::types::{ErrorKind, HostError};
use crate::text;

/// `kind: Status`, as far as it is of use.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    pub message: String,
    pub reason: String,
    details: Details,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    causes: Vec<Cause>,
    retry_after_seconds: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
    message: String,
}

impl Status {
    /// Reads a body; one that is no Status is its own message.
    pub fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_else(|_| Self {
            message: text::plain(&String::from_utf8_lossy(body), 500),
            ..Self::default()
        })
    }

    fn blocked_by_budget(&self) -> bool {
        self.details.causes.iter().any(|cause| cause.reason == "DisruptionBudget")
    }

    /// Stable code of the refusal.
    pub fn code(&self, status: u16) -> &'static str {
        match status {
            400 => "K8S_BAD_REQUEST",
            401 => "K8S_UNAUTHORIZED",
            403 => "K8S_FORBIDDEN",
            404 => "K8S_NOT_FOUND",
            409 if self.reason == "AlreadyExists" => "K8S_ALREADY_EXISTS",
            409 => "K8S_CONFLICT",
            410 => "K8S_GONE",
            422 => "K8S_INVALID",
            429 if self.blocked_by_budget() => "K8S_DISRUPTION_BUDGET",
            429 => "K8S_TOO_MANY_REQUESTS",
            _ => "K8S_FAILED",
        }
    }

    /// The server's words, on one line, with those of its causes.
    pub fn words(&self) -> String {
        let unsaid = |cause: &&Cause| !self.message.contains(&cause.message);
        let causes = self.details.causes.iter().filter(unsaid).take(3);
        let causes: String = causes.map(|cause| format!(" ({})", cause.message)).collect();
        text::line(&format!("{}{causes}", self.message), 600)
    }

    pub fn error(&self, status: u16) -> HostError {
        let kind = match status {
            400 | 413 | 415 | 422 => ErrorKind::Invalid,
            401 | 403 => ErrorKind::Denied,
            404 | 410 => ErrorKind::NotFound,
            409 | 412 => ErrorKind::Conflict,
            429 => ErrorKind::Quota,
            504 => ErrorKind::Timeout,
            _ => ErrorKind::Upstream,
        };
        HostError {
            kind,
            code: self.code(status).to_owned(),
            message: format!("the API server answered {status}: {}", self.words()),
            retry_after_ms: self.details.retry_after_seconds.map(|seconds| seconds.saturating_mul(1000)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, body: &str, kind: ErrorKind, code: &str, word: &str) {
        let error = Status::read(body.as_bytes()).error(status);
        assert_eq!((error.kind, error.code.as_str()), (kind, code), "{body}");
        assert!(error.message.contains(word), "{}", error.message);
    }

    #[test]
    fn recorded_refusals_keep_their_meaning() {
        let recorded = |name: &str| {
            let path =
                std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kubernetes").join(name);
            std::fs::read_to_string(path).unwrap()
        };
        let conflict = recorded("conflict_stale_resourceversion.json");
        check(409, &conflict, ErrorKind::Conflict, "K8S_CONFLICT", "has been modified");
        check(
            403,
            &recorded("delete_pod_forbidden.json"),
            ErrorKind::Denied,
            "K8S_FORBIDDEN",
            "cannot delete",
        );
        let budget = recorded("evict_pod_2_blocked_by_pdb.json");
        check(429, &budget, ErrorKind::Quota, "K8S_DISRUPTION_BUDGET", "needs 3 healthy pods");
        check(404, &recorded("notfound.json"), ErrorKind::NotFound, "K8S_NOT_FOUND", "nope");
        check(
            422,
            &recorded("scale_invalid.json"),
            ErrorKind::Invalid,
            "K8S_INVALID",
            "greater than or equal to 0",
        );
        check(401, &recorded("unauthorized.json"), ErrorKind::Denied, "K8S_UNAUTHORIZED", "Unauthorized");
        check(500, &recorded("pod_log.json"), ErrorKind::Upstream, "K8S_FAILED", "no such host");
        check(502, "<html>bad gateway</html>", ErrorKind::Upstream, "K8S_FAILED", "bad gateway");
    }
}
