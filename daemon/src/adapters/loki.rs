//! Loki over its HTTP API.
//!
//! Owns how a search becomes LogQL and how pages become one answer. Nothing that is asked becomes LogQL unescaped. Memory is
//! bounded by the answers' sizes and their number. Never retries what failed, but asks for less where Loki or a limit here
//! says that it was too much.

mod logql;
mod wire;

use super::http::{self, BodyError, ClientError};
use crate::config::{Secret, SecretRef};
use async_trait::async_trait;
use medic_core::{Fault, FaultKind, Labels, TimeRange, TimestampMs};
use medic_ports::Logs;
use medic_ports::logs::{LogAnswer, LogLine, LogQuery};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue};
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;
use wire::Entry;

/// Smaller pages are not tried: what is too large then are single lines.
const PAGE_ENTRIES_MIN: usize = 50;
const NS_PER_MS: u64 = 1_000_000;
/// The header that tells tenants apart.
const TENANT_HEADER: &str = "X-Scope-OrgID";

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LokiConfig {
    /// Up to and without `/loki/api/v1`.
    pub url: String,
    /// Sent as `X-Scope-OrgID`.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Sent as `Authorization: Bearer`.
    #[serde(default)]
    pub bearer: Option<SecretRef>,
    /// PEM certificates trusted besides the system's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// The stream label that names the service. `service_name` is what Loki adds by itself since 3.0.
    #[serde(default = "service_label")]
    pub service_label: String,
    /// Matchers that narrow every search, in LogQL: `job="shop",env="live"`.
    #[serde(default)]
    pub matchers: String,
    /// For one request. 10 s, as for Prometheus.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// Entries of one request. 5,000: what Loki gives at most unless told otherwise.
    #[serde(default = "page_entries_max")]
    pub page_entries_max: usize,
    /// Requests of one search. 12: ten full pages, and two that had to be asked for again.
    #[serde(default = "requests_max")]
    pub requests_max: u32,
    /// One answer's body, unpacked. 32 MiB: 5,000 lines of 6 KiB.
    #[serde(default = "response_bytes_max")]
    pub response_bytes_max: usize,
}

fn service_label() -> String {
    "service_name".to_owned()
}
fn timeout_ms() -> u64 {
    10_000
}
fn page_entries_max() -> usize {
    5_000
}
fn requests_max() -> u32 {
    12
}
fn response_bytes_max() -> usize {
    32 << 20
}

impl LokiConfig {
    /// Why it cannot be used, if it cannot.
    pub fn problem(&self) -> Option<String> {
        if !logql::is_label(&self.service_label) {
            return Some(format!("logs.loki.service_label {:?} is no label", self.service_label));
        }
        if !(1..=5_000).contains(&self.page_entries_max) {
            return Some("logs.loki.page_entries_max must lie in 1 to 5000".to_owned());
        }
        if self.timeout_ms == 0 || self.requests_max == 0 || self.response_bytes_max == 0 {
            return Some(
                "logs.loki: timeout_ms, requests_max and response_bytes_max must be above 0".to_owned(),
            );
        }
        None
    }
}

pub struct Loki {
    client: Client,
    config: LokiConfig,
    base: String,
}

