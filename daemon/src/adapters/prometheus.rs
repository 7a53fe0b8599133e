//! Prometheus over its HTTP API, through prometheus-http-query.
//!
//! Owns how an answer, or the lack of one, becomes samples or a typed fault. Questions asked again within a moment are
//! answered from memory, and those being asked are not asked twice. A range is asked for in as many pieces as Prometheus' own
//! limit makes of it; what would be too many samples or series is refused with what would not be. Never retries: whoever
//! asks knows whether it is worth it.

mod cache;
mod range;

use super::http::{self, BodyError, ClientError};
use crate::config::{Secret, SecretRef};
use async_trait::async_trait;
use cache::{Cache, Cached};
use medic_core::{Fault, FaultKind, Labels, TimeRange, TimestampMs};
use medic_ports::metrics::{Sample, Series};
use medic_ports::{Clock, Metrics};
use prometheus_http_query::response::Data;
use prometheus_http_query::{Client, Error};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Longer expressions are sent in a body: proxies in between cut URLs from 4 KiB on.
const URL_QUERY_BYTES_MAX: usize = 2 * 1024;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrometheusConfig {
    /// Up to and without `/api/v1`.
    pub url: String,
    /// For one question, its answer included; the server is told the same. 10 s: a diagnosis asks some dozens of
    /// questions within its minute, so one that takes longer is better missed.
    pub timeout_ms: u64,
    /// How long an answer stands for the same question. 2 s: about two scrapes of an eager set-up, far less than any
    /// window looked at. 0 switches the memory off.
    pub cache_ms: u64,
    /// Answers remembered. 256: the questions of a few incidents at once.
    pub cache_entries_max: usize,
    /// One answer's body. 32 MiB: a thousand series over a thousand steps.
    pub response_bytes_max: usize,
    /// Series of one answer. 10,000: ten times what anybody reads; more is a query without `by`.
    pub series_max: usize,
    /// Sent as `Authorization: Bearer`.
    pub bearer: Option<SecretRef>,
    /// PEM certificates trusted besides the system's.
    pub ca: Option<PathBuf>,
}

impl Default for PrometheusConfig {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:9090".to_owned(),
            timeout_ms: 10_000,
            cache_ms: 2_000,
            cache_entries_max: 256,
            response_bytes_max: 32 << 20,
            series_max: 10_000,
            bearer: None,
            ca: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Question {
    Instant { promql: String, at: Option<TimestampMs> },
    Range { promql: String, start_s: i64, end_s: i64, step_ms: u64 },
}

impl Question {
    fn promql(&self) -> &str {
        match self {
            Self::Instant { promql, .. } | Self::Range { promql, .. } => promql,
        }
    }
}

#[derive(Debug)]
pub(crate) enum Answer {
    Samples(Vec<Sample>),
    Series(Vec<Series>),
}

/// Clones share one memory.
#[derive(Clone)]
pub struct Prometheus {
    asker: Asker,
    cache: Arc<Cache<Question, Answer>>,
    clock: Arc<dyn Clock>,
    series_max: usize,
}

#[derive(Clone)]
struct Asker {
    client: Client,
    timeout_ms: u64,
    response_bytes_max: usize,
}

impl Prometheus {
    /// # Errors
    /// A URL, certificate file or credential that cannot be used. Nothing is asked yet.
    pub fn new(
        config: &PrometheusConfig,
        bearer: Option<&Secret>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let timeout = Duration::from_millis(config.timeout_ms);
        let http = http::client(&config.url, timeout, bearer, config.ca.as_deref())?;
        let client = Client::from(http, &config.url)
            .map_err(|error| ClientError::Url { url: config.url.clone(), reason: error.to_string() })?;
        let asker =
            Asker { client, timeout_ms: config.timeout_ms, response_bytes_max: config.response_bytes_max };
        let cache = Arc::new(Cache::new(config.cache_ms, config.cache_entries_max));
        Ok(Self { asker, cache, clock, series_max: config.series_max })
    }

