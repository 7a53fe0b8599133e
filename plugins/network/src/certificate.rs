//! Owns check_certificate.

use medic_sdk::prelude::*;
use medic_sdk::serde::Deserialize;

use crate::plain;

/// 10 s: whoever needs longer for a handshake is down.
const TIMEOUT_MS: u32 = 10_000;
const DAY_MS: u64 = 24 * 3600 * 1000;

#[derive(ToolArgs)]
pub struct Args {
    /// Name of the endpoint in the grant file; never a URL.
    #[arg(max_length = 128, pattern = "^[a-z0-9][a-z0-9._-]*$")]
    endpoint: String,
    /// Days before its end from which on a certificate is told to end soon.
    #[arg(default = 14, min = 1, max = 365)]
    soon_days: u32,
}

/// What the handshake showed, as the host writes it.
#[derive(Deserialize)]
#[serde(crate = "medic_sdk::serde")]
struct Handshake {
    verified: bool,
    error: Option<String>,
    protocol: Option<String>,
    certificates: Vec<Certificate>,
}

#[derive(Deserialize)]
#[serde(crate = "medic_sdk::serde")]
struct Certificate {
    subject: String,
    issuer: String,
    not_before_ms: u64,
    not_after_ms: u64,
    names: Vec<String>,
}

/// Shakes hands over TLS with an endpoint and judges the certificate it presents: whether it is trusted, in time, for
/// this host, and how many days it has left. That the handshake fails is a finding, not an error.
#[diagnostic_tool(example(
    args = r#"{"endpoint":"payments"}"#,
    when = "calls to a service fail with TLS errors, or all began to fail at one moment"
))]
pub fn check_certificate(args: Args, host: &DiagnosticHost) -> ToolResult<Output> {
    let now_ms = host.clock().now_ms();
    let outcome = host.probe().tls(&args.endpoint, TIMEOUT_MS)?;
    let Ok(seen) = medic_sdk::serde_json::from_str::<Handshake>(&outcome.detail) else {
        return failed(&args.endpoint, &outcome);
    };
    if seen.verified != outcome.ok {
        return Err(ToolError::upstream("HANDSHAKE_CONTRADICTS", "the probe says two things at once"));
    }
    let Some(own) = seen.certificates.first() else {
        return failed(&args.endpoint, &outcome);
    };
    let days_left = own.not_after_ms.saturating_sub(now_ms) / DAY_MS;
    let finding = match &seen {
        _ if now_ms >= own.not_after_ms => Finding::Expired,
        _ if now_ms < own.not_before_ms => Finding::NotYetValid,
        Handshake { verified: false, .. } => Finding::Untrusted,
        _ if days_left < u64::from(args.soon_days) => Finding::EndsSoon,
        _ => Finding::Good,
    };
    let why = seen.error.as_ref().map(|why| format!(" ({})", plain(why, 200))).unwrap_or_default();
    let summary =
        format!("{}: the certificate {}, {days_left} days left{why}", args.endpoint, finding.sentence());
    Output::text(summary).data(&json!({
        "finding": finding.name(),
        "verified": seen.verified,
        "days_left": days_left,
        "subject": plain(&own.subject, 200),
        "issuer": plain(&own.issuer, 200),
        "names": own.names.iter().take(20).map(|name| plain(name, 200)).collect::<Vec<_>>(),
        "protocol": seen.protocol.map(|text| plain(&text, 32)),
        "chain": seen.certificates.len(),
    }))
}

fn failed(endpoint: &str, outcome: &ProbeOutcome) -> ToolResult<Output> {
    // The host's own words for a handshake that did not come about are plain text without control characters.
    if outcome.ok || outcome.detail.is_empty() || outcome.detail.chars().any(char::is_control) {
        return Err(ToolError::upstream("HANDSHAKE_MALFORMED", "what the probe answered cannot be read"));
    }
    let why = plain(&outcome.detail, 300);
    Output::text(format!("{endpoint}: no handshake: {why}"))
        .data(&json!({ "finding": Finding::NoHandshake.name(), "verified": false }))
}

enum Finding {
    Good,
    EndsSoon,
    Expired,
    NotYetValid,
    Untrusted,
    NoHandshake,
}

impl Finding {
    fn name(&self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::EndsSoon => "ends_soon",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Untrusted => "untrusted",
            Self::NoHandshake => "no_handshake",
        }
    }

    fn sentence(&self) -> &'static str {
        match self {
            Self::Good => "is trusted and in time",
            Self::EndsSoon => "ends soon",
            Self::Expired => "has expired",
            Self::NotYetValid => "is not valid yet",
            Self::Untrusted => "is not trusted",
            Self::NoHandshake => "was not shown",
        }
    }
}
