//! Metrics into findings: one range query an indicator, one finding a component that shows it.

use super::gather::Collected;
use super::plausible;
use crate::taxonomy::{Category, Indicator, Shape};
use crate::world::World;
use medic_core::evidence::{Bearing, Confidence, Evidence, EvidenceSource, Finding};
use medic_core::{Component, Digest, EvidenceId, Fault, FaultKind, Incident, TimeRange, TimestampMs};
use medic_ports::metrics::Series as Answer;
use medic_signals::series::{Sample, Series};
use medic_signals::shift::{self, Direction, ShiftOptions};
use medic_signals::trend::{self, TrendOptions};

/// Points of a series, at most. 1,000: a 15 min window at 1 s, the fastest scrape interval people use; a coarser grid can
/// step over what a young series had to say.
const POINTS_MAX: u64 = 1_000;
/// Series looked at of one answer. 200: components of one incident's surroundings; more means a query without `by`.
const SERIES_MAX: usize = 200;

/// Shorter stretches grow by chance. 8 s: eight scrapes at the fastest interval people use.
const GROWTH_SPAN_MS_MIN: u64 = 8_000;

fn step_ms(window: TimeRange) -> u64 {
    (window.length_ms() / POINTS_MAX).max(1_000).next_multiple_of(1_000)
}

/// Asks for a range and believes what may be believed; the rest is a gap. `None`: nothing was answered.
async fn ask(
    world: &World,
    promql: &str,
    window: TimeRange,
    collected: &mut Collected,
) -> Option<Vec<Answer>> {
    match world.ports.metrics.query_range(promql, window, step_ms(window)).await {
        Err(fault) => {
            collected.gap(promql, &fault);
            None
        }
        Ok(answer) => {
            let (believed, odd) = plausible::sift(answer, window, step_ms(window));
            for odd in odd {
                let fault = Fault::new(FaultKind::Malformed, odd.code(), odd.detail());
                collected.gap(promql, &fault);
            }
            collected.series += believed.len();
            Some(believed)
        }
    }
}

/// What a shape found in a series.
struct Shown {
    strength: f64,
    onset: Option<TimestampMs>,
    onset_uncertainty_ms: u64,
    reason: String,
}

pub(super) async fn of_indicator(
    world: &World,
    category: &Category,
    indicator: &Indicator,
    alert_at: TimestampMs,
    window: TimeRange,
) -> Collected {
    let mut collected = Collected::default();
    let Some(answer) = ask(world, &indicator.promql, window, &mut collected).await else { return collected };
    for series in answer.iter().take(SERIES_MAX) {
        let Some(component) = series.labels.get(&indicator.component_label) else { continue };
        let Some(shown) = look(&indicator.shape, &plain(series), alert_at, window) else { continue };
        let component = Component::from(component);
        let statement = format!("{} of {component}: {}", indicator.name, shown.reason);
        let evidence = evidence(&indicator.promql, series, window, &statement);
        let finding = Finding {
            evidence: EvidenceId::new(""),
            component,
            category: category.name.clone(),
            bearing: indicator.bearing,
            strength: Confidence::new(shown.strength * indicator.weight),
            onset: shown.onset,
            onset_uncertainty_ms: shown.onset_uncertainty_ms,
            statement,
        };
        collected.evidence.push((evidence, vec![finding]));
    }
    collected
}

