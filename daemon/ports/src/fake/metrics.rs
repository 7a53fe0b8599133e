//! A Prometheus that says what it was told to say.

use super::script::{Reply, Script};
use crate::Metrics;
use crate::metrics::{Sample, Series};
use async_trait::async_trait;
use medic_core::{Fault, Labels, TimeRange, TimestampMs};

/// What is not scripted is answered as Prometheus answers an unknown metric: with nothing.
#[derive(Default)]
pub struct FakeMetrics {
    pub instant: Script<Vec<Sample>>,
    pub range: Script<Vec<Series>>,
    /// Asked with `ready`.
    pub readiness: Script<()>,
}

impl FakeMetrics {
    pub fn new() -> Self {
        Self::default()
    }

    /// Instant queries that contain `needle` give one sample of this value, without labels.
    pub fn value(&self, needle: &str, value: f64) {
        self.instant.on(needle, Reply::Answer(vec![sample(Labels::default(), value)]));
    }

    /// Instant queries that contain `needle` give these samples.
    pub fn samples(&self, needle: &str, samples: Vec<Sample>) {
        self.instant.on(needle, Reply::Answer(samples));
    }

    /// Range queries that contain `needle` give these series, cut to the range asked for.
    pub fn series(&self, needle: &str, series: Vec<Series>) {
        self.range.on(needle, Reply::Answer(series));
    }

    /// Instant and range queries that contain `needle` fail.
    pub fn fail(&self, needle: &str, fault: &Fault) {
        self.instant.on(needle, Reply::Fail(fault.clone()));
        self.range.on(needle, Reply::Fail(fault.clone()));
    }

    /// Instant and range queries that contain `needle` get no answer until [`release`](Self::release).
    pub fn hang(&self, needle: &str) {
        self.instant.on(needle, Reply::Hang);
        self.range.on(needle, Reply::Hang);
    }

    pub fn release(&self) {
        self.instant.release();
        self.range.release();
        self.readiness.release();
    }
}

/// A sample at time zero, for scripts that do not care when it was taken.
pub fn sample(labels: Labels, value: f64) -> Sample {
    Sample { labels, at: TimestampMs(0), value }
}

/// A series with one value every `step_ms` from `start` on.
pub fn series(
    labels: Labels,
    start: TimestampMs,
    step_ms: u64,
    values: impl IntoIterator<Item = f64>,
) -> Series {
    let samples =
        (0u64..).zip(values).map(|(n, value)| (start.after_ms(n.saturating_mul(step_ms)), value)).collect();
    Series { labels, samples }
}

#[async_trait]
impl Metrics for FakeMetrics {
    async fn query(&self, promql: &str, at: Option<TimestampMs>) -> Result<Vec<Sample>, Fault> {
        let mut samples = self.instant.ask(promql).await?.unwrap_or_default();
        if let Some(at) = at {
            samples.iter_mut().for_each(|sample| sample.at = at);
        }
        Ok(samples)
    }

    /// Both ends belong to the range, as Prometheus has it.
    async fn query_range(&self, promql: &str, range: TimeRange, _step_ms: u64) -> Result<Vec<Series>, Fault> {
        let mut found = self.range.ask(promql).await?.unwrap_or_default();
        for series in &mut found {
            series.samples.retain(|(at, _)| range.start <= *at && *at <= range.end);
        }
        found.retain(|series| !series.samples.is_empty());
        Ok(found)
    }

    async fn ready(&self) -> Result<(), Fault> {
        self.readiness.ask("ready").await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn range_answer_is_cut_to_the_range_asked_for() {
        let metrics = FakeMetrics::new();
        metrics.series("rate(", vec![series(Labels::default(), TimestampMs(0), 1_000, [1.0, 2.0, 3.0, 4.0])]);
        let range = TimeRange::new(TimestampMs(1_000), TimestampMs(2_000));
        let found = metrics.query_range("rate(x[1m])", range, 1_000).await.unwrap();
        assert_eq!(found[0].samples, [(TimestampMs(1_000), 2.0), (TimestampMs(2_000), 3.0)]);
        let empty = TimeRange::new(TimestampMs(10_000), TimestampMs(20_000));
        assert_eq!(metrics.query_range("rate(x[1m])", empty, 1_000).await, Ok(vec![]));
        assert_eq!(metrics.query("unknown", None).await, Ok(vec![]));
    }
}
