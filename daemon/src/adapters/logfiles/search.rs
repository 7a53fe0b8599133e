//! One search over the files: what belongs to the window, and in which order.

use super::backwards::{Backwards, Budget, Step};
use super::generations::{self, Generation};
use super::{FileSource, LogsConfig, Unreadable, sources};
use medic_core::{Fault, Labels, TimestampMs};
use medic_ports::logs::{LogAnswer, LogLine, LogQuery};
use medic_signals::logs::reader;
use medic_signals::timestamp;
use serde::Deserialize;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, BufRead, BufReader, Read as _};

/// How far before the window a line's time must lie for the reading to end. 10 s: writers buffer, threads race, and lines
/// stand a little out of order; not by more.
const DISORDER_MS: u64 = 10_000;
/// Lines without a time that wait for the line they belong to. 2,000: no stack trace is longer.
const UNTIMED_MAX: usize = 2_000;

/// Lines of one generation, in bits of a number. 2^40: more than fit on a disk.
const GENERATION_BITS: u32 = 40;

/// Orders lines by time, then by file, then by their place in the file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    at: Option<TimestampMs>,
    source: usize,
    /// Counts down from the file's end, so that a later line is greater.
    nth: Reverse<u64>,
}

struct Found {
    place: Place,
    line: LogLine,
}

impl PartialEq for Found {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}
impl Eq for Found {}
impl PartialOrd for Found {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Found {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place.cmp(&other.place)
    }
}

struct Search<'a> {
    query: &'a LogQuery,
    needles: Vec<String>,
    year: i16,
    now: TimestampMs,
    /// The newest so far, the oldest of them on top.
    kept: BinaryHeap<Reverse<Found>>,
    dropped: u64,
    unread: Vec<Fault>,
}

/// What one search may read.
struct Limits {
    /// Bytes of one source's plain files.
    share: usize,
    line_bytes_max: usize,
    /// Bytes that one packed file may become.
    unpacked_bytes_max: usize,
}

/// Where lines come from.
struct Lines {
    source: usize,
    /// The number behind which those of this file count.
    first: u64,
    labels: Labels,
}

pub(super) fn search(config: &LogsConfig, query: &LogQuery, now: TimestampMs) -> Result<LogAnswer, Fault> {
    let (sources, mut unreadable) = sources(config, &query.services);
    let mut search = Search {
        query,
        needles: query.contains.iter().map(|needle| needle.to_lowercase()).collect(),
        year: year_of(now),
        now,
        kept: BinaryHeap::new(),
        dropped: 0,
        unread: Vec::new(),
    };
    // Each file gets its share, so that a loud one cannot silence the others.
    let limits = Limits {
        share: config.search_bytes_max / sources.len().max(1),
        line_bytes_max: config.line_bytes_max,
        unpacked_bytes_max: config.search_bytes_max,
    };
    for (index, source) in sources.iter().enumerate() {
        if let Err(error) = search.read(index, source, &limits) {
            let (service, reason) = (Some(source.service.clone()), error.to_string());
            unreadable.push(Unreadable { service, path: source.path.clone(), reason });
        }
    }
    let read = sources.len() - unreadable.iter().filter(|one| one.service.is_some()).count();
    for one in &unreadable {
        let named = one.service.as_ref().is_some_and(|service| query.services.contains(service));
        if named || read == 0 {
            return Err(one.fault());
        }
        tracing::warn!(path = %one.path.display(), reason = one.reason, "log source unreadable");
        search.unread.push(one.fault());
    }
    Ok(search.finish())
}