/// An answer that was not given because it would have been too much.
enum Refused {
    Fault(Fault),
    /// Loki's own limit on entries, where it names it.
    Entries(usize),
    Bytes(Fault),
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Loki {
    /// # Errors
    /// A URL, certificate file or credential that cannot be used. Nothing is asked yet.
    pub fn new(config: LokiConfig, bearer: Option<&Secret>) -> Result<Self, ClientError> {
        let timeout = Duration::from_millis(config.timeout_ms);
        let client = http::client(&config.url, timeout, bearer, config.ca.as_deref())?;
        if config.tenant.as_deref().is_some_and(|tenant| HeaderValue::from_str(tenant).is_err()) {
            return Err(ClientError::Header { url: config.url.clone() });
        }
        let base = format!("{}/loki/api/v1", config.url.trim_end_matches('/'));
        Ok(Self { client, config, base })
    }

    fn fault(&self, kind: FaultKind, code: &str, what: impl std::fmt::Display) -> Fault {
        Fault::new(kind, code, format!("cannot ask Loki at {}: {what}", self.config.url))
    }

    async fn get(&self, path: &str, parameters: &[(&str, String)]) -> Result<Vec<u8>, Refused> {
        let mut request = self.client.get(format!("{}/{path}", self.base)).query(parameters);
        request = request.header(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        if let Some(tenant) = &self.config.tenant {
            request = request.header(TENANT_HEADER, tenant);
        }
        let response = request.send().await.map_err(|error| self.broken(&error))?;
        let status = response.status();
        let packed = response.headers().get(CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip");
        let bytes_max = self.config.response_bytes_max;
        let too_much = || {
            let what = format!("the answer exceeds {bytes_max} bytes");
            Refused::Bytes(self.fault(FaultKind::Upstream, "LOKI_TOO_MUCH", what))
        };
        let bytes = match http::body(response, bytes_max).await {
            Ok(bytes) if packed => match wire::unpacked(&bytes, bytes_max) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return Err(too_much()),
                Err(error) => {
                    let what = format!("its gzip data is damaged: {error}");
                    return Err(self.fault(FaultKind::Malformed, "LOKI_NOT_AN_API", what).into());
                }
            },
            Ok(bytes) => bytes,
            Err(BodyError::TooLarge) => return Err(too_much()),
            Err(BodyError::Broken(error)) => return Err(self.broken(&error).into()),
        };
        if status.is_success() { Ok(bytes) } else { Err(self.said_no(status, &bytes)) }
    }

    fn broken(&self, error: &reqwest::Error) -> Fault {
        if error.is_timeout() {
            return self.fault(FaultKind::Timeout, "LOKI_TIMEOUT", "no answer in time");
        }
        self.fault(FaultKind::Unreachable, "LOKI_UNREACHABLE", http::cause(error))
    }

    /// Loki says no in plain text.
    fn said_no(&self, status: StatusCode, body: &[u8]) -> Refused {
        let text = String::from_utf8_lossy(body);
        let what = format!("{status}: {}", http::excerpt(&text));
        let (kind, code) = match status.as_u16() {
            400 => match wire::entries_max(&text) {
                Some(entries_max) => return Refused::Entries(entries_max),
                None => (FaultKind::InvalidArguments, "LOKI_BAD_QUERY"),
            },
            401 | 403 => (FaultKind::Denied, "LOKI_DENIED"),
            408 | 504 => (FaultKind::Timeout, "LOKI_TIMEOUT"),
            429 | 500..=599 => (FaultKind::Upstream, "LOKI_UNAVAILABLE"),
            _ => (FaultKind::Malformed, "LOKI_NOT_AN_API"),
        };
        Refused::Fault(self.fault(kind, code, what))
    }

    fn not_understood(&self, what: impl std::fmt::Display) -> Fault {
        self.fault(FaultKind::Malformed, "LOKI_NOT_AN_API", what)
    }

    /// Entries of `[start, end)`, the newest `limit` of them. Times in ns since the epoch.
    async fn page(&self, query: &str, start: u64, end: u64, limit: usize) -> Result<Vec<Entry>, Refused> {
        let parameters = [
            ("query", query.to_owned()),
            ("start", start.to_string()),
            ("end", end.to_string()),
            ("limit", limit.to_string()),
            ("direction", "backward".to_owned()),
        ];
        let bytes = self.get("query_range", &parameters).await?;
        let mut entries = wire::entries(&bytes).map_err(|why| self.not_understood(why))?;
        // What is outside the question is not believed.
        entries.retain(|entry| (start..end).contains(&entry.at_ns));
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.at_ns));
        Ok(entries)
    }

    async fn names(&self, path: &str, window: TimeRange) -> Result<Vec<String>, Fault> {
        let parameters = [("start", ns(window.start).to_string()), ("end", ns(window.end).to_string())];
        let bytes = self.get(path, &parameters).await.map_err(|refused| self.plain(refused))?;
        wire::names(&bytes).map_err(|why| self.not_understood(why))
    }

    fn plain(&self, refused: Refused) -> Fault {
        match refused {
            Refused::Fault(fault) | Refused::Bytes(fault) => fault,
            Refused::Entries(entries_max) => {
                let what = format!("it gives at most {entries_max} entries");
                self.fault(FaultKind::InvalidArguments, "LOKI_BAD_QUERY", what)
            }
        }
    }

