//! How far a series went from its own past, in units of what its kind does anyway.
//!
//! Owns the noise of a family and the size of a move against it. Never knows what a series means, nor any
//! absolute scale: multiplying all series of one family by one positive number changes nothing.
//!
//! A *family* is one metric over all components. For a series with the baseline values `b`, `n` of them:
//!
//! - centre: the median of `b`; spread: its interquartile range over 1.349 (as the robust scaler of L. Pham et
//!   al., "BARO: Robust Root Cause Analysis for Microservices via Multivariate Bayesian Online Change Point
//!   Detection", FSE 2024), but never below a share of the family's usual relative spread: a series that happened to
//!   be quiet in a short baseline is not infinitely surprising when it moves. The share falls as `30/(n + 30)`;
//! - a *sustained* deviation: the lesser of two neighbouring ones, zero where their signs differ. One wild sample
//!   is not a state;
//! - a *habit*: the 99th percentile of sustained deviations in a baseline. Heavy-tailed families (a client's p99 of
//!   a few requests) make large deviations every day. A series' own habit and its family's, in spreads and in
//!   relative size, are weighed `n : 30`, geometrically: the empirical-Bayes idea of borrowing from one's like what one
//!   has not lived long enough to show;
//! - the size of a move: the largest sustained deviation after the onset over the largest of: three, the habit, and
//!   twice what the series did just before the onset (a drift that was there before).
//!
//! With fewer than [`BASELINE_ENOUGH`] baseline values a series has no spread of its own: the family's relative
//! spread stands in, at least half of the centre for no value and falling from there, and its habit is measured by
//! leaving each value out in turn.

use crate::stats;

/// A series on a grid of time: `(bin, value)`, ascending, finite.
pub(super) type Binned = Vec<(u64, f64)>;

/// Values from which a spread is a spread. 8: the interquartile range of fewer rests on two or three.
pub(super) const BASELINE_ENOUGH: usize = 8;
/// The interquartile range of a normal distribution in standard deviations.
const IQR_TO_SIGMA: f64 = 1.349;
/// Deviations up to three standard deviations are nothing, whatever the habit.
const DEVIATION_MIN: f64 = 3.0;
/// A series counts as much as its family from this many values on.
const FAMILY_WEIGHT: f64 = 30.0;
/// The share of the family's usual spread below which no member's is believed, with the shortest baseline.
const FAMILY_SHARE: f64 = 0.25;
/// The relative spread of something that was never seen before.
const SPREAD_UNSEEN: f64 = 0.5;
/// A spread below this share of the level or of the greatest value is rounding, however quiet the series was.
const LEVEL_SHARE: f64 = 0.005;
/// A family that was silent before is measured by what it shows after.
const PEAK_SHARE: f64 = 0.02;
/// Bins between two values that still belong to one stretch.
const STRETCH_BINS: u64 = 3;
/// Values of a stretch before the onset that suffice to tell a sustained deviation from a wild one.
const STRETCH_ENOUGH: usize = 3;
/// What a shorter stretch's wildest counts.
const STRETCH_SHARE: f64 = 0.75;
/// A series that begins this long after the onset's estimate may have begun before the onset itself: its first value is
/// its baseline.
const LATE_START_BINS: u64 = 7;

/// How far a series went after the onset, each way. 1.0 is the edge of habit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Move {
    pub up: f64,
    pub down: f64,
    pub before: f64,
    /// The value farthest from `before` in the stronger direction.
    pub peak: f64,
    /// The first bin after the onset that is beyond habit in the stronger direction.
    pub began_bin: Option<u64>,
}

struct Member {
    centre: f64,
    spread: f64,
    /// `(bin, value)`
    before: Binned,
    after: Binned,
    habit: Vec<f64>,
}

impl Member {
    /// How much its own past counts against its family's, in [0, 1).
    fn own_share(&self) -> f64 {
        let count = self.before.len() as f64;
        count / (count + FAMILY_WEIGHT)
    }

    fn peak_before(&self) -> f64 {
        self.before.iter().fold(0.0, |most: f64, (_, value)| most.max(value.abs()))
    }
}

