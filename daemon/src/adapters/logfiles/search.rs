//! One search over the files: what belongs to the window, and in which order.

use super::backwards::{Backwards, Budget, Step};
use super::{FileSource, LogsConfig, Unreadable, generations, sources};
use medic_core::{Fault, Labels, TimestampMs};
use medic_ports::logs::{LogAnswer, LogLine, LogQuery};
use medic_signals::timestamp;
use serde::Deserialize;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io;

/// How far before the window a line's time must lie for the reading to end. 10 s: writers buffer, threads race, and lines
/// stand a little out of order; not by more.
const DISORDER_MS: u64 = 10_000;
/// Lines without a time that wait for the line they belong to. 2,000: no stack trace is longer.
const UNTIMED_MAX: usize = 2_000;

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
    };
    // Each file gets its share, so that a loud one cannot silence the others.
    let share = config.search_bytes_max / sources.len().max(1);
    for (index, source) in sources.iter().enumerate() {
        if let Err(error) = search.read(index, source, config.line_bytes_max, share) {
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
    }
    Ok(search.finish())
}

impl Search<'_> {
    fn read(
        &mut self,
        index: usize,
        source: &FileSource,
        line_bytes_max: usize,
        share: usize,
    ) -> io::Result<()> {
        let mut budget = Budget(share);
        let mut nth = 0;
        for path in generations(&source.path) {
            let file = File::open(&path)?;
            // A pipe would block, a directory is no log.
            if !file.metadata()?.is_file() {
                return Err(io::Error::other("not a regular file"));
            }
            let labels =
                Labels::from([("service", source.service.as_str()), ("source", &path.to_string_lossy())]);
            let mut reader = Backwards::new(file, line_bytes_max)?;
            let mut untimed: Vec<(u64, String)> = Vec::new();
            loop {
                let line = match reader.step(&mut budget)? {
                    Step::Line(line) => line,
                    Step::Start => break,
                    Step::Spent => {
                        tracing::warn!(path = %path.display(), share, "log search stopped at its byte budget");
                        return Ok(());
                    }
                };
                nth += 1;
                if line.trim().is_empty() {
                    continue;
                }
                match self.time_of(&line) {
                    Some(at) => {
                        for (nth, line) in untimed.drain(..) {
                            self.offer(
                                Some(at),
                                None,
                                Place { at: Some(at), source: index, nth: Reverse(nth) },
                                &labels,
                                line,
                            );
                        }
                        if at.after_ms(DISORDER_MS) < self.query.window.start {
                            return Ok(());
                        }
                        self.offer(
                            Some(at),
                            Some(at),
                            Place { at: Some(at), source: index, nth: Reverse(nth) },
                            &labels,
                            line,
                        );
                    }
                    None if untimed.len() < UNTIMED_MAX => untimed.push((nth, line)),
                    // No log of ours: what waited is taken as it stands.
                    None => {
                        self.offer(
                            None,
                            None,
                            Place { at: None, source: index, nth: Reverse(nth) },
                            &labels,
                            line,
                        );
                    }
                }
            }
            for (nth, line) in untimed {
                self.offer(None, None, Place { at: None, source: index, nth: Reverse(nth) }, &labels, line);
            }
        }
        Ok(())
    }

    /// `stands_at`: where the line stands in time; `at`: the time that it carries itself.
    fn offer(
        &mut self,
        stands_at: Option<TimestampMs>,
        at: Option<TimestampMs>,
        place: Place,
        labels: &Labels,
        line: String,
    ) {
        // A line that nobody can date is shown rather than hidden.
        if !stands_at.is_none_or(|at| self.query.window.contains(at)) || !self.contains_all(&line) {
            return;
        }
        self.kept.push(Reverse(Found { place, line: LogLine { at, labels: labels.clone(), line } }));
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
        LogAnswer { lines: found.into_iter().map(|found| found.line).collect(), dropped: self.dropped }
    }
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
