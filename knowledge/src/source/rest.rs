//! Asking a wiki's REST API: deadlines, a pace, and patience with a server that says to wait. Knows no wiki.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::config::Secret;
use crate::error::{Error, Result};

/// Tries of one request that fails in passing; waits that the server asked for are not counted.
const TRIES_MAX: u32 = 4;
/// First pause between tries; doubled each time.
const PAUSE_MS: u64 = 500;
/// Waits of one request that the server asked for.
const WAITS_MAX: u32 = 8;
/// The longest wait granted at once. A server that asks for more is asked again at the next ingest.
const WAIT_MS_MAX: u64 = 120_000;
/// For one request, from sending to the last byte.
const DEADLINE_MS: u64 = 30_000;
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What of an error's body is quoted.
const EXCERPT_CHARS_MAX: usize = 200;

/// How a caller shows who it is.
#[derive(Debug, Clone)]
pub(super) enum Auth {
    Bearer(Secret),
    Basic { user: String, token: Secret },
}

pub(super) struct Rest {
    client: reqwest::Client,
    base: url::Url,
    auth: Auth,
    source: String,
    /// Least time between two requests.
    pace: Duration,
}

/// An answer that is none: what it was about decides whether the whole ingest fails.
pub(super) enum Refusal {
    /// This one thing cannot be had: gone, or not for us.
    Absent(String),
    Failed(Error),
}