/// What a family does anyway.
struct Usual {
    /// Median of spread over centre.
    relative_spread: f64,
    spread: f64,
    peak: f64,
}

/// The moves of a family's series after `cut_bin`, in their order; None for a series without a value on a side. The
/// `guard_bins` before it may belong to either side, and where the past is long enough they count for neither.
pub(super) fn moves(family: &[&Binned], cut_bin: u64, guard_bins: u64) -> Vec<Option<Move>> {
    let mut members: Vec<Option<Member>> =
        family.iter().map(|series| member(series, cut_bin, guard_bins)).collect();
    let usual = usual(&members);
    for one in members.iter_mut().flatten() {
        settle(one, &usual);
    }
    let habits: Vec<f64> =
        members.iter().flatten().flat_map(|one| one.habit.iter().map(|deviation| deviation.abs())).collect();
    let relative: Vec<f64> = members
        .iter()
        .flatten()
        .filter(|one| one.centre != 0.0)
        .flat_map(|one| one.habit.iter().map(|deviation| (deviation * one.spread / one.centre).abs()))
        .collect();
    let habit = stats::quantile(&habits, 0.99).unwrap_or(0.0);
    let relative_habit = stats::quantile(&relative, 0.99).unwrap_or(0.0);
    members.into_iter().map(|one| Some(measure(&one?, habit, relative_habit))).collect()
}

fn member(series: &Binned, cut_bin: u64, guard_bins: u64) -> Option<Member> {
    let mut at = series.partition_point(|(bin, _)| *bin < cut_bin);
    if at == 0 && series.len() >= 3 && series.first()?.0 <= cut_bin.saturating_add(LATE_START_BINS) {
        at = 1;
    }
    let (mut before, after) = series.split_at_checked(at)?;
    if before.is_empty() || after.is_empty() {
        return None;
    }
    let clean = series.partition_point(|(bin, _)| *bin < cut_bin.saturating_sub(guard_bins));
    let is_long = |kept: &[(u64, f64)]| stretch(kept) >= 2 * BASELINE_ENOUGH;
    // A recording of health, long before, is a past as well.
    let is_apart = |kept: &[(u64, f64)]| match (kept.last(), before.get(kept.len())) {
        (Some((last, _)), Some((next, _))) => next - last > STRETCH_BINS,
        _ => false,
    };
    if let Some(kept) = before.get(..clean).filter(|kept| is_long(kept) || is_apart(kept)) {
        before = kept;
    }
    let mut sorted: Vec<f64> = before.iter().map(|(_, value)| *value).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let centre = stats::quantile_sorted(&sorted, 0.5)?;
    let range = stats::quantile_sorted(&sorted, 0.75)? - stats::quantile_sorted(&sorted, 0.25)?;
    Some(Member {
        centre,
        // Of a series that mostly stands still the rare events are all its spread.
        spread: if range > 0.0 { range / IQR_TO_SIGMA } else { stats::robust_sigma(&sorted, centre) },
        before: before.to_vec(),
        after: after.to_vec(),
        habit: Vec::new(),
    })
}

fn usual(members: &[Option<Member>]) -> Usual {
    let relative: Vec<f64> = members
        .iter()
        .flatten()
        .filter(|one| one.centre != 0.0 && one.before.len() > 1)
        .map(|one| one.spread / one.centre.abs())
        .collect();
    let spreads: Vec<f64> =
        members.iter().flatten().map(|one| one.spread).filter(|spread| *spread > 0.0).collect();
    let peak_after = |one: &Member| one.after.iter().fold(0.0, |most: f64, (_, value)| most.max(value.abs()));
    Usual {
        relative_spread: stats::median(&relative).unwrap_or(0.1),
        spread: stats::median(&spreads).unwrap_or(0.0),
        peak: members
            .iter()
            .flatten()
            .fold(0.0, |most, one| most.max(one.peak_before()).max(peak_after(one))),
    }
}

