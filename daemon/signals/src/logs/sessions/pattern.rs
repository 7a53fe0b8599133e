//! How often each event happens to an entity: the patterns of a normal log, and how far another is from all of them.
//!
//! Owns event-count vectors and the distance between them, in bits. Never looks at order or time.
//!
//! The distance to a pattern `b` is its own rarity, `log2(n / support)`, and for each event whose count `u` differs
//!
//! `log2((S + 1) / (N₁ + 1)) + log2((n + 1) / (n(u) + ½))`
//!
//! `S` entities of the baseline agree with `b` in all other events, and among them `N₁` counts of this event came once
//! only: Good and Turing's estimate that the next one has a count never seen there (I. J. Good, Biometrika 40, 1953). An
//! event that always comes three times is thus far from coming twice, while one that comes as often as it likes
//! is near to coming once more. The second term is the rarity of the count itself among all `n` entities, at
//! most [`RARITY_BITS_MAX`].

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// Different patterns kept, the most frequent; a system has tens to hundreds.
const PATTERNS_MAX: usize = 2048;
const RARITY_BITS_MAX: f64 = 8.0;

/// Event numbers with their counts, in order of event.
pub(super) type Counts = Vec<(u32, u32)>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Pattern {
    pub counts: Counts,
    /// Entities that show it.
    pub support: u64,
}

/// The patterns of a baseline.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Patterns {
    pub entities: u64,
    pub all: Vec<Pattern>,
    /// For each event the entities by (binned) count, zero left out.
    counts: Vec<BTreeMap<u32, u64>>,
    /// Events that happened to one entity only.
    lone_events: u64,
}

/// A count that differs from the nearest pattern's.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    pub event: u32,
    pub count: u32,
    pub usual: u32,
    pub bits: f64,
}

/// See [`Patterns::rarest`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Rarest {
    pub bits: f64,
    pub event: u32,
    pub present: bool,
    /// Entities of the baseline that are alike in it.
    pub alike: u64,
}

impl Patterns {
    pub fn learn(vectors: &[Counts], events: usize) -> Self {
        let mut supports: BTreeMap<&Counts, u64> = BTreeMap::new();
        let mut counts = vec![BTreeMap::new(); events];
        for vector in vectors {
            *supports.entry(vector).or_default() += 1;
            for (event, count) in vector {
                if let Some(histogram) = counts.get_mut(*event as usize) {
                    *histogram.entry(bin(*count)).or_default() += 1;
                }
            }
        }
        let lone_events =
            counts.iter().filter(|histogram| histogram.values().sum::<u64>() == 1).count() as u64;
        let mut all: Vec<Pattern> = supports
            .into_iter()
            .map(|(counts, support)| Pattern { counts: counts.clone(), support })
            .collect();
        all.sort_by(|a, b| b.support.cmp(&a.support).then_with(|| a.counts.cmp(&b.counts)));
        all.truncate(PATTERNS_MAX);
        Self { entities: vectors.len() as u64, all, counts, lone_events }
    }

    /// Forgets the patterns that fewer than `support_min` entities show.
    pub fn keep_usual(&mut self, support_min: u64) {
        self.all.retain(|pattern| pattern.support >= support_min);
    }

    /// True if an entity of the baseline had this event.
    pub fn knows(&self, event: u32) -> bool {
        self.counts.get(event as usize).is_some_and(|histogram| !histogram.is_empty())
    }

    /// The event whose presence or absence is rarest, in bits: `log2((n + 1) / (m + 1))` where `m` of `n` entities are alike
    /// in it. `own`: the counts are of one of the entities.
    pub fn rarest(&self, counts: &[(u32, u32)], own: bool, excused: &dyn Fn(u32) -> bool) -> Rarest {
        let entities = self.entities as f64;
        let bits =
            |alike: u64| ((entities + 1.0) / (alike.saturating_sub(u64::from(own)) as f64 + 1.0)).log2();
        let mut best = Rarest::default();
        let mut note = |event: u32, present: bool, alike: u64| {
            if bits(alike) > best.bits {
                best = Rarest { bits: bits(alike), event, present, alike };
            }
        };
        let mut have = counts.iter().map(|(event, _)| *event).peekable();
        for (event, histogram) in (0u32..).zip(&self.counts) {
            let with: u64 = histogram.values().sum();
            if have.next_if_eq(&event).is_some() {
                note(event, true, with);
            } else if with > 0 && !excused(event) {
                note(event, false, self.entities.saturating_sub(with));
            }
        }
        for event in have {
            note(event, true, 0);
        }
        best
    }

