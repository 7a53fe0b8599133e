//! A change of level: did a series move around an alert, which way, how clearly, and since when?
//!
//! Owns the search for one split of a window and the score of what it finds. Never assumes that the alert's
//! time is the onset: alerts arrive late. Never uses an absolute scale: multiplying a series by any positive
//! number changes no score.
//!
//! Method: every split of the window with enough samples on both sides is tried, and the one with the least
//! sum of absolute deviations from the two medians wins (the maximum-likelihood change point under Laplace
//! noise; see C. Truong et al., "Selective review of offline change point detection methods", Signal
//! Processing 167 (2020)). The score is
//!
//! ```text
//! |δ| · (1 − e^−(z/3.5)³) · (1 − e^−(u/2.5)²) · (0.7 + 0.3·r)
//! ```
//!
//! δ: Cliff's delta of the two sides; z: the difference of medians in robust standard deviations of the side
//! before; u: the rank-sum statistic (few samples cannot be certain); r: |difference| over the larger median
//! (a move from 100 to 101 is a smaller matter than one from 0 to 5, however quiet both are).

use crate::series::{Sample, Series, TimeRange};
use crate::stats;
use serde::{Deserialize, Serialize};

/// Where to look, and what is too little to speak of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShiftOptions {
    /// How far before the alert the window begins.
    pub before_ms: u64,
    /// How far after the alert the window ends.
    pub after_ms: u64,
    /// A fault that was over soon after the alert still counts: the window is also tried cut off here.
    pub after_short_ms: u64,
    /// The fewest samples on a side.
    pub side_samples_min: usize,
    /// Shifts scored below are not reported.
    pub score_min: f64,
}

