//! Logs: what an upload says, and what the configured sources answer to a question in plain words.

use super::{Operations, bounded};
use crate::api::auth::{Caller, Role};
use crate::api::problem::{Problem, ProblemKind};
use medic_core::{TimeRange, TimestampMs};
use medic_ports::logs::{LogLine, LogQuery};
use medic_signals::logs::{
    AnalyzeOptions, LogRecord, LogReport, ReaderOptions, TypedQuery, reader, translate,
};
use medic_signals::redact::redact;

/// Bytes of an upload. 32 MiB: records of it take some three times that, twice at a time.
pub const LOG_BYTES_MAX: usize = 32 * 1024 * 1024;
const QUESTION_CHARS_MAX: usize = 1_000;
const LINES_MAX: usize = 5_000;
/// Lines looked through for a question; what the source cannot filter is filtered here.
const FETCHED_LINES_MAX: usize = 20_000;
/// The window of a question that names none.
const WINDOW_DEFAULT_MS: u64 = 60 * 60 * 1000;
/// A line may be stamped by a clock that runs ahead of ours.
const CLOCK_SKEW_MS: u64 = 60 * 1000;

#[derive(Clone, Debug)]
pub struct LogsReported {
    pub report: LogReport,
    pub lines: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug)]
pub struct LogsAnswered {
    pub query: TypedQuery,
    pub window: TimeRange,
    /// Redacted; in order of time.
    pub lines: Vec<LogLine>,
    /// Lines that matched and were cut by a limit.
    pub dropped: u64,
}

impl Operations {
    /// `year`: of timestamps that carry none; 0 takes the clock's. The upload is not kept.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` above [`LOG_BYTES_MAX`], `BUSY` while two analyses are under way.
    pub async fn analyze_logs(
        &self,
        caller: &Caller,
        name: String,
        year: u32,
        body: Vec<u8>,
    ) -> Result<LogsReported, Problem> {
        caller.needs(Role::Viewer)?;
        if body.len() > LOG_BYTES_MAX {
            return Err(too_large());
        }
        let permit = self.analyses.clone().try_acquire_owned().map_err(|_| Problem {
            retry_after_ms: Some(2_000),
            ..Problem::new(ProblemKind::Unavailable, "BUSY", "two analyses are under way already")
        })?;
        let year = match i16::try_from(year) {
            Ok(year) if year > 0 => year,
            _ => year_of(self.now()),
        };
        // Seconds of computing: not on a thread that answers others.
        let analysed = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let service = Some(name).filter(|name| !name.is_empty());
            let (records, stats) =
                reader::read_all(&body, ReaderOptions { service, year, ..Default::default() });
            let options = AnalyzeOptions { broken: stats.broken, ..Default::default() };
            let mut report = medic_signals::logs::analyze(&records, None, &options);
            redact_report(&mut report);
            LogsReported { report, lines: stats.lines, bytes: stats.bytes }
        });
        analysed.await.map_err(|error| Problem::new(ProblemKind::Internal, "INTERNAL", error.to_string()))
    }

    /// `now`: what the question's "now" means; `limit`: 0 takes what the question says.
    pub async fn query_logs(
        &self,
        caller: &Caller,
        text: &str,
        now: Option<TimestampMs>,
        limit: usize,
    ) -> Result<LogsAnswered, Problem> {
        caller.needs(Role::Viewer)?;
        bounded("text", text, 1, QUESTION_CHARS_MAX)?;
        let now = now.unwrap_or_else(|| self.now());
        let mut query = translate(text, now.0);
        if query.template.take().is_some() {
            // A template has its name within one analysis; lines of a source carry none.
            query.not_understood.push("template".to_owned());
        }
        let window = window(&query, now);
        let asked = LogQuery {
            window,
            // Names are matched more kindly here than a source would.
            services: Vec::new(),
            contains: query
                .text
                .iter()
                .filter_map(|term| match term.any_of.as_slice() {
                    [only] => Some(only.clone()),
                    _ => None,
                })
                .collect(),
            limit: FETCHED_LINES_MAX,
        };
        let answer = self.desk.ports().logs.search(&asked).await?;
        let mut lines: Vec<LogLine> =
            answer.lines.into_iter().filter(|line| query.matches(&record_of(line, now))).collect();
        let limit = (if limit == 0 { query.limit } else { limit }).clamp(1, LINES_MAX);
        let cut = lines.len().saturating_sub(limit);
        if query.newest_first {
            lines.drain(..cut);
        } else {
            lines.truncate(limit);
        }
        for line in &mut lines {
            line.line = redact(&line.line).text;
        }
        Ok(LogsAnswered { query, window, lines, dropped: answer.dropped + cut as u64 })
    }
}