    /// Bits by which `count` is rare for the event among all entities.
    fn rarity(&self, event: u32, count: u32) -> f64 {
        let histogram = self.counts.get(event as usize).filter(|histogram| !histogram.is_empty());
        let entities = self.entities as f64;
        let Some(histogram) = histogram else {
            // Good and Turing again: how often an entity brought an event that no other had.
            return ((entities + 1.0) / (self.lone_events as f64 + 1.0)).log2().max(0.0);
        };
        let seen = if count == 0 {
            self.entities - histogram.values().sum::<u64>().min(self.entities)
        } else {
            histogram.get(&bin(count)).copied().unwrap_or(0)
        };
        ((entities + 1.0) / (seen as f64 + 0.5)).log2().clamp(0.0, RARITY_BITS_MAX)
    }
}

/// Up to seven the count itself, then quarters of a doubling.
fn bin(count: u32) -> u32 {
    if count < 8 { count } else { (4.0 * f64::from(count).log2()) as u32 }
}

/// For each pattern and event the support of what is left without the event; made once before distances are asked for.
pub(super) struct Index<'a> {
    patterns: &'a Patterns,
    /// The hash of each pattern's counts, in step with `patterns.all`.
    sums: Vec<u128>,
    /// Entities by what is left of them without an event that they have.
    by_rest: HashMap<u128, Context>,
    /// Entities by all that they have.
    by_whole: HashMap<u128, Context>,
}

#[derive(Clone, Copy, Default)]
struct Context {
    entities: u64,
    lone: u64,
}

impl Context {
    fn add(&mut self, support: u64) {
        self.entities += support;
        self.lone += u64::from(support == 1);
    }

    fn surprise(self, own: u64) -> f64 {
        let (entities, lone) = (self.entities.saturating_sub(own), self.lone.saturating_sub(own));
        ((entities as f64 + 1.0) / (lone as f64 + 1.0)).log2().max(0.0)
    }
}

impl<'a> Index<'a> {
    pub fn of(patterns: &'a Patterns) -> Self {
        let mut by_rest: HashMap<u128, Context> = HashMap::new();
        let mut by_whole: HashMap<u128, Context> = HashMap::new();
        let mut sums = Vec::with_capacity(patterns.all.len());
        for pattern in &patterns.all {
            let sum = pattern.counts.iter().map(|entry| hash(*entry)).fold(0, u128::wrapping_add);
            sums.push(sum);
            by_whole.entry(sum).or_default().add(pattern.support);
            for entry in &pattern.counts {
                by_rest
                    .entry(rest_key(sum.wrapping_sub(hash(*entry)), entry.0))
                    .or_default()
                    .add(pattern.support);
            }
        }
        Self { patterns, sums, by_rest, by_whole }
    }

    /// The entities that agree with a pattern in all but `entry`, those without the event included.
    fn context(&self, sum: u128, entry: (u32, u32)) -> Context {
        let rest = if entry.1 == 0 { sum } else { sum.wrapping_sub(hash(entry)) };
        let with = self.by_rest.get(&rest_key(rest, entry.0)).copied().unwrap_or_default();
        let without = self.by_whole.get(&rest).copied().unwrap_or_default();
        Context { entities: with.entities + without.entities, lone: with.lone + without.lone }
    }

    /// Bits from the nearest pattern, and what differs from it. A missing event for which `excused` is true costs nothing.
    /// `own`: the vector is of the baseline itself and must not vouch for itself.
    pub fn distance(
        &self,
        counts: &[(u32, u32)],
        own: bool,
        excused: &dyn Fn(u32) -> bool,
    ) -> (f64, Vec<Difference>) {
        let mut best: Option<(f64, Vec<Difference>)> = None;
        for (pattern, sum) in self.patterns.all.iter().zip(&self.sums) {
            let same = pattern.counts == counts;
            if same && (!own || pattern.support > 1) {
                return (0.0, Vec::new());
            }
            if same {
                continue;
            }
            let limit = best.as_ref().map_or(f64::INFINITY, |(bits, _)| *bits);
            if let Some(found) = self.compared(counts, (pattern, *sum), own, excused, limit) {
                best = Some(found);
            }
        }
        best.unwrap_or((0.0, Vec::new()))
    }

