//! Questions for the chosen metrics, and their answers as plain series.

use super::super::gather::Collected;
use super::super::plausible;
use super::choose::Metric;
use super::selector;
use crate::world::World;
use medic_core::{Fault, FaultKind, TimeRange, TimestampMs};
use medic_ports::metrics::Series as Answer;
use medic_signals::correlate::meaning::COMPONENT_LABELS;
use medic_signals::series::{Sample, Series};
use medic_signals::windows::{Plan, guard};
use std::collections::{BTreeMap, BTreeSet};

/// Samples asked for at once. 100,000: some 3 MB of an answer.
const BATCH_POINTS_MAX: u64 = 100_000;
/// Names in one selector, which must fit into a question.
const BATCH_NAMES_MAX: usize = 50;
/// Label sets read of one metric to see which label multiplies it. 20,000: some 5 MB.
const LABEL_SETS_MAX: u64 = 20_000;
/// A rate looks back this many steps at least: one sample makes none.
const RATE_STEPS: u64 = 4;
const RATE_MS_MIN: u64 = 60_000;

pub(super) struct Fetch<'a> {
    pub world: &'a World,
    pub matchers: &'a str,
    pub plan: &'a Plan,
    pub window: TimeRange,
    /// When label sets are looked at.
    pub at: TimestampMs,
}

pub(super) enum Question {
    /// As they are, several metrics under one label.
    Raw { names: Vec<String>, label: String, series: u64 },
    /// Too many series: summed up over the labels that multiply them.
    Summed(Metric),
}

#[derive(Default)]
pub(super) struct Fetched {
    pub series: Vec<Series>,
    pub cut: Vec<String>,
    pub collected: Collected,
}

/// Selects metrics by name.
pub(super) fn named(names: &[&str], label: &str, matchers: &str) -> String {
    let inner = selector(label, matchers);
    let inner = inner.trim_start_matches('{').trim_end_matches('}');
    format!("{{__name__=~\"{}\",{inner}}}", names.join("|"))
}

