//! Times as people and programs write them.
//!
//! Owns the recognition of a timestamp at the start of a text and the printing of one. Never asks the time:
//! where the year or the date is not written, the caller names it. Without an offset a time is taken as UTC.

/// The years between which a bare number is believed to be a time since the epoch: 2001-09-09 (ten digits) to
/// 2100. Outside, a number is just a number.
const EPOCH_S_MIN: u64 = 1_000_000_000;
const EPOCH_S_MAX: u64 = 4_102_444_800;

/// A timestamp found at the start of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub at_ms: u64,
    /// Bytes that it takes, without surrounding brackets.
    pub length: usize,
    /// False for `Jun 14 15:16:01` and `03-17 16:13:38.811`: the year was supplied.
    pub has_year: bool,
}

/// The timestamp at the very start of `text`; `year` stands in where none is written.
///
/// Knows ISO 8601 and RFC 3339 and their cousins with slashes, dots and commas, syslog, `date`, common log,
/// `yymmdd hhmmss`, `yyyymmdd-hh:mm:ss:mmm`, and times since the epoch in s, ms, µs and ns.
pub fn find(text: &str, year: i16) -> Option<Found> {
    let bytes = text.as_bytes().get(..text.len().min(48)).unwrap_or_default();
    let first = *bytes.first()?;
    if first.is_ascii_digit() {
        numeric(bytes, year).or_else(|| common_log(bytes)).or_else(|| epoch(bytes))
    } else if first.is_ascii_alphabetic() {
        named(bytes, year)
    } else {
        None
    }
}

/// The time that the whole of `text` writes.
pub fn parse(text: &str, year: i16) -> Option<u64> {
    let text = text.trim();
    find(text, year).filter(|found| found.length == text.len()).map(|found| found.at_ms)
}

/// A number as a time since the epoch, its unit told by its size; None if it is none from 2001 to 2100.
pub fn from_epoch(value: f64) -> Option<u64> {
    let (low, high) = (EPOCH_S_MIN as f64, EPOCH_S_MAX as f64);
    [1.0, 1e3, 1e6, 1e9]
        .into_iter()
        .find(|unit| (low * unit..high * unit).contains(&value))
        .map(|unit| (value / unit * 1000.0).round() as u64)
}

/// `2024-05-01T10:05:00Z`, with milliseconds when there are any.
pub fn show(at_ms: u64) -> String {
    i64::try_from(at_ms)
        .ok()
        .and_then(|at_ms| jiff::Timestamp::from_millisecond(at_ms).ok())
        .map_or_else(|| format!("{at_ms} ms"), |time| time.to_string())
}

/// Milliseconds since the epoch of a civil time; None if there is no such day or hour. A leap second is the
/// second before it.
pub(crate) fn civil_ms(
    date: (i16, u32, u32),
    time: (u32, u32, u32),
    millis: u32,
    offset_min: i32,
) -> Option<u64> {
    let ((year, month, day), (hour, minute, second)) = (date, time);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        _ => return None,
    };
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second.min(59));
    let at_ms = (days_since_epoch(i64::from(year), i64::from(month), i64::from(day)) * 86_400 + seconds)
        * 1000
        + i64::from(millis)
        - i64::from(offset_min) * 60_000;
    u64::try_from(at_ms).ok()
}

