//! How far out a number lies: durations and values of an entity against those of a normal log.
//!
//! Owns the tails of distributions and the scores' own distribution on the baseline. Never decides what is anomalous.
//!
//! Beyond the quantile `q` of 90 % a tail falls off exponentially on a logarithmic scale,
//! `P(X > x) = 0.1 · exp(−(x − q) / σ)` with `σ` the mean excess over `q`: the Hill estimate of a power law (B. M. Hill,
//! Annals of Statistics 3, 1975), which is heavy enough for latencies.

use serde::{Deserialize, Serialize};

/// Fewer values have no tail to speak of.
pub(super) const VALUES_MIN: usize = 20;
/// The narrowest tail believed in: a twentieth of the value.
const SIGMA_MIN: f64 = 0.05;
/// Scores of the baseline that are kept: ranks below are not asked for.
const SCORES_KEPT: usize = 2048;

/// The upper tail of values on a logarithmic scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Tail {
    pub values: u64,
    /// The narrowest the bulk's own tail is believed to be.
    step: f64,
    pub q50: f64,
    pub q80: f64,
    pub q90: f64,
    pub sigma: f64,
    /// All but the top two hundredth lie below.
    pub q995: f64,
}

impl Tail {
    /// None for too few values. Sorts them. `in_steps`: the values were read off a clock, so that near zero a step of it is a
    /// large part of them.
    pub fn fit(values: &mut [f64], in_steps: bool) -> Option<Self> {
        if values.len() < VALUES_MIN {
            return None;
        }
        values.sort_by(f64::total_cmp);
        let at =
            |share: f64| values.get(((values.len() - 1) as f64 * share) as usize).copied().unwrap_or(0.0);
        let q90 = at(0.9);
        let over: Vec<f64> = values.iter().filter(|value| **value > q90).map(|value| value - q90).collect();
        // On this scale a step of one at x is 1 / √(1 + x²).
        let step = |at: f64| if in_steps { (1.0 / at.cosh()).max(SIGMA_MIN) } else { SIGMA_MIN };
        let sigma = (over.iter().sum::<f64>() / over.len().max(1) as f64).max(step(q90));
        let step = step(at(0.8));
        Some(Self {
            values: values.len() as u64,
            step,
            q50: at(0.5),
            q80: at(0.8),
            q90,
            sigma,
            q995: at(0.995),
        })
    }

    /// Bits of surprise at a value as high as this, from 0.
    pub fn bits(&self, value: f64) -> f64 {
        if value <= self.q90 {
            return 0.0;
        }
        10f64.log2() + (value - self.q90) / self.sigma * std::f64::consts::LOG2_E
    }
}

impl Tail {
    /// As [`Tail::bits`], but from the bulk of the values alone, so that up to a fifth of them may be anomalies:
    /// `P(X > x) = 0.2 · exp(−(x − q80) / σ)` with `σ = (q80 − q50) / ln 2.5`.
    pub fn bulk_bits(&self, value: f64) -> f64 {
        if value <= self.q80 {
            return 0.0;
        }
        let sigma = ((self.q80 - self.q50) / 2.5f64.ln()).max(self.step);
        5f64.log2() + (value - self.q80) / sigma * std::f64::consts::LOG2_E
    }
}

/// Milliseconds, sizes and the like on a scale where a factor is a distance; odd, so that signs are kept.
pub(super) fn log_scale(value: f64) -> f64 {
    value.asinh()
}

pub(super) fn from_log_scale(value: f64) -> f64 {
    value.sinh()
}

/// How a score is distributed over entities that are normal.
///
/// By rank, no chance is less than one in the number of entities, and one wild entity of the baseline would vouch for all
/// that is milder than it. Where it says less, a tail is believed instead, exponential beyond the lowest of the highest
/// hundredth, with a scale that half of them decide: `P(X > x) = k/n · 2^(−(x − u) / σ)`, `σ` the median excess over `u`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Null {
    entities: u64,
    /// The highest, descending.
    top: Vec<f64>,
    /// How fast it falls off beyond the highest, in bits.
    scale: f64,
    /// Without normal entities to rank with: the share of its bits that a score is believed.
    nominal: Option<f64>,
    #[serde(default)]
    excess: Option<Excess>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Excess {
    /// `u`
    from: f64,
    /// `k/n`
    share: f64,
    /// `σ`: at least 1, for a bit of score is worth a bit at most.
    scale: f64,
}

