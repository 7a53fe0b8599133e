//! Which event follows which: the pairs of a normal log, beginnings and ends included.
//!
//! Owns next-event sets. Never counts how often a pair comes within one entity.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Stands before the first event and behind the last.
pub(super) const EDGE: u32 = u32::MAX;
/// Different pairs kept; entities beyond teach nothing new then.
const PAIRS_MAX: usize = 65_536;

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Order {
    /// Entities that show the pair.
    #[serde(with = "as_rows")]
    pairs: BTreeMap<(u32, u32), u64>,
    /// For each event: entities in which something follows it, and followers that only one entity shows.
    followed: BTreeMap<u32, (u64, u64)>,
}

/// JSON has no maps with pairs for names.
mod as_rows {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
    use std::collections::BTreeMap;

    pub fn serialize<S: Serializer>(pairs: &BTreeMap<(u32, u32), u64>, to: S) -> Result<S::Ok, S::Error> {
        pairs.iter().map(|((a, b), n)| (*a, *b, *n)).collect::<Vec<_>>().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<(u32, u32), u64>, D::Error> {
        Ok(Vec::<(u32, u32, u64)>::deserialize(from)?.into_iter().map(|(a, b, n)| ((a, b), n)).collect())
    }
}

/// The different pairs of a sequence; `ended` adds the end.
pub(super) fn pairs(events: impl Iterator<Item = u32>, begun: bool, ended: bool) -> BTreeSet<(u32, u32)> {
    let mut found = BTreeSet::new();
    let mut last = begun.then_some(EDGE);
    for event in events {
        if let Some(last) = last {
            found.insert((last, event));
        }
        last = Some(event);
    }
    if let (true, Some(last)) = (ended, last) {
        found.insert((last, EDGE));
    }
    found
}

impl Order {
    pub fn learn<'a>(entities: impl Iterator<Item = &'a BTreeSet<(u32, u32)>>) -> Self {
        let mut order = Self::default();
        for pairs in entities {
            let mut before = BTreeSet::new();
            for pair in pairs {
                if order.pairs.len() < PAIRS_MAX || order.pairs.contains_key(pair) {
                    *order.pairs.entry(*pair).or_default() += 1;
                    before.insert(pair.0);
                }
            }
            for event in before {
                order.followed.entry(event).or_default().0 += 1;
            }
        }
        for ((event, _), count) in &order.pairs {
            if *count == 1
                && let Some(followed) = order.followed.get_mut(event)
            {
                followed.1 += 1;
            }
        }
        order
    }

    /// The least expected of the pairs and its bits: `log2((n + 1) / (n₁ + 1))` where `n` entities had the first event and
    /// `n₁` of its followers came in one entity only. Pairs with an event unknown here are left to the counts. `own`: the
    /// pairs are of the baseline itself.
    pub fn surprise(&self, pairs: &BTreeSet<(u32, u32)>, own: bool) -> (f64, Option<(u32, u32)>) {
        let own = u64::from(own);
        let mut worst = (0.0, None);
        for pair in pairs {
            let count = self.pairs.get(pair).copied().unwrap_or(0);
            let Some((entities, lone)) = self.followed.get(&pair.0) else { continue };
            if count > own || pair.1 != EDGE && !self.follows(pair.1) {
                continue;
            }
            let (entities, lone) = (entities.saturating_sub(own), lone.saturating_sub(own));
            let bits = ((entities as f64 + 1.0) / (lone as f64 + 1.0)).log2();
            if bits > worst.0 {
                worst = (bits, Some(*pair));
            }
        }
        worst
    }

    /// Every event is followed by something, if only by the end.
    fn follows(&self, event: u32) -> bool {
        self.followed.contains_key(&event)
    }

    /// The share of entities that begin with the event.
    pub fn begins(&self, event: u32) -> f64 {
        let of = self.followed.get(&EDGE).map_or(0, |(entities, _)| *entities).max(1);
        self.pairs.get(&(EDGE, event)).copied().unwrap_or(0) as f64 / of as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_never_seen_surprises_and_a_free_one_does_not() {
        let sequences: Vec<_> =
            (0..100).map(|i| pairs([0, if i % 2 == 0 { 1 } else { 2 }, 3].into_iter(), true, true)).collect();
        let order = Order::learn(sequences.iter());
        assert_eq!(order.surprise(&pairs([0, 2, 3].into_iter(), true, true), false).0, 0.0);
        let (bits, pair) = order.surprise(&pairs([0, 3].into_iter(), true, true), false);
        assert!(bits > 6.0 && pair == Some((0, 3)));
        let (bits, pair) = order.surprise(&pairs([0, 1].into_iter(), true, true), false);
        assert!(bits > 5.0 && pair == Some((1, EDGE)), "its end is missing");
        assert_eq!(
            order.surprise(&pairs([0, 1].into_iter(), true, false), false).0,
            0.0,
            "it may still come"
        );
    }
}
