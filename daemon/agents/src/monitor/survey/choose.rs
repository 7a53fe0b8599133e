//! Which metrics are worth their cost.

use crate::taxonomy::Survey;
use medic_signals::correlate::meaning::{Kind, kind_of};
use std::collections::{BTreeMap, BTreeSet};

/// Names told of what was left out.
const NAMES_SHOWN: usize = 5;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Metric {
    pub name: String,
    /// That names the component.
    pub label: String,
    pub series: u64,
}

pub(super) struct Choice {
    pub metrics: Vec<Metric>,
    /// What was left out, in a sentence.
    pub cut: Vec<String>,
}

/// The metrics that fit, the most telling first; of equally telling ones those of fewer series.
pub(super) fn within(metrics: Vec<Metric>, survey: &Survey) -> Choice {
    let names: BTreeSet<String> = metrics.iter().map(|metric| metric.name.clone()).collect();
    let mut ranked: Vec<(u32, Metric)> =
        metrics.into_iter().filter_map(|metric| Some((rank(&metric, &names, survey)?, metric))).collect();
    ranked.sort_by(|a, b| {
        (a.0, a.1.series, &a.1.name, &a.1.label).cmp(&(b.0, b.1.series, &b.1.name, &b.1.label))
    });
    let mut left = survey.series_max;
    let (mut chosen, mut out): (Vec<Metric>, Vec<Metric>) = (Vec::new(), Vec::new());
    for (_, metric) in ranked {
        let cost = metric.series.min(survey.series_per_metric_max);
        match left.checked_sub(cost) {
            Some(rest) => {
                left = rest;
                chosen.push(metric);
            }
            None => out.push(metric),
        }
    }
    let mut cut = Vec::new();
    if !out.is_empty() {
        let series: u64 = out.iter().map(|metric| metric.series).sum();
        let names: Vec<&str> = out.iter().take(NAMES_SHOWN).map(|metric| metric.name.as_str()).collect();
        let more = if out.len() > NAMES_SHOWN { ", …" } else { "" };
        let (count, limit) = (out.len(), survey.series_max);
        cut.push(format!(
            "{count} metrics of {series} series were left out beyond {limit} series ({}{more})",
            names.join(", ")
        ));
    }
    Choice { metrics: chosen, cut }
}

/// The lower, the more it tells; `None` for what says nothing of how a component does.
fn rank(metric: &Metric, names: &BTreeSet<String>, survey: &Survey) -> Option<u32> {
    let name = metric.name.as_str();
    let about_itself = ["scrape_", "prometheus_", "promhttp_", "net_conntrack_"];
    let about_nothing = ["_created", "_info"];
    if matches!(name, "ALERTS" | "ALERTS_FOR_STATE")
        || about_itself.iter().any(|prefix| name.starts_with(prefix))
        || about_nothing.iter().any(|suffix| name.ends_with(suffix))
    {
        return None;
    }
    if let Some(base) = name.strip_suffix("_bucket") {
        let has_mean = names.contains(&format!("{base}_sum"));
        // Summed-up buckets are no histogram any more.
        return (metric.series <= survey.series_per_metric_max).then_some(if has_mean { 4 } else { 1 });
    }
    Some(match kind_of(name, &BTreeMap::new()) {
        Kind::Latency | Kind::Errors | Kind::Success | Kind::NetworkGap | Kind::Traffic => 0,
        Kind::Cpu | Kind::Memory | Kind::Disk | Kind::Saturation => 1,
        Kind::Network | Kind::ClientLatency => 2,
        Kind::Host | Kind::Other | Kind::Logs => 3,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &str, series: u64) -> Metric {
        Metric { name: name.to_owned(), label: "service".to_owned(), series }
    }

    fn chosen(metrics: &[(&str, u64)], series_max: u64) -> (Vec<String>, Vec<String>) {
        let survey = Survey { series_max, series_per_metric_max: 100, ..Survey::default() };
        let choice = within(metrics.iter().map(|(name, series)| metric(name, *series)).collect(), &survey);
        (choice.metrics.into_iter().map(|metric| metric.name).collect(), choice.cut)
    }

    #[test]
    fn the_telling_come_first_and_what_does_not_fit_is_said() {
        let metrics = [
            ("something_else", 10),
            ("container_cpu_usage_seconds_total", 20),
            ("http_requests_total", 30),
            ("scrape_duration_seconds", 5),
            ("request_duration_seconds_bucket", 90),
            ("request_duration_seconds_sum", 5),
        ];
        let (names, cut) = chosen(&metrics, 60);
        assert_eq!(
            names,
            ["request_duration_seconds_sum", "http_requests_total", "container_cpu_usage_seconds_total"]
        );
        assert_eq!(
            cut,
            ["2 metrics of 100 series were left out beyond 60 series (something_else, \
                request_duration_seconds_bucket)"]
        );
        assert!(chosen(&metrics, 1_000).1.is_empty(), "everything fits");
    }

    #[test]
    fn a_metric_that_multiplies_counts_as_what_is_left_of_it() {
        let (names, cut) = chosen(&[("http_requests_total", 50_000), ("up", 50)], 150);
        assert_eq!((names, cut), (vec!["up".to_owned(), "http_requests_total".to_owned()], Vec::new()));
        let (names, _) = chosen(&[("latency_seconds_bucket", 50_000)], 150);
        assert!(names.is_empty(), "a histogram that must be summed up is none");
    }
}
