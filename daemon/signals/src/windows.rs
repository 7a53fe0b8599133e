//! Windows of a series that are unlike anything the series did before.
//!
//! Owns the streaming novelty of one series, the choice of the windows worth an alarm under a budget, and the words for
//! what happened in them; and, for those who fetch series, the planning of range queries. Never needs a threshold in the
//! series' own units, never learns across series, never asks what a series means.
//!
//! # Method
//! The last `L` samples are a shape: their means over a few equal segments (piecewise aggregate approximation, E. Keogh
//! et al., "Dimensionality reduction for fast similarity search in large time series databases", KAIS 3 (2001)). Its
//! novelty is the distance to the most similar shape seen before: the left matrix profile (C.-C. M. Yeh et al., "Matrix
//! Profile I", ICDM 2016; its one-sided form in Y. Zhu et al., "Matrix Profile VII", ICDM 2017). Nothing is said about
//! what is normal: what recurs, such as a nightly spike or a quiet Sunday, has a neighbour and is not novel; a level, a
//! silence, a swing that was never there has none, whatever its sign; once a new level has been held for a while it is
//! its own neighbour, so that a level shift is one window and not an alarm for ever. Seasonality thus needs no period
//! and no calendar, only history that holds it. Shapes are compared on their own scale, without normalising each: for
//! operators a level *is* an anomaly.
//!
//! Two lengths run side by side, for spikes and for slow shapes. Each calibrates itself: its score is the novelty over
//! the 97 % quantile of its own past novelty, so that all series and both lengths speak the same unit, and the larger
//! one counts.
//!
//! # Alarms
//! No level of the score means the same for a disk that writes in bursts and for a sine. What an operator can state is
//! how many alarms a day a series may cost. [`find`] takes a finished stretch and keeps the highest peaks within that
//! budget; [`Watch`] does the same as samples arrive: it alarms when a peak belongs among the highest of its history
//! that the budget would have allowed so far. Both keep silent below [`WindowOptions::score_min`]: a budget is no quota.

mod cardinality;
mod detector;
mod kind;
mod plan;
mod watch;

pub use cardinality::{Cardinality, guard};
pub use detector::{Detector, Scored};
pub use kind::Kind;
pub use plan::{Plan, PlanError, PlanLimits, plan};
pub use watch::{Alarm, Watch};

use crate::series::{Series, TimeRange};
use serde::{Deserialize, Serialize};

/// A shape's length and how finely it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    pub samples: usize,
    /// Equal parts that the samples are averaged over; at least 1, at most `samples`.
    pub segments: usize,
}

/// How much history, how long a shape, how many alarms. All lengths are samples, so that a series of hours and one of
/// seconds are treated alike; only the budget is in days, for it is people's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowOptions {
    pub scales: Vec<Scale>,
    /// How many past shapes are remembered for each scale; older ones are forgotten.
    pub history_samples: usize,
    /// No novelty before this many samples: with little history everything is new.
    pub warmup_samples: usize,
    /// No score before this many novelties.
    pub calibration_samples: usize,
    /// Past novelty at this quantile, in [0, 1], is the unit of the score.
    pub unit_quantile: f64,
    /// Scores below are never an alarm.
    pub score_min: f64,
    /// Lesser peaks within this many samples of a higher one belong to it.
    pub separation_samples: usize,
    /// Alarms that a series may cost a day, true ones included.
    pub alarms_per_day: f64,
    /// Alarms that a series may cost besides, however short it is: what one looks at is likely to hold something.
    pub alarms_base: usize,
}

impl Default for WindowOptions {
    /// 12 and 48 samples: an hour and four at steps of five minutes; on the labelled series that were looked at, any
    /// lengths from 12 to 48 did alike. 5000 shapes: 17 days at five minutes, more than two of any weekly pattern, and 320 kB.
    /// 288: a day at five minutes. 1.5: half as much again as what three shapes in a hundred reach. 96: twice the
    /// longest shape, for every shape that overlaps a novel sample is novel. One alarm, and one more every ten days.
    fn default() -> Self {
        Self {
            scales: vec![Scale { samples: 12, segments: 6 }, Scale { samples: 48, segments: 8 }],
            history_samples: 5000,
            warmup_samples: 288,
            calibration_samples: 50,
            unit_quantile: 0.97,
            score_min: 1.5,
            separation_samples: 96,
            alarms_per_day: 0.1,
            alarms_base: 1,
        }
    }
}