    async fn ask(&self, question: Question) -> Result<Arc<Answer>, Fault> {
        let asker = self.asker.clone();
        let asked = question.clone();
        self.cache.get(self.clock.as_ref(), question, async move { asker.ask(&asked).await }).await
    }
}

fn fault(kind: FaultKind, code: &str, promql: &str, what: impl std::fmt::Display) -> Fault {
    Fault::new(kind, code, format!("cannot ask Prometheus `{}`: {what}", http::excerpt(promql)))
}

impl Asker {
    async fn ask(&self, question: &Question) -> Result<Cached<Answer>, Fault> {
        let promql = question.promql();
        let response = self.send(question).await.map_err(|error| transport(promql, &error))?;
        let status = response.status();
        let bytes = match http::body(response, self.response_bytes_max).await {
            Ok(bytes) => bytes,
            Err(BodyError::TooLarge) => {
                let what = format!("the answer exceeds {} bytes", self.response_bytes_max);
                return Err(fault(FaultKind::Upstream, "PROMETHEUS_TOO_MUCH", promql, what));
            }
            Err(BodyError::Broken(error)) => return Err(broken(promql, &error)),
        };
        let answer = decode(question, status, &bytes)?;
        Ok(Cached { answer, bytes: bytes.len() })
    }

    async fn send(&self, question: &Question) -> Result<Response, Error> {
        let timeout_ms = i64::try_from(self.timeout_ms).unwrap_or(i64::MAX);
        let in_url = question.promql().len() <= URL_QUERY_BYTES_MAX;
        match question {
            Question::Instant { promql, at } => {
                let mut query = self.client.query(promql).timeout(timeout_ms);
                if let Some(at) = at {
                    query = query.query("time", format!("{}.{:03}", at.0 / 1000, at.0 % 1000));
                }
                if in_url { query.get_raw().await } else { query.post_raw().await }
            }
            Question::Range { promql, start_s, end_s, step_ms } => {
                let step_s = Duration::from_millis(*step_ms).as_secs_f64();
                let query = self.client.query_range(promql, *start_s, *end_s, step_s).timeout(timeout_ms);
                if in_url { query.get_raw().await } else { query.post_raw().await }
            }
        }
    }
}

fn transport(promql: &str, error: &Error) -> Fault {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<reqwest::Error>());
    match source {
        Some(error) => broken(promql, error),
        None => fault(FaultKind::Unreachable, "PROMETHEUS_UNREACHABLE", promql, error),
    }
}

fn broken(promql: &str, error: &reqwest::Error) -> Fault {
    if error.is_timeout() {
        return fault(FaultKind::Timeout, "PROMETHEUS_TIMEOUT", promql, "no answer in time");
    }
    fault(FaultKind::Unreachable, "PROMETHEUS_UNREACHABLE", promql, http::cause(error))
}

