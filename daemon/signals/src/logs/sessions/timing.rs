//! How long an entity takes and which numbers its lines carry, against a normal log.
//!
//! Owns the durations between its events and the values in them. Never looks at which events there are.

use super::tail::{Tail, from_log_scale, log_scale};
use super::thread::{Thread, Threads, numbers};
use crate::logs::record::LogRecord;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Features remembered; beyond, those of rare events are left out.
const FEATURES_MAX: usize = 8192;
/// Values of one feature that tails are fitted to: the first ones of a longer log.
const VALUES_MAX: usize = 20_000;
/// So few different values are names, not quantities: a status, a count of replicas.
const CHOICES_MAX: usize = 8;
const CHOICE_VALUES_MIN: usize = 50;
/// Shorter differences are the scheduler's.
const UNIT_MS_MIN: u64 = 50;
/// A number that nearly always rises from line to line counts something that belongs to no entity.
const RISING_MAX: f64 = 0.85;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Feature {
    /// From an event to the next, ms.
    Gap(u32, u32),
    /// From the entity's beginning to the first such event, ms.
    Until(u32),
    /// From the entity's beginning to the last such event, ms. Says what may still come; never judged.
    Last(u32),
    /// From an event to whatever follows it, ms. Never judged.
    After(u32),
    /// From whatever comes before an event to it, ms. Never judged.
    Before(u32),
    /// From the first event to the last, ms.
    Whole,
    /// The n-th number of the event's message.
    Number(u32, u8),
}

/// One feature of one thread: its value on the logarithmic scale and the steps that show it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Seen {
    pub feature: Feature,
    pub value: f64,
    pub from: usize,
    pub to: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Range {
    /// The upper tail and the lower one, the latter with its sign turned.
    Open(Tail, Tail),
    Choice {
        values: Vec<f64>,
        seen: u64,
        /// Values that came once only.
        lone: Vec<f64>,
    },
}

/// The ranges of a baseline.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Timing {
    /// Durations are told apart in steps of this, ms; 0 without times.
    unit_ms: u64,
    #[serde(with = "as_rows")]
    ranges: BTreeMap<Feature, Range>,
}

/// JSON has no maps with such names.
mod as_rows {
    use super::{Feature, Range};
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
    use std::collections::BTreeMap;

    pub fn serialize<S: Serializer>(ranges: &BTreeMap<Feature, Range>, to: S) -> Result<S::Ok, S::Error> {
        ranges.iter().collect::<Vec<_>>().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<Feature, Range>, D::Error> {
        Ok(Vec::<(Feature, Range)>::deserialize(from)?.into_iter().collect())
    }
}

/// How surprising the most surprising feature is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Surprise {
    pub bits: f64,
    pub seen: Option<Seen>,
}

/// The unit in which the clock of a log is read: a second where no time has a fraction, else [`UNIT_MS_MIN`]. 0 without
/// times.
pub(super) fn unit_ms(threads: &Threads) -> u64 {
    let mut times = threads.all.iter().flat_map(|thread| &thread.steps).map(|step| step.at);
    match (threads.timed, times.all(|at| at % 1000 == 0)) {
        (false, _) => 0,
        (true, true) => 1000,
        (true, false) => UNIT_MS_MIN,
    }
}

