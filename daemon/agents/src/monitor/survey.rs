//! Raw series of every component around an incident, at a bounded cost.
//!
//! Owns the way from "what is there" to plain data: which metrics, at which step, summed up over which labels. Whatever
//! was cut to stay within the limits is said. Never judges a series.

mod choose;
mod fetch;

use super::gather::Collected;
use crate::taxonomy::{EdgeQuery, Survey};
use crate::world::World;
use choose::{Choice, Metric};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use medic_core::{Fault, FaultKind, Incident, TimeRange, TimestampMs};
use medic_ports::metrics::Sample;
use medic_signals::correlate::meaning::COMPONENT_LABELS;
use medic_signals::series::Series;
use medic_signals::windows::{Plan, PlanLimits, plan};
use std::collections::{BTreeMap, BTreeSet};

/// Questions open at once for one survey. 4: half of what the indicators ask meanwhile.
const QUERIES_MAX: usize = 4;
/// How far apart samples are taken to lie when nothing tells. 15 s: what most scrape at.
const RESOLUTION_USUAL_MS: u64 = 15_000;
/// Samples of one series in one request: Prometheus refuses more.
const POINTS_PER_REQUEST_MAX: u64 = 11_000;
const REQUESTS_MAX: u64 = 4;
/// Metrics whose samples are counted to find out how far apart they lie.
const TIMED_METRICS: usize = 5;

/// What was gathered.
#[derive(Default)]
pub(super) struct Surveyed {
    /// Named, with their labels; both ends of a call under `caller` and `callee`.
    pub series: Vec<Series>,
    /// What was asked, in short.
    pub query: String,
    pub window: Option<TimeRange>,
    /// What was cut, one sentence each.
    pub cut: Vec<String>,
    pub collected: Collected,
}

/// `alert_at`: of the first alert; what lives then is what is looked for.
pub(super) async fn run(
    world: &World,
    incident: &Incident,
    alert_at: TimestampMs,
    now: TimestampMs,
) -> Surveyed {
    let mut surveyed = Surveyed::default();
    let survey = &world.taxonomy.survey;
    if survey.series_max == 0 || survey.points_max == 0 {
        return surveyed;
    }
    let found = match metrics(world, incident, alert_at).await {
        Ok(found) if found.metrics.is_empty() => return surveyed,
        Ok(found) => found,
        Err(fault) => {
            surveyed.collected.gap("what metrics there are", &fault);
            return surveyed;
        }
    };
    let Found { metrics, matchers } = found;
    let Choice { metrics, mut cut } = choose::within(metrics, survey);
    // What came long after the alert says nothing of how it began: an old alert's window does not reach to now.
    let window = TimeRange::new(
        alert_at.before_ms(survey.lookback_ms),
        now.min(alert_at.after_ms(survey.lookback_ms)),
    );
    let resolution_ms = match survey.resolution_ms {
        0 => resolution(world, &metrics, &matchers, alert_at).await,
        told_ms => told_ms,
    };
    let planned = match planned(window, &metrics, survey, resolution_ms) {
        Ok(planned) => planned,
        Err(fault) => {
            surveyed.collected.gap("raw series", &fault);
            return surveyed;
        }
    };
    if planned.coarsened {
        let (step_s, ms) = (planned.step_ms / 1000, resolution_ms);
        cut.push(format!("looked at every {step_s} s, samples lie {ms} ms apart"));
    }
    let fetch = fetch::Fetch { world, matchers: &matchers, plan: &planned, window, at: alert_at };
    let mut asked: Vec<BoxFuture<'_, fetch::Fetched>> = Vec::new();
    for question in fetch.questions(&metrics) {
        asked.push(fetch.ask(question).boxed());
    }
    let answers: Vec<fetch::Fetched> = futures::stream::iter(asked).buffered(QUERIES_MAX).collect().await;
    for answer in answers {
        surveyed.series.extend(answer.series);
        cut.extend(answer.cut);
        surveyed.collected.merge(answer.collected);
    }
    for series in &mut surveyed.series {
        name_ends(&mut series.labels, &world.taxonomy.edges);
    }
    let labels: BTreeSet<&str> = metrics.iter().map(|metric| metric.label.as_str()).collect();
    let selectors: Vec<String> = labels.into_iter().map(|label| selector(label, &matchers)).collect();
    surveyed.query =
        format!("{} metrics of {} every {} ms", metrics.len(), selectors.join(" "), planned.step_ms);
    surveyed.window = Some(window);
    surveyed.cut = cut;
    surveyed
}

/// What there is, and the matchers it was found under.
struct Found {
    metrics: Vec<Metric>,
    matchers: String,
}

/// Asks what metrics carry a component's name. Where the alerts agree on a cluster or a namespace only that is looked at,
/// unless nothing there is labelled so: labels that are added on the way to Alertmanager are not in the store.
async fn metrics(world: &World, incident: &Incident, at: TimestampMs) -> Result<Found, Fault> {
    let configured = world.taxonomy.survey.matchers.trim().trim_matches(',').to_owned();
    let narrow = agreed(incident);
    if !narrow.is_empty() {
        let matchers = [configured.clone(), narrow].into_iter().filter(|part| !part.is_empty());
        let matchers = matchers.collect::<Vec<_>>().join(",");
        let metrics = under(world, incident, &matchers, at).await?;
        if !metrics.is_empty() {
            return Ok(Found { metrics, matchers });
        }
    }
    Ok(Found { metrics: under(world, incident, &configured, at).await?, matchers: configured })
}

