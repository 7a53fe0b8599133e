//! From raw series to observations: whose, of what kind, on one grid of time.
//!
//! Owns what must happen to counters, histograms, summaries and the two ends of a call before levels can be
//! compared. Never scores.
//!
//! - A counter becomes its rate. `_bucket` series become the 90th percentile of each interval, `_sum` and
//!   `_count` of one thing become the mean and a rate of traffic.
//! - A constant says nothing and is dropped; so is a family of which most components share the very same values:
//!   it belongs to the machines below them.
//! - Where both ends of a call are measured, the caller's minus the callee's is the way between them.
//! - Samples are averaged into bins of at least [`BIN_MS`], or fewer when the recording is short.

use super::deviation::Binned;
use super::meaning::{COMPONENT_LABELS, Kind, STATISTIC_LABELS, Side, kind_of, side_of, without_pod_suffix};
use crate::series::Series;
use crate::topology::edge_of;
use std::collections::{BTreeMap, BTreeSet};

/// 15 s: the scrape interval most use; finer samples are noise to average.
const BIN_MS: u64 = 15_000;
/// A recording shorter than this many bins gets finer ones.
const BINS_MIN: u64 = 40;
/// Values beyond are no measurement, and their squares no number.
const VALUE_MAX: f64 = 1e100;
/// Components from which "most of them share their values" means something.
const SHARED_COMPONENTS_MIN: usize = 4;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Observed {
    pub component: String,
    /// For a series that speaks of a call to `component`.
    pub caller: Option<String>,
    pub kind: Kind,
    /// The end of the call that measured.
    pub side: Option<Side>,
    /// The metric with its statistic, without the component.
    pub measure: String,
    /// Series of one family have noise of one sort: the measure, and its side.
    pub family: String,
    /// The metric as people know it, with its labels.
    pub name: String,
    pub binned: Binned,
}

pub(super) struct Observations {
    pub all: Vec<Observed>,
    /// Bin `n` covers `[start_ms + n · bin_ms, … + bin_ms)`.
    pub start_ms: u64,
    pub bin_ms: u64,
}

impl Observations {
    pub fn bin_of(&self, at_ms: u64) -> u64 {
        at_ms.saturating_sub(self.start_ms) / self.bin_ms.max(1)
    }

    pub fn time_of(&self, bin: u64) -> u64 {
        self.start_ms.saturating_add(bin.saturating_mul(self.bin_ms))
    }
}

/// Everything that `series` says, in an order that does not depend on theirs.
pub(super) fn observe(series: &[Series]) -> Observations {
    let mut raw: Vec<&Series> = series.iter().filter(|one| !one.samples.is_empty()).collect();
    raw.sort_by(|a, b| a.labels.cmp(&b.labels).then_with(|| fingerprint(a).cmp(&fingerprint(b))));
    let start_ms = raw.iter().filter_map(|one| one.samples.first()).map(|one| one.at_ms).min().unwrap_or(0);
    let end_ms = raw.iter().filter_map(|one| one.samples.last()).map(|one| one.at_ms).max().unwrap_or(0);
    let mut steps: Vec<u64> = raw.iter().filter_map(|one| one.step_ms()).filter(|step| *step > 0).collect();
    steps.sort_unstable();
    let step_ms = steps.get(steps.len() / 2).copied().unwrap_or(BIN_MS);
    let coarse_ms = ((end_ms - start_ms) / BINS_MIN).min(BIN_MS);
    let bin_ms = step_ms.max(coarse_ms).max(1);
    let levels = levels(&raw);
    let keys = component_keys(&levels);
    let mut all: Vec<Observed> = levels
        .iter()
        .filter(|one| !one.series.is_constant())
        .filter_map(|one| observed(one, &keys, start_ms, bin_ms))
        .collect();
    all.extend(gaps(&all));
    let machines = of_machines(&all);
    all.retain(|one| !machines.contains(&one.family));
    Observations { all, start_ms, bin_ms }
}

/// Tells two series of one name apart, whatever their order.
fn fingerprint(series: &Series) -> Vec<(u64, u64)> {
    series.samples.iter().map(|sample| (sample.at_ms, sample.value.to_bits())).collect()
}

/// A level over time: a gauge, or what a counter or histogram says of each interval.
struct Level {
    name: String,
    series: Series,
}

/// A metric's name without its suffix, and its labels.
type Named = (String, BTreeMap<String, String>);

