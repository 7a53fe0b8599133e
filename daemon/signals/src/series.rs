//! A metric series and a span of time.
//!
//! Owns the plain data and what follows from it alone: rates of counters, steps, alignment of two series.
//! Never decides whether something is wrong.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A pair of counter samples further apart than this many usual steps spans an outage of the scraper: the
/// increase between them says nothing about the rate at either end. Prometheus gives a series
/// up after 5 minutes, 20 steps of 15 s; 10 keeps the rate honest well before.
const RATE_GAP_STEPS_MAX: u64 = 10;

/// A span of time: half-open, milliseconds since the epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimeRange {
    pub start_ms: u64,
    pub end_ms: u64,
}

impl TimeRange {
    pub fn new(start_ms: u64, end_ms: u64) -> Self {
        Self { start_ms, end_ms }
    }

    pub fn contains(&self, at_ms: u64) -> bool {
        self.start_ms <= at_ms && at_ms < self.end_ms
    }

    /// Zero when the end is not after the start.
    pub fn duration_ms(&self) -> u64 {
        self.end_ms.saturating_sub(self.start_ms)
    }

    pub fn is_empty(&self) -> bool {
        self.duration_ms() == 0
    }
}

/// A value at a time. The value may be NaN (also Prometheus' mark of a stale series) or infinite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub at_ms: u64,
    pub value: f64,
}

/// Samples in ascending order of time, with the labels that name them (`__name__` among them).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Series {
    pub labels: BTreeMap<String, String>,
    pub samples: Vec<Sample>,
}

impl Series {
    /// Sorts by time; of several samples at one time the last given stays.
    pub fn new(labels: BTreeMap<String, String>, mut samples: Vec<Sample>) -> Self {
        samples.sort_by_key(|sample| sample.at_ms);
        samples.dedup_by(|later, kept| {
            let same = later.at_ms == kept.at_ms;
            if same {
                kept.value = later.value;
            }
            same
        });
        Self { labels, samples }
    }