/// Days from 1970-01-01 to a day of the Gregorian calendar. Years are counted from March, so that the leap day is the
/// last of its year, and in eras of 400 years, which all have 146 097 days.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn one(&mut self, allowed: &[u8]) -> Option<u8> {
        let byte = self.peek().filter(|byte| allowed.contains(byte))?;
        self.at += 1;
        Some(byte)
    }

    /// Exactly `count` digits.
    fn digits(&mut self, count: usize) -> Option<u32> {
        let slice = self.bytes.get(self.at..self.at + count)?;
        let mut value = 0u32;
        for byte in slice {
            if !byte.is_ascii_digit() {
                return None;
            }
            value = value * 10 + u32::from(byte - b'0');
        }
        self.at += count;
        Some(value)
    }

    /// One or two digits, with a leading blank allowed: `Jun  4`.
    fn day(&mut self) -> Option<u32> {
        self.one(b" ");
        let tens = self.digits(1)?;
        Some(self.digits(1).map_or(tens, |ones| tens * 10 + ones))
    }

    fn month_name(&mut self) -> Option<u32> {
        let month = match &lower3(self.bytes.get(self.at..)?)? {
            b"jan" => 1,
            b"feb" => 2,
            b"mar" => 3,
            b"apr" => 4,
            b"may" => 5,
            b"jun" => 6,
            b"jul" => 7,
            b"aug" => 8,
            b"sep" => 9,
            b"oct" => 10,
            b"nov" => 11,
            b"dec" => 12,
            _ => return None,
        };
        self.at += 3;
        Some(month)
    }

    /// `hh:mm:ss` with `separator` between, seconds optional when `short` is set.
    fn clock(&mut self) -> Option<(u32, u32, u32)> {
        let hour = self.digits(2)?;
        self.one(b":.")?;
        let minute = self.digits(2)?;
        self.one(b":.")?;
        let second = self.digits(2)?;
        (hour < 24 && minute < 60 && second <= 60).then_some((hour, minute, second))
    }

    /// A fraction of a second in milliseconds; 0 without one. Consumes nothing when no digit follows the mark.
    fn fraction(&mut self) -> u32 {
        let start = self.at;
        if self.one(b".,:").is_some() && self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            let mut millis = 0;
            let mut weight = 100;
            while let Some(byte) = self.peek().filter(u8::is_ascii_digit) {
                millis += u32::from(byte - b'0') * weight;
                weight /= 10;
                self.at += 1;
            }
            return millis;
        }
        self.at = start;
        0
    }

    /// `Z`, `+02:00`, `+0200`, ` +0200`, ` UTC`; 0 without one.
    fn offset_min(&mut self) -> i32 {
        let start = self.at;
        if self.one(b"Zz").is_some() {
            return 0;
        }
        self.one(b" ");
        if self.bytes.get(self.at..self.at + 3).is_some_and(|word| word == b"UTC" || word == b"GMT") {
            self.at += 3;
            return 0;
        }
        let parsed = (|| {
            let sign = if self.one(b"+-")? == b'-' { -1 } else { 1 };
            let hours = self.digits(2)?;
            self.one(b":");
            let minutes = self.digits(2)?;
            let ends = self.peek().is_none_or(|byte| !byte.is_ascii_alphanumeric());
            (hours <= 14 && minutes < 60 && ends).then_some(sign * (hours * 60 + minutes) as i32)
        })();
        if parsed.is_none() {
            self.at = start;
        }
        parsed.unwrap_or(0)
    }

    /// Not in the middle of a longer word or number.
    fn ends(&self) -> bool {
        self.peek().is_none_or(|byte| !byte.is_ascii_alphanumeric() && byte != b'_')
    }

    fn found(&self, at_ms: Option<u64>, has_year: bool) -> Option<Found> {
        at_ms.filter(|_| self.ends()).map(|at_ms| Found { at_ms, length: self.at, has_year })
    }
}

/// The first three bytes, letters in lower case.
fn lower3(bytes: &[u8]) -> Option<[u8; 3]> {
    let first: [u8; 3] = bytes.first_chunk().copied()?;
    // The bit that tells small letters from capitals; what is no letter does not become one.
    Some(first.map(|byte| byte | 0x20))
}

/// Times whose first part is a number other than the epoch's.
fn numeric(bytes: &[u8], year: i16) -> Option<Found> {
    let lead = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mark = bytes.get(lead).copied()?;
    let mut cursor = Cursor { bytes, at: 0 };
    let (date, has_year) = match (lead, mark) {
        (4, b'-' | b'/' | b'.') => {
            let year = cursor.digits(4)?;
            cursor.one(&[mark])?;
            let month = cursor.digits(2)?;
            cursor.one(&[mark])?;
            ((year, month, cursor.digits(2)?), true)
        }
        (8, b'-' | b'T' | b' ') => ((cursor.digits(4)?, cursor.digits(2)?, cursor.digits(2)?), true),
        (2, b'/') => {
            let (a, _, b) = (cursor.digits(2)?, cursor.one(b"/")?, cursor.digits(2)?);
            cursor.one(b"/")?;
            if let Some(year) = cursor.digits(4) {
                // 05/14/2024 or 14/05/2024: the part above twelve is the day; else month first.
                if a > 12 { ((year, b, a), true) } else { ((year, a, b), true) }
            } else {
                ((2000 + a, b, cursor.digits(2)?), true)
            }
        }
        (2, b'-' | b'.') => {
            let month = cursor.digits(2)?;
            cursor.one(&[mark])?;
            ((u32::from(year.unsigned_abs()), month, cursor.digits(2)?), false)
        }
        // klog: mmdd hh:mm:ss.uuuuuu
        (4, b' ') => ((u32::from(year.unsigned_abs()), cursor.digits(2)?, cursor.digits(2)?), false),
        (6, b' ') => {
            let date = (2000 + cursor.digits(2)?, cursor.digits(2)?, cursor.digits(2)?);
            cursor.one(b" ")?;
            let time = (cursor.digits(2)?, cursor.digits(2)?, cursor.digits(2)?);
            let valid = time.0 < 24 && time.1 < 60 && time.2 <= 60;
            let date = (i16::try_from(date.0).ok()?, date.1, date.2);
            return cursor.found(civil_ms(date, time, 0, 0).filter(|_| valid), true);
        }
        _ => return None,
    };
    cursor.one(b"T -_:")?;
    let time = cursor.clock()?;
    let millis = cursor.fraction();
    let offset_min = cursor.offset_min();
    cursor.found(civil_ms((i16::try_from(date.0).ok()?, date.1, date.2), time, millis, offset_min), has_year)
}