/// A stretch of a series that is unlike what came before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// From the first to the last sample that stands out, half-open.
    pub range: TimeRange,
    /// When it was least like anything before.
    pub peak_ms: u64,
    /// Novelty at the peak in units of the series' own past novelty; see the module. At most [`SCORE_MAX`].
    pub score: f64,
    pub kind: Kind,
    /// One line for people.
    pub reason: String,
}

/// Scores are cut here: against a past without any novelty every change is infinitely new.
pub const SCORE_MAX: f64 = 1000.0;

/// The novelty score of each finite sample that has history enough, in order of time.
pub fn score(series: &Series, options: &WindowOptions) -> Vec<Scored> {
    let mut detector = Detector::new(options.clone());
    series.finite().filter_map(|sample| detector.push(sample)).collect()
}

/// The windows of a finished stretch that the budget of alarms allows, in order of time.
///
/// Samples must be in ascending order of time, as [`Series::new`] leaves them; those that are NaN or infinite are
/// passed over. Counters must come as rates.
pub fn find(series: &Series, options: &WindowOptions) -> Vec<Window> {
    let (mut scored, mut ranked) = (Vec::new(), Vec::new());
    for (one, in_hindsight) in detector::in_hindsight(series.finite(), options) {
        scored.push(one);
        ranked.push(Scored { score: one.score.min(in_hindsight), ..one });
    }
    let (Some(first), Some(last)) = (series.finite().next(), series.finite().last()) else {
        return Vec::new();
    };
    let allowed = watch::allowance(last.at_ms.saturating_sub(first.at_ms), options);
    let mut windows: Vec<Window> = peaks(&ranked, options)
        .into_iter()
        .take(allowed)
        .filter_map(|peak| window(series, &scored, peak, options))
        .collect();
    windows.sort_by_key(|window| window.peak_ms);
    windows
}

/// Positions in `scored` of the highest scores, highest first; none within the separation of a higher one.
fn peaks(scored: &[Scored], options: &WindowOptions) -> Vec<usize> {
    let at_score = |index: usize| scored.get(index).map_or(0.0, |point| point.score);
    let mut order: Vec<usize> =
        (0..scored.len()).filter(|index| at_score(*index) >= options.score_min).collect();
    order.sort_by(|a, b| at_score(*b).total_cmp(&at_score(*a)).then(a.cmp(b)));
    let mut taken = vec![false; scored.len()];
    let mut found = Vec::new();
    for index in order {
        if taken.get(index).copied().unwrap_or(true) {
            continue;
        }
        found.push(index);
        let from = index.saturating_sub(options.separation_samples);
        let to = index.saturating_add(options.separation_samples).min(scored.len().saturating_sub(1));
        if let Some(around) = taken.get_mut(from..=to) {
            around.fill(true);
        }
    }
    found
}

fn window(series: &Series, scored: &[Scored], peak: usize, options: &WindowOptions) -> Option<Window> {
    let top = scored.get(peak)?;
    // Half the way down from the peak the window ends, but never below what may alarm at all.
    let level = (top.score / 2.0).max(options.score_min);
    let stands_out = |index: &usize| scored.get(*index).is_some_and(|point| point.score >= level);
    let reach = options.separation_samples;
    let first = (peak.saturating_sub(reach)..peak).rev().take_while(stands_out).last().unwrap_or(peak);
    let last = (peak..=peak.saturating_add(reach)).take_while(stands_out).last().unwrap_or(peak);
    let range = TimeRange::new(scored.get(first)?.at_ms, scored.get(last)?.at_ms.saturating_add(1));
    let (kind, reason) = kind::tell(series, range, top, options);
    Some(Window { range, peak_ms: top.at_ms, score: top.score, kind, reason })
}

#[cfg(test)]
mod tests;
