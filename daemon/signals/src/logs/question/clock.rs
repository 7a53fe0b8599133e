//! Times in a question: `last 15 minutes`, `between 9:00 and 9:30`, `since yesterday 22:15`.

use crate::series::TimeRange;
use crate::timestamp;

const DAY_MS: u64 = 86_400_000;
/// What `around 10:05` spans to each side.
const AROUND_MS: u64 = 5 * 60_000;

/// The span that the words begin with, and how many words it takes; None if they begin with none.
pub(super) fn range(words: &[&str], now_ms: u64) -> Option<(TimeRange, usize)> {
    let word = |index: usize| words.get(index).copied().unwrap_or("");
    let skip_the = |index: usize| if word(index) == "the" { index + 1 } else { index };
    let until_now = |start_ms: u64| TimeRange::new(start_ms, now_ms.saturating_add(1));
    match word(0) {
        "today" => Some((until_now(now_ms - now_ms % DAY_MS), 1)),
        "yesterday" if point(words, now_ms).is_none_or(|(_, taken)| taken == 1) => {
            let start_ms = (now_ms - now_ms % DAY_MS).saturating_sub(DAY_MS);
            Some((TimeRange::new(start_ms, start_ms + DAY_MS), 1))
        }
        "last" | "past" | "previous" => {
            let (span_ms, taken) = span(words.get(1..)?)?;
            Some((until_now(now_ms.saturating_sub(span_ms)), 1 + taken))
        }
        "in" | "during" | "within" | "over" | "for" => {
            let next = skip_the(1);
            matches!(word(next), "last" | "past" | "previous")
                .then(|| range(words.get(next..)?, now_ms))
                .flatten()
                .map(|(range, taken)| (range, next + taken))
        }
        "since" | "after" | "from" | "starting" => {
            let (start_ms, taken) = point(words.get(1..)?, now_ms)?;
            let next = 1 + taken;
            if matches!(word(next), "to" | "until" | "till" | "-" | "through")
                && let Some((end_ms, more)) = point(words.get(next + 1..)?, now_ms)
            {
                return Some((TimeRange::new(start_ms, after(start_ms, end_ms)), next + 1 + more));
            }
            Some((TimeRange::new(start_ms, u64::MAX), next))
        }
        "before" | "until" | "till" => {
            let (end_ms, taken) = point(words.get(1..)?, now_ms)?;
            Some((TimeRange::new(0, end_ms), 1 + taken))
        }
        "between" => {
            let (start_ms, taken) = point(words.get(1..)?, now_ms)?;
            let next = 1 + taken;
            if !matches!(word(next), "and" | "to" | "-") {
                return None;
            }
            let (end_ms, more) = point(words.get(next + 1..)?, now_ms)?;
            Some((TimeRange::new(start_ms, after(start_ms, end_ms)), next + 1 + more))
        }
        "at" | "around" | "about" | "near" => {
            let (at_ms, taken) = point(words.get(1..)?, now_ms)?;
            Some((
                TimeRange::new(at_ms.saturating_sub(AROUND_MS), at_ms.saturating_add(AROUND_MS)),
                1 + taken,
            ))
        }
        _ => None,
    }
}

/// `between 23:50 and 0:10` ends on the next day.
fn after(start_ms: u64, end_ms: u64) -> u64 {
    if end_ms < start_ms && start_ms - end_ms < DAY_MS { end_ms.saturating_add(DAY_MS) } else { end_ms }
}

/// `15 minutes`, `15m`, `hour`, `two hours`, `an hour`, `half an hour`.
fn span(words: &[&str]) -> Option<(u64, usize)> {
    let word = |index: usize| words.get(index).copied().unwrap_or("");
    if word(0) == "half" {
        return matches!(word(1), "an" | "hour").then(|| (30 * 60_000, if word(1) == "an" { 3 } else { 2 }));
    }
    if word(0) == "few" || (word(0) == "couple" && word(1) == "of") {
        let lead = if word(0) == "few" { 1 } else { 2 };
        return Some((unit_ms(word(lead))?.saturating_mul(if lead == 1 { 5 } else { 2 }), lead + 1));
    }
    if let Some(unit) = unit_ms(word(0)) {
        return Some((unit, 1));
    }
    let digits = word(0).trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let suffix = word(0).get(digits.len()..).unwrap_or("");
    if let (Ok(count), Some(unit)) = (digits.parse::<u64>(), unit_ms(suffix)) {
        return Some((count.saturating_mul(unit), 1));
    }
    let count = number(word(0))?;
    Some((count.saturating_mul(unit_ms(word(1))?), 2))
}

fn number(word: &str) -> Option<u64> {
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

/// A point in time at the beginning of the words, and how many it takes.
fn point(words: &[&str], now_ms: u64) -> Option<(u64, usize)> {
    let word = |index: usize| words.get(index).copied().unwrap_or("");
    let midnight_ms = now_ms - now_ms % DAY_MS;
    if let Some((span_ms, taken)) = span(words).filter(|(_, taken)| word(*taken) == "ago") {
        return Some((now_ms.saturating_sub(span_ms), taken + 1));
    }
    match word(0) {
        "now" => return Some((now_ms, 1)),
        "the" => return point(words.get(1..)?, now_ms).map(|(at_ms, taken)| (at_ms, taken + 1)),
        "today" | "yesterday" => {
            let day_ms = if word(0) == "today" { midnight_ms } else { midnight_ms.saturating_sub(DAY_MS) };
            let next = if word(1) == "at" { 2 } else { 1 };
            return Some(match time_of_day(words.get(next..)?) {
                Some((offset_ms, taken)) => (day_ms + offset_ms, next + taken),
                None => (day_ms, 1),
            });
        }
        _ => {}
    }
    if let Some(at_ms) = timestamp::parse(&word(0).to_uppercase(), 1970) {
        return Some((at_ms, 1));
    }
    if let Some(day_ms) = date(word(0)) {
        let next = if word(1) == "at" { 2 } else { 1 };
        return Some(match time_of_day(words.get(next..)?) {
            Some((offset_ms, taken)) => (day_ms + offset_ms, next + taken),
            None => (day_ms, 1),
        });
    }
    let (offset_ms, taken) = time_of_day(words)?;
    let today = midnight_ms + offset_ms;
    let (at_ms, taken) = match word(taken) {
        "today" => (today, taken + 1),
        "yesterday" => (today.saturating_sub(DAY_MS), taken + 1),
        "utc" => (today, taken + 1),
        // The latest such hour: this evening has not been logged yet.
        _ => (if today > now_ms { today.saturating_sub(DAY_MS) } else { today }, taken),
    };
    Some((at_ms, taken))
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