impl Search<'_> {
    fn read(&mut self, index: usize, source: &FileSource, limits: &Limits) -> io::Result<()> {
        let mut budget = Budget(limits.share);
        let since = self.query.window.start.before_ms(DISORDER_MS);
        for (nth, generation) in (0u64..).zip(generations::open(&source.path, since)?) {
            let path = generation.path.to_string_lossy().into_owned();
            let labels = Labels::from([("service", source.service.as_str()), ("source", path.as_str())]);
            // Older generations stand before younger ones, whatever the lines' times.
            let lines = Lines { source: index, first: nth << GENERATION_BITS, labels };
            let goes_on = if generation.packed {
                self.read_packed(generation, &lines, limits)?
            } else {
                self.read_plain(generation, &lines, limits.line_bytes_max, &mut budget)?
            };
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    /// From the end back. Returns whether older lines may still belong to the window.
    fn read_plain(
        &mut self,
        generation: Generation,
        lines: &Lines,
        line_bytes_max: usize,
        budget: &mut Budget,
    ) -> io::Result<bool> {
        let mut reader = Backwards::new(generation.file, line_bytes_max)?;
        let mut untimed: Vec<(u64, String)> = Vec::new();
        let mut nth = lines.first;
        loop {
            let line = match reader.step(budget)? {
                Step::Line(line) => line,
                Step::Start => break,
                Step::Spent => {
                    let path = generation.path.display();
                    tracing::warn!(%path, "log search stopped at its byte budget");
                    return Ok(false);
                }
            };
            nth += 1;
            if line.trim().is_empty() {
                continue;
            }
            match self.time_of(&line) {
                Some(at) => {
                    for (nth, line) in untimed.drain(..) {
                        self.offer(Some(at), None, nth, lines, line);
                    }
                    if at < self.query.window.start.before_ms(DISORDER_MS) {
                        return Ok(false);
                    }
                    self.offer(Some(at), Some(at), nth, lines, line);
                }
                None if untimed.len() < UNTIMED_MAX => untimed.push((nth, line)),
                // No log of ours: what waited is taken as it stands.
                None => self.offer(None, None, nth, lines, line),
            }
        }
        for (nth, line) in untimed {
            self.offer(None, None, nth, lines, line);
        }
        Ok(true)
    }

    /// From the beginning on: what is packed cannot be read backwards. Returns as [`read_plain`](Self::read_plain).
    fn read_packed(&mut self, generation: Generation, lines: &Lines, limits: &Limits) -> io::Result<bool> {
        let path = generation.path.display().to_string();
        let input = BufReader::new(generation.file);
        let mut unpacked = BufReader::new(reader::open(input, limits.unpacked_bytes_max as u64)?);
        let (mut first_at, mut last_at) = (None, None);
        // Counts down, as if it were read from its end.
        let mut nth = lines.first + (1 << (GENERATION_BITS - 1));
        loop {
            let line = match forward_line(&mut unpacked, limits.line_bytes_max) {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(error) => {
                    // One that is being packed ends early: what came is taken.
                    tracing::warn!(path, %error, "packed log not read to its end");
                    break;
                }
            };
            nth = nth.saturating_sub(1);
            if line.trim().is_empty() {
                continue;
            }
            let at = self.time_of(&line);
            first_at = first_at.or(at);
            last_at = at.or(last_at);
            self.offer(last_at, at, nth, lines, line);
        }
        Ok(first_at.is_none_or(|at| at >= self.query.window.start.before_ms(DISORDER_MS)))
    }

    /// `stands_at`: where the line stands in time; `at`: the time that it carries itself.
    fn offer(
        &mut self,
        stands_at: Option<TimestampMs>,
        at: Option<TimestampMs>,
        nth: u64,
        lines: &Lines,
        line: String,
    ) {
        // A line that nobody can date is shown rather than hidden.
        if !stands_at.is_none_or(|at| self.query.window.contains(at)) || !self.contains_all(&line) {
            return;
        }
        let place = Place { at: stands_at, source: lines.source, nth: Reverse(nth) };
        let line = LogLine { at, labels: lines.labels.clone(), line };
        self.kept.push(Reverse(Found { place, line }));
        if self.kept.len() > self.query.limit {
            self.kept.pop();
            self.dropped += 1;
        }
    }

    fn contains_all(&self, line: &str) -> bool {
        if self.needles.is_empty() {
            return true;
        }
        let line = line.to_lowercase();
        self.needles.iter().all(|needle| line.contains(needle.as_str()))
    }

    fn time_of(&self, line: &str) -> Option<TimestampMs> {
        let line = line.trim_start();
        if line.starts_with('{') {
            return json_time(line, self.year).map(TimestampMs);
        }
        let found = timestamp::find(line, self.year)?;
        // Without a year, one that lies ahead is last year's: a December read in January.
        let ahead = found.at_ms > self.now.after_ms(24 * 60 * 60 * 1000).0;
        if ahead && !found.has_year {
            return timestamp::find(line, self.year - 1).map(|found| TimestampMs(found.at_ms));
        }
        Some(TimestampMs(found.at_ms))
    }

    fn finish(self) -> LogAnswer {
        let mut found: Vec<Found> = self.kept.into_iter().map(|Reverse(found)| found).collect();
        found.sort();
        LogAnswer {
            lines: found.into_iter().map(|found| found.line).collect(),
            dropped: self.dropped,
            unread: self.unread,
        }
    }
}

/// The next line without its end, cut off at the limit; what is beyond is passed over.
fn forward_line(input: &mut impl BufRead, line_bytes_max: usize) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let read = input.by_ref().take(line_bytes_max as u64).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') && read == line_bytes_max {
        input.skip_until(b'\n')?;
    }
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Ok(Some(String::from_utf8_lossy(line).into_owned()))
}

fn year_of(now: TimestampMs) -> i16 {
    let now = i64::try_from(now.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    now.map_or(1970, |now| now.to_zoned(jiff::tz::TimeZone::UTC).year())
}

/// The keys that loggers write the time under; everything else of a line is skipped unread.
#[derive(Deserialize)]
struct Stamp {
    ts: Option<serde_json::Value>,
    time: Option<serde_json::Value>,
    timestamp: Option<serde_json::Value>,
    #[serde(rename = "@timestamp")]
    at_timestamp: Option<serde_json::Value>,
}

fn json_time(line: &str, year: i16) -> Option<u64> {
    // A line that was cut has its time at the front, where most loggers write it; the whole is no JSON any more.
    let stamp: Stamp = serde_json::from_str(line).ok()?;
    [stamp.ts, stamp.time, stamp.timestamp, stamp.at_timestamp].into_iter().flatten().find_map(|value| {
        match value {
            serde_json::Value::String(text) => timestamp::parse(&text, year),
            serde_json::Value::Number(number) => number.as_f64().and_then(timestamp::from_epoch),
            _ => None,
        }
    })
}
