//! The year of times that are written without one.
//!
//! Owns the turn of the year: each such time lies next to the one before it. Times with a year pass untouched.

use crate::logs::format::YEAR_UNWRITTEN;
use crate::timestamp::civil_ms;

const DAY_MS: i64 = 86_400_000;
/// Offsets from UTC may move a time across the year's ends.
const OFFSET_MAX_MS: i64 = 14 * 3_600_000;
/// A writer's clock may be ahead of the reader's.
const SKEW_MAX_MS: i64 = DAY_MS;

#[derive(Debug, Clone)]
pub(super) struct Years {
    first: i16,
    not_after_ms: Option<u64>,
    /// The latest time that a year was supplied for.
    last_ms: Option<i64>,
}

impl Years {
    /// `first`: the year of the first line, or the one before it, if the line would else lie after `not_after_ms`.
    pub fn new(first: i16, not_after_ms: Option<u64>) -> Self {
        Self { first, not_after_ms, last_ms: None }
    }

    /// The time with its year; None for a day that year does not have.
    pub fn resolve(&mut self, at_ms: u64) -> Option<u64> {
        let (at, start) = (i64::try_from(at_ms).ok()?, start_ms(YEAR_UNWRITTEN)?);
        let length_ms = 366 * DAY_MS;
        if at < start - OFFSET_MAX_MS || at >= start + length_ms + OFFSET_MAX_MS {
            return Some(at_ms);
        }
        let year = self.last_ms.map_or(self.first, year_of);
        let candidates = [year.saturating_sub(1), year, year.saturating_add(1)];
        let possible = candidates.into_iter().filter_map(|year| in_year(at - start, year)).filter(|at| {
            self.not_after_ms
                .and_then(|limit| i64::try_from(limit).ok())
                .is_none_or(|limit| *at <= limit + SKEW_MAX_MS)
        });
        let resolved = match self.last_ms {
            Some(last) => possible.min_by_key(|at| at.abs_diff(last)),
            None => possible.filter(|at| year_of(*at) <= self.first).max(),
        };
        // Later than all that may be: the writer's clock was wrong, and the year is as good as any.
        let resolved = resolved.or_else(|| in_year(at - start, year))?;
        self.last_ms = Some(resolved);
        u64::try_from(resolved).ok()
    }
}

/// The time `since_ms` after the start of a leap year, on the same day of `year`.
fn in_year(since_ms: i64, year: i16) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let day = since_ms.div_euclid(DAY_MS);
    let skipped = match day {
        59 if !leap => return None,
        60.. if !leap => DAY_MS,
        _ => 0,
    };
    Some(start_ms(year)? + since_ms - skipped)
}

fn start_ms(year: i16) -> Option<i64> {
    i64::try_from(civil_ms((year, 1, 1), (0, 0, 0), 0, 0)?).ok()
}

fn year_of(at_ms: i64) -> i16 {
    jiff::Timestamp::from_millisecond(at_ms).map_or(1970, |at| jiff::tz::Offset::UTC.to_datetime(at).year())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::{parse, show};

    fn check(first: i16, not_after: Option<&str>, times: &[(&str, &str)]) {
        let mut years = Years::new(first, not_after.and_then(|text| parse(text, 1970)));
        for (text, shown) in times {
            let at_ms = parse(text, YEAR_UNWRITTEN).unwrap();
            assert_eq!(years.resolve(at_ms).map_or("-".into(), show), *shown, "{text}");
        }
    }

    #[test]
    fn the_year_turns_with_the_lines_and_back_for_a_late_one() {
        check(
            2023,
            None,
            &[
                ("Dec 31 23:59:59", "2023-12-31T23:59:59Z"),
                ("Jan  1 00:00:01", "2024-01-01T00:00:01Z"),
                ("Dec 31 23:59:58", "2023-12-31T23:59:58Z"),
                ("Jan  1 00:00:02", "2024-01-01T00:00:02Z"),
                ("Feb 29 12:00:00", "2024-02-29T12:00:00Z"),
                ("Mar  1 12:00:00", "2024-03-01T12:00:00Z"),
            ],
        );
    }

    #[test]
    fn what_would_lie_in_the_future_was_last_year() {
        let now = Some("2024-01-02T00:00:00Z");
        check(
            2024,
            now,
            &[("Dec 30 10:00:00", "2023-12-30T10:00:00Z"), ("Jan  1 10:00:00", "2024-01-01T10:00:00Z")],
        );
        check(2024, now, &[("Jan  1 10:00:00", "2024-01-01T10:00:00Z")]);
    }

    #[test]
    fn a_written_year_stays_and_a_day_that_is_not_has_no_time() {
        check(2023, None, &[("2019-05-01 10:00:00", "2019-05-01T10:00:00Z")]);
        check(2023, Some("2023-12-31T00:00:00Z"), &[("Mar  1 00:00:00", "2023-03-01T00:00:00Z")]);
        let at_ms = parse("Feb 29 10:00:00", YEAR_UNWRITTEN).unwrap();
        // The nearest year not after the first that has the day is none of those looked at.
        assert_eq!(Years::new(2023, Some(0)).resolve(at_ms), None);
    }
}