fn look(shape: &Shape, series: &Series, alert_at: TimestampMs, window: TimeRange) -> Option<Shown> {
    match shape {
        Shape::Rise | Shape::Fall => {
            let wanted = if matches!(shape, Shape::Rise) { Direction::Up } else { Direction::Down };
            let found = shift::detect(series, alert_at.0, &ShiftOptions::default())?;
            // How clear the step is, times how large it is beside the larger level: a clear rise by a tenth is a small one.
            let (before, after) = (found.before_median, found.after_median);
            let size = (after - before).abs() / before.abs().max(after.abs()).max(f64::MIN_POSITIVE);
            (found.direction == wanted).then_some(Shown {
                strength: found.score * size.min(1.0),
                onset: Some(TimestampMs(found.onset_ms)),
                onset_uncertainty_ms: found.onset_uncertainty_ms,
                reason: found.reason,
            })
        }
        Shape::Growth => {
            let first = series.samples.first()?.at_ms.max(window.start.0);
            // The growth may have begun anywhere: the whole span, its last half, quarter and eighth are tried.
            let span = window.end.0.saturating_sub(first);
            let tails =
                [span, span / 2, span / 4, span / 8].into_iter().filter(|tail| *tail >= GROWTH_SPAN_MS_MIN);
            let found = tails
                .filter_map(|tail| {
                    let start_ms = window.end.0.saturating_sub(tail);
                    let range = medic_signals::series::TimeRange { start_ms, end_ms: window.end.0 };
                    trend::detect(series, range, &TrendOptions::default())
                })
                .filter(|trend| trend.slope_per_s > 0.0)
                .max_by(|a, b| a.score.total_cmp(&b.score))?;
            Some(Shown {
                strength: found.score,
                onset: Some(TimestampMs(found.start_ms)),
                // Growth has no sharp beginning.
                onset_uncertainty_ms: found.end_ms.saturating_sub(found.start_ms),
                reason: found.reason,
            })
        }
        Shape::Changed => {
            // The last change within the window, if any.
            let samples: Vec<_> = series.samples.iter().filter(|sample| sample.value.is_finite()).collect();
            let (before, after) = samples.windows(2).rev().find_map(|pair| match pair {
                [before, after] if before.value != after.value => Some((*before, *after)),
                _ => None,
            })?;
            Some(Shown {
                strength: 1.0,
                onset: Some(TimestampMs(before.at_ms)),
                onset_uncertainty_ms: after.at_ms.saturating_sub(before.at_ms),
                reason: format!("{} became {}", before.value, after.value),
            })
        }
        Shape::Above { threshold } => {
            let finite: Vec<_> = series.samples.iter().filter(|sample| sample.value.is_finite()).collect();
            // The last five samples, all of them: a single spike is not a state.
            let recent = finite.get(finite.len().saturating_sub(5)..)?;
            if recent.is_empty() || recent.iter().any(|sample| sample.value <= *threshold) {
                return None;
            }
            let since = finite.iter().rev().take_while(|sample| sample.value > *threshold).last()?;
            let last = recent.last()?;
            Some(Shown {
                strength: 1.0,
                onset: Some(TimestampMs(since.at_ms)),
                onset_uncertainty_ms: 0,
                reason: format!("{:.3}, above {threshold}", last.value),
            })
        }
    }
}

/// The alerts' own expressions: do they hold now, and since when.
pub(super) async fn of_expressions(world: &World, incident: &Incident, window: TimeRange) -> Collected {
    let mut collected = Collected::default();
    let mut expressions: Vec<&str> =
        incident.firing().filter_map(|t| t.alert.expression.as_deref()).collect();
    expressions.sort_unstable();
    expressions.dedup();
    // 8: one incident's distinct rules; a storm repeats few.
    for expression in expressions.into_iter().take(8) {
        let Some(answer) = ask(world, expression, window, &mut collected).await else { continue };
        for series in answer.iter().take(SERIES_MAX) {
            let finite = || series.samples.iter().filter(|(_, value)| value.is_finite());
            let Some((last, since)) = finite().next_back().zip(finite().next()) else { continue };
            let component = world
                .grouping
                .component_labels
                .iter()
                .find_map(|label| series.labels.get(label))
                .map(Component::from);
            let summary = format!("the alert's expression holds, value {:.4}", last.1);
            let finding = component.map(|component| Finding {
                evidence: EvidenceId::new(""),
                statement: format!("{summary} for {component}"),
                component,
                category: "alert".to_owned(),
                bearing: Bearing::Symptom,
                strength: Confidence::new(0.7),
                onset: Some(since.0),
                onset_uncertainty_ms: step_ms(window),
            });
            let evidence = evidence(expression, series, window, &summary);
            collected.evidence.push((evidence, finding.into_iter().collect()));
        }
    }
    collected
}

fn plain(series: &Answer) -> Series {
    let samples = series.samples.iter().map(|(at, value)| Sample { at_ms: at.0, value: *value }).collect();
    Series { labels: series.labels.0.clone(), samples }
}

fn evidence(query: &str, series: &Answer, window: TimeRange, summary: &str) -> Evidence {
    Evidence {
        id: EvidenceId::new(""),
        source: EvidenceSource::Metrics,
        query: query.to_owned(),
        window,
        digest: Digest::of(series),
        summary: summary.to_owned(),
        excerpt: excerpt(series),
    }
}

/// Sixteen points over the window: enough to draw it.
fn excerpt(series: &Answer) -> String {
    let every = series.samples.len().div_ceil(16).max(1);
    let points: Vec<String> = series
        .samples
        .iter()
        .rev()
        .step_by(every)
        .map(|(at, value)| format!("{}:{value:.4}", at.0))
        .collect();
    points.into_iter().rev().collect::<Vec<_>>().join(" ")
}
