//! Robust statistics: medians, spreads and rank measures that one wild sample cannot move.
//!
//! Owns the arithmetic that the detectors share. Never sees a time or a label. All functions expect finite
//! values; the callers filter (see [`crate::series::Series::finite`]).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Turns a median absolute deviation into the standard deviation of a normal distribution: 1 / Φ⁻¹(3/4).
pub const MAD_TO_SIGMA: f64 = 1.4826;
/// Turns a mean absolute deviation into the standard deviation of a normal distribution: √(π/2).
pub const MEAN_DEVIATION_TO_SIGMA: f64 = 1.2533;

/// The median; the mean of the two middle values for an even count. None for no values.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The `q`-quantile, `q` in [0, 1], by linear interpolation between closest ranks. None for no values.
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    quantile_sorted(&sorted, q)
}

/// As [`quantile`], of values already in ascending order.
pub fn quantile_sorted(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let rank = q.clamp(0.0, 1.0) * last as f64;
    let below = *sorted.get(rank.floor() as usize)?;
    let above = *sorted.get(rank.ceil() as usize)?;
    Some(below + (above - below) * rank.fract())
}

/// The standard deviation of the bulk of the values around `centre`, from the median absolute deviation.
///
/// When more than half of the values are equal the median deviation is zero and says nothing; then the mean
/// absolute deviation stands in. Zero only if all values equal `centre`.
pub fn robust_sigma(values: &[f64], centre: f64) -> f64 {
    let deviations: Vec<f64> = values.iter().map(|value| (value - centre).abs()).collect();
    let mad = median(&deviations).unwrap_or(0.0) * MAD_TO_SIGMA;
    if mad > 0.0 { mad } else { mean(&deviations).unwrap_or(0.0) * MEAN_DEVIATION_TO_SIGMA }
}

pub fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() { None } else { Some(values.iter().sum::<f64>() / values.len() as f64) }
}

/// Cliff's delta: P(later > earlier) − P(later < earlier), in [−1, 1]; 0 for an empty side.
///
/// Source: N. Cliff, "Dominance statistics", Psychological Bulletin 114 (1993).
pub fn cliffs_delta(earlier: &[f64], later: &[f64]) -> f64 {
    if earlier.is_empty() || later.is_empty() {
        return 0.0;
    }
    let mut sorted = earlier.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut balance: i64 = 0;
    for value in later {
        let below = sorted.partition_point(|other| other < value);
        let not_above = sorted.partition_point(|other| other <= value);
        balance += below as i64 - (sorted.len() - not_above) as i64;
    }
    balance as f64 / (earlier.len() as f64 * later.len() as f64)
}

/// The Mann–Whitney statistic in standard deviations, from Cliff's delta and the sizes of the two sides.
pub fn rank_sum_z(delta: f64, earlier: usize, later: usize) -> f64 {
    let (n, m) = (earlier as f64, later as f64);
    delta.abs() * (3.0 * n * m / (n + m + 1.0)).sqrt()
}

/// Theil–Sen: the median of the slopes of all pairs, and the median intercept. None for fewer than two
/// distinct positions. Quadratic in the number of points: callers thin to a few hundred.
///
/// Source: P. K. Sen, "Estimates of the regression coefficient based on Kendall's tau", JASA 63 (1968).
pub fn theil_sen(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let mut slopes = Vec::with_capacity(points.len() * points.len().saturating_sub(1) / 2);
    for (index, (x, y)) in points.iter().enumerate() {
        for (later_x, later_y) in points.iter().skip(index + 1) {
            if later_x != x {
                slopes.push((later_y - y) / (later_x - x));
            }
        }
    }
    let slope = median(&slopes)?;
    let offsets: Vec<f64> = points.iter().map(|(x, y)| y - slope * x).collect();
    Some((slope, median(&offsets)?))
}

/// Median and sum of absolute deviations of a growing set, each push in O(log n).
///
/// Two heaps hold the lower and the upper half with their sums, so that the L1 cost of every prefix of a
/// series is known in O(n log n) overall: this is what makes the exhaustive search for a split cheap.
#[derive(Default)]
pub struct RunningDeviation {
    low: BinaryHeap<Ordered>,
    high: BinaryHeap<Reverse<Ordered>>,
    low_sum: f64,
    high_sum: f64,
}

impl RunningDeviation {
    pub fn push(&mut self, value: f64) {
        if self.low.peek().is_none_or(|Ordered(top)| value <= *top) {
            self.low.push(Ordered(value));
            self.low_sum += value;
        } else {
            self.high.push(Reverse(Ordered(value)));
            self.high_sum += value;
        }
        if self.low.len() > self.high.len() + 1 {
            if let Some(Ordered(moved)) = self.low.pop() {
                self.low_sum -= moved;
                self.high_sum += moved;
                self.high.push(Reverse(Ordered(moved)));
            }
        } else if self.high.len() > self.low.len()
            && let Some(Reverse(Ordered(moved))) = self.high.pop()
        {
            self.high_sum -= moved;
            self.low_sum += moved;
            self.low.push(Ordered(moved));
        }
    }

    /// Sum of |value − median| over everything pushed; never negative.
    pub fn cost(&self) -> f64 {
        let Some(Ordered(middle)) = self.low.peek() else { return 0.0 };
        let above = self.high_sum - middle * self.high.len() as f64;
        let below = middle * self.low.len() as f64 - self.low_sum;
        (above + below).max(0.0)
    }
}

#[derive(Clone, Copy, PartialEq)]
struct Ordered(f64);

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_cost_equals_the_cost_computed_from_scratch() {
        let values = [5.0, 1.0, 9.0, 9.0, -3.0, 4.0, 4.0, 100.0];
        let mut running = RunningDeviation::default();
        for (index, value) in values.iter().enumerate() {
            running.push(*value);
            let seen = &values[..=index];
            let centre = median(seen).unwrap();
            let direct: f64 = seen.iter().map(|v| (v - centre).abs()).sum();
            assert!((running.cost() - direct).abs() < 1e-9, "after {index}: {} != {direct}", running.cost());
        }
    }

    #[test]
    fn delta_is_one_for_separated_and_zero_for_equal_sets() {
        assert_eq!(cliffs_delta(&[1.0, 2.0], &[3.0, 4.0]), 1.0);
        assert_eq!(cliffs_delta(&[3.0, 4.0], &[1.0, 2.0]), -1.0);
        assert_eq!(cliffs_delta(&[1.0, 1.0], &[1.0, 1.0]), 0.0);
        assert_eq!(cliffs_delta(&[], &[1.0]), 0.0);
    }

    #[test]
    fn one_wild_point_does_not_bend_the_line() {
        let mut points: Vec<(f64, f64)> = (0..20).map(|i| (f64::from(i), 2.0 * f64::from(i) + 1.0)).collect();
        points[7].1 = 1e6;
        let (slope, intercept) = theil_sen(&points).unwrap();
        assert!((slope - 2.0).abs() < 1e-9 && (intercept - 1.0).abs() < 1e-9);
    }
}