impl Default for ShiftOptions {
    /// Half an hour before: alerts with `for: 10m` must still see normal operation. Three samples: at 15 s steps
    /// a shift is seen 45 s after its onset. 0.3: of a thousand white noises of 20 samples fewer than ten reach
    /// it, of those of 300 samples none gets to 0.05.
    fn default() -> Self {
        Self {
            before_ms: 30 * 60_000,
            after_ms: 15 * 60_000,
            after_short_ms: 60_000,
            side_samples_min: 3,
            score_min: 0.3,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Up,
    Down,
}

/// A series that stayed on one level and then on another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    pub direction: Direction,
    /// In [0, 1]; free of scale, so that shifts of different metrics compare.
    pub score: f64,
    pub before_median: f64,
    pub after_median: f64,
    /// The first sample on the new level.
    pub onset_ms: u64,
    /// The onset lies within this distance of `onset_ms`; never below the sampling step.
    pub onset_uncertainty_ms: u64,
    /// One line for people.
    pub reason: String,
}

/// The clearest shift of `series` around an alert, or None: constant, too short, or not clear enough.
///
/// Counters must come as rates (see [`Series::rate`]): a raw counter grows always.
pub fn detect(series: &Series, alert_at_ms: u64, options: &ShiftOptions) -> Option<Shift> {
    let start_ms = alert_at_ms.saturating_sub(options.before_ms);
    let window = |after_ms: u64| {
        series.within(TimeRange::new(start_ms, alert_at_ms.saturating_add(after_ms).saturating_add(1)))
    };
    let long = window(options.after_ms);
    let found = split(&long, options);
    let short = window(options.after_short_ms.min(options.after_ms));
    // On equal scores the longer window stands: it has seen more.
    let found = match (found, (short.len() < long.len()).then(|| split(&short, options)).flatten()) {
        (Some(long), Some(short)) if short.score > long.score => Some(short),
        (None, short) => short,
        (long, _) => long,
    };
    found.filter(|shift| shift.score >= options.score_min)
}

fn split(samples: &[Sample], options: &ShiftOptions) -> Option<Shift> {
    let side = options.side_samples_min.max(1);
    let count = samples.len();
    if count < 2 * side {
        return None;
    }
    let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
    let costs = split_costs(&values);
    let candidates = || (side..=count - side).filter_map(|at| Some((at, *costs.get(at)?)));
    let (best, cost_min) = candidates().min_by(|a, b| a.1.total_cmp(&b.1))?;

    let (before, after) = values.split_at_checked(best)?;
    let before_median = stats::median(before)?;
    let after_median = stats::median(after)?;
    let difference = after_median - before_median;
    let scale = before_median.abs().max(after_median.abs());
    // Below rounding there is no difference, whatever the noise.
    if difference.abs() <= 1e-9 * scale || difference == 0.0 {
        return None;
    }
    let direction = if difference > 0.0 { Direction::Up } else { Direction::Down };
    let sigma = noise(before, after, before_median, after_median).max(1e-9 * scale);
    let z = difference.abs() / sigma;
    let delta = stats::cliffs_delta(before, after);
    let support = stats::rank_sum_z(delta, before.len(), after.len());
    let relative = (difference.abs() / scale).min(1.0);
    let mut score = delta.abs()
        * (1.0 - (-(z / 3.5).powi(3)).exp())
        * (1.0 - (-(support / 2.5).powi(2)).exp())
        * (0.7 + 0.3 * relative);
    let steady = is_line(samples, cost_min);
    if steady {
        // A line through the whole window has no onset within it: half a claim at most.
        score *= 0.5;
    }

    let onset = walk_back(&values, best, side, before_median, sigma, direction);
    let step_ms = samples.get(onset)?.at_ms.saturating_sub(samples.get(onset.checked_sub(1)?)?.at_ms);
    let bound = cost_bound(cost_min, count, scale);
    let mut near = candidates().filter(|(_, cost)| *cost <= bound).map(|(at, _)| at);
    let first = near.next().unwrap_or(best).min(onset);
    let last = near.next_back().unwrap_or(best).max(best);
    let onset_ms = samples.get(onset)?.at_ms;
    let spread_ms = onset_ms
        .saturating_sub(samples.get(first)?.at_ms)
        .max(samples.get(last)?.at_ms.saturating_sub(onset_ms));

    let verb = if direction == Direction::Up { "rose" } else { "fell" };
    let mut reason = format!(
        "{verb} from {} to {} ({}, {} samples before, {} after)",
        number(before_median),
        number(after_median),
        times(before_median, after_median),
        before.len(),
        after.len()
    );
    if steady {
        reason.push_str("; a steady trend over the whole window, so the onset is weak");
    }
    Some(Shift {
        direction,
        score,
        before_median,
        after_median,
        onset_ms,
        onset_uncertainty_ms: spread_ms.max(step_ms),
        reason,
    })
}

/// `costs[k]`: the sum of absolute deviations with the first `k` values on one side and the rest on the other.
fn split_costs(values: &[f64]) -> Vec<f64> {
    let prefixes = |values: &mut dyn Iterator<Item = f64>| {
        let mut running = stats::RunningDeviation::default();
        let mut costs = vec![0.0];
        for value in values {
            running.push(value);
            costs.push(running.cost());
        }
        costs
    };
    let left = prefixes(&mut values.iter().copied());
    let right = prefixes(&mut values.iter().rev().copied());
    left.iter().zip(right.iter().rev()).map(|(left, right)| left + right).collect()
}

/// The noise of normal operation. With few samples before, their own spread is luck: the residuals of both
/// sides are pooled then, and the larger spread counts.
fn noise(before: &[f64], after: &[f64], before_median: f64, after_median: f64) -> f64 {
    const ENOUGH: usize = 30;
    let own = stats::robust_sigma(before, before_median);
    if before.len() >= ENOUGH {
        return own;
    }
    let residuals: Vec<f64> = before
        .iter()
        .map(|value| value - before_median)
        .chain(after.iter().map(|value| value - after_median))
        .collect();
    own.max(stats::robust_sigma(&residuals, 0.0))
}

/// A ramp is split in its middle; its onset is where values left the noise. Goes back from the split as long
/// as the samples lie beyond three standard deviations in the shift's direction.
fn walk_back(
    values: &[f64],
    split: usize,
    side: usize,
    centre: f64,
    sigma: f64,
    direction: Direction,
) -> usize {
    let sign = if direction == Direction::Up { 1.0 } else { -1.0 };
    let mut onset = split;
    while onset > side
        && values.get(onset - 1).is_some_and(|value| (value - centre) * sign > 3.0 * sigma && sigma > 0.0)
    {
        onset -= 1;
    }
    onset
}

/// Splits whose Laplace log-likelihood is within 2 of the best could as well be the onset: n·ln(cost) is that
/// likelihood, up to sign and a constant.
fn cost_bound(cost_min: f64, count: usize, scale: f64) -> f64 {
    cost_min * (2.0 / count as f64).exp() + 1e-12 * scale
}

/// True if a straight line fits the window clearly better than two levels do.
fn is_line(samples: &[Sample], step_cost: f64) -> bool {
    // A quadratic fit on a few hundred points is enough to tell a line.
    const POINTS_MAX: usize = 200;
    let start_ms = samples.first().map_or(0, |sample| sample.at_ms);
    let every = samples.len().div_ceil(POINTS_MAX).max(1);
    let position = |sample: &Sample| sample.at_ms.saturating_sub(start_ms) as f64;
    let points: Vec<(f64, f64)> =
        samples.iter().step_by(every).map(|sample| (position(sample), sample.value)).collect();
    let Some((slope, intercept)) = stats::theil_sen(&points) else { return false };
    let line_cost: f64 =
        samples.iter().map(|sample| (sample.value - slope * position(sample) - intercept).abs()).sum();
    line_cost < 0.7 * step_cost
}

/// A number at a width for people: three significant digits, large ones in full.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e15).contains(&size) {
        format!("{value:.2e}")
    } else if size >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else if size >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.4}")
    }
}

