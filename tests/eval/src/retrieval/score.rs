//! The figures of a retrieval run: Hit@k, MRR and nDCG over ten places, a line a set of queries.
//!
//! Each twice: as ranked, and as answered, where an answer that was declared insufficient counts as none. Queries that
//! nothing answers are counted for themselves: the share that was answered all the same.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Places that count.
const PLACES: usize = 10;

/// One query, answered.
pub struct Asked<'a> {
    pub set: &'a str,
    /// Empty: nothing answers it.
    pub relevant: &'a [String],
    /// Best first.
    pub ranked: &'a [&'a str],
    pub abstained: bool,
    pub ms: f64,
}

#[derive(Default)]
pub struct Figures {
    sets: BTreeMap<String, Tally>,
    pooled: Tally,
    negatives: Negatives,
    ms: Vec<f64>,
}

#[derive(Clone, Default)]
struct Tally {
    ranked: Hits,
    answered: Hits,
    asked: u32,
    abstained: u32,
    /// Abstained with a relevant document among the first three.
    lost: u32,
}

/// Sums over queries.
#[derive(Clone, Copy, Default)]
struct Hits {
    within: [u32; 3],
    reciprocal: f64,
    gain: f64,
}

#[derive(Default)]
struct Negatives {
    sets: BTreeMap<String, (u32, u32)>,
    asked: u32,
    answered: u32,
}

impl Figures {
    pub fn count(&mut self, asked: &Asked<'_>) {
        self.ms.push(asked.ms);
        if asked.relevant.is_empty() {
            let answered = u32::from(!asked.abstained && !asked.ranked.is_empty());
            let set = self.negatives.sets.entry(asked.set.to_owned()).or_default();
            *set = (set.0 + 1, set.1 + answered);
            self.negatives.asked += 1;
            self.negatives.answered += answered;
            return;
        }
        let places: Vec<usize> = asked
            .ranked
            .iter()
            .take(PLACES)
            .enumerate()
            .filter(|(_, path)| asked.relevant.iter().any(|relevant| relevant == *path))
            .map(|(place, _)| place)
            .collect();
        let set = self.sets.entry(asked.set.to_owned()).or_default();
        for tally in [set, &mut self.pooled] {
            tally.asked += 1;
            tally.ranked.add(&places, asked.relevant.len());
            if asked.abstained {
                tally.abstained += 1;
                tally.lost += u32::from(places.first().is_some_and(|place| *place < 3));
            } else {
                tally.answered.add(&places, asked.relevant.len());
            }
        }
    }

    pub fn to_json(&self) -> Value {
        let mut sets: Map<String, Value> =
            self.sets.iter().map(|(name, tally)| (name.clone(), tally.to_json())).collect();
        sets.insert("pooled".to_owned(), self.pooled.to_json());
        let negative = |(asked, answered): (u32, u32)| json!({ "n": asked, "answered": share(answered, asked), "interval": wilson(answered, asked) });
        let mut negatives: Map<String, Value> =
            self.negatives.sets.iter().map(|(name, counts)| (name.clone(), negative(*counts))).collect();
        negatives.insert("pooled".to_owned(), negative((self.negatives.asked, self.negatives.answered)));
        json!({ "sets": sets, "negatives": negatives, "p50_ms": self.quantile(0.5), "p99_ms": self.quantile(0.99) })
    }

    pub fn print(&self) {
        println!(
            "  {:22} {:>4}  hit@1 hit@3 hit@5 mrr@10 ndcg@10 | answered: hit@1 hit@3 | insufficient, lost",
            "set", "n"
        );
        for (name, tally) in
            self.sets.iter().map(|(name, tally)| (name.as_str(), tally)).chain([("pooled", &self.pooled)])
        {
            let n = tally.asked;
            let [one, three, five] = tally.ranked.within.map(|count| share(count, n));
            let [answered_one, answered_three, _] = tally.answered.within.map(|count| share(count, n));
            println!(
                "  {name:22} {n:4}  {one:.3} {three:.3} {five:.3} {:.3}  {:.3}   |           {answered_one:.3} {answered_three:.3} | {:.3} {:.3}",
                tally.ranked.reciprocal / f64::from(n.max(1)),
                tally.ranked.gain / f64::from(n.max(1)),
                share(tally.abstained, n),
                share(tally.lost, n),
            );
        }
        for (name, (asked, answered)) in &self.negatives.sets {
            println!("  {name:22} {asked:4}  answered all the same {:.3}", share(*answered, *asked));
        }
        let (asked, answered) = (self.negatives.asked, self.negatives.answered);
        println!(
            "  {:22} {asked:4}  answered all the same {:.3}",
            "without an answer",
            share(answered, asked)
        );
        println!("  p50 {:.2} ms, p99 {:.2} ms a query", self.quantile(0.5), self.quantile(0.99));
    }

