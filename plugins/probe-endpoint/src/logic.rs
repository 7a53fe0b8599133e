//! Owns the reading of a probe: which of five things is the matter with an endpoint.

use medic_sdk::prelude::*;
use medic_sdk::serde::Deserialize;

/// Longer than any healthy connection on a local network takes, shorter than a reader's patience.
pub const CONNECT_TIMEOUT_MS: u32 = 2_000;

/// What is the matter.
#[derive(Debug, PartialEq)]
pub enum Finding {
    /// Nothing accepts connections.
    Unreachable(String),
    /// Connections are accepted, and then nothing comes.
    Silent(String),
    /// It answers with an error status.
    Failing(u16),
    /// It answers, and says that it does not serve.
    NotServing,
    /// It answers, and says that it serves.
    Serving,
}

impl Finding {
    /// For programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Silent(_) => "silent",
            Self::Failing(_) => "failing",
            Self::NotServing => "not_serving",
            Self::Serving => "serving",
        }
    }

    /// For people.
    pub fn sentence(&self) -> String {
        match self {
            Self::Unreachable(detail) => format!("accepts no connection ({detail})"),
            Self::Silent(detail) => format!("accepts connections but does not answer ({detail})"),
            Self::Failing(status) => format!("answers its health check with status {status}"),
            Self::NotServing => "answers, but says that it does not serve".to_owned(),
            Self::Serving => "accepts connections and serves".to_owned(),
        }
    }
}

#[derive(Deserialize)]
#[serde(crate = "medic_sdk::serde")]
struct Health {
    serving: bool,
}

/// Refuses a probe that took far longer than it was allowed: it measured something else.
pub fn check(outcome: &ProbeOutcome) -> ToolResult<()> {
    if outcome.latency_us > u64::from(CONNECT_TIMEOUT_MS) * 2_000 {
        let message = format!(
            "a probe limited to {CONNECT_TIMEOUT_MS} ms is said to have taken {} µs",
            outcome.latency_us
        );
        return Err(ToolError::upstream("PROBE_CONTRADICTS", message));
    }
    Ok(())
}

/// What the answer to the health check says. No answer is a finding; no permission to ask is not.
pub fn finding(answer: Result<HttpResponse, HostError>) -> ToolResult<Finding> {
    match answer {
        Ok(response) if !response.is_success() => Ok(Finding::Failing(response.status)),
        Ok(response) => {
            let health: Health = response.success()?.json()?;
            Ok(if health.serving { Finding::Serving } else { Finding::NotServing })
        }
        Err(error) if matches!(error.kind, HostErrorKind::Timeout | HostErrorKind::Upstream) => {
            Ok(Finding::Silent(error.message))
        }
        Err(error) => Err(error.into()),
    }
}
