//! A range as the pieces it is asked for in, and the pieces' answers as one.
//!
//! Owns Prometheus' limit on samples, and the words for a question that is too large: they say what would fit.

use medic_core::{TimeRange, TimestampMs};
use medic_ports::metrics::Series;
use medic_signals::windows::{PlanLimits, guard, plan};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Samples of one series that Prometheus gives at once; a constant of its own.
const POINTS_PER_REQUEST_MAX: u64 = 11_000;
/// Pieces of one question. 8: a day at a second.
const PIECES_MAX: u64 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub start_s: i64,
    /// Belongs to the range.
    pub end_s: i64,
    pub step_ms: u64,
}

/// One piece as it stands, or several that begin and end at multiples of the step.
///
/// # Errors
/// What would be too much, and which step would not.
pub(super) fn pieces(range: TimeRange, step_ms: u64) -> Result<Vec<Piece>, String> {
    if range.length_ms() / step_ms < POINTS_PER_REQUEST_MAX {
        let (start_s, end_s) = (whole_seconds(range.start), whole_seconds(range.end));
        return Ok(vec![Piece { start_s, end_s, step_ms }]);
    }
    // Only whole seconds can be said, so that only steps of whole seconds meet at the pieces' edges.
    let step_ms = step_ms.next_multiple_of(1_000);
    let limits = PlanLimits {
        points_max: u64::MAX,
        series_max: 1,
        points_per_request_max: POINTS_PER_REQUEST_MAX,
        requests_max: PIECES_MAX,
        resolution_ms: step_ms,
    };
    let whole = medic_signals::TimeRange::new(range.start.0, range.end.0.saturating_add(1));
    let planned = plan(whole, 1, &limits).map_err(|error| error.to_string())?;
    if planned.coarsened {
        let samples = range.length_ms() / step_ms;
        let most = PIECES_MAX * POINTS_PER_REQUEST_MAX;
        let fits_s = planned.step_ms / 1_000;
        return Err(format!(
            "{samples} samples a series, at most {most} are taken: a step of {fits_s} s would fit"
        ));
    }
    let piece = |chunk: &medic_signals::TimeRange| Piece {
        start_s: whole_seconds(TimestampMs(chunk.start_ms)),
        end_s: whole_seconds(TimestampMs(chunk.end_ms.saturating_sub(planned.step_ms))),
        step_ms: planned.step_ms,
    };
    Ok(planned.chunks.iter().map(piece).collect())
}

/// Series of one question, put together from its pieces.
#[derive(Default)]
pub(super) struct Joined {
    /// In the order in which they first came.
    pub series: Vec<Series>,
    places: HashMap<BTreeMap<String, String>, usize>,
}

impl Joined {
    pub fn push(&mut self, piece: &[Series]) {
        for one in piece {
            match self.places.get(&one.labels.0).and_then(|place| self.series.get_mut(*place)) {
                Some(known) => known.samples.extend_from_slice(&one.samples),
                None => {
                    self.places.insert(one.labels.0.clone(), self.series.len());
                    self.series.push(one.clone());
                }
            }
        }
    }

    /// # Errors
    /// There are more than `series_max`: how many, and without which labels there would be few enough.
    pub fn check(&self, series_max: usize) -> Result<(), String> {
        if self.series.len() <= series_max {
            return Ok(());
        }
        let labels: Vec<BTreeMap<String, String>> =
            self.series.iter().map(|one| one.labels.0.clone()).collect();
        let guarded = guard(&labels, &BTreeSet::new(), series_max);
        let (count, dropped, left) = (labels.len(), guarded.dropped.join(", "), guarded.series_after);
        Err(format!(
            "{count} series, at most {series_max} are taken: summed up over {dropped} there would be {left}"
        ))
    }
}

fn whole_seconds(at: TimestampMs) -> i64 {
    i64::try_from(at.0 / 1000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use medic_core::Labels;

    fn asked(length_s: u64, step_ms: u64) -> Result<Vec<Piece>, String> {
        let start = TimestampMs(1_795_344_800_500);
        pieces(TimeRange::new(start, start.after_ms(length_s * 1_000)), step_ms)
    }

    #[test]
    fn what_fits_is_asked_as_it_stands_and_the_rest_in_pieces_that_meet() {
        assert_eq!(
            asked(100, 1_500),
            Ok(vec![Piece { start_s: 1_795_344_800, end_s: 1_795_344_900, step_ms: 1_500 }])
        );
        let pieces = asked(30_000, 1_000).unwrap();
        assert_eq!(pieces.len(), 3);
        assert!(pieces.iter().all(|piece| piece.end_s - piece.start_s < 11_000));
        assert!(pieces.windows(2).all(|pair| pair[0].end_s + 1 == pair[1].start_s), "{pieces:?}");
        assert!(pieces[0].start_s <= 1_795_344_800 && pieces[2].end_s >= 1_795_374_800);
    }

    #[test]
    fn what_is_too_much_is_refused_with_what_would_fit() {
        let refused = asked(1_000_000, 1_000).unwrap_err();
        assert!(
            refused.contains("1000000 samples a series") && refused.contains("a step of 15 s"),
            "{refused}"
        );
        assert!(asked(1_000_000, 15_000).is_ok(), "and it does");
    }

    #[test]
    fn series_of_several_pieces_are_one_and_too_many_are_told_with_the_label_that_makes_them() {
        let series = |pod: &str, at: u64| Series {
            labels: Labels::from([("service", "cart"), ("pod", pod)]),
            samples: vec![(TimestampMs(at), 1.0)],
        };
        let mut joined = Joined::default();
        joined.push(&[series("a", 1), series("b", 1)]);
        joined.push(&[series("b", 2), series("c", 2)]);
        let lengths: Vec<usize> = joined.series.iter().map(|one| one.samples.len()).collect();
        assert_eq!(lengths, [1, 2, 1]);
        assert_eq!(joined.check(3), Ok(()));
        let refused = joined.check(2).unwrap_err();
        assert_eq!(refused, "3 series, at most 2 are taken: summed up over pod there would be 1");
    }
}