    /// Pages from the newest back. Returns entries, newest first, and whether that was all.
    async fn collect(
        &self,
        query: &str,
        window: TimeRange,
        limit: usize,
    ) -> Result<(Vec<Entry>, bool), Fault> {
        let (start, mut end) = (ns(window.start), ns(window.end));
        let mut page_entries = self.config.page_entries_max;
        let mut found: Vec<Entry> = Vec::new();
        for _ in 0..self.config.requests_max {
            if found.len() >= limit || end <= start {
                return Ok((found, end <= start));
            }
            // Entries of the last moment are given again: room for them, or nothing new would come.
            let ties = found.iter().rev().take_while(|entry| entry.at_ns + 1 == end).count();
            let asked = (limit - found.len()).saturating_add(ties).min(page_entries);
            let page = match self.page(query, start, end, asked).await {
                Ok(page) => page,
                Err(Refused::Entries(entries_max)) if (1..page_entries).contains(&entries_max) => {
                    page_entries = entries_max;
                    continue;
                }
                Err(Refused::Bytes(_)) if page_entries > PAGE_ENTRIES_MIN => {
                    page_entries = (page_entries / 4).max(PAGE_ENTRIES_MIN);
                    continue;
                }
                Err(refused) => return Err(self.plain(refused)),
            };
            let full = page.len() >= asked;
            let Some(oldest) = page.last().map(|entry| entry.at_ns) else { return Ok((found, true)) };
            let fresh = wire::without_known(page, &found, end.saturating_sub(1));
            let stuck = fresh.is_empty();
            found.extend(fresh);
            if !full {
                return Ok((found, true));
            }
            // More entries of one moment than a page holds cannot be told apart by time: the rest of them is passed over.
            end = if stuck { oldest } else { oldest.saturating_add(1) };
            if stuck {
                tracing::warn!(
                    query,
                    at_ns = oldest,
                    page = asked,
                    "more log entries of one moment than are given"
                );
            }
        }
        Ok((found, false))
    }

    /// How many entries match; `None` when that cannot be found out.
    async fn count(&self, query: &str, window: TimeRange) -> Option<u64> {
        let counting = format!("sum(count_over_time({query} [{}ms]))", window.length_ms());
        let parameters = [("query", counting), ("time", ns(window.end).to_string())];
        let bytes = self.get("query", &parameters).await.ok()?;
        wire::count(&bytes)
    }

    fn line(&self, entry: Entry) -> LogLine {
        let Entry { at_ns, stream, line } = entry;
        let service = stream.get(&self.config.service_label).cloned();
        let mut labels = Labels(stream.as_ref().clone());
        if let Some(service) = service {
            labels.0.insert("service".to_owned(), service);
        }
        labels.0.entry("source".to_owned()).or_insert_with(|| "loki".to_owned());
        LogLine { at: Some(TimestampMs(at_ns / NS_PER_MS)), labels, line }
    }
}

fn ns(at: TimestampMs) -> u64 {
    // Loki's times are signed.
    at.0.saturating_mul(NS_PER_MS).min(i64::MAX as u64)
}

#[async_trait]
impl Logs for Loki {
    async fn search(&self, query: &LogQuery) -> Result<LogAnswer, Fault> {
        let logql = logql::of(query, &self.config.service_label, &self.config.matchers);
        let (mut entries, whole) = self.collect(&logql, query.window, query.limit).await?;
        entries.truncate(query.limit);
        entries.reverse();
        let kept = entries.len() as u64;
        let dropped = if whole {
            0
        } else {
            // At least one more, if nobody can count them.
            self.count(&logql, query.window).await.map_or(1, |matched| matched.saturating_sub(kept))
        };
        let lines = entries.into_iter().map(|entry| self.line(entry)).collect();
        Ok(LogAnswer { lines, dropped, unread: Vec::new() })
    }

    /// Values of the service label; under configured matchers, those of streams that match them.
    async fn services(&self, window: TimeRange) -> Result<Vec<String>, Fault> {
        let label = &self.config.service_label;
        let services: BTreeSet<String> = if self.config.matchers.trim().is_empty() {
            self.names(&format!("label/{label}/values"), window).await?.into_iter().collect()
        } else {
            let parameters = [
                ("match[]", logql::selector(&[], label, &self.config.matchers)),
                ("start", ns(window.start).to_string()),
                ("end", ns(window.end).to_string()),
            ];
            let bytes = self.get("series", &parameters).await.map_err(|refused| self.plain(refused))?;
            let streams: Vec<BTreeMap<String, String>> =
                wire::streams(&bytes).map_err(|why| self.not_understood(why))?;
            streams.into_iter().filter_map(|mut stream| stream.remove(label)).collect()
        };
        if services.is_empty() {
            let known = self.names("labels", window).await?;
            if !known.is_empty() && !known.contains(label) {
                let what = format!(
                    "no stream has the label {label}; there are {}: set logs.loki.service_label",
                    http::excerpt(&known.join(", "))
                );
                return Err(self.fault(FaultKind::InvalidArguments, "LOKI_NO_SUCH_LABEL", what));
            }
        }
        Ok(services.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