/// All features of a thread. Durations only if there is a unit.
fn features(thread: &Thread, records: &[LogRecord], unit_ms: u64, mut found: impl FnMut(Seen)) {
    let Some(first) = thread.steps.first() else { return };
    let last_index = thread.steps.len() - 1;
    if unit_ms > 0 {
        let lasting = |from: u64, to: u64| log_scale(to.saturating_sub(from) as f64 / unit_ms as f64);
        let since = |at: u64| lasting(first.at, at);
        let mut firsts: BTreeMap<u32, usize> = BTreeMap::new();
        let mut lasts: BTreeMap<u32, usize> = BTreeMap::new();
        for (index, step) in thread.steps.iter().enumerate() {
            firsts.entry(step.event).or_insert(index);
            lasts.insert(step.event, index);
        }
        for (index, pair) in thread.steps.windows(2).enumerate() {
            let [a, b] = pair else { continue };
            let value = lasting(a.at, b.at);
            let seen = |feature| Seen { feature, value, from: index, to: index + 1 };
            found(seen(Feature::Gap(a.event, b.event)));
            found(seen(Feature::After(a.event)));
            found(seen(Feature::Before(b.event)));
        }
        let at = |index: usize| thread.steps.get(index).map_or(first.at, |step| step.at);
        for (event, index) in firsts.into_iter().filter(|(_, index)| *index > 0) {
            found(Seen { feature: Feature::Until(event), value: since(at(index)), from: 0, to: index });
        }
        for (event, index) in lasts {
            found(Seen { feature: Feature::Last(event), value: since(at(index)), from: 0, to: index });
        }
        if last_index > 0 {
            found(Seen { feature: Feature::Whole, value: since(at(last_index)), from: 0, to: last_index });
        }
    }
    for (index, step) in thread.steps.iter().enumerate() {
        let Some(record) = records.get(step.record as usize) else { continue };
        for (ordinal, number) in numbers(&record.message).into_iter().enumerate() {
            let feature = Feature::Number(step.event, ordinal as u8);
            found(Seen { feature, value: log_scale(number), from: index, to: index });
        }
    }
}

impl Timing {
    /// `threads` in order of appearance. `whole` says of each whether it was seen to its end.
    pub fn learn<'a>(
        threads: impl Iterator<Item = (&'a Thread, bool)>,
        records: &[LogRecord],
        unit_ms: u64,
    ) -> Self {
        let mut values: BTreeMap<Feature, Vec<f64>> = BTreeMap::new();
        for (thread, whole) in threads {
            features(thread, records, unit_ms, |seen| {
                if seen.feature == Feature::Whole && !whole {
                    return;
                }
                if values.len() >= FEATURES_MAX && !values.contains_key(&seen.feature) {
                    return;
                }
                let values = values.entry(seen.feature).or_default();
                if values.len() < VALUES_MAX {
                    values.push(seen.value);
                }
            });
        }
        let ranges = values
            .into_iter()
            .filter_map(|(feature, mut values)| Some((feature, range(feature, &mut values)?)))
            .collect();
        Self { unit_ms, ranges }
    }

    pub fn unit_ms(&self) -> u64 {
        self.unit_ms
    }

    /// The length of time, in ms, that nearly all entities keep below; 0 if it is not known.
    pub fn usually_within(&self, feature: Feature) -> f64 {
        match self.ranges.get(&feature) {
            Some(Range::Open(upper, _)) => self.in_units(feature, upper.q995),
            _ => 0.0,
        }
    }

    /// What is usual for the feature: the value that nine in ten normal entities keep below.
    pub fn usual(&self, feature: Feature) -> Option<f64> {
        match self.ranges.get(&feature)? {
            Range::Open(upper, _) => Some(self.in_units(feature, upper.q90)),
            Range::Choice { .. } => None,
        }
    }

    /// A value in ms or, for a number, as it stands in the line.
    pub fn in_units(&self, feature: Feature, value: f64) -> f64 {
        let unit = if matches!(feature, Feature::Number(..)) { 1.0 } else { self.unit_ms as f64 };
        from_log_scale(value) * unit
    }

    /// Bits of a value by the bulk of these; infinite if nothing is known of the feature.
    fn bulk_bits(&self, feature: Feature, value: f64) -> f64 {
        match self.ranges.get(&feature) {
            Some(Range::Open(upper, lower)) if matches!(feature, Feature::Number(..)) => {
                upper.bulk_bits(value).max(lower.bulk_bits(-value))
            }
            Some(Range::Open(upper, _)) => upper.bulk_bits(value),
            _ => f64::INFINITY,
        }
    }