/// Sets the spread that counts, and the habit in units of it.
fn settle(one: &mut Member, usual: &Usual) {
    let peak = one.peak_before();
    let borrowed = FAMILY_SHARE * (1.0 - one.own_share());
    let floor = (LEVEL_SHARE * peak)
        .max(if one.spread > 0.0 { 0.0 } else { (1.0 - one.own_share()) * usual.spread })
        .max(if peak > 0.0 { 0.0 } else { PEAK_SHARE * usual.peak })
        .max(f64::MIN_POSITIVE);
    let values: Vec<f64> = one.before.iter().map(|(_, value)| *value).collect();
    if values.len() < BASELINE_ENOUGH {
        let unseen = SPREAD_UNSEEN * (1.0 - values.len() as f64 / BASELINE_ENOUGH as f64);
        one.spread = one.spread.max(usual.relative_spread.max(unseen) * one.centre.abs()).max(floor);
        one.habit = left_out(&values, one.spread);
    } else {
        one.spread = one.spread.max(borrowed * usual.relative_spread * one.centre.abs()).max(floor);
        one.habit = sustained(values.into_iter(), one.centre, one.spread);
    }
}

fn measure(one: &Member, family_habit: f64, relative_habit: f64) -> Move {
    let own: Vec<f64> = one.habit.iter().map(|deviation| deviation.abs()).collect();
    let own_habit = stats::quantile(&own, 0.99).unwrap_or(0.0).max(1.0);
    let like = family_habit.max(relative_habit * one.centre.abs() / one.spread).max(1.0);
    let habit = own_habit.powf(one.own_share()) * like.powf(1.0 - one.own_share());
    let unit = DEVIATION_MIN.max(habit).max(2.0 * recent(one, &own));
    let deviations = sustained(one.after.iter().map(|(_, value)| *value), one.centre, one.spread);
    let up = deviations.iter().copied().fold(0.0, f64::max) / unit;
    let down = -deviations.iter().copied().fold(0.0, f64::min) / unit;
    let sign = if up >= down { 1.0 } else { -1.0 };
    let farthest = one.after.iter().map(|(_, value)| *value).max_by(|a, b| (a * sign).total_cmp(&(b * sign)));
    let began = one.after.iter().zip(&deviations).find(|(_, deviation)| **deviation * sign >= unit);
    Move {
        up,
        down,
        before: one.centre,
        peak: farthest.unwrap_or(one.centre),
        began_bin: began.map(|((bin, _), _)| *bin),
    }
}

/// How far the series was already off just before the onset, in its spreads.
fn recent(one: &Member, habit: &[f64]) -> f64 {
    let stretch = stretch(&one.before);
    if stretch >= STRETCH_ENOUGH {
        return habit.iter().rev().take(2).copied().fold(0.0, f64::max);
    }
    let off = |value: f64| ((value - one.centre) / one.spread).abs();
    STRETCH_SHARE * one.before.iter().rev().take(stretch).map(|(_, value)| off(*value)).fold(0.0, f64::max)
}

/// How many values at the end follow each other without a gap.
fn stretch(values: &[(u64, f64)]) -> usize {
    let pairs = values.iter().rev().zip(values.iter().rev().skip(1));
    let near = |((later, _), (earlier, _)): &(&(u64, f64), &(u64, f64))| later - earlier <= STRETCH_BINS;
    values.len().min(1) + pairs.take_while(near).count()
}

/// The lesser of each two neighbouring deviations, zero where they disagree on the side; a lone value's own.
fn sustained(values: impl Iterator<Item = f64>, centre: f64, spread: f64) -> Vec<f64> {
    let deviations: Vec<f64> = values.map(|value| (value - centre) / spread).collect();
    if let [only] = deviations.as_slice() {
        return vec![*only];
    }
    deviations
        .windows(2)
        .filter_map(|pair| {
            let (first, second) = (*pair.first()?, *pair.get(1)?);
            Some(match first * second > 0.0 {
                true if first.abs() < second.abs() => first,
                true => second,
                false => 0.0,
            })
        })
        .collect()
}

/// How far each value lies from the median of the others.
fn left_out(values: &[f64], spread: f64) -> Vec<f64> {
    let mut deviations = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let others: Vec<f64> =
            values.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, value)| *value).collect();
        if let Some(centre) = stats::median(&others) {
            deviations.push((value - centre) / spread);
        }
    }
    deviations
}
