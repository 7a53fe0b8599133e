//! Times in a question: `last 15 minutes`, `between 9:00 and 9:30`, `since yesterday 22:15`.

use crate::series::TimeRange;
use crate::timestamp::{self, civil_ms};

const DAY_MS: u64 = 86_400_000;
/// What `around 10:05` spans to each side.
const AROUND_MS: u64 = 5 * 60_000;

/// A longer word is no time; it is not even copied.
const WORD_BYTES_MAX: usize = 40;

/// What times in a question are relative to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub now_ms: u64,
    /// The midnight of the day that was spoken of: `on monday between 9:00 and 9:30`.
    pub day_ms: Option<u64>,
}

/// A span found in a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FoundRange {
    pub range: TimeRange,
    /// Words that it takes.
    pub taken: usize,
    /// The midnight of the day, if all it says is a day: later times of day are that day's.
    pub day_ms: Option<u64>,
}

/// The span that the words begin with; None if they begin with none.
pub(super) fn range(words: &[&str], now: Now) -> Option<FoundRange> {
    let now_ms = now.now_ms;
    let word = |index: usize| words.get(index).copied().unwrap_or("");
    let found = |range: TimeRange, taken: usize| Some(FoundRange { range, taken, day_ms: None });
    let skip_the = |index: usize| if word(index) == "the" { index + 1 } else { index };
    let until_now = |start_ms: u64| TimeRange::new(start_ms, now_ms.saturating_add(1));
    let around =
        |at_ms: u64, by_ms: u64| TimeRange::new(at_ms.saturating_sub(by_ms), at_ms.saturating_add(by_ms));
    if let Some(part) = part_of_day(words, now_ms) {
        return Some(part);
    }
    match word(0) {
        "today" | "yesterday" | "day"
            if point(words, now)
                .is_none_or(|point| Some(point.taken) == day(words, now_ms).map(|day| day.1)) =>
        {
            whole_day(words, 0, now_ms)
        }
        "on" if day(words.get(1..)?, now_ms).is_some() => {
            let next = skip_at(words, 1 + day(words.get(1..)?, now_ms)?.1);
            match time_of_day(words.get(next..)?) {
                // `on monday at 10:05`, but not `on monday 5 errors`.
                Some((offset_ms, taken)) => {
                    let at_ms = day(words.get(1..)?, now_ms)?.0 + offset_ms;
                    found(around(at_ms, AROUND_MS), next + taken)
                }
                None => whole_day(words.get(1..)?, 1, now_ms),
            }
        }
        "this" => {
            let midnight_ms = now_ms - now_ms % DAY_MS;
            let start_ms = match word(1) {
                "minute" => now_ms - now_ms % 60_000,
                "hour" => now_ms - now_ms % 3_600_000,
                // The epoch began on a Thursday: Mondays are four days off.
                "week" => midnight_ms.saturating_sub((midnight_ms / DAY_MS + 3) % 7 * DAY_MS),
                "month" => month_start(now_ms)?,
                _ => return None,
            };
            found(until_now(start_ms), 2)
        }
        "last" | "past" | "previous" => {
            if let Some((span_ms, taken)) = span(words.get(1..)?) {
                return found(until_now(now_ms.saturating_sub(span_ms)), 1 + taken);
            }
            weekday(word(1)).and_then(|_| whole_day(words.get(1..)?, 1, now_ms))
        }
        "within" if span(words.get(1..)?).is_some_and(|(_, taken)| word(1 + taken) == "of") => {
            let (by_ms, taken) = span(words.get(1..)?)?;
            let point = point(words.get(2 + taken..)?, now)?;
            found(around(point.at_ms, by_ms), 2 + taken + point.taken)
        }
        "in" | "during" | "within" | "over" | "for" | "throughout" | "from"
            if {
                let next = skip_the(1);
                matches!(word(next), "last" | "past" | "previous" | "this")
                    || matches!(word(0), "during" | "in" | "throughout")
                        && part_of_day(words.get(next..)?, now_ms).is_some()
                    || word(0) == "from"
                        && matches!(word(next), "today" | "yesterday")
                        && !matches!(word(next + 1), "to" | "until" | "till")
                        && time_of_day(words.get(skip_at(words, next + 1)..)?).is_none()
            } =>
        {
            let next = skip_the(1);
            let inner = range(words.get(next..)?, now)?;
            Some(FoundRange { taken: next + inner.taken, ..inner })
        }
        "since" | "after" | "from" | "starting" => {
            let start = point(words.get(1..)?, now)?;
            let next = 1 + start.taken;
            if matches!(word(next), "to" | "until" | "till" | "-" | "through" | "and")
                && (word(next) != "and" || matches!(word(next + 1), "before" | "until"))
                && let skip = next + 1 + usize::from(word(next) == "and")
                && let Some(end) = point(words.get(skip..)?, now)
            {
                return found(between(start, end), skip + end.taken);
            }
            found(TimeRange::new(start.at_ms, u64::MAX), next)
        }
        "before" | "until" | "till" => {
            let end = point(words.get(1..)?, now)?;
            found(TimeRange::new(0, end.at_ms), 1 + end.taken)
        }
        "between" => {
            let hours = (bare_hour(word(1)), bare_hour(word(3)));
            if let ((Some(from), Some(to)), "and") = (hours, word(2))
                && unit_ms(word(4)).is_none()
            {
                let day_ms = now.day_ms.unwrap_or(now_ms - now_ms % DAY_MS);
                let start = Point { at_ms: day_ms + from, taken: 1, bare: now.day_ms.is_none() };
                let (day, more) = day(words.get(skip_on(words, 4)..)?, now_ms)
                    .map_or((None, 4), |(day_ms, taken)| (Some(day_ms), skip_on(words, 4) + taken));
                let end =
                    Point { at_ms: day.unwrap_or(day_ms) + to, taken: 1, bare: day.is_none() && start.bare };
                return found(between(start, end), more);
            }
            let start = point(words.get(1..)?, now)?;
            let next = 1 + start.taken;
            if !matches!(word(next), "and" | "to" | "-") {
                return None;
            }
            let end = point(words.get(next + 1..)?, now)?;
            found(between(start, end), next + 1 + end.taken)
        }
        "at" | "around" | "about" | "near" => {
            let at = point(words.get(1..)?, now)?;
            found(around(at.at_ms, AROUND_MS), 1 + at.taken)
        }
        // `10 minutes before 10:05`, `the hour after noon`, `5 minutes ago`.
        _ => {
            let first = skip_the(0);
            let (span_ms, taken) = span(words.get(first..)?)?;
            if word(first + taken) == "ago" {
                return found(around(now_ms.saturating_sub(span_ms), AROUND_MS), first + taken + 1);
            }
            let at = point(words.get(first + taken + 1..)?, now)?;
            let range = match word(first + taken) {
                "before" => TimeRange::new(at.at_ms.saturating_sub(span_ms), at.at_ms),
                "after" => TimeRange::new(at.at_ms, at.at_ms.saturating_add(span_ms)),
                _ => return None,
            };
            found(range, first + taken + 1 + at.taken)
        }
    }
}

