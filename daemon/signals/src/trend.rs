//! Steady growth or decline, such as a leak: how steep, and how much of the series' movement it explains.
//!
//! Owns the robust line through a window. Never says since when: a trend through the whole window began before
//! it (see [`crate::shift`] for onsets).

use crate::series::{Sample, Series, TimeRange};
use crate::stats;
use serde::{Deserialize, Serialize};

/// Theil–Sen is quadratic: more points are thinned to as many medians of equal spans of samples. 240 keep
/// the slope's error below a percent of the window's change at any usual noise.
const POINTS_MAX: usize = 240;
/// Fewer points have a line through them by luck.
const POINTS_MIN: usize = 6;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrendOptions {
    /// The least share of the movement that the line must explain, in [0, 1].
    pub explained_min: f64,
    /// The least change over the window relative to the level at its start.
    pub growth_min: f64,
}

impl Default for TrendOptions {
    /// 0.6: a line through one step in the middle of the window explains about half of it. 5 %: less is a
    /// process warming up.
    fn default() -> Self {
        Self { explained_min: 0.6, growth_min: 0.05 }
    }
}

/// A straight line that explains most of a series' movement within a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trend {
    /// Change of the value per second; negative for a decline.
    pub slope_per_s: f64,
    /// The line at the first and at the last sample.
    pub start_value: f64,
    pub end_value: f64,
    pub start_ms: u64,
    pub end_ms: u64,
    /// 1 − (absolute deviations from the line) / (absolute deviations from the median), in [0, 1].
    pub explained: f64,
    /// |end − start| over the larger of the two levels, in [0, 1].
    pub growth: f64,
    /// `explained · (0.5 + 0.5·growth)`, in [0, 1]; free of scale.
    pub score: f64,
    /// One line for people.
    pub reason: String,
}

impl Trend {
    /// When the line reaches `limit`, or None if it leads away from it or has passed it.
    pub fn reaches_ms(&self, limit: f64) -> Option<u64> {
        let seconds = (limit - self.end_value) / self.slope_per_s;
        (seconds.is_finite() && seconds >= 0.0)
            .then(|| self.end_ms.saturating_add((seconds * 1000.0).min(u64::MAX as f64) as u64))
    }
}

/// The trend of the finite samples within `range`; None if constant, too short, or not steady.
pub fn detect(series: &Series, range: TimeRange, options: &TrendOptions) -> Option<Trend> {
    let samples = series.within(range);
    let points = thin(&samples);
    if points.len() < POINTS_MIN || series.is_constant() {
        return None;
    }
    let (slope, intercept) = stats::theil_sen(&points)?;
    let values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    let centre = stats::median(&values)?;
    let total: f64 = values.iter().map(|value| (value - centre).abs()).sum();
    let left: f64 = points.iter().map(|(x, y)| (y - slope * x - intercept).abs()).sum();
    if total <= 0.0 || slope == 0.0 {
        return None;
    }
    let explained = (1.0 - left / total).clamp(0.0, 1.0);
    let (first, last) = (samples.first()?, samples.last()?);
    let length_s = last.at_ms.saturating_sub(first.at_ms) as f64 / 1000.0;
    let (start_value, end_value) = (intercept, intercept + slope * length_s);
    let scale = start_value.abs().max(end_value.abs());
    let growth = if scale > 0.0 { ((end_value - start_value).abs() / scale).min(1.0) } else { 0.0 };
    if explained < options.explained_min || growth < options.growth_min {
        return None;
    }
    let verb = if slope > 0.0 { "grows" } else { "declines" };
    let reason = format!(
        "{verb} steadily from {} to {} within {:.0} s; a line explains {:.0} % of its movement",
        crate::shift::number(start_value),
        crate::shift::number(end_value),
        length_s,
        explained * 100.0
    );
    Some(Trend {
        slope_per_s: slope,
        start_value,
        end_value,
        start_ms: first.at_ms,
        end_ms: last.at_ms,
        explained,
        growth,
        score: explained * (0.5 + 0.5 * growth),
        reason,
    })
}

/// Points as (seconds since the first sample, value); medians of equal chunks when there are too many.
fn thin(samples: &[Sample]) -> Vec<(f64, f64)> {
    let start_ms = samples.first().map_or(0, |sample| sample.at_ms);
    samples
        .chunks(samples.len().div_ceil(POINTS_MAX).max(1))
        .filter_map(|chunk| {
            let times: Vec<f64> =
                chunk.iter().map(|sample| sample.at_ms.saturating_sub(start_ms) as f64 / 1000.0).collect();
            let values: Vec<f64> = chunk.iter().map(|sample| sample.value).collect();
            Some((stats::median(&times)?, stats::median(&values)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn series(values: impl IntoIterator<Item = f64>) -> Series {
        let samples =
            values.into_iter().enumerate().map(|(i, value)| Sample { at_ms: i as u64 * 1000, value });
        Series::new(BTreeMap::new(), samples.collect())
    }

    const ALL: TimeRange = TimeRange { start_ms: 0, end_ms: u64::MAX };

    #[test]
    fn a_leak_is_measured_through_its_noise() {
        let leak = series((0..600).map(|i| 100.0 + 0.5 * f64::from(i) + f64::from(i * 7919 % 13) - 6.0));
        let trend = detect(&leak, ALL, &TrendOptions::default()).unwrap();
        assert!((trend.slope_per_s - 0.5).abs() < 0.01, "{trend:?}");
        assert!(trend.explained > 0.9 && trend.score > 0.7, "{trend:?}");
        let full_ms = trend.reaches_ms(500.0).unwrap();
        assert!(full_ms.abs_diff(800_000) < 10_000, "{full_ms}");
        assert_eq!(trend.reaches_ms(0.0), None, "it leads away from there");
    }

    #[test]
    fn noise_a_step_and_a_constant_are_no_trend() {
        let options = TrendOptions::default();
        assert_eq!(detect(&series((0..300).map(|i| f64::from(i * 7919 % 101))), ALL, &options), None);
        assert_eq!(detect(&series(vec![3.0; 300]), ALL, &options), None);
        assert_eq!(detect(&series([1.0, 2.0, 3.0]), ALL, &options), None);
        let step =
            series((0..300).map(|i| if i < 270 { 10.0 } else { 20.0 } + f64::from(i * 7919 % 7) * 0.1));
        assert_eq!(detect(&step, ALL, &options), None);
    }
}