#[derive(Deserialize)]
struct Envelope {
    status: String,
    #[serde(rename = "errorType")]
    error_type: Option<String>,
    error: Option<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct TypeOnly {
    data: TypeOnlyData,
}

#[derive(Deserialize)]
struct TypeOnlyData {
    #[serde(rename = "resultType")]
    result_type: String,
}

fn decode(question: &Question, status: StatusCode, bytes: &[u8]) -> Result<Answer, Fault> {
    let promql = question.promql();
    let envelope = match serde_json::from_slice::<Envelope>(bytes) {
        Ok(envelope) => envelope,
        Err(error) => return Err(not_understood(promql, status, bytes, &error)),
    };
    if envelope.status != "success" {
        let kind = envelope.error_type.unwrap_or_default();
        return Err(said_no(promql, status, &kind, &envelope.error.unwrap_or_default()));
    }
    match (question, envelope.data) {
        (Question::Instant { .. }, Some(Data::Vector(vector))) => {
            let sample = |element: prometheus_http_query::response::InstantVector| {
                let (metric, sample) = element.into_inner();
                Sample { labels: labels(metric), at: at_ms(sample.timestamp()), value: sample.value() }
            };
            Ok(Answer::Samples(vector.into_iter().map(sample).collect()))
        }
        (Question::Instant { .. }, Some(Data::Scalar(scalar))) => {
            let (at, value) = (at_ms(scalar.timestamp()), scalar.value());
            Ok(Answer::Samples(vec![Sample { labels: Labels::default(), at, value }]))
        }
        (Question::Range { .. }, Some(Data::Matrix(matrix))) => {
            let series = |range: prometheus_http_query::response::RangeVector| {
                let (metric, samples) = range.into_inner();
                let samples =
                    samples.iter().map(|sample| (at_ms(sample.timestamp()), sample.value())).collect();
                Series { labels: labels(metric), samples }
            };
            Ok(Answer::Series(matrix.into_iter().map(series).collect()))
        }
        (Question::Instant { .. }, Some(Data::Matrix(_))) => {
            let what = "it selects a range; an instant question needs an instant vector or a scalar";
            Err(fault(FaultKind::InvalidArguments, "PROMETHEUS_BAD_QUERY", promql, what))
        }
        (_, Some(_) | None) => {
            let what = "the answer does not fit the question";
            Err(fault(FaultKind::Malformed, "PROMETHEUS_NOT_AN_API", promql, what))
        }
    }
}

/// An answer in Prometheus' own words.
fn said_no(promql: &str, status: StatusCode, error_type: &str, error: &str) -> Fault {
    let what = format!("{error_type}: {}", http::excerpt(error));
    match error_type {
        "bad_data" => fault(FaultKind::InvalidArguments, "PROMETHEUS_BAD_QUERY", promql, what),
        "execution" => fault(FaultKind::Upstream, "PROMETHEUS_EXECUTION", promql, what),
        "timeout" => fault(FaultKind::Timeout, "PROMETHEUS_TIMEOUT", promql, what),
        _ if status == StatusCode::BAD_REQUEST => {
            fault(FaultKind::InvalidArguments, "PROMETHEUS_BAD_QUERY", promql, what)
        }
        _ => fault(FaultKind::Upstream, "PROMETHEUS_UNAVAILABLE", promql, what),
    }
}

/// An answer that is none of Prometheus'.
fn not_understood(promql: &str, status: StatusCode, bytes: &[u8], error: &serde_json::Error) -> Fault {
    if status.is_server_error() {
        let what = format!("{status}: {}", http::excerpt(&String::from_utf8_lossy(bytes)));
        return fault(FaultKind::Upstream, "PROMETHEUS_UNAVAILABLE", promql, what);
    }
    match serde_json::from_slice::<TypeOnly>(bytes) {
        Ok(typed) if typed.data.result_type == "string" => fault(
            FaultKind::InvalidArguments,
            "PROMETHEUS_BAD_QUERY",
            promql,
            "it gives a text and no number",
        ),
        Ok(typed) => {
            let what =
                format!("a {} that is not understood: {error}", http::excerpt(&typed.data.result_type));
            fault(FaultKind::Malformed, "PROMETHEUS_NOT_AN_API", promql, what)
        }
        Err(_) => {
            let text = http::excerpt(&String::from_utf8_lossy(bytes));
            let what = format!("{status}, and not an answer of Prometheus: {text}");
            fault(FaultKind::Malformed, "PROMETHEUS_NOT_AN_API", promql, what)
        }
    }
}

fn labels(metric: HashMap<String, String>) -> Labels {
    Labels(metric.into_iter().collect())
}

/// Seconds as Prometheus writes them, with a fraction.
fn at_ms(seconds: f64) -> TimestampMs {
    // Saturates: a negative or absurd time becomes an end of the scale and harms nobody.
    TimestampMs((seconds * 1000.0).round() as u64)
}

#[async_trait]
impl Metrics for Prometheus {
    async fn query(&self, promql: &str, at: Option<TimestampMs>) -> Result<Vec<Sample>, Fault> {
        match &*self.ask(Question::Instant { promql: promql.to_owned(), at }).await? {
            Answer::Samples(samples) => Ok(samples.clone()),
            Answer::Series(_) => Err(fault(FaultKind::Internal, "INTERNAL", promql, "series for an instant")),
        }
    }

    /// Both ends are taken down to whole seconds, which is what the client library can say.
    async fn query_range(&self, promql: &str, range: TimeRange, step_ms: u64) -> Result<Vec<Series>, Fault> {
        let too_much = |what: String| fault(FaultKind::InvalidArguments, "PROMETHEUS_TOO_MUCH", promql, what);
        let pieces = range::pieces(range, step_ms.max(1)).map_err(too_much)?;
        let mut joined = range::Joined::default();
        for range::Piece { start_s, end_s, step_ms } in pieces {
            let question = Question::Range { promql: promql.to_owned(), start_s, end_s, step_ms };
            match &*self.ask(question).await? {
                Answer::Series(series) => joined.push(series),
                Answer::Samples(_) => {
                    return Err(fault(FaultKind::Internal, "INTERNAL", promql, "an instant for series"));
                }
            }
            joined.check(self.series_max).map_err(too_much)?;
        }
        Ok(joined.series)
    }

    /// Asks for a constant, past the memory: every server that speaks the API can answer it, whatever stands before it.
    async fn ready(&self) -> Result<(), Fault> {
        self.asker.ask(&Question::Instant { promql: "vector(1)".to_owned(), at: None }).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests;