    fn quantile(&self, at: f64) -> f64 {
        let mut sorted = self.ms.clone();
        sorted.sort_by(f64::total_cmp);
        let place = (sorted.len() as f64 * at) as usize;
        sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
    }
}

impl Hits {
    fn add(&mut self, places: &[usize], relevant: usize) {
        let Some(first) = places.first() else { return };
        for (count, k) in self.within.iter_mut().zip([1, 3, 5]) {
            *count += u32::from(*first < k);
        }
        self.reciprocal += 1.0 / (*first as f64 + 1.0);
        let discount = |place: usize| 1.0 / (place as f64 + 2.0).log2();
        let ideal: f64 = (0..relevant.min(PLACES)).map(discount).sum();
        self.gain += places.iter().map(|place| discount(*place)).sum::<f64>() / ideal;
    }

    fn to_json(self, n: u32) -> Value {
        let [one, three, five] = self.within;
        let mean = |sum: f64| sum / f64::from(n.max(1));
        json!({
            "hit1": share(one, n), "hit3": share(three, n), "hit5": share(five, n),
            "hit3_interval": wilson(three, n),
            "mrr10": mean(self.reciprocal), "ndcg10": mean(self.gain),
        })
    }
}

impl Tally {
    fn to_json(&self) -> Value {
        json!({
            "n": self.asked,
            "ranked": self.ranked.to_json(self.asked),
            "answered": self.answered.to_json(self.asked),
            "insufficient": share(self.abstained, self.asked),
            "lost": share(self.lost, self.asked),
        })
    }
}

fn share(count: u32, n: u32) -> f64 {
    f64::from(count) / f64::from(n.max(1))
}

/// The Wilson score interval of a share, at 95 %.
fn wilson(count: u32, n: u32) -> [f64; 2] {
    if n == 0 {
        return [0.0, 1.0];
    }
    let (n, z) = (f64::from(n), 1.96);
    let p = f64::from(count) / n;
    let scale = 1.0 + z * z / n;
    let centre = p + z * z / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    [(centre - half) / scale, (centre + half) / scale]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_counts_by_its_place_and_an_abstention_only_as_ranked() {
        let mut figures = Figures::default();
        let relevant = ["a".to_owned(), "b".to_owned()];
        let mut ask = |ranked: &[&str], relevant: &[String], abstained: bool| {
            figures.count(&Asked { set: "s", relevant, ranked, abstained, ms: 1.0 });
        };
        ask(&["a", "x", "b"], &relevant, false);
        ask(&["x", "a"], &relevant, true);
        ask(&["x"], &relevant, false);
        ask(&["x"], &[], false);
        ask(&["x"], &[], true);
        ask(&[], &[], false);
        let json = figures.to_json();
        let pooled = &json["sets"]["pooled"];
        let close = |value: &Value, wanted: f64| (value.as_f64().unwrap() - wanted).abs() < 1e-9;
        assert!(close(&pooled["ranked"]["hit1"], 1.0 / 3.0) && close(&pooled["ranked"]["hit3"], 2.0 / 3.0));
        assert!(close(&pooled["answered"]["hit3"], 1.0 / 3.0) && close(&pooled["lost"], 1.0 / 3.0));
        assert!(close(&pooled["ranked"]["mrr10"], 0.5));
        let ideal = 1.0 + 1.0 / 3_f64.log2();
        assert!(close(&pooled["answered"]["ndcg10"], (1.5 / ideal) / 3.0));
        assert!(close(&json["negatives"]["pooled"]["answered"], 1.0 / 3.0));
    }

    #[test]
    fn the_interval_of_nothing_is_everything_and_of_all_does_not_reach_zero() {
        assert_eq!(wilson(0, 0), [0.0, 1.0]);
        let [low, high] = wilson(10, 10);
        assert!((0.72..0.73).contains(&low) && (high - 1.0).abs() < 1e-9);
    }
}
