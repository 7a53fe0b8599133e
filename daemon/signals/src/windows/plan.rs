//! What to ask of a store of series so that the answer fits.
//!
//! Owns the choice of step and the division into chunks. Never talks to a store and never rounds a range inwards: every
//! moment asked about is covered.

use crate::series::TimeRange;
use serde::{Deserialize, Serialize};

/// Steps that people and caches share; a query in the same minute of the next day meets the same timestamps.
const STEPS_MS: [u64; 19] = [
    1_000,
    2_000,
    5_000,
    10_000,
    15_000,
    30_000,
    60_000,
    2 * 60_000,
    5 * 60_000,
    10 * 60_000,
    15 * 60_000,
    30 * 60_000,
    3_600_000,
    2 * 3_600_000,
    3 * 3_600_000,
    6 * 3_600_000,
    12 * 3_600_000,
    86_400_000,
    7 * 86_400_000,
];

/// What an answer may cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanLimits {
    /// Samples of all series together.
    pub points_max: u64,
    /// Series that are kept of an answer.
    pub series_max: u64,
    /// Samples of one series in one request.
    pub points_per_request_max: u64,
    pub requests_max: u64,
    /// Samples lie no closer than this; asking finer only repeats them.
    pub resolution_ms: u64,
}

impl Default for PlanLimits {
    /// A million samples are 16 MB. 200 series are what one alert's neighbourhood may hold. Prometheus refuses more
    /// than 11 000 samples a series and request. 15 s is its usual scrape interval.
    fn default() -> Self {
        Self {
            points_max: 1_000_000,
            series_max: 200,
            points_per_request_max: 11_000,
            requests_max: 16,
            resolution_ms: 15_000,
        }
    }
}

/// Requests that together cover a range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub step_ms: u64,
    /// Half-open, in order, without gap or overlap, begin and end at multiples of the step. A store that takes its end
    /// as part of the range is to be asked until `end_ms − step_ms`.
    pub chunks: Vec<TimeRange>,
    /// Series to keep; fewer than were expected if more would not fit.
    pub series_max: u64,
    /// Samples of one series over all chunks.
    pub points_per_series: u64,
    /// The bound on all samples: `points_per_series · series_max`.
    pub points: u64,
    /// True if the step is coarser than the samples lie: peaks between steps are lost unless the query aggregates.
    pub coarsened: bool,
    /// True if fewer series are kept than were expected.
    pub capped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("cannot plan a range query over an empty range")]
    EmptyRange,
    #[error("cannot plan a range query: a limit is zero")]
    ZeroLimit,
    #[error("cannot plan a range query of {duration_ms} ms within the limits even at the coarsest step")]
    TooLong { duration_ms: u64 },
}

/// The finest step at which `series_expected` series over `range` stay within `limits`, and the requests for it.
///
/// Series are capped before the step grows: a hundred series at a useful step say more than a thousand at a useless
/// one.
pub fn plan(range: TimeRange, series_expected: u64, limits: &PlanLimits) -> Result<Plan, PlanError> {
    if range.is_empty() {
        return Err(PlanError::EmptyRange);
    }
    if [limits.points_max, limits.series_max, limits.points_per_request_max, limits.requests_max].contains(&0)
    {
        return Err(PlanError::ZeroLimit);
    }
    let series_max = series_expected.clamp(1, limits.series_max.min(limits.points_max));
    let per_series_max = (limits.points_max / series_max)
        .min(limits.points_per_request_max.saturating_mul(limits.requests_max));
    for step_ms in steps(limits.resolution_ms) {
        let start_ms = range.start_ms - range.start_ms % step_ms;
        let Some(end_ms) = range.end_ms.div_ceil(step_ms).checked_mul(step_ms) else { continue };
        let points = (end_ms - start_ms) / step_ms;
        let requests = points.div_ceil(limits.points_per_request_max);
        if points > per_series_max || requests > limits.requests_max {
            continue;
        }
        return Ok(Plan {
            step_ms,
            chunks: chunks(start_ms, end_ms, step_ms, points.div_ceil(requests)),
            series_max,
            points_per_series: points,
            points: points.saturating_mul(series_max),
            coarsened: step_ms > limits.resolution_ms,
            capped: series_max < series_expected,
        });
    }
    Err(PlanError::TooLong { duration_ms: range.duration_ms() })
}

/// The resolution itself, then every shared step above it.
fn steps(resolution_ms: u64) -> impl Iterator<Item = u64> {
    let finest = resolution_ms.max(1);
    std::iter::once(finest).chain(STEPS_MS.into_iter().filter(move |step| *step > finest))
}

fn chunks(start_ms: u64, end_ms: u64, step_ms: u64, points_each: u64) -> Vec<TimeRange> {
    let width_ms = points_each.max(1).saturating_mul(step_ms);
    let mut found = Vec::new();
    let mut from = start_ms;
    while from < end_ms {
        let to = from.saturating_add(width_ms).min(end_ms);
        found.push(TimeRange::new(from, to));
        from = to;
    }
    found
}