fn skip_at(words: &[&str], at: usize) -> usize {
    at + usize::from(words.get(at).is_some_and(|word| *word == "at"))
}

fn skip_on(words: &[&str], at: usize) -> usize {
    at + usize::from(words.get(at).is_some_and(|word| *word == "on"))
}

/// `between 9 and 10`: two hours of a day.
fn bare_hour(word: &str) -> Option<u64> {
    word.parse::<u64>().ok().filter(|hour| *hour < 24 && word.len() <= 2).map(|hour| hour * 3_600_000)
}

/// From one point to another. A time of day without a day is of the other's day.
fn between(start: Point, end: Point) -> TimeRange {
    let mut start_ms = start.at_ms;
    if start.bare && !end.bare {
        start_ms = end.at_ms - end.at_ms % DAY_MS + start_ms % DAY_MS;
    }
    TimeRange::new(start_ms, after(start_ms, end.at_ms))
}

fn whole_day(words: &[&str], before: usize, now_ms: u64) -> Option<FoundRange> {
    let (day_ms, taken) = day(words, now_ms)?;
    // Of today nothing is known beyond now.
    let end_ms = day_ms.saturating_add(DAY_MS).min(now_ms.saturating_add(1).max(day_ms));
    Some(FoundRange { range: TimeRange::new(day_ms, end_ms), taken: before + taken, day_ms: Some(day_ms) })
}