fn times(before: f64, after: f64) -> String {
    if before == 0.0 || (before < 0.0) != (after < 0.0) {
        return if before == 0.0 { "from zero" } else { "through zero" }.to_owned();
    }
    let ratio = after / before;
    if ratio >= 2.0 { format!("{ratio:.1} times") } else { format!("{:+.0} %", (ratio - 1.0) * 100.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Noise without randomness at run time: a linear congruential generator with a printed seed, in [−1, 1].
    fn noise_of(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) as f64 / (1u64 << 31) as f64) * 2.0 - 1.0
        }
    }

    fn series(step_ms: u64, values: impl IntoIterator<Item = f64>) -> Series {
        let samples = values
            .into_iter()
            .enumerate()
            .map(|(i, value)| Sample { at_ms: 1_000_000 + i as u64 * step_ms, value });
        Series::new(BTreeMap::new(), samples.collect())
    }

    fn stepped(seed: u64, step_ms: u64, count: usize, at: usize, from: f64, to: f64, width: f64) -> Series {
        let mut noise = noise_of(seed);
        series(step_ms, (0..count).map(|i| (if i < at { from } else { to }) + width * noise()))
    }

    #[test]
    fn the_onset_is_found_though_the_alert_is_a_minute_late() {
        for seed in 1..=50 {
            let shift = detect(
                &stepped(seed, 1000, 300, 200, 0.1, 0.5, 0.03),
                1_000_000 + 260_000,
                &ShiftOptions::default(),
            )
            .unwrap_or_else(|| panic!("seed {seed}: nothing found"));
            assert_eq!(shift.direction, Direction::Up);
            assert!(shift.onset_ms.abs_diff(1_200_000) <= 2_000, "seed {seed}: onset {}", shift.onset_ms);
            assert!(shift.onset_ms.abs_diff(1_200_000) <= shift.onset_uncertainty_ms.max(1), "seed {seed}");
            assert!(shift.score > 0.8, "seed {seed}: score {}", shift.score);
        }
    }

    #[test]
    fn five_minutes_at_fifteen_seconds_are_enough() {
        for seed in 1..=50 {
            let shift = detect(
                &stepped(seed, 15_000, 20, 16, 20.0, 80.0, 4.0),
                1_000_000 + 285_000,
                &ShiftOptions::default(),
            );
            let shift = shift.unwrap_or_else(|| panic!("seed {seed}: nothing found"));
            assert!(shift.score > 0.6, "seed {seed}: {}", shift.score);
            assert_eq!(shift.onset_ms, 1_000_000 + 16 * 15_000, "seed {seed}");
        }
    }

    #[test]
    fn noise_alone_is_hardly_ever_a_shift() {
        let options = ShiftOptions { score_min: 0.0, ..ShiftOptions::default() };
        let score = |series: &Series| detect(series, 1_285_000, &options).map_or(0.0, |shift| shift.score);
        let mut short: Vec<f64> =
            (1..=1000).map(|seed| score(&stepped(seed, 15_000, 20, 0, 50.0, 50.0, 10.0))).collect();
        let mut long: Vec<f64> =
            (1..=1000).map(|seed| score(&stepped(seed, 1000, 300, 0, 50.0, 50.0, 10.0))).collect();
        short.sort_by(f64::total_cmp);
        long.sort_by(f64::total_cmp);
        assert!(short[990] < ShiftOptions::default().score_min, "p99 {}", short[990]);
        assert!(long[999] < 0.05, "{}", long[999]);
    }

    #[test]
    fn scale_changes_no_score() {
        let original = stepped(3, 1000, 300, 200, 0.1, 0.5, 0.1);
        let mut scaled = original.clone();
        for sample in &mut scaled.samples {
            sample.value *= 1e9;
        }
        let (a, b) = (
            detect(&original, 1_260_000, &ShiftOptions::default()).unwrap(),
            detect(&scaled, 1_260_000, &ShiftOptions::default()).unwrap(),
        );
        assert!((a.score - b.score).abs() < 1e-9);
        assert_eq!(a.onset_ms, b.onset_ms);
    }

    #[test]
    fn constant_short_and_empty_series_say_nothing() {
        let options = ShiftOptions::default();
        assert_eq!(detect(&series(1000, vec![7.0; 300]), 1_200_000, &options), None);
        assert_eq!(detect(&series(1000, [1.0, 1.0, 9.0, 9.0]), 1_004_000, &options), None);
        assert_eq!(detect(&Series::default(), 1_000_000, &options), None);
        assert_eq!(detect(&series(1000, vec![f64::NAN; 300]), 1_200_000, &options), None);
    }

    #[test]
    fn errors_from_nothing_score_near_one() {
        let shift =
            detect(&stepped(1, 1000, 120, 60, 0.0, 5.0, 0.0), 1_090_000, &ShiftOptions::default()).unwrap();
        assert!(shift.score > 0.95, "{}", shift.score);
        assert_eq!(shift.reason, "rose from 0 to 5 (from zero, 60 samples before, 60 after)");
    }

    #[test]
    fn a_fault_that_is_over_is_still_seen() {
        let mut noise = noise_of(9);
        let burst =
            series(1000, (0..700).map(|i| if (200..260).contains(&i) { 30.0 } else { 2.0 } + noise()));
        let shift = detect(&burst, 1_000_000 + 240_000, &ShiftOptions::default());
        let shift = shift.expect("seen in the shorter window");
        assert!(shift.onset_ms.abs_diff(1_200_000) <= 2_000, "{shift:?}");
    }

    #[test]
    fn a_ramp_begins_where_it_left_the_noise() {
        let mut noise = noise_of(4);
        let ramp = series(1000, (0..300).map(|i| 10.0 + f64::from((i - 150).max(0)) + noise()));
        let shift = detect(&ramp, 1_290_000, &ShiftOptions::default()).unwrap();
        assert!(shift.onset_ms.abs_diff(1_150_000) <= 10_000, "{shift:?}");
    }

    #[test]
    fn a_line_through_the_whole_window_is_only_half_a_shift() {
        let mut noise = noise_of(4);
        let line = series(1000, (0..300).map(|i| 100.0 + f64::from(i) + noise()));
        if let Some(shift) = detect(&line, 1_200_000, &ShiftOptions::default()) {
            assert!(shift.score < 0.5, "{shift:?}");
        }
    }
}
