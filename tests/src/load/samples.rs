//! Durations that were measured, and what is said of many.

use std::time::Duration;

/// Durations in any order.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    pub fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nearest rank: the smallest sample that at least `percent` (1 to 100) of all do not exceed. A sample that was
    /// measured, never a value between two. In ms; `None` without samples.
    pub fn percentile_ms(&self, percent: usize) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).map(|sample| sample.as_secs_f64() * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ms: impl IntoIterator<Item = u64>) -> Samples {
        Samples(ms.into_iter().map(Duration::from_millis).collect())
    }

    #[test]
    fn a_percentile_is_a_sample_that_was_measured() {
        let hundred = of((1..=100).rev());
        assert_eq!(hundred.percentile_ms(50), Some(50.0));
        assert_eq!(hundred.percentile_ms(99), Some(99.0));
        assert_eq!(hundred.percentile_ms(100), Some(100.0));
    }

    #[test]
    fn of_few_samples_the_99th_percentile_is_the_worst() {
        assert_eq!(of([3, 1, 2]).percentile_ms(99), Some(3.0));
        assert_eq!(of([7]).percentile_ms(1), Some(7.0));
    }

    #[test]
    fn nothing_is_said_of_no_samples() {
        assert_eq!(of([]).percentile_ms(50), None);
    }
}