/// `10/Oct/2000:13:55:36 -0700` and `10 Oct 2000 13:55:36`.
fn common_log(bytes: &[u8]) -> Option<Found> {
    let mut cursor = Cursor { bytes, at: 0 };
    let day = cursor.day()?;
    cursor.one(b"/- ")?;
    let month = cursor.month_name()?;
    cursor.one(b"/- ")?;
    let year = cursor.digits(4)?;
    cursor.one(b": ")?;
    let time = cursor.clock()?;
    let millis = cursor.fraction();
    let offset_min = cursor.offset_min();
    cursor.found(civil_ms((i16::try_from(year).ok()?, month, day), time, millis, offset_min), true)
}

/// `Jun 14 15:16:01`, `Sun Dec 04 04:47:44 2005`, `Dec 04 2005 04:47:44`.
fn named(bytes: &[u8], year: i16) -> Option<Found> {
    let mut cursor = Cursor { bytes, at: 0 };
    let weekday = matches!(&lower3(bytes)?, b"mon" | b"tue" | b"wed" | b"thu" | b"fri" | b"sat" | b"sun");
    if weekday {
        cursor.at = 3;
        cursor.one(b",");
        cursor.one(b" ")?;
        if cursor.peek()?.is_ascii_digit() {
            let rest = common_log(bytes.get(cursor.at..)?)?;
            return Some(Found { length: rest.length + cursor.at, ..rest });
        }
    }
    let month = cursor.month_name()?;
    cursor.one(b" ")?;
    let day = cursor.day()?;
    cursor.one(b" ")?;
    let mut written = None;
    let before = cursor.at;
    if let Some(year) = cursor.digits(4).filter(|_| cursor.peek() == Some(b' ')) {
        cursor.one(b" ")?;
        written = Some(year);
    } else {
        cursor.at = before;
    }
    let time = cursor.clock()?;
    let millis = cursor.fraction();
    if written.is_none() {
        let before = cursor.at;
        cursor.one(b" ");
        written = cursor.digits(4).filter(|year| (1970..2100).contains(year) && cursor.ends());
        if written.is_none() {
            cursor.at = before;
        }
    }
    let date = (written.map_or(Some(year), |year| i16::try_from(year).ok())?, month, day);
    cursor.found(civil_ms(date, time, millis, 0), written.is_some())
}