fn levels(raw: &[&Series]) -> Vec<Level> {
    let mut levels = Vec::new();
    let mut buckets: BTreeMap<Named, Vec<(f64, &Series)>> = BTreeMap::new();
    let mut sums: BTreeMap<Named, &Series> = BTreeMap::new();
    let mut counts: BTreeMap<Named, &Series> = BTreeMap::new();
    let unnamed = |series: &Series, drop: &[&str]| -> BTreeMap<String, String> {
        let keep = |label: &str| label != "__name__" && !drop.contains(&label);
        series
            .labels
            .iter()
            .filter(|(label, _)| keep(label))
            .map(|(label, value)| (label.clone(), value.clone()))
            .collect()
    };
    for series in raw {
        let name = series.name();
        let bound = series
            .label("le")
            .map(|le| if le == "+Inf" { f64::INFINITY } else { le.parse().unwrap_or(f64::NAN) });
        if let (Some(base), Some(bound)) = (name.strip_suffix("_bucket"), bound) {
            if !bound.is_nan() {
                buckets.entry((base.to_owned(), unnamed(series, &["le"]))).or_default().push((bound, series));
            }
        } else if name.ends_with("_created") {
            // When a series began, not how it goes.
        } else if let Some(base) = name.strip_suffix("_sum").filter(|_| series.is_counter()) {
            sums.insert((base.to_owned(), unnamed(series, &[])), series);
        } else if let Some(base) = name.strip_suffix("_count").filter(|_| series.is_counter()) {
            counts.insert((base.to_owned(), unnamed(series, &[])), series);
        } else {
            levels.push(Level { name: name.to_owned(), series: series.as_gauge() });
        }
    }
    for ((base, labels), mut found) in buckets {
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        levels.push(Level { name: format!("{base}_p90"), series: ninetieth(&found, labels) });
    }
    for (key, sum) in &sums {
        if let Some(count) = counts.get(key) {
            levels.push(Level { name: format!("{}_mean", key.0), series: sum.rate().over(&count.rate()) });
        }
    }
    for ((base, _), count) in counts {
        // `request_duration_seconds_count` counts requests; the unit it was named for is not its own.
        let name =
            if kind_of(&base, &count.labels) == Kind::Latency { "requests_count".to_owned() } else { base };
        levels.push(Level { name, series: count.rate() });
    }
    levels
}

/// The 90th percentile of each interval from cumulative buckets, interpolated as `histogram_quantile` does.
fn ninetieth(buckets: &[(f64, &Series)], labels: BTreeMap<String, String>) -> Series {
    let mut by_time: BTreeMap<u64, Vec<(f64, f64)>> = BTreeMap::new();
    for (bound, series) in buckets {
        for sample in series.rate().samples {
            by_time.entry(sample.at_ms).or_default().push((*bound, sample.value));
        }
    }
    let samples = by_time
        .into_iter()
        .filter_map(|(at_ms, cumulative)| {
            let wanted = 0.9 * cumulative.last()?.1;
            if wanted <= 0.0 || !wanted.is_finite() {
                return None;
            }
            let at = cumulative.iter().position(|(_, rate)| *rate >= wanted)?;
            let (bound, rate) = *cumulative.get(at)?;
            let (below, rate_below) =
                at.checked_sub(1).and_then(|n| cumulative.get(n)).copied().unwrap_or((0.0, 0.0));
            let share = if rate > rate_below { (wanted - rate_below) / (rate - rate_below) } else { 1.0 };
            let value = if bound.is_finite() { below + (bound - below) * share } else { below };
            Some(crate::series::Sample { at_ms, value })
        })
        .collect();
    Series { labels, samples }
}

/// For each metric the label that tells its components apart: the first of [`COMPONENT_LABELS`] with two values
/// or more, or the first at all.
fn component_keys(levels: &[Level]) -> BTreeMap<&str, &'static str> {
    let mut values: BTreeMap<(&str, &'static str), BTreeSet<&str>> = BTreeMap::new();
    for level in levels {
        for label in COMPONENT_LABELS {
            if let Some(value) = level.series.label(label).filter(|value| !value.is_empty()) {
                values.entry((&level.name, label)).or_default().insert(value);
            }
        }
    }
    let names: BTreeSet<&str> = levels.iter().map(|level| level.name.as_str()).collect();
    let key = |name: &str| {
        let many = |label: &&&'static str| values.get(&(name, **label)).is_some_and(|seen| seen.len() > 1);
        let any = |label: &&&'static str| values.contains_key(&(name, **label));
        COMPONENT_LABELS.iter().find(many).or_else(|| COMPONENT_LABELS.iter().find(any)).copied()
    };
    names.into_iter().filter_map(|name| Some((name, key(name)?))).collect()
}

/// The component in the value of `label`: a pod's name loses its suffix, an instance its port.
fn component(label: &str, value: &str) -> String {
    match label {
        "pod" | "pod_name" | "kubernetes_pod_name" | "container" | "container_name" | "name" => {
            without_pod_suffix(value).to_owned()
        }
        "destination_service" => value.split('.').next().unwrap_or(value).to_owned(),
        "instance" => value.rsplit_once(':').map_or(value, |(host, _)| host).to_owned(),
        _ => value.to_owned(),
    }
}