    /// None if it is not nearer than `limit`.
    fn compared(
        &self,
        counts: &[(u32, u32)],
        (pattern, pattern_sum): (&Pattern, u128),
        own: bool,
        excused: &dyn Fn(u32) -> bool,
        limit: f64,
    ) -> Option<(f64, Vec<Difference>)> {
        let mut differences = Vec::new();
        let of_pattern = (self.patterns.entities as f64 / pattern.support as f64).log2().max(0.0);
        let mut bits = of_pattern;
        let mut theirs = pattern.counts.iter().peekable();
        let mut ours = counts.iter().peekable();
        loop {
            let (event, count, usual) = match (ours.peek(), theirs.peek()) {
                (None, None) => break,
                (Some((event, count)), their) if their.is_none_or(|(other, _)| event < other) => {
                    ours.next();
                    (*event, *count, 0)
                }
                (our, Some((event, usual))) => {
                    let (event, usual) = (*event, *usual);
                    let count = match our {
                        Some((ours_event, count)) if *ours_event == event => *count,
                        _ => 0,
                    };
                    if count > 0 {
                        ours.next();
                    }
                    theirs.next();
                    (event, count, usual)
                }
                (Some(_), None) => break,
            };
            if count == usual || count < usual && excused(event) {
                continue;
            }
            differences.push(Difference { event, count, usual, bits: 0.0 });
            // Each difference costs its rarity at least.
            bits += self.patterns.rarity(event, count);
            if bits >= limit {
                return None;
            }
        }
        // One that differs in a single event is itself among those that agree in all others.
        let own = u64::from(own && differences.len() == 1);
        let mut sum = of_pattern;
        for difference in &mut differences {
            let context = self.context(pattern_sum, (difference.event, difference.usual));
            difference.bits =
                self.patterns.rarity(difference.event, difference.count) + context.surprise(own);
            sum += difference.bits;
        }
        if differences.is_empty() {
            sum = 0.0;
        }
        (sum < limit).then_some((sum, differences))
    }
}

/// A sum of such is the hash of a set of entries.
fn hash((event, count): (u32, u32)) -> u128 {
    let mixed = (u128::from(event) << 32 | u128::from(count)) + 1;
    let mixed = mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    (mixed ^ mixed >> 61).wrapping_mul(0xC2B2_AE3D_27D4_EB4F_1656_67B1_9E37_79F9)
}

fn rest_key(rest: u128, event: u32) -> u128 {
    rest ^ hash((event, u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 90 entities with three of each, 10 with a free number of the third event.
    fn patterns() -> Patterns {
        let mut vectors: Vec<Counts> = vec![vec![(0, 3), (1, 3)]; 60];
        for served in 1..=40 {
            vectors.push(vec![(0, 3), (1, 3), (2, served)]);
        }
        Patterns::learn(&vectors, 3)
    }

    #[test]
    fn a_broken_rule_is_far_and_a_free_number_is_near() {
        let patterns = patterns();
        let index = Index::of(&patterns);
        let bits = |counts: &[(u32, u32)]| index.distance(counts, false, &|_| false).0;
        assert_eq!(bits(&[(0, 3), (1, 3)]), 0.0);
        let (free, broken, new) =
            (bits(&[(0, 3), (1, 3), (2, 44)]), bits(&[(0, 3), (1, 2)]), bits(&[(0, 3), (1, 3), (9, 1)]));
        assert!(broken > free + 4.0 && new > free + 4.0, "free {free}, broken {broken}, new {new}");
    }

    #[test]
    fn what_may_still_come_costs_nothing_but_what_came_too_often_does() {
        let patterns = patterns();
        let index = Index::of(&patterns);
        assert_eq!(index.distance(&[(0, 3)], false, &|_| true).0, 0.0);
        assert!(index.distance(&[(0, 4)], false, &|_| true).0 > 5.0);
        let rarest = patterns.rarest(&[(0, 3)], false, &|_| false);
        assert!((rarest.event, rarest.present, rarest.alike) == (1, false, 0) && rarest.bits > 6.0);
        let (_, differences) = index.distance(&[(0, 3), (1, 2)], false, &|_| false);
        assert_eq!(differences.iter().map(|d| (d.event, d.count, d.usual)).collect::<Vec<_>>(), [(1, 2, 3)]);
    }
}
