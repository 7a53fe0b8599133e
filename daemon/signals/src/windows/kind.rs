//! What happened in a window, in the field's words.
//!
//! Owns the comparison of a window with what lies before and after it. Never decides whether a window counts.

use super::{Scored, WindowOptions};
use crate::series::{Series, TimeRange};
use crate::stats;
use serde::{Deserialize, Serialize};

/// The most telling difference between a window and its surroundings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Spike,
    Dip,
    /// The level went up and stayed.
    LevelUp,
    /// The level went down and stayed.
    LevelDown,
    /// What used to move stands still.
    Flatline,
    /// Wider or narrower swings around the same level.
    Variance,
    /// An order of values that was not seen before.
    Shape,
}

/// So many standard deviations apart are levels different and values extreme.
const CLEAR_SIGMAS: f64 = 4.0;
/// So many times wider or narrower are swings different.
const CLEAR_RATIO: f64 = 3.0;

const BOTH_SIDES_SIGMAS: f64 = 3.0;
/// Fewer equal values in a row are chance in coarse values.
const FLAT_SAMPLES_MIN: usize = 12;

pub(super) fn tell(
    series: &Series,
    range: TimeRange,
    top: &Scored,
    options: &WindowOptions,
) -> (Kind, String) {
    let samples: Vec<(u64, f64)> = series.finite().map(|sample| (sample.at_ms, sample.value)).collect();
    let peak_at = samples.partition_point(|(at_ms, _)| *at_ms < top.at_ms);
    let start = samples.partition_point(|(at_ms, _)| *at_ms < range.start_ms);
    let values = |from: usize, to: usize| -> Vec<f64> {
        samples.get(from..to.min(samples.len())).unwrap_or_default().iter().map(|(_, value)| *value).collect()
    };
    // The shape that scored began so many samples before the peak; what lies before it is the past.
    let shape_start = peak_at.saturating_add(1).saturating_sub(top.samples);
    let past_end = shape_start.min(start);
    let before = values(past_end.saturating_sub(2 * options.warmup_samples), past_end);
    let range_end = samples.partition_point(|(at_ms, _)| *at_ms < range.end_ms);
    let within = values(past_end, range_end.max(peak_at.saturating_add(1)));
    let after = values(
        peak_at.saturating_add(1),
        peak_at.saturating_add(1).saturating_add(options.separation_samples),
    );

    let usual = stats::median(&before).unwrap_or(top.value);
    let sigma = stats::robust_sigma(&before, usual);
    let sigma = if sigma > 0.0 { sigma } else { f64::MIN_POSITIVE.max(1e-6 * usual.abs()) };
    let later = stats::median(&after);
    let spread = stats::robust_sigma(&within, stats::median(&within).unwrap_or(usual));
    let extreme = within
        .iter()
        .copied()
        .max_by(|a, b| (a - usual).abs().total_cmp(&(b - usual).abs()))
        .unwrap_or(top.value);
    let stayed = later.filter(|later| {
        after.len() >= options.separation_samples / 2 && (later - usual).abs() > CLEAR_SIGMAS * sigma
    });

    let middle = stats::median(&within).unwrap_or(usual);
    // Beyond the usual on both sides: a spike among noise is beyond it on one.
    let beyond = |side: f64| within.iter().any(|value| (value - usual) * side > BOTH_SIDES_SIGMAS * sigma);
    let wider = beyond(1.0) && beyond(-1.0) && (middle - usual).abs() <= 2.0 * sigma;
    // Standing still may end with the loudest sample of all, so it is looked for before the peak.
    let recent = peak_at.saturating_sub(options.separation_samples);
    let still = longest_run(&values(recent, range_end));
    let usual_run = longest_run(&values(recent.saturating_sub(2 * options.warmup_samples), recent));
    let stood = still >= FLAT_SAMPLES_MIN.max(usual_run.saturating_mul(3) / 2);
    let narrower = spread * CLEAR_RATIO < sigma;
    let (kind, what) = if stood {
        (Kind::Flatline, format!("stood still for {still} samples, which it never did for so long"))
    } else if let Some(later) = stayed {
        let (kind, verb) = if later > usual { (Kind::LevelUp, "rose") } else { (Kind::LevelDown, "fell") };
        (kind, format!("the level {verb} from {} to {} and stayed", number(usual), number(later)))
    } else if wider {
        (Kind::Variance, format!("swings became wider ({} against {})", number(spread), number(sigma)))
    } else if (extreme - usual).abs() > CLEAR_SIGMAS * sigma {
        let (kind, noun) = if extreme > usual { (Kind::Spike, "spike") } else { (Kind::Dip, "dip") };
        (kind, format!("a {noun} to {} where {} is usual", number(extreme), number(usual)))
    } else if narrower {
        (Kind::Variance, format!("swings became narrower ({} against {})", number(spread), number(sigma)))
    } else {
        (Kind::Shape, format!("an unfamiliar course of {} samples around {}", within.len(), number(usual)))
    };
    (kind, format!("{what}; {:.1} times as unlike its past as three in a hundred are", top.score))
}

/// The most equal values in a row.
fn longest_run(values: &[f64]) -> usize {
    let (mut longest, mut run) = (usize::from(!values.is_empty()), 1_usize);
    for pair in values.windows(2) {
        run = if pair.first() == pair.get(1) { run.saturating_add(1) } else { 1 };
        longest = longest.max(run);
    }
    longest
}

/// Four significant digits at most.
fn number(value: f64) -> String {
    if value == 0.0 || (1e-3..1e6).contains(&value.abs()) {
        let digits = if value.abs() >= 100.0 { 0 } else { 3 };
        let text = format!("{value:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    } else {
        format!("{value:.2e}")
    }
}