fn observed(
    level: &Level,
    keys: &BTreeMap<&str, &'static str>,
    start_ms: u64,
    bin_ms: u64,
) -> Option<Observed> {
    let labels = &level.series.labels;
    let (component, caller) = match edge_of(labels) {
        Some((caller, callee)) => (callee.to_owned(), Some(caller.to_owned())),
        None => match keys.get(level.name.as_str()).and_then(|label| Some((*label, labels.get(*label)?))) {
            Some((label, value)) => (component(label, value), None),
            None => (unlabelled(&level.name)?, None),
        },
    };
    if component.is_empty() || component == "unknown" {
        return None;
    }
    let statistics: Vec<String> = STATISTIC_LABELS
        .iter()
        .filter_map(|label| Some(format!("{label}={}", labels.get(*label)?)))
        .collect();
    let metric = unlabelled(&level.name)
        .filter(|_| labels.len() <= 1)
        .and_then(|component| level.name.strip_prefix(component.as_str()))
        .unwrap_or(&level.name);
    let side = side_of(labels);
    let measure = format!("{metric}{{{}}}", statistics.join(","));
    let family = format!("{measure}{}{side:?}", if caller.is_some() { " of calls " } else { " " });
    let binned = binned(&level.series, start_ms, bin_ms);
    (!binned.is_empty()).then(|| Observed {
        component,
        caller,
        kind: kind_of(metric, labels),
        side,
        measure,
        family,
        name: shown(&level.name, labels),
        binned,
    })
}

/// The component in a name like `cart_cpu` that has no labels: what stands before the word that says what is measured.
fn unlabelled(name: &str) -> Option<String> {
    let (component, measured) = name.rsplit_once('_')?;
    let measures = kind_of(measured, &BTreeMap::new()) != Kind::Other;
    (measures && !component.is_empty() && kind_of(component, &BTreeMap::new()) == Kind::Other)
        .then(|| component.to_owned())
}

fn binned(series: &Series, start_ms: u64, bin_ms: u64) -> Binned {
    let mut sums: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
    for sample in series.finite().filter(|sample| sample.value.abs() <= VALUE_MAX) {
        let bin = sums.entry(sample.at_ms.saturating_sub(start_ms) / bin_ms).or_default();
        bin.0 += sample.value;
        bin.1 += 1.0;
    }
    sums.into_iter().map(|(bin, (sum, count))| (bin, sum / count)).collect()
}

/// Caller's latency minus callee's, for calls measured at both ends.
fn gaps(all: &[Observed]) -> Vec<Observed> {
    let mut calls: BTreeMap<(&str, &str, &str), [Option<&Observed>; 2]> = BTreeMap::new();
    for one in all.iter().filter(|one| one.kind == Kind::Latency) {
        if let (Some(caller), Some(side)) = (one.caller.as_deref(), one.side) {
            let [calling, called] = calls.entry((caller, &one.component, &one.measure)).or_default();
            *(if side == Side::Caller { calling } else { called }) = Some(one);
        }
    }
    let mut gaps = Vec::new();
    for pair in calls.into_values() {
        let [Some(calling), Some(called)] = pair else { continue };
        let theirs: BTreeMap<u64, f64> = called.binned.iter().copied().collect();
        let binned: Binned =
            calling.binned.iter().filter_map(|(bin, own)| Some((*bin, own - theirs.get(bin)?))).collect();
        let first = binned.first().map(|(_, value)| *value);
        if binned.iter().any(|(_, value)| Some(*value) != first) {
            gaps.push(Observed {
                kind: Kind::NetworkGap,
                side: None,
                family: format!("gap of {}", calling.measure),
                name: format!("{} - {}", calling.name, called.name),
                binned,
                ..calling.clone()
            });
        }
    }
    gaps
}

/// Who shows the very same values.
type Sharers<'a> = BTreeMap<Vec<(u64, u64)>, BTreeSet<&'a str>>;

/// Families of which more than half of the components share all their values with another.
fn of_machines(all: &[Observed]) -> BTreeSet<String> {
    let mut families: BTreeMap<&str, Sharers> = BTreeMap::new();
    for one in all {
        let values = one.binned.iter().map(|(bin, value)| (*bin, value.to_bits())).collect();
        families.entry(&one.family).or_default().entry(values).or_default().insert(&one.component);
    }
    families
        .into_iter()
        .filter(|(_, same)| {
            let components: BTreeSet<&str> = same.values().flatten().copied().collect();
            let shared: BTreeSet<&str> =
                same.values().filter(|who| who.len() > 1).flatten().copied().collect();
            components.len() >= SHARED_COMPONENTS_MIN && 2 * shared.len() > components.len()
        })
        .map(|(family, _)| family.to_owned())
        .collect()
}

fn shown(name: &str, labels: &BTreeMap<String, String>) -> String {
    let labels: Vec<String> = labels
        .iter()
        .filter(|(label, _)| *label != "__name__")
        .map(|(label, value)| format!("{label}={value:?}"))
        .collect();
    if labels.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", labels.join(",")) }
}
