//! Fusion of rankings by reciprocal rank: a document's score is Σ weight / (K + rank) over the rankings it is in
//! (Cormack, Clarke, Büttcher: Reciprocal Rank Fusion, SIGIR 2009). Ranks, not scores: BM25 and cosine have no
//! common scale.

use std::collections::BTreeMap;

/// Damps the lead of the first places. The paper's 60 is for rankings of thousands; a house has hundreds of
/// runbooks, and the first three places are what anyone reads.
pub(crate) const K: f32 = 20.0;

/// A ranking, best first, and how much it counts.
pub(crate) struct Ranking<'a> {
    pub(crate) items: &'a [u32],
    pub(crate) weight: f32,
}

/// Items with their fused scores, best first. Ties fall to the better place in the first ranking that tells them
/// apart, then to the lower item: equal input, equal order.
pub(crate) fn fuse(rankings: &[Ranking<'_>]) -> Vec<(u32, f32)> {
    let mut places: BTreeMap<u32, (f32, Vec<usize>)> = BTreeMap::new();
    for (number, ranking) in rankings.iter().enumerate() {
        for (place, item) in ranking.items.iter().enumerate() {
            let (score, ranks) =
                places.entry(*item).or_insert_with(|| (0.0, vec![usize::MAX; rankings.len()]));
            if let Some(rank) = ranks.get_mut(number).filter(|rank| **rank == usize::MAX) {
                *rank = place;
                *score += ranking.weight / (K + 1.0 + place as f32);
            }
        }
    }
    let mut fused: Vec<(u32, (f32, Vec<usize>))> = places.into_iter().collect();
    fused
        .sort_by(|(a, (x, at_a)), (b, (y, at_b))| y.total_cmp(x).then_with(|| at_a.cmp(at_b)).then(a.cmp(b)));
    fused.into_iter().map(|(item, (score, _))| (item, score)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rankings: &[(&[u32], f32)]) -> Vec<u32> {
        let rankings: Vec<Ranking<'_>> =
            rankings.iter().map(|(items, weight)| Ranking { items, weight: *weight }).collect();
        fuse(&rankings).into_iter().map(|(item, _)| item).collect()
    }

    #[test]
    fn agreement_beats_one_high_place_and_weight_counts() {
        assert_eq!(check(&[(&[1, 2, 3], 1.0), (&[2, 4, 1], 1.0)])[0], 2);
        assert_eq!(check(&[(&[1], 1.0), (&[2], 2.0)]), [2, 1]);
    }

    #[test]
    fn ties_fall_to_the_first_ranking_and_then_to_the_lower_item() {
        assert_eq!(check(&[(&[7, 3], 1.0), (&[3, 7], 1.0)]), [7, 3]);
        assert_eq!(check(&[(&[], 1.0), (&[], 1.0)]), Vec::<u32>::new());
    }

    #[test]
    fn a_repeated_item_counts_once() {
        assert_eq!(fuse(&[Ranking { items: &[5, 5], weight: 1.0 }]), [(5, 1.0 / (K + 1.0))]);
    }
}
