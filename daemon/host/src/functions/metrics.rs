//! Queries to Prometheus.

use medic_core::{Labels, TimeRange, TimestampMs};
use medic_ports::metrics::{Sample, Series};

use super::or_answer;
use crate::broker::{Asks, CallFacts};
use crate::contract::host::metrics as wit;
use crate::contract::host::types::{Attr, ErrorKind, HostError, TimeRange as WitRange};
use crate::session::{Session, error, within};

type Answer = Result<Vec<wit::Series>, HostError>;

impl wit::Host for Session {
    async fn query(&mut self, promql: String, at_ms: Option<u64>) -> wasmtime::Result<Answer> {
        let asks = Asks::Metrics { queries: 1, range_ms: 0 };
        or_answer!(self.admit(CallFacts { function: "metrics.query", subject: promql.clone(), asks }).await?);
        let metrics = self.world.metrics.clone();
        let asked = within(self.meter.remaining(), metrics.query(&promql, at_ms.map(TimestampMs))).await;
        Ok(asked.and_then(|samples| self.hand_over(samples.into_iter().map(instant).collect())))
    }

    async fn query_range(
        &mut self,
        promql: String,
        range: WitRange,
        step_ms: u64,
    ) -> wasmtime::Result<Answer> {
        let range = TimeRange::new(TimestampMs(range.start_ms), TimestampMs(range.end_ms));
        let asks = Asks::Metrics { queries: 1, range_ms: range.length_ms() };
        or_answer!(
            self.admit(CallFacts { function: "metrics.query-range", subject: promql.clone(), asks }).await?
        );
        if step_ms == 0 || range.length_ms() == 0 {
            return Ok(Err(error(
                ErrorKind::Invalid,
                "RANGE_EMPTY",
                "the range and its step must be longer than nothing",
            )));
        }
        let metrics = self.world.metrics.clone();
        let asked = within(self.meter.remaining(), metrics.query_range(&promql, range, step_ms)).await;
        Ok(asked.and_then(|series| self.hand_over(series.into_iter().map(ranged).collect())))
    }

    async fn query_many(&mut self, promql: Vec<String>, at_ms: Option<u64>) -> wasmtime::Result<Vec<Answer>> {
        let asks = Asks::Metrics { queries: promql.len(), range_ms: 0 };
        let facts = CallFacts { function: "metrics.query-many", subject: promql.join("; "), asks };
        if let Err(refusal) = self.admit(facts).await? {
            return Ok(promql.iter().map(|_| Err(refusal.clone())).collect());
        }
        let remaining = self.meter.remaining();
        let metrics = &self.world.metrics;
        let queries =
            promql.iter().map(|query| within(remaining, metrics.query(query, at_ms.map(TimestampMs))));
        let answers: Vec<Result<Vec<Sample>, HostError>> = futures::future::join_all(queries).await;
        let hand_over = |answer: Result<Vec<Sample>, HostError>| {
            answer.and_then(|samples| self.hand_over(samples.into_iter().map(instant).collect()))
        };
        Ok(answers.into_iter().map(hand_over).collect())
    }
}

impl Session {
    fn hand_over(&mut self, series: Vec<wit::Series>) -> Answer {
        let limit = self.plugin.grant.metrics.max_series;
        if series.len() > limit {
            let message = format!("{} series, the limit is {limit}; aggregate in the query", series.len());
            return Err(error(ErrorKind::Quota, "METRICS_TOO_MANY_SERIES", message));
        }
        let labels = |series: &wit::Series| {
            series.labels.iter().map(|label| label.name.len() + label.value.len()).sum::<usize>()
        };
        self.lend(series.iter().map(|series| labels(series) + 16 * series.samples.len()).sum())?;
        Ok(series)
    }
}

pub(super) fn attrs(labels: Labels) -> Vec<Attr> {
    labels.0.into_iter().map(|(name, value)| Attr { name, value }).collect()
}

fn instant(sample: Sample) -> wit::Series {
    let samples = vec![wit::Sample { at_ms: sample.at.0, value: sample.value }];
    wit::Series { labels: attrs(sample.labels), samples }
}

fn ranged(series: Series) -> wit::Series {
    let samples = series.samples.into_iter().map(|(at, value)| wit::Sample { at_ms: at.0, value }).collect();
    wit::Series { labels: attrs(series.labels), samples }
}