    /// Durations, then numbers: the most surprising of a thread, less `log2` of how many there were to choose from.
    /// `beside` are the ranges of the whole log that the thread is from: where all of it is slower than the baseline, an
    /// entity must be slow for its own log too. `own`: the thread is of the baseline itself.
    pub fn surprise(
        &self,
        thread: &Thread,
        records: &[LogRecord],
        own: bool,
        beside: Option<&Timing>,
    ) -> (Surprise, Surprise) {
        let (mut times, mut numbers) = ((0u32, Surprise::default()), (0u32, Surprise::default()));
        features(thread, records, self.unit_ms, |seen| {
            let Some(range) = self.ranges.get(&seen.feature) else { return };
            let bits = match (seen.feature, range) {
                (Feature::Last(_) | Feature::After(_) | Feature::Before(_), _) => return,
                (Feature::Number(..), Range::Open(upper, lower)) => {
                    // A range has two ends.
                    (upper.bits(seen.value).max(lower.bits(-seen.value)) - 1.0).max(0.0)
                }
                (Feature::Number(..), Range::Choice { values, seen: n, lone }) => {
                    let known = |values: &[f64]| values.iter().any(|value| (value - seen.value).abs() < 1e-9);
                    if known(values) && !(own && known(lone)) {
                        0.0
                    } else {
                        ((*n as f64 + 1.0) / (lone.len() as f64 + 1.0)).log2()
                    }
                }
                (_, Range::Open(upper, _)) => upper.bits(seen.value),
                (_, Range::Choice { .. }) => return,
            };
            let bits = match beside {
                Some(beside) if bits > 0.0 => bits.min(beside.bulk_bits(seen.feature, seen.value)),
                _ => bits,
            };
            let best = if matches!(seen.feature, Feature::Number(..)) { &mut numbers } else { &mut times };
            best.0 += 1;
            if bits > best.1.bits {
                best.1 = Surprise { bits, seen: Some(seen) };
            }
        });
        let of_many = |(count, best): (u32, Surprise)| Surprise {
            bits: (best.bits - f64::from(count.max(1)).log2()).max(0.0),
            ..best
        };
        (of_many(times), of_many(numbers))
    }
}

fn range(feature: Feature, values: &mut [f64]) -> Option<Range> {
    if matches!(feature, Feature::Number(..)) {
        if rises(values) {
            return None;
        }
        let mut different: Vec<(f64, usize)> = Vec::new();
        for value in values.iter() {
            if let Some((_, count)) = different.iter_mut().find(|(other, _)| other == value) {
                *count += 1;
            } else if different.len() > CHOICES_MAX {
                break;
            } else {
                different.push((*value, 1));
            }
        }
        if different.len() <= CHOICES_MAX && values.len() >= CHOICE_VALUES_MIN {
            let lone = different.iter().filter(|(_, count)| *count == 1).map(|(value, _)| *value).collect();
            let seen = values.len() as u64;
            let values = different.into_iter().map(|(value, _)| value).collect();
            return Some(Range::Choice { values, seen, lone });
        }
    }
    let in_steps = !matches!(feature, Feature::Number(..));
    let upper = Tail::fit(values, in_steps)?;
    let mut turned: Vec<f64> = values.iter().map(|value| -value).collect();
    Some(Range::Open(upper, Tail::fit(&mut turned, in_steps)?))
}

/// True for counters and clocks: from one line to the next they nearly always go the same way.
fn rises(values: &[f64]) -> bool {
    let steps: Vec<std::cmp::Ordering> =
        values.windows(2).filter_map(|pair| Some(pair.first()?.total_cmp(pair.get(1)?))).collect();
    let moved = steps.iter().filter(|step| step.is_ne()).count();
    let up = steps.iter().filter(|step| step.is_lt()).count();
    let share = up as f64 / moved.max(1) as f64;
    moved >= 10 && moved * 2 >= steps.len() && !(1.0 - RISING_MAX..=RISING_MAX).contains(&share)
}