/// `this morning`, `yesterday evening`, `last night`, `tonight`: the hours that go by that name.
fn part_of_day(words: &[&str], now_ms: u64) -> Option<FoundRange> {
    let word = |index: usize| words.get(index).copied().unwrap_or("");
    let midnight_ms = now_ms - now_ms % DAY_MS;
    let (day_ms, part, taken) = match (word(0), word(1)) {
        ("tonight", _) => (midnight_ms, "evening", 1),
        ("last", "night") => (midnight_ms.saturating_sub(DAY_MS), "night", 2),
        ("this", part) => (midnight_ms, part, 2),
        ("yesterday", part) => (midnight_ms.saturating_sub(DAY_MS), part, 2),
        _ => return None,
    };
    let (from, to) = match part {
        "morning" => (5, 12),
        "afternoon" => (12, 18),
        "evening" => (18, 24),
        "night" => (20, 30),
        _ => return None,
    };
    let hour_ms = 3_600_000;
    let range = TimeRange::new(day_ms + from * hour_ms, day_ms + to * hour_ms);
    Some(FoundRange { range, taken, day_ms: None })
}

/// `between 23:50 and 0:10` ends on the next day.
fn after(start_ms: u64, end_ms: u64) -> u64 {
    if end_ms < start_ms && start_ms - end_ms < DAY_MS { end_ms.saturating_add(DAY_MS) } else { end_ms }
}

/// `15 minutes`, `15m`, `hour`, `two hours`, `an hour`, `half an hour`.
pub(super) fn span(words: &[&str]) -> Option<(u64, usize)> {
    let word = |index: usize| words.get(index).copied().unwrap_or("");
    if word(0) == "half" {
        return matches!(word(1), "an" | "hour").then(|| (30 * 60_000, if word(1) == "an" { 3 } else { 2 }));
    }
    if word(0) == "a" && matches!(word(1), "few" | "couple") {
        return span(words.get(1..)?).map(|(span_ms, taken)| (span_ms, taken + 1));
    }
    if word(0) == "few" || (word(0) == "couple" && word(1) == "of") {
        let lead = if word(0) == "few" { 1 } else { 2 };
        return Some((unit_ms(word(lead))?.saturating_mul(if lead == 1 { 5 } else { 2 }), lead + 1));
    }
    if let Some(unit) = unit_ms(word(0)) {
        return Some((unit, 1));
    }
    if word(0).len() > WORD_BYTES_MAX {
        return None;
    }
    let digits = word(0).trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let suffix = word(0).get(digits.len()..).unwrap_or("");
    if let (Ok(count), Some(unit)) = (digits.parse::<u64>(), unit_ms(suffix)) {
        return Some((count.saturating_mul(unit), 1));
    }
    let count = number(word(0))?;
    Some((count.saturating_mul(unit_ms(word(1))?), 2))
}

pub(super) fn number(word: &str) -> Option<u64> {
    const NAMES: [&str; 13] = [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
        "twelve",
    ];
    word.parse().ok().or_else(|| match word {
        "a" | "an" => Some(1),
        "fifteen" => Some(15),
        "twenty" => Some(20),
        "thirty" => Some(30),
        _ => NAMES.iter().position(|name| *name == word).map(|value| value as u64),
    })
}

pub(super) fn unit_ms(word: &str) -> Option<u64> {
    Some(match word {
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => DAY_MS,
        "w" | "week" | "weeks" => 7 * DAY_MS,
        _ => return None,
    })
}

/// A point in time at the beginning of the words.
#[derive(Debug, Clone, Copy)]
struct Point {
    at_ms: u64,
    taken: usize,
    /// An hour of a day that was not named.
    bare: bool,
}