    /// The metric's name, or the empty string.
    pub fn name(&self) -> &str {
        self.label("__name__").unwrap_or("")
    }

    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    /// The samples that are numbers: neither NaN nor infinite.
    pub fn finite(&self) -> impl Iterator<Item = Sample> + '_ {
        self.samples.iter().copied().filter(|sample| sample.value.is_finite())
    }

    /// The finite samples within `range`.
    pub fn within(&self, range: TimeRange) -> Vec<Sample> {
        self.finite().filter(|sample| range.contains(sample.at_ms)).collect()
    }

    /// The usual distance between samples (median), or None for fewer than two.
    pub fn step_ms(&self) -> Option<u64> {
        let mut steps: Vec<u64> = self
            .samples
            .windows(2)
            .filter_map(|pair| Some(pair.get(1)?.at_ms.saturating_sub(pair.first()?.at_ms)))
            .collect();
        steps.sort_unstable();
        steps.get(steps.len() / 2).copied()
    }

    /// True if the finite values do not differ by more than rounding, or there are none.
    pub fn is_constant(&self) -> bool {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for sample in self.finite() {
            low = low.min(sample.value);
            high = high.max(sample.value);
        }
        // Relative to the value's own size: a gauge near 1e9 jitters in its last bits.
        high <= low || high - low <= 1e-9 * high.abs().max(low.abs())
    }

    /// True for a series that is named as a counter and never decreases but by a reset towards zero.
    pub fn is_counter(&self) -> bool {
        let name = self.name();
        if !["_total", "_count", "_sum", "_bucket"].iter().any(|suffix| name.ends_with(suffix)) {
            return false;
        }
        let mut previous: Option<f64> = None;
        for Sample { value, .. } in self.finite() {
            if value < 0.0 || previous.is_some_and(|before| value < before && value > before * 0.5) {
                return false;
            }
            previous = Some(value);
        }
        true
    }

    /// A counter's increase per second, each sample at the end of the interval it speaks of.
    ///
    /// A decrease is a reset: the counter began again at zero, so its new value is the increase. A NaN (stale)
    /// ends the history: no rate is computed across it, nor across a gap of more than ten usual steps.
    pub fn rate(&self) -> Series {
        let gap_max_ms = self.step_ms().unwrap_or(0).saturating_mul(RATE_GAP_STEPS_MAX);
        let mut samples = Vec::with_capacity(self.samples.len().saturating_sub(1));
        for pair in self.samples.windows(2) {
            let (Some(before), Some(after)) = (pair.first(), pair.get(1)) else { continue };
            let elapsed_ms = after.at_ms.saturating_sub(before.at_ms);
            if !before.value.is_finite()
                || !after.value.is_finite()
                || elapsed_ms == 0
                || elapsed_ms > gap_max_ms
            {
                continue;
            }
            let increase = if after.value < before.value { after.value } else { after.value - before.value };
            samples.push(Sample { at_ms: after.at_ms, value: increase * 1000.0 / elapsed_ms as f64 });
        }
        Series { labels: self.labels.clone(), samples }
    }

    /// The rate of a counter, anything else as it is.
    pub fn as_gauge(&self) -> Series {
        if self.is_counter() { self.rate() } else { self.clone() }
    }

    /// `self − other` at the times of `self`: a caller's latency minus its callee's leaves the network's.
    /// Each time takes the last value of `other` not older than one usual step of it.
    pub fn minus(&self, other: &Series) -> Series {
        self.combine(other, |own, theirs| Some(own - theirs))
    }

    /// `self / other` at the times of `self` (errors over requests); no sample where `other` is zero.
    pub fn over(&self, other: &Series) -> Series {
        self.combine(other, |own, theirs| (theirs != 0.0).then_some(own / theirs))
    }

    fn combine(&self, other: &Series, with: impl Fn(f64, f64) -> Option<f64>) -> Series {
        let tolerance_ms = other.step_ms().unwrap_or(0);
        let mut rest = other.finite().peekable();
        let mut last: Option<Sample> = None;
        let mut samples = Vec::with_capacity(self.samples.len());
        for own in self.finite() {
            while let Some(next) = rest.next_if(|sample| sample.at_ms <= own.at_ms) {
                last = Some(next);
            }
            if let Some(theirs) = last.filter(|sample| own.at_ms.abs_diff(sample.at_ms) <= tolerance_ms)
                && let Some(value) = with(own.value, theirs.value).filter(|value| value.is_finite())
            {
                samples.push(Sample { at_ms: own.at_ms, value });
            }
        }
        Series { labels: self.labels.clone(), samples }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, values: &[f64]) -> Series {
        let samples = values.iter().enumerate().map(|(i, v)| Sample { at_ms: i as u64 * 1000, value: *v });
        Series::new(BTreeMap::from([("__name__".into(), name.into())]), samples.collect())
    }

    fn values(series: &Series) -> Vec<f64> {
        series.samples.iter().map(|sample| sample.value).collect()
    }

    #[test]
    fn a_reset_counts_from_zero() {
        assert_eq!(values(&series("x_total", &[10.0, 14.0, 3.0, 5.0]).rate()), [4.0, 3.0, 2.0]);
    }

    #[test]
    fn no_rate_is_computed_across_a_stale_mark_or_a_long_gap() {
        assert_eq!(values(&series("x_total", &[10.0, 14.0, f64::NAN, 90.0, 91.0]).rate()), [4.0, 1.0]);
        let mut gap = series("x_total", &[1.0, 2.0, 3.0, 4.0]);
        for sample in gap.samples.iter_mut().skip(3) {
            sample.at_ms += 60_000;
        }
        assert_eq!(values(&gap.rate()), [1.0, 1.0]);
    }

    #[test]
    fn only_what_behaves_as_a_counter_is_one() {
        assert!(series("x_total", &[1.0, 2.0, 0.0, 1.0]).is_counter());
        assert!(!series("x_total", &[10.0, 9.0, 10.0]).is_counter(), "small decreases are a gauge's");
        assert!(!series("temperature", &[1.0, 2.0]).is_counter());
    }

    #[test]
    fn a_quotient_skips_zero_and_what_is_too_old() {
        let requests = series("r", &[2.0, 0.0, 4.0]);
        assert_eq!(values(&series("e", &[1.0, 1.0, 1.0, 1.0, 1.0, 1.0]).over(&requests)), [0.5, 0.25, 0.25]);
    }

    #[test]
    fn jitter_in_the_last_bits_is_constant() {
        assert!(series("x", &[1e9, 1e9 + 1e-4, 1e9]).is_constant());
        assert!(!series("x", &[0.0, 1e-12]).is_constant(), "scale is not judged, only the spread");
        assert!(series("x", &[f64::NAN]).is_constant());
    }
}