impl Null {
    pub fn of(mut scores: Vec<f64>) -> Self {
        let entities = scores.len() as u64;
        scores.sort_by(|a, b| b.total_cmp(a));
        scores.truncate(SCORES_KEPT);
        // The mean excess of the highest hundredth (five at least) over the next.
        let count = (entities as usize / 100).clamp(5, 100).min(scores.len().saturating_sub(1));
        let base = scores.get(count).copied().unwrap_or(0.0).max(0.0);
        let excess: f64 = scores.iter().take(count).map(|score| score - base).sum();
        // A bit of score is worth a bit at most: beyond what was seen nothing is certain.
        let scale = (excess / count.max(1) as f64).max(1.0);
        let excess = Excess::of(scores.iter().take(count).copied().filter(|score| *score > base), entities);
        Self { entities, top: scores, scale, nominal: None, excess }
    }

    /// For scores that have nothing to be ranked with.
    pub fn nominal(share: f64) -> Self {
        Self { nominal: Some(share), ..Self::default() }
    }

    /// The chance that a normal entity scores this high: by rank, `(1 + #≥) / (1 + n)`, and beyond the highest by an
    /// exponential tail; or by the tail of the highest hundredth, if that is less.
    pub fn chance(&self, score: f64) -> f64 {
        if score <= 0.0 {
            return 1.0;
        }
        if let Some(share) = self.nominal {
            return (-score * share).exp2();
        }
        let rank = self.top.partition_point(|other| *other >= score - 1e-9);
        if rank == self.top.len() && self.entities as usize > rank {
            // Below all that was kept.
            return 1.0;
        }
        let whole = self.entities as f64 + 1.0;
        let by_rank = match self.top.first() {
            Some(highest) if rank == 0 => (-(score - highest.max(0.0)) / self.scale).exp2() / whole,
            _ => ((rank + 1) as f64 / whole).min(1.0),
        };
        self.excess.map_or(by_rank, |excess| by_rank.min(excess.chance(score)))
    }
}

impl Excess {
    /// `highest` in descending order; None without any.
    fn of(highest: impl Iterator<Item = f64>, entities: u64) -> Option<Self> {
        let highest: Vec<f64> = highest.collect();
        let from = *highest.last()?;
        let middle = *highest.get(highest.len() / 2)?;
        let share = (highest.len() + 1) as f64 / (entities + 1) as f64;
        Some(Self { from, share, scale: (middle - from).max(1.0) })
    }

    fn chance(self, score: f64) -> f64 {
        if score <= self.from { 1.0 } else { self.share * (-(score - self.from) / self.scale).exp2() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_as_heavy_as_its_values() {
        let mut steady: Vec<f64> = (0..200).map(|i| log_scale(1000.0 + f64::from(i % 20))).collect();
        let mut wild: Vec<f64> = (0..200).map(|i| log_scale(10f64.powf(f64::from(i) / 40.0))).collect();
        let (steady, wild) = (Tail::fit(&mut steady, true).unwrap(), Tail::fit(&mut wild, true).unwrap());
        assert!(steady.bits(log_scale(4000.0)) > 15.0 && steady.bits(log_scale(1010.0)) == 0.0);
        assert!(wild.bits(log_scale(200_000.0)) < 8.0);
        assert_eq!(Tail::fit(&mut [1.0; 19], true), None);
    }

    #[test]
    fn chances_follow_the_ranks_and_fall_beyond_them() {
        let null = Null::of((0..1000).map(|i| if i < 10 { f64::from(i) } else { 0.0 }).collect());
        assert_eq!(null.chance(0.0), 1.0);
        assert!((null.chance(9.0) - 2.0 / 1001.0).abs() < 1e-9);
        assert!(null.chance(30.0) < null.chance(12.0) && null.chance(12.0) < 1.0 / 1001.0);
    }

    #[test]
    fn one_wild_entity_of_the_baseline_does_not_vouch_for_the_rest() {
        let scores =
            |wild: f64| (0..2000).map(|i| if i < 18 { 10.0 + f64::from(i) / 2.0 } else { 0.0 }).chain([wild]);
        let (tame, wild) = (Null::of(scores(19.0).collect()), Null::of(scores(90.0).collect()));
        assert!(wild.chance(60.0) < 1e-4 && tame.chance(60.0) < 1e-4, "{}", wild.chance(60.0));
        assert!(wild.chance(12.0) > 0.005, "what normal ones reach stays likely");
        let lone = Null::of(vec![0.0; 50]);
        assert_eq!(lone.chance(0.0), 1.0);
        assert!(lone.chance(5.0) < 1.0 / 51.0);
    }
}