/// The single point that a word names: `from=10:05`.
pub(super) fn instant(word: &str, now: Now) -> Option<u64> {
    let lower = word.to_lowercase();
    point(&[lower.as_str()], now).filter(|point| point.taken == 1).map(|point| point.at_ms)
}

fn point(words: &[&str], now: Now) -> Option<Point> {
    let now_ms = now.now_ms;
    let word = |index: usize| words.get(index).copied().unwrap_or("");
    let sure = |at_ms: u64, taken: usize| Some(Point { at_ms, taken, bare: false });
    if word(0).len() > WORD_BYTES_MAX {
        return None;
    }
    let midnight_ms = now_ms - now_ms % DAY_MS;
    if let Some((span_ms, taken)) = span(words).filter(|(_, taken)| word(*taken) == "ago") {
        return sure(now_ms.saturating_sub(span_ms), taken + 1);
    }
    if word(0) == "now" {
        return sure(now_ms, 1);
    }
    if let Some(at_ms) = timestamp::parse(&word(0).to_uppercase(), 1970) {
        return sure(at_ms, 1);
    }
    let on = skip_on(words, 0);
    if let Some((day_ms, taken)) = day(words.get(on..)?, now_ms) {
        let next = skip_at(words, on + taken);
        return match time_of_day(words.get(next..)?) {
            Some((offset_ms, more)) => sure(day_ms + offset_ms, next + more),
            None => sure(day_ms, on + taken),
        };
    }
    if word(0) == "the" {
        let inner = point(words.get(1..)?, now)?;
        return Some(Point { taken: inner.taken + 1, ..inner });
    }
    let (offset_ms, mut taken) = time_of_day(words)?;
    taken += usize::from(word(taken) == "utc");
    let on = skip_on(words, taken);
    if let Some((day_ms, more)) = day(words.get(on..)?, now_ms) {
        return sure(day_ms + offset_ms, on + more);
    }
    if let Some(day_ms) = now.day_ms {
        return sure(day_ms + offset_ms, taken);
    }
    let today = midnight_ms + offset_ms;
    // The latest such hour: this evening has not been logged yet.
    let at_ms = if today > now_ms { today.saturating_sub(DAY_MS) } else { today };
    Some(Point { at_ms, taken, bare: true })
}

/// The midnight that a day begins with: `yesterday`, `monday`, `the 3rd`, `may 3rd 2024`, `3 of may`, `2024-05-01`.
/// Without a year, a month or a week: the latest such day that is not still to come.
fn day(words: &[&str], now_ms: u64) -> Option<(u64, usize)> {
    let word = |index: usize| words.get(index).copied().unwrap_or("");
    let midnight_ms = now_ms - now_ms % DAY_MS;
    let the = usize::from(word(0) == "the");
    match (word(the), word(the + 1), word(the + 2)) {
        ("today", ..) => return Some((midnight_ms, the + 1)),
        ("yesterday", ..) => return Some((midnight_ms.saturating_sub(DAY_MS), the + 1)),
        ("day", "before", "yesterday") => return Some((midnight_ms.saturating_sub(2 * DAY_MS), the + 3)),
        _ => {}
    }
    if let Some(weekday) = weekday(word(the)) {
        let today = (midnight_ms / DAY_MS + 3) % 7;
        return Some((midnight_ms.saturating_sub((today + 7 - weekday) % 7 * DAY_MS), the + 1));
    }
    if let Some(day_ms) = date(word(the)) {
        return Some((day_ms, the + 1));
    }
    let (number, month, mut taken) = if let Some(month) = month(word(the)) {
        (day_number(word(the + 1))?, Some(month), the + 2)
    } else {
        let number = day_number(word(the))?;
        let of = the + 1 + usize::from(word(the + 1) == "of");
        match month(word(of)) {
            Some(month) => (number, Some(month), of + 1),
            // `3` alone is a count; `the 3rd` is a day.
            None if word(the).ends_with(|c: char| c.is_ascii_alphabetic()) => (number, None, the + 1),
            None => return None,
        }
    };
    let year = word(taken).parse::<i16>().ok().filter(|year| (1970..=2100).contains(year) && month.is_some());
    taken += usize::from(year.is_some());
    let (this_year, this_month) = civil(now_ms)?;
    if let (Some(year), Some(month)) = (year, month) {
        return Some((civil_ms((year, month, number), (0, 0, 0), 0, 0)?, taken));
    }
    let steps = if month.is_some() { 8 } else { 12 };
    (0..steps)
        .find_map(|back: u32| {
            let (year, month) = match month {
                Some(month) => (this_year.checked_sub(i16::try_from(back).ok()?)?, month),
                None => {
                    let months = u32::try_from(this_year).ok()? * 12 + this_month - 1 - back;
                    (i16::try_from(months / 12).ok()?, months % 12 + 1)
                }
            };
            civil_ms((year, month, number), (0, 0, 0), 0, 0).filter(|day_ms| *day_ms <= now_ms)
        })
        .map(|day_ms| (day_ms, taken))
}

