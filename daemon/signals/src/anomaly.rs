//! Single samples that do not fit their surroundings, and the episodes they form.
//!
//! Owns the rolling robust score. Never needs an absolute threshold and never learns across series.

use crate::series::{Series, TimeRange};
use crate::stats;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnomalyOptions {
    /// How many past samples a value is compared with.
    pub history_samples: usize,
    /// No judgement before this many samples have been seen.
    pub history_samples_min: usize,
    /// Points scored at or above form episodes, in [0, 1].
    pub score_min: f64,
    /// Points no further apart belong to one episode.
    pub episode_gap_ms: u64,
}

impl Default for AnomalyOptions {
    /// 120 samples: two minutes at 1 s steps, half an hour at 15 s. 0.9 is a value seven robust standard
    /// deviations away: Gaussian noise does not get there in a day of 5760 samples.
    fn default() -> Self {
        Self { history_samples: 120, history_samples_min: 12, score_min: 0.9, episode_gap_ms: 5 * 60_000 }
    }
}

/// A judged sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    pub at_ms: u64,
    pub value: f64,
    /// The median of the history.
    pub expected: f64,
    /// In [0, 1]: see [`surprise`].
    pub score: f64,
}

/// A run of anomalous points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// From the first anomalous point to just past the last one.
    pub range: TimeRange,
    pub peak: Point,
    pub points: usize,
}

/// How far `value` lies from `history`, in robust standard deviations, signed. Zero for no history; for a
/// constant history the deviation is taken relative to the value's own size, so that it stays finite.
pub fn robust_z(history: &[f64], value: f64) -> f64 {
    let Some(centre) = stats::median(history) else { return 0.0 };
    if value == centre {
        return 0.0;
    }
    let floor = 1e-3 * centre.abs().max(value.abs());
    (value - centre) / stats::robust_sigma(history, centre).max(floor)
}

/// A deviation in standard deviations as a score in [0, 1): `1 − e^−(z/4.6)²`; z = 3 → 0.35, z = 7 → 0.90.
pub fn surprise(z: f64) -> f64 {
    1.0 - (-(z / 4.6).powi(2)).exp()
}

/// Judges each finite sample against those before it. A sample enters the history clipped to what was
/// plausible, so that a long anomaly becomes the new normal only slowly.
pub fn score(series: &Series, options: &AnomalyOptions) -> Vec<Point> {
    if series.is_constant() {
        return Vec::new();
    }
    let mut history: VecDeque<f64> = VecDeque::with_capacity(options.history_samples + 1);
    let mut points = Vec::new();
    for sample in series.finite() {
        let mut remembered = sample.value;
        if history.len() >= options.history_samples_min.max(1) {
            let past = history.make_contiguous();
            let expected = stats::median(past).unwrap_or(sample.value);
            let z = robust_z(past, sample.value);
            points.push(Point { at_ms: sample.at_ms, value: sample.value, expected, score: surprise(z) });
            let reach = 4.0 * stats::robust_sigma(past, expected).max(1e-3 * expected.abs());
            if reach > 0.0 {
                remembered = sample.value.clamp(expected - reach, expected + reach);
            }
        }
        history.push_back(remembered);
        if history.len() > options.history_samples.max(1) {
            history.pop_front();
        }
    }
    points
}

/// Joins the points at or above the threshold into episodes, in order of time.
pub fn episodes(points: &[Point], options: &AnomalyOptions) -> Vec<Episode> {
    let mut found: Vec<Episode> = Vec::new();
    for point in points.iter().filter(|point| point.score >= options.score_min) {
        match found.last_mut() {
            Some(last) if point.at_ms.saturating_sub(last.range.end_ms) <= options.episode_gap_ms => {
                last.range.end_ms = point.at_ms.saturating_add(1);
                last.points += 1;
                if point.score > last.peak.score {
                    last.peak = *point;
                }
            }
            _ => found.push(Episode {
                range: TimeRange::new(point.at_ms, point.at_ms.saturating_add(1)),
                peak: *point,
                points: 1,
            }),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Sample;
    use std::collections::BTreeMap;

    fn series(values: impl IntoIterator<Item = f64>) -> Series {
        let samples =
            values.into_iter().enumerate().map(|(i, value)| Sample { at_ms: i as u64 * 60_000, value });
        Series::new(BTreeMap::new(), samples.collect())
    }

    fn wobble(i: u32) -> f64 {
        10.0 + f64::from(i * 7919 % 11) * 0.1
    }

    #[test]
    fn two_spikes_far_apart_are_two_episodes() {
        let spiky = series((0..400).map(|i| if i == 100 || i == 101 || i == 300 { 60.0 } else { wobble(i) }));
        let options = AnomalyOptions::default();
        let found = episodes(&score(&spiky, &options), &options);
        assert_eq!(
            found.iter().map(|e| (e.range.start_ms / 60_000, e.points)).collect::<Vec<_>>(),
            [(100, 2), (300, 1)]
        );
    }

    #[test]
    fn ordinary_wobble_and_constants_are_quiet() {
        let options = AnomalyOptions::default();
        assert!(episodes(&score(&series((0..2000).map(wobble)), &options), &options).is_empty());
        assert!(score(&series(vec![4.0; 100]), &options).is_empty());
        assert_eq!(robust_z(&[], 3.0), 0.0);
    }
}