impl Rest {
    pub(super) fn new(
        source: &str,
        base: &str,
        auth: Auth,
        headers: HeaderMap,
        pace_ms: u64,
    ) -> Result<Self> {
        let refuse = |reason: String| Error::Config { reason: format!("{source}: {reason}") };
        let base = url::Url::parse(base).map_err(|error| refuse(format!("base_url: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(refuse("base_url is neither http nor https".to_owned()));
        }
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // reqwest panics without one. Losing the race to another installer is as good as winning it.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let mut client = reqwest::Client::builder()
            // A redirect would carry the token elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_millis(DEADLINE_MS))
            .default_headers(headers);
        if matches!(base.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
            client = client.no_proxy();
        }
        let client =
            client.build().map_err(|error| refuse(format!("cannot make an HTTP client: {error}")))?;
        Ok(Self { client, base, auth, source: source.to_owned(), pace: Duration::from_millis(pace_ms) })
    }

    pub(super) fn failed(&self, reason: impl Into<String>) -> Error {
        Error::Source { source_name: self.source.clone(), reason: reason.into() }
    }

    pub(super) async fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> std::result::Result<Value, Refusal> {
        self.ask(Method::GET, path, query, None).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> std::result::Result<Value, Refusal> {
        self.ask(Method::POST, path, &[], Some(body)).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> std::result::Result<Value, Refusal> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        let (mut tries, mut waits) = (0, 0);
        let mut pause = Duration::from_millis(PAUSE_MS);
        loop {
            tokio::time::sleep(self.pace).await;
            let mut request = self.client.request(method.clone(), url.clone()).query(query);
            if let Some(body) = body {
                request = request.json(body);
            }
            request = match &self.auth {
                Auth::Bearer(token) => request.bearer_auth(token.reveal()),
                Auth::Basic { user, token } => request.basic_auth(user, Some(token.reveal())),
            };
            let reason = match self.once(request).await {
                Ok(Turn::Answer(answer)) => return Ok(answer),
                Ok(Turn::Wait(wait)) => {
                    waits += 1;
                    let wait = wait.unwrap_or(pause);
                    if waits > WAITS_MAX || wait > Duration::from_millis(WAIT_MS_MAX) {
                        let reason = format!("{path}: it asks to wait {} s more", wait.as_secs());
                        return Err(Refusal::Failed(self.failed(reason)));
                    }
                    tokio::time::sleep(wait).await;
                    continue;
                }
                Ok(Turn::Absent(reason)) => return Err(Refusal::Absent(reason)),
                Ok(Turn::Refused(reason)) => {
                    return Err(Refusal::Failed(self.failed(format!("{path}: {reason}"))));
                }
                Err(reason) => reason,
            };
            tries += 1;
            if tries == TRIES_MAX {
                return Err(Refusal::Failed(self.failed(format!("{path}: {reason} ({tries} tries)"))));
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    /// `Err` is worth another try.
    async fn once(&self, request: reqwest::RequestBuilder) -> std::result::Result<Turn, String> {
        // An error of reqwest names the URL; a token is in a header and never in it.
        let mut answer = request.send().await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let wait = retry_after(answer.headers());
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| error.to_string())? {
            if bytes.len() + piece.len() > ANSWER_BYTES_MAX {
                return Ok(Turn::Refused(format!("its answer exceeds {ANSWER_BYTES_MAX} bytes")));
            }
            bytes.extend_from_slice(&piece);
        }
        if status.is_success() {
            let answer = serde_json::from_slice(&bytes);
            return Ok(answer.map_or_else(
                |error| Turn::Refused(format!("its answer is not JSON: {error}")),
                Turn::Answer,
            ));
        }
        let excerpt: String = String::from_utf8_lossy(&bytes).chars().take(EXCERPT_CHARS_MAX).collect();
        let reason = format!("HTTP {}: {}", status.as_u16(), excerpt.trim());
        match status {
            StatusCode::TOO_MANY_REQUESTS => Ok(Turn::Wait(wait)),
            StatusCode::SERVICE_UNAVAILABLE if wait.is_some() => Ok(Turn::Wait(wait)),
            status if status.is_server_error() => Err(reason),
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN => Ok(Turn::Absent(reason)),
            _ => Ok(Turn::Refused(reason)),
        }
    }
}

enum Turn {
    Answer(Value),
    /// As long as the server said, if it did.
    Wait(Option<Duration>),
    Absent(String),
    Refused(String),
}

/// Seconds, whole or not. A date would need a clock; then the pause is ours.
fn retry_after(headers: &HeaderMap<HeaderValue>) -> Option<Duration> {
    let seconds: f64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Front matter and a heading before a page's own text. Values are put in quotes: a title may hold anything.
pub(super) fn page(
    title: &str,
    labels: &[String],
    url: Option<&str>,
    date: Option<&str>,
    body: &str,
) -> String {
    let quote = |value: &str| {
        let line: String = value.split_whitespace().collect::<Vec<_>>().join(" ");
        format!("\"{}\"", line.replace('"', "'"))
    };
    let mut text = format!("---\ntitle: {}\n", quote(title));
    let has = |names: &[&str]| labels.iter().any(|label| names.contains(&label.to_lowercase().as_str()));
    let kind = if has(&["incident", "postmortem", "post-mortem"]) {
        "incident"
    } else if has(&["architecture"]) {
        "architecture"
    } else if has(&["error-code", "error-codes"]) {
        "error-code"
    } else {
        "runbook"
    };
    text.push_str(&format!("kind: {kind}\n"));
    for (key, prefix) in [("services", "service-"), ("alerts", "alert-")] {
        let named: Vec<String> =
            labels.iter().filter_map(|label| label.strip_prefix(prefix)).map(quote).collect();
        if !named.is_empty() {
            text.push_str(&format!("{key}: [{}]\n", named.join(", ")));
        }
    }
    for (key, value) in [("url", url), ("date", date.and_then(|date| date.get(..10)))] {
        if let Some(value) = value {
            text.push_str(&format!("{key}: {}\n", quote(value)));
        }
    }
    let heading: String = title.split_whitespace().collect::<Vec<_>>().join(" ");
    text.push_str(&format!("---\n# {heading}\n\n{}\n", body.trim()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_cannot_break_out_of_its_front_matter() {
        let labels = ["service-checkout".to_owned(), "postmortem".to_owned()];
        let text = page(
            "A \"b\"\n---\nkind: poem",
            &labels,
            Some("http://x/1"),
            Some("2026-01-02T03:04:05Z"),
            "Body",
        );
        assert_eq!(
            text,
            "---\ntitle: \"A 'b' --- kind: poem\"\nkind: incident\nservices: [\"checkout\"]\nurl: \"http://x/1\"\n\
             date: \"2026-01-02\"\n---\n# A \"b\" --- kind: poem\n\nBody\n"
        );
    }
}