fn civil(now_ms: u64) -> Option<(i16, u32)> {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(now_ms).ok()?).ok()?;
    let civil = jiff::tz::Offset::UTC.to_datetime(at);
    Some((civil.year(), u32::try_from(civil.month()).ok()?))
}

fn month_start(now_ms: u64) -> Option<u64> {
    let (year, month) = civil(now_ms)?;
    civil_ms((year, month, 1), (0, 0, 0), 0, 0)
}

/// 0 is Monday.
fn weekday(word: &str) -> Option<u64> {
    const NAMES: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    NAMES.iter().position(|name| *name == word).map(|at| at as u64)
}

/// 1 to 12; May only by its whole name, as all of them, or by three letters.
fn month(word: &str) -> Option<u32> {
    const NAMES: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    NAMES
        .iter()
        .position(|name| *name == word || word.len() == 3 && name.starts_with(word))
        .and_then(|at| u32::try_from(at + 1).ok())
}

/// `3`, `3rd`, `21st`.
fn day_number(word: &str) -> Option<u32> {
    let digits = ["st", "nd", "rd", "th"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
    digits.parse().ok().filter(|number| (1..=31).contains(number) && digits.len() <= 2)
}

/// `2024-05-01`
fn date(word: &str) -> Option<u64> {
    (word.len() == 10).then(|| timestamp::parse(&format!("{word} 00:00:00"), 1970)).flatten()
}

/// `10:05`, `10:05:30`, `9:00`, `10am`, `2:30 pm`, `noon`, `midnight`: milliseconds since midnight.
fn time_of_day(words: &[&str]) -> Option<(u64, usize)> {
    let first = words.first().copied().unwrap_or("");
    match first {
        "noon" => return Some((DAY_MS / 2, 1)),
        "midnight" => return Some((0, 1)),
        _ => {}
    }
    let (clock, mut half, mut taken) = match first.strip_suffix("am") {
        Some(clock) => (clock, Some(false), 1),
        None => match first.strip_suffix("pm") {
            Some(clock) => (clock, Some(true), 1),
            None => (first.strip_suffix(['z', 'h']).unwrap_or(first), None, 1),
        },
    };
    if half.is_none() {
        half = match words.get(1).copied().unwrap_or("") {
            "am" | "a.m" => Some(false),
            "pm" | "p.m" => Some(true),
            _ => None,
        };
        taken += usize::from(half.is_some());
    }
    let mut parts = clock.split(':').map(|part| part.parse::<u64>().ok().filter(|_| part.len() <= 2));
    let mut hour = parts.next()??;
    let minute = match parts.next() {
        Some(minute) => minute?,
        // A bare number is no time of day, unless am or pm says so.
        None => half.map(|_| 0)?,
    };
    let second = parts.next().unwrap_or(Some(0))?;
    if parts.next().is_some() || minute > 59 || second > 59 || hour > if half.is_some() { 12 } else { 23 } {
        return None;
    }
    if let Some(afternoon) = half {
        hour = hour % 12 + if afternoon { 12 } else { 0 };
    }
    Some(((hour * 3600 + minute * 60 + second) * 1000, taken))
}
