//! Fusion of rankings by score: an item's score is Σ weight · score / best score, over the rankings it is in.
//!
//! Each ranking's scores are taken as shares of its best: BM25 and cosine have no common scale, but how far the second
//! lies behind the first says more than that it is second.

use std::collections::BTreeMap;

/// A ranking, best first, and how much it counts.
pub(crate) struct Ranking<'a> {
    pub(crate) items: &'a [(u32, f32)],
    pub(crate) weight: f32,
}

/// Items with their fused scores, best first; ties fall to the lower item: equal input, equal order.
pub(crate) fn fuse(rankings: &[Ranking<'_>]) -> Vec<(u32, f32)> {
    let mut scores: BTreeMap<u32, f32> = BTreeMap::new();
    for ranking in rankings {
        let best = ranking.items.iter().map(|(_, score)| *score).fold(0.0, f32::max);
        if best <= 0.0 {
            continue;
        }
        let mut counted = std::collections::BTreeSet::new();
        for (item, score) in ranking.items {
            if counted.insert(*item) {
                *scores.entry(*item).or_insert(0.0) += ranking.weight * score.max(0.0) / best;
            }
        }
    }
    let mut fused: Vec<(u32, f32)> = scores.into_iter().collect();
    best_first(&mut fused);
    fused
}

pub(crate) fn best_first(scored: &mut [(u32, f32)]) {
    scored.sort_by(|(a, x), (b, y)| y.total_cmp(x).then(a.cmp(b)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rankings: &[(&[(u32, f32)], f32)]) -> Vec<u32> {
        let rankings: Vec<Ranking<'_>> =
            rankings.iter().map(|(items, weight)| Ranking { items, weight: *weight }).collect();
        fuse(&rankings).into_iter().map(|(item, _)| item).collect()
    }

    #[test]
    fn agreement_beats_one_high_place_and_scale_does_not_count() {
        assert_eq!(check(&[(&[(1, 90.0), (2, 85.0)], 1.0), (&[(2, 0.4), (3, 0.3)], 1.0)])[0], 2);
        assert_eq!(check(&[(&[(1, 900.0), (2, 10.0)], 1.0), (&[(2, 0.004)], 2.0)]), [2, 1]);
    }

    #[test]
    fn ties_fall_to_the_lower_item_and_nothing_gives_nothing() {
        assert_eq!(check(&[(&[(7, 1.0), (3, 1.0)], 1.0)]), [3, 7]);
        assert_eq!(check(&[(&[], 1.0), (&[(4, 0.0)], 1.0)]), Vec::<u32>::new());
    }

    #[test]
    fn a_repeated_item_counts_once() {
        let twice = [(5, 2.0), (5, 2.0)];
        assert_eq!(fuse(&[Ranking { items: &twice, weight: 1.0 }]), [(5, 1.0)]);
    }
}