impl Fetch<'_> {
    pub fn questions(&self, metrics: &[Metric]) -> Vec<Question> {
        let per_metric_max = self.world.taxonomy.survey.series_per_metric_max;
        let mut questions: Vec<Question> = Vec::new();
        let mut open: BTreeMap<&str, (Vec<String>, u64)> = BTreeMap::new();
        let batch_series = (BATCH_POINTS_MAX / self.plan.points_per_series.max(1)).max(1);
        for metric in metrics {
            if metric.series > per_metric_max {
                questions.push(Question::Summed(metric.clone()));
                continue;
            }
            let (names, series) = open.entry(&metric.label).or_default();
            if !names.is_empty() && (*series + metric.series > batch_series || names.len() >= BATCH_NAMES_MAX)
            {
                let (names, series) = (std::mem::take(names), std::mem::take(series));
                questions.push(Question::Raw { names, label: metric.label.clone(), series });
            }
            names.push(metric.name.clone());
            *series += metric.series;
        }
        questions.extend(
            open.into_iter()
                .filter(|(_, (names, _))| !names.is_empty())
                .map(|(label, (names, series))| Question::Raw { names, label: label.to_owned(), series }),
        );
        questions
    }

    pub async fn ask(&self, question: Question) -> Fetched {
        match question {
            Question::Raw { names, label, series } => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                // Series come and go within the window: twice what lives at once is still an answer.
                let series_max = series.saturating_mul(2).max(20);
                self.range(&named(&names, &label, self.matchers), series_max).await
            }
            Question::Summed(metric) => self.summed(&metric).await,
        }
    }

    async fn range(&self, promql: &str, series_max: u64) -> Fetched {
        let mut fetched = Fetched::default();
        let mut joined: BTreeMap<BTreeMap<String, String>, Vec<Sample>> = BTreeMap::new();
        for chunk in &self.plan.chunks {
            // Prometheus takes the end as part of the range.
            let end = TimestampMs(chunk.end_ms.saturating_sub(self.plan.step_ms)).min(self.window.end);
            let range = TimeRange::new(TimestampMs(chunk.start_ms), end);
            match self.world.ports.metrics.query_range(promql, range, self.plan.step_ms).await {
                Err(fault) => fetched.collected.gap(promql, &fault),
                Ok(answer) => {
                    let (believed, odd) = plausible::sift(answer, range, self.plan.step_ms);
                    for odd in odd {
                        let fault = Fault::new(FaultKind::Malformed, odd.code(), odd.detail());
                        fetched.collected.gap(promql, &fault);
                    }
                    for Answer { labels, samples } in believed {
                        let samples = samples.into_iter().map(|(at, value)| Sample { at_ms: at.0, value });
                        joined.entry(labels.0).or_default().extend(samples);
                    }
                }
            }
        }
        let beyond = joined.len().saturating_sub(usize::try_from(series_max).unwrap_or(usize::MAX));
        if beyond > 0 {
            fetched.cut.push(format!("{beyond} series beyond {series_max} of {promql} were left out"));
        }
        let kept = joined.len() - beyond;
        fetched.series =
            joined.into_iter().take(kept).map(|(labels, samples)| Series { labels, samples }).collect();
        fetched
    }

    async fn summed(&self, metric: &Metric) -> Fetched {
        let Metric { name, label, series } = metric;
        if *series > LABEL_SETS_MAX {
            let cut = vec![format!("{name} has {series} series, more than are looked at")];
            return Fetched { cut, ..Fetched::default() };
        }
        let own = named(&[name], label, self.matchers);
        let sets: Vec<BTreeMap<String, String>> =
            match self.world.ports.metrics.query(&own, Some(self.at)).await {
                Ok(samples) => samples.into_iter().map(|sample| sample.labels.0).collect(),
                Err(fault) => {
                    let mut fetched = Fetched::default();
                    fetched.collected.gap(own, &fault);
                    return fetched;
                }
            };
        let per_metric_max = self.world.taxonomy.survey.series_per_metric_max;
        let limit = usize::try_from(per_metric_max).unwrap_or(usize::MAX);
        let guarded = guard(&sets, &self.protected(label), limit);
        let kept: Vec<&str> =
            guarded.kept.iter().map(String::as_str).filter(|kept| *kept != "__name__").collect();
        let kept = kept.join(", ");
        let is_counter = ["_total", "_count", "_sum"].iter().any(|suffix| name.ends_with(suffix));
        let promql = if is_counter {
            let back_ms = RATE_MS_MIN.max(RATE_STEPS * self.plan.step_ms);
            format!("sum by ({kept}) (rate({own}[{back_ms}ms]))")
        } else {
            format!("avg by ({kept}) ({own})")
        };
        let mut fetched = self.range(&promql, per_metric_max).await;
        for series in &mut fetched.series {
            series.labels.insert("__name__".to_owned(), name.clone());
            if is_counter {
                accumulate(&mut series.samples);
            }
        }
        if !guarded.dropped.is_empty() {
            let dropped = guarded.dropped.join(", ");
            fetched.cut.push(format!("{name}: {series} series summed up over {dropped}"));
        }
        fetched
    }

    /// Labels that tell components apart stay, whatever they cost.
    fn protected(&self, label: &str) -> BTreeSet<String> {
        let edges = self.world.taxonomy.edges.iter();
        let ends = edges.flat_map(|edge| [edge.caller_label.clone(), edge.callee_label.clone()]);
        let mut protected: BTreeSet<String> = ends.collect();
        protected.insert(label.to_owned());
        // The analysis reads the most telling of a component's names, and may do without the others.
        if let Some(first) = COMPONENT_LABELS.first() {
            protected.insert((*first).to_owned());
        }
        protected
    }
}

/// Rates as the counter they came from, from zero: one per interval, so that nothing looks like a reset.
fn accumulate(samples: &mut [Sample]) {
    let (mut total, mut before_ms) = (0.0, None);
    for sample in samples {
        let elapsed_ms = before_ms.map_or(0, |before_ms| sample.at_ms.saturating_sub(before_ms));
        before_ms = Some(sample.at_ms);
        if sample.value.is_finite() {
            total += sample.value.max(0.0) * elapsed_ms as f64 / 1000.0;
        }
        sample.value = total;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_become_the_counter_they_came_from() {
        let rates = [1.0, 2.0, f64::NAN, 0.5];
        let samples = rates.iter().zip(0..).map(|(value, n)| Sample { at_ms: n * 10_000, value: *value });
        let mut samples: Vec<Sample> = samples.collect();
        accumulate(&mut samples);
        let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
        assert_eq!(values, [0.0, 20.0, 20.0, 25.0]);
    }

    #[test]
    fn a_selector_names_its_metrics_and_keeps_the_matchers() {
        let promql = named(&["up", "http_requests_total"], "service", "namespace=\"shop\"");
        assert_eq!(promql, r#"{__name__=~"up|http_requests_total",service!="",namespace="shop"}"#);
    }
}