pub fn too_large() -> Problem {
    let message = format!("an upload holds at most {LOG_BYTES_MAX} bytes");
    Problem::new(ProblemKind::TooLarge, "LIMIT_EXCEEDED", message)
}

fn window(query: &TypedQuery, now: TimestampMs) -> TimeRange {
    let latest = now.after_ms(CLOCK_SKEW_MS);
    match query.range {
        None => TimeRange::new(now.before_ms(WINDOW_DEFAULT_MS), latest),
        Some(range) if range.end_ms == u64::MAX => TimeRange::new(TimestampMs(range.start_ms), latest),
        Some(range) => TimeRange::new(TimestampMs(range.start_ms), TimestampMs(range.end_ms)),
    }
}

/// The line as the question sees it. The source's own time and service stand where the line says none.
fn record_of(line: &LogLine, now: TimestampMs) -> LogRecord {
    let options = ReaderOptions { year: year_of(now), ..Default::default() };
    let read = reader::read_all(line.line.as_bytes(), options).0.into_iter().next();
    let mut record = read.unwrap_or_else(|| LogRecord { message: line.line.clone(), ..Default::default() });
    if let Some(at) = line.at {
        record.at_ms = Some(at.0);
    }
    if let Some(service) = line.labels.get("service") {
        record.service = Some(service.to_owned());
    }
    record
}

fn redact_report(report: &mut LogReport) {
    let clean = |text: &mut String| {
        let redacted = redact(text);
        if !redacted.is_clean() {
            *text = redacted.text;
        }
    };
    clean(&mut report.summary);
    for template in report.templates.iter_mut().chain(&mut report.new_templates) {
        clean(&mut template.sample);
        clean(&mut template.template);
    }
    for anomaly in &mut report.anomalies {
        clean(&mut anomaly.reason);
        clean(&mut anomaly.template);
        anomaly.evidence.iter_mut().for_each(|line| clean(&mut line.text));
    }
    for change in &mut report.rate_changes {
        clean(&mut change.template);
    }
}

fn year_of(at: TimestampMs) -> i16 {
    let at = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or(1970, |at| at.to_zoned(jiff::tz::TimeZone::UTC).year())
}

#[cfg(test)]
mod tests {
    use super::*;
    use medic_core::Labels;

    const NOW: TimestampMs = TimestampMs(1_795_345_000_000);

    #[test]
    fn question_without_a_time_means_the_last_hour() {
        let query = translate("errors in checkout", NOW.0);
        let window = window(&query, NOW);
        assert_eq!(window.start, NOW.before_ms(3_600_000));
        assert!(window.contains(NOW));
        assert_eq!(year_of(NOW), 2026);
    }

    #[test]
    fn sources_labels_stand_in_for_what_the_line_does_not_say() {
        let line = LogLine {
            at: Some(NOW),
            labels: Labels::from([("service", "checkout")]),
            line: "ERROR cannot reach the database".to_owned(),
        };
        let record = record_of(&line, NOW);
        assert_eq!((record.at_ms, record.service.as_deref()), (Some(NOW.0), Some("checkout")));
        let asked = |text: &str| translate(text, NOW.0 + 1_000).matches(&record);
        assert!(asked("errors in checkout about the database"), "{record:?}");
        assert!(!asked("errors in payments about the database"));
    }
}
