//! Prometheus, as the agents and the tools ask it.

use async_trait::async_trait;
use medic_core::{Fault, Labels, TimeRange, TimestampMs};
use serde::{Deserialize, Serialize};

/// One element of an instant vector. A scalar answer has no labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub labels: Labels,
    pub at: TimestampMs,
    /// May be NaN or infinite.
    pub value: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    pub labels: Labels,
    pub samples: Vec<(TimestampMs, f64)>,
}

#[async_trait]
pub trait Metrics: Send + Sync + 'static {
    /// `at: None` asks for the server's now.
    ///
    /// # Errors
    /// `PROMETHEUS_UNREACHABLE`, `PROMETHEUS_TIMEOUT`, `PROMETHEUS_BAD_QUERY` (400), `PROMETHEUS_EXECUTION` (422),
    /// `PROMETHEUS_UNAVAILABLE` (5xx), `PROMETHEUS_NOT_AN_API` (an answer that is not Prometheus'), `PROMETHEUS_TOO_MUCH`.
    async fn query(&self, promql: &str, at: Option<TimestampMs>) -> Result<Vec<Sample>, Fault>;
    async fn query_range(&self, promql: &str, range: TimeRange, step_ms: u64) -> Result<Vec<Series>, Fault>;
    /// Whether the server answers at all.
    async fn ready(&self) -> Result<(), Fault>;
}
