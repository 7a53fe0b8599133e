//! When it began: one time for the whole system, from all series together.
//!
//! Owns the estimate. Never trusts the alert's time but as a late bound: rules wait (`for:`), evaluation and
//! grouping add to it.
//!
//! Method: at every bin near the alert each series is asked how far the mean of the two bins from there lies from
//! the mean of the two before, in units of the usual difference of neighbours. What exceeds three counts, and what
//! exceeds fifteen is cut off, so that no single wild series decides; a component counts once, with its largest.
//! The onset is the earliest bin whose sum comes near the greatest one.

use super::observe::Observations;
use crate::stats;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How long before its alert a fault may have begun. 15 min: `for: 10m` and some minutes of getting worse.
const LEAD_MS_MAX: u64 = 15 * 60_000;
/// Between two equal changes the one nearer to the alert is likelier its cause: rules that wait ten minutes are few.
const LEAD_MS_SCALE: f64 = 1_200_000.0;
/// Where no bin stands out, the fault is taken to have begun this long before the alert: an evaluation, a `for:` of a
/// minute or two, and a group's wait.
const LEAD_MS_USUAL: u64 = 3 * 60_000;
/// No alert comes sooner after its cause.
const LEAD_MS_MIN: u64 = 60_000;
/// Bins between two values that are still neighbours.
const GAP_BINS_MAX: u64 = 3;
/// Bins needed before the onset to know what is usual.
const BEFORE_BINS_MIN: u64 = 3;
const DEVIATION_MIN: f64 = 3.0;
const DEVIATION_MAX: f64 = 15.0;
/// A bin this near to the greatest sum is as good: what began small may change most at its end.
const NEAR: f64 = 0.7;
/// The greatest sum must be this many times the usual one.
const CLEAR: f64 = 2.0;
/// Noise of a value less the mean of two, in units of that of two means of two: √(3/2).
const LONE_NOISE: f64 = 1.224_744_871_391_589;
const SIGMA_OF_DIFFERENCE: f64 = 1.4826 / std::f64::consts::SQRT_2;

/// When the trouble began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Onset {
    pub at_ms: u64,
    /// The onset lies within this distance of `at_ms`.
    pub uncertainty_ms: u64,
    /// False if nothing stood out, and the time is a guess from the alert's.
    pub is_clear: bool,
}

pub(super) fn estimate(observations: &Observations, alert_at_ms: u64) -> Onset {
    let bin_ms = observations.bin_ms.max(1);
    let alert = observations.bin_of(alert_at_ms);
    let last =
        observations.all.iter().filter_map(|one| one.binned.last()).map(|one| one.0).max().unwrap_or(0);
    // In bins longer than two of the least lead, the alert's own bin may hold the onset.
    let lead_ms = if bin_ms > 2 * LEAD_MS_MIN { 0 } else { LEAD_MS_MIN };
    let until = observations.bin_of(alert_at_ms.saturating_sub(lead_ms)).min(last);
    let earliest = BEFORE_BINS_MIN.min(until);
    let from = until.saturating_sub(LEAD_MS_MAX / bin_ms).max(earliest);
    let sums: Vec<f64> = sums(observations, from, until)
        .into_iter()
        .zip(from..)
        .map(|(sum, bin)| {
            let lead_ms = alert.saturating_sub(bin).saturating_mul(bin_ms);
            sum * (-(lead_ms as f64) / LEAD_MS_SCALE).exp()
        })
        .collect();
    let guess = || {
        let lead = (LEAD_MS_USUAL / bin_ms).max(1).min(alert / 3);
        Onset {
            at_ms: observations.time_of(until.min(alert).saturating_sub(lead).max(earliest)),
            uncertainty_ms: LEAD_MS_USUAL.max(bin_ms),
            is_clear: false,
        }
    };
    let most = sums.iter().copied().fold(0.0, f64::max);
    let usual = stats::median(&sums).unwrap_or(0.0);
    if most <= 0.0 || (most < CLEAR * usual && sums.len() > 4) {
        return guess();
    }
    let near: Vec<u64> =
        sums.iter().zip(from..).filter(|(sum, _)| **sum >= NEAR * most).map(|(_, bin)| bin).collect();
    let (Some(first), Some(final_)) = (near.first(), near.last()) else { return guess() };
    Onset {
        at_ms: observations.time_of(*first),
        uncertainty_ms: (final_ - first + 1) * bin_ms,
        is_clear: true,
    }
}

/// For each bin in `[from, until]` how much all components together changed there.
fn sums(observations: &Observations, from: u64, until: u64) -> Vec<f64> {
    let count = usize::try_from(until.saturating_sub(from) + 1).unwrap_or(0);
    let mut by_component: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for one in &observations.all {
        let values: Vec<f64> = one.binned.iter().map(|(_, value)| *value).collect();
        let differences: Vec<f64> =
            values.windows(2).filter_map(|pair| Some((pair.get(1)? - pair.first()?).abs())).collect();
        let middle = stats::median(&values).unwrap_or(0.0).abs();
        let sigma = (stats::median(&differences).unwrap_or(0.0) * SIGMA_OF_DIFFERENCE)
            .max(0.25 * stats::mean(&differences).unwrap_or(0.0))
            .max(0.01 * middle);
        if sigma <= 0.0 || !sigma.is_finite() {
            continue;
        }
        let most = by_component.entry(&one.component).or_insert_with(|| vec![0.0; count]);
        for (slot, bin) in most.iter_mut().zip(from..) {
            let at = one.binned.partition_point(|(own, _)| *own < bin);
            let (left, right) = (at.checked_sub(1).and_then(|left| one.binned.get(left)), one.binned.get(at));
            let (Some((left, _)), Some((right, _))) = (left, right) else { continue };
            if right.saturating_sub(*left) > GAP_BINS_MAX {
                continue;
            }
            let mean = |range: std::ops::Range<usize>| {
                values.get(range).filter(|side| !side.is_empty()).and_then(stats::mean)
            };
            let before = mean(at.saturating_sub(2)..at);
            let after = mean(at..(at + 2).min(values.len()));
            if let (Some(before), Some(after)) = (before, after) {
                // A lone value at either end of the recording is noisier than two.
                let lone = at == 1 || at + 1 == values.len();
                let sigma = if lone { sigma * LONE_NOISE } else { sigma };
                let deviation = ((after - before).abs() / sigma).min(DEVIATION_MAX);
                if deviation >= DEVIATION_MIN {
                    *slot = slot.max(deviation - DEVIATION_MIN);
                }
            }
        }
    }
    (0..count).map(|n| by_component.values().filter_map(|most| most.get(n)).sum()).collect()
}