async fn under(
    world: &World,
    incident: &Incident,
    matchers: &str,
    at: TimestampMs,
) -> Result<Vec<Metric>, Fault> {
    let labels = labels(world, incident);
    let mut asked: Vec<BoxFuture<'_, Result<Vec<Sample>, Fault>>> = Vec::new();
    for label in &labels {
        let promql = format!("count by (__name__) ({})", selector(label, matchers));
        asked.push(async move { world.ports.metrics.query(&promql, Some(at)).await }.boxed());
    }
    let answers: Vec<_> = futures::stream::iter(asked).buffered(QUERIES_MAX).collect().await;
    let mut found: BTreeMap<String, Metric> = BTreeMap::new();
    for (label, answer) in labels.iter().zip(answers) {
        for sample in answer? {
            let Some(name) = sample.labels.get("__name__").filter(|name| is_name(name)) else { continue };
            // A count; NaN and what is below one saturate to nothing.
            let series = sample.value as u64;
            if series > 0 && !found.contains_key(name) {
                let metric = Metric { name: name.to_owned(), label: label.clone(), series };
                found.insert(name.to_owned(), metric);
            }
        }
    }
    Ok(found.into_values().collect())
}

/// Labels to look for, the most telling first.
fn labels(world: &World, incident: &Incident) -> Vec<String> {
    let of_alerts = incident.firing().flat_map(|tracked| tracked.alert.labels.0.keys());
    let of_alerts = of_alerts.filter(|label| COMPONENT_LABELS.contains(&label.as_str()) && *label != "job");
    let grouping = world.grouping.component_labels.iter().filter(|label| *label != "job");
    let mut labels: Vec<String> = Vec::new();
    for label in grouping.chain(&world.taxonomy.survey.labels).chain(of_alerts) {
        if is_name(label) && !labels.contains(label) {
            labels.push(label.clone());
        }
    }
    labels
}

/// Matchers for what all firing alerts say alike of where they are.
fn agreed(incident: &Incident) -> String {
    let on = |label: &str| {
        let mut values = incident.firing().map(|tracked| tracked.alert.labels.get(label));
        let first = values.next()??;
        values.all(|value| value == Some(first)).then(|| format!("{label}=\"{}\"", escaped(first)))
    };
    ["cluster", "namespace"].into_iter().filter_map(on).collect::<Vec<_>>().join(",")
}

/// How far apart samples lie, by counting them.
async fn resolution(world: &World, metrics: &[Metric], matchers: &str, at: TimestampMs) -> u64 {
    let names: Vec<&str> = metrics.iter().take(TIMED_METRICS).map(|metric| metric.name.as_str()).collect();
    let Some(label) = metrics.first().map(|metric| metric.label.as_str()) else { return RESOLUTION_USUAL_MS };
    let within = |name: &str, ms: u64| {
        let inner = fetch::named(&names, label, matchers);
        let promql = format!("quantile(0.5, count_over_time({inner}[{name}]))");
        async move {
            let samples = world.ports.metrics.query(&promql, Some(at)).await.ok()?;
            let count = samples.first()?.value;
            // One sample tells nothing of the next.
            (count >= 2.0).then(|| ms as f64 / count)
        }
    };
    let (minute, quarter) = tokio::join!(within("1m", 60_000), within("15m", 900_000));
    minute.or(quarter).map_or(RESOLUTION_USUAL_MS, |ms| ((ms / 1000.0).round() as u64).max(1) * 1000)
}

fn planned(
    window: TimeRange,
    metrics: &[Metric],
    survey: &Survey,
    resolution_ms: u64,
) -> Result<Plan, Fault> {
    let limits = PlanLimits {
        points_max: survey.points_max,
        series_max: survey.series_max,
        points_per_request_max: POINTS_PER_REQUEST_MAX,
        requests_max: REQUESTS_MAX,
        resolution_ms,
    };
    let expected = metrics.iter().map(|metric| metric.series.min(survey.series_per_metric_max)).sum();
    let range = medic_signals::TimeRange::new(window.start.0, window.end.0);
    plan(range, expected, &limits)
        .map_err(|error| Fault::new(FaultKind::InvalidArguments, "METRICS_UNPLANNABLE", error.to_string()))
}

/// Gives both ends of a call the names that the analysis knows them by.
fn name_ends(labels: &mut BTreeMap<String, String>, edges: &[EdgeQuery]) {
    let ends = edges.iter().find_map(|edge| {
        let (caller, callee) = (labels.get(&edge.caller_label)?, labels.get(&edge.callee_label)?);
        Some((caller.clone(), callee.clone()))
    });
    if let Some((caller, callee)) = ends {
        labels.entry("caller".to_owned()).or_insert(caller);
        labels.entry("callee".to_owned()).or_insert(callee);
    }
}

fn selector(label: &str, matchers: &str) -> String {
    if matchers.is_empty() { format!("{{{label}!=\"\"}}") } else { format!("{{{label}!=\"\",{matchers}}}") }
}

/// What a metric or label may be called; anything else would have to be quoted.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'))
}

/// Within a PromQL string literal.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