/// Seconds with an optional fraction, or whole ms, µs or ns since the epoch.
fn epoch(bytes: &[u8]) -> Option<Found> {
    let mut value = 0u64;
    let mut cursor = Cursor { bytes, at: 0 };
    while let Some(byte) = cursor.peek().filter(u8::is_ascii_digit) {
        value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
        cursor.at += 1;
    }
    let divisor = match cursor.at {
        10 => {
            let inside = (EPOCH_S_MIN..EPOCH_S_MAX).contains(&value);
            let millis = if cursor.peek() == Some(b'.') { cursor.fraction() } else { 0 };
            return cursor.found(inside.then_some(value * 1000 + u64::from(millis)), true);
        }
        13 => 1,
        16 => 1_000,
        19 => 1_000_000,
        _ => return None,
    };
    let at_ms = value / divisor;
    cursor.found((EPOCH_S_MIN..EPOCH_S_MAX).contains(&(at_ms / 1000)).then_some(at_ms), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, shown: &str, length: usize) {
        let found = find(text, 2024).unwrap_or_else(|| panic!("no time in {text:?}"));
        assert_eq!((show(found.at_ms).as_str(), found.length), (shown, length), "{text}");
    }

    #[test]
    fn the_usual_ways_to_write_a_time_are_read() {
        check("2024-05-01T10:05:00Z x", "2024-05-01T10:05:00Z", 20);
        check("2024-05-01 10:05:00.123456 x", "2024-05-01T10:05:00.123Z", 26);
        check("2024-05-01T10:05:00+02:00", "2024-05-01T08:05:00Z", 25);
        check("2015-10-18 18:01:47,978 INFO", "2015-10-18T18:01:47.978Z", 23);
        check("2024/05/01 10:05:00 [error] 12#0", "2024-05-01T10:05:00Z", 19);
        check("17/06/09 20:10:40 INFO", "2017-06-09T20:10:40Z", 17);
        check("081109 203615 148 INFO", "2008-11-09T20:36:15Z", 13);
        check("03-17 16:13:38.811  1702", "2024-03-17T16:13:38.811Z", 18);
        check("Jun 14 15:16:01 combo", "2024-06-14T15:16:01Z", 15);
        check("Jul  1 09:00:55 host", "2024-07-01T09:00:55Z", 15);
        check("Sun Dec 04 04:47:44 2005] [notice]", "2005-12-04T04:47:44Z", 24);
        check("10/Oct/2000:13:55:36 -0700] \"GET", "2000-10-10T20:55:36Z", 26);
        check("Wed, 10 Oct 2012 13:55:36 GMT", "2012-10-10T13:55:36Z", 29);
        check("20171223-22:15:29:606|Step", "2017-12-23T22:15:29.606Z", 21);
        check("0501 10:05:00.000123   77 main.go:12]", "2024-05-01T10:05:00Z", 20);
        check("1714557900 x", "2024-05-01T10:05:00Z", 10);
        check("1714557900.5 x", "2024-05-01T10:05:00.5Z", 12);
        check("1714557900123", "2024-05-01T10:05:00.123Z", 13);
        check("1714557900123456789", "2024-05-01T10:05:00.123Z", 19);
    }

    #[test]
    fn what_only_resembles_a_time_is_not_one() {
        for text in [
            "",
            "12",
            "2024",
            "1.2.3.4",
            "10.251.73.220:50010",
            "2024-13-01 10:00:00",
            "2024-02-30 10:00:00",
            "2024-01-01 25:00:00",
            "Mayor of town",
            "99999999999999999999999",
            "Jun",
            "123456 requests",
            "2024-01-01x",
            "0000000001",
            "3f2a-11",
        ] {
            assert_eq!(find(text, 2024), None, "{text:?}");
        }
    }

    #[test]
    fn days_agree_with_the_calendar() {
        let mut day = jiff::civil::date(1970, 1, 1);
        let mut wrong = Vec::new();
        for since in 0..80_000_u64 {
            let date = (day.year(), day.month() as u32, day.day() as u32);
            if civil_ms(date, (0, 0, 0), 0, 0) != Some(since * 86_400_000) {
                wrong.push(day);
            }
            day = day.tomorrow().unwrap();
        }
        assert_eq!(wrong, []);
        assert_eq!(civil_ms((2023, 2, 29), (0, 0, 0), 0, 0), None);
        assert_eq!(civil_ms((1900, 2, 29), (0, 0, 0), 0, 0), None);
        assert_eq!(civil_ms((1969, 12, 31), (23, 59, 59), 0, 0), None, "before the epoch");
        assert_eq!(civil_ms((2024, 0, 1), (0, 0, 0), 0, 0), None);
        assert_eq!(civil_ms((1970, 1, 1), (0, 0, 60), 0, 0), Some(59_000), "a leap second");
    }

    #[test]
    fn the_unit_of_an_epoch_is_told_by_its_size() {
        assert_eq!(from_epoch(1_714_557_900.25), Some(1_714_557_900_250));
        assert_eq!(from_epoch(1_714_557_900_250.0), Some(1_714_557_900_250));
        assert_eq!(from_epoch(42.0), None);
        assert_eq!(from_epoch(f64::NAN), None);
    }
}
