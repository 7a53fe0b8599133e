//! A question in plain words, answered by the configured sources.
//!
//! Owns how a question becomes a search and an answer: what a source can filter is asked of it, the rest is looked through
//! here, and what was not understood, not found or not looked through is said. What leaves is redacted.

use super::translate::translated;
use super::year_of;
use crate::api::auth::{Caller, Role};
use crate::api::operations::{Operations, bounded};
use crate::api::problem::Problem;
use medic_core::{TimeRange, TimestampMs};
use medic_ports::logs::{LogLine, LogQuery};
use medic_signals::logs::question::{Answer, Answering, service_matches};
use medic_signals::logs::reader::read_all;
use medic_signals::logs::{LogRecord, Miner, ReaderOptions, TemplateId, TypedQuery};
use medic_signals::redact::LineRedactor;
use std::collections::BTreeMap;

const QUESTION_CHARS_MAX: usize = 1_000;
const LINES_MAX: usize = 5_000;
/// Lines looked through for a question; what the source cannot filter is filtered here.
const FETCHED_LINES_MAX: usize = 20_000;
/// The window of a question that names none.
const WINDOW_DEFAULT_MS: u64 = 60 * 60 * 1000;
/// A line may be stamped by a clock that runs ahead of ours.
const CLOCK_SKEW_MS: u64 = 60 * 1000;
/// Services named when the one asked for is not among them.
const SERVICES_SHOWN: usize = 20;

#[derive(Clone, Debug)]
pub struct LogsAnswered {
    pub query: TypedQuery,
    pub window: TimeRange,
    /// Redacted; in order of time.
    pub lines: Vec<LogLine>,
    /// Records that matched, shown or not.
    pub matched: u64,
    /// Counts, where counts were asked for.
    pub groups: Vec<Group>,
    /// Of those that matched, in no group that is shown.
    pub ungrouped: u64,
    /// Lines that were cut by a limit: matching ones, or such that were not looked through.
    pub dropped: u64,
    /// What a model made of the question; `None` when none was asked.
    pub model_note: Option<String>,
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub count: u64,
    /// A template's text.
    pub text: String,
}

impl Operations {
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
        let ports = self.desk.ports();
        let (mut query, model_note) = translated(ports, text, now).await;
        if limit > 0 {
            query.limit = limit;
        }
        query.limit = query.limit.clamp(1, LINES_MAX);
        let window = window(&query, now);
        let mut notes = Vec::new();
        let services = match ports.logs.services(window).await {
            Ok(known) => services(&query, &known, &mut notes),
            Err(fault) => {
                notes.push(format!("{}: which services there are is not known: {fault}", fault.code));
                Vec::new()
            }
        };
        let single = |term: &medic_signals::logs::question::TextTerm| match term.any_of.as_slice() {
            [only] => Some(only.clone()),
            _ => None,
        };
        let contains = query.text.iter().filter_map(single).collect();
        let asked = LogQuery { window, services, contains, limit: FETCHED_LINES_MAX };
        let found = ports.logs.search(&asked).await?;
        notes.extend(found.unread.iter().map(|fault| format!("{}: not all was read: {fault}", fault.code)));
        let (lines, shown) = (found.lines, query.clone());
        // Some hundred thousand lines a second: not on a thread that answers others.
        let answering = tokio::task::spawn_blocking(move || answer(&shown, lines, now));
        let answered = answering.await.map_err(|error| {
            Problem::new(crate::api::problem::ProblemKind::Internal, "INTERNAL", error.to_string())
        })?;
        let cut = match query.answer {
            Answer::Lines => answered.matched.saturating_sub(answered.lines.len() as u64),
            _ => 0,
        };
        Ok(LogsAnswered { query, window, dropped: found.dropped + cut, model_note, notes, ..answered })
    }
}

/// The sources' own names of the services that were asked for. Empty asks for all: none was named, or the sources cannot
/// tell, or no name fits, which is said.
fn services(query: &TypedQuery, known: &[String], notes: &mut Vec<String>) -> Vec<String> {
    if query.services.is_empty() || known.is_empty() {
        return Vec::new();
    }
    let fits = |known: &&String| query.services.iter().any(|wanted| service_matches(wanted, known));
    let found: Vec<String> = known.iter().filter(fits).cloned().collect();
    for wanted in &query.services {
        if !known.iter().any(|service| service_matches(wanted, service)) {
            let shown: Vec<&str> = known.iter().take(SERVICES_SHOWN).map(String::as_str).collect();
            let more = if known.len() > SERVICES_SHOWN { ", …" } else { "" };
            notes.push(format!("no source is called {wanted}; there are: {}{more}", shown.join(", ")));
        }
    }
    found
}

fn answer(query: &TypedQuery, lines: Vec<LogLine>, now: TimestampMs) -> LogsAnswered {
    let records = records(&lines, now);
    let needs_templates = query.template.is_some() || query.answer == Answer::Templates;
    let mut miner = Miner::default();
    let ids: Vec<Option<TemplateId>> =
        records.iter().map(|record| needs_templates.then(|| miner.learn(&record.message).id)).collect();
    let mut answering = Answering::new(query.clone());
    for (record, id) in records.iter().zip(ids) {
        // Templates merge on the way.
        answering.push(record, id.map(|id| miner.resolve(id)));
    }
    let answered = answering.finish();
    let mut redactor = LineRedactor::default();
    let shown = answered.lines.into_iter().filter_map(|record| {
        let line = lines.get(usize::try_from(record.line).ok()?)?;
        let mut text = redactor.redact(&line.line).text;
        // The lines of its stack trace, which stood behind it.
        if let Some(stack) = record.fields.get("stack").filter(|_| !line.line.contains('\n')) {
            for frame in stack.lines() {
                text.push('\n');
                text.push_str(&redactor.redact(frame).text);
            }
        }
        Some(LogLine { line: text, ..line.clone() })
    });
    let lines = shown.collect();
    let template_text = |name: &str| {
        let id = name.parse().ok()?;
        miner.template(id).map(|template| medic_signals::redact::redact(&template.text).text)
    };
    let groups = answered.groups.into_iter().map(|(name, count)| {
        let text = needs_templates.then(|| template_text(&name)).flatten().unwrap_or_default();
        Group { name, count, text }
    });
    LogsAnswered {
        query: TypedQuery::default(),
        window: TimeRange::new(now, now),
        lines,
        matched: answered.matched,
        groups: groups.collect(),
        ungrouped: answered.ungrouped,
        dropped: 0,
        model_note: None,
        notes: Vec::new(),
    }
}

fn window(query: &TypedQuery, now: TimestampMs) -> TimeRange {
    let latest = now.after_ms(CLOCK_SKEW_MS);
    match query.range {
        None => TimeRange::new(now.before_ms(WINDOW_DEFAULT_MS), latest),
        Some(range) if range.end_ms == u64::MAX => TimeRange::new(TimestampMs(range.start_ms), latest),
        Some(range) => TimeRange::new(TimestampMs(range.start_ms), TimestampMs(range.end_ms)),
    }
}

/// The lines as the question sees them, in their order; `line` of each is the index of its first line. Lines of one source
/// are read together, so that its format is found out from all of them. The source's own time and service stand over what
/// a line says.
fn records(lines: &[LogLine], now: TimestampMs) -> Vec<LogRecord> {
    let mut by_source: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (index, line) in lines.iter().enumerate() {
        let label = |name: &str| line.labels.get(name).unwrap_or_default();
        by_source.entry((label("service"), label("source"))).or_default().push(index);
    }
    let mut records = Vec::with_capacity(lines.len());
    for ((service, _), indexes) in by_source {
        let mut bytes = Vec::new();
        // For each physical line, from 1, the line that it belongs to.
        let mut owners = vec![0];
        for (index, line) in indexes.into_iter().filter_map(|index| Some((index, lines.get(index)?))) {
            bytes.extend_from_slice(line.line.as_bytes());
            bytes.push(b'\n');
            owners.extend(std::iter::repeat_n(index, line.line.matches('\n').count() + 1));
        }
        let service = Some(service.to_owned()).filter(|service| !service.is_empty());
        let options =
            ReaderOptions { service: service.clone(), year: year_of(now), ..ReaderOptions::default() };
        for mut record in read_all(&bytes, options).0 {
            let owner = usize::try_from(record.line).ok().and_then(|line| owners.get(line)).copied();
            let Some(owner) = owner else { continue };
            if let Some(at) = lines.get(owner).and_then(|line| line.at) {
                record.at_ms = Some(at.0);
            }
            record.service = service.clone().or(record.service);
            record.line = owner as u64;
            records.push(record);
        }
    }
    records.sort_by_key(|record| record.line);
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use medic_core::Labels;
    use medic_signals::logs::translate;

    const NOW: TimestampMs = TimestampMs(1_795_345_000_000);

    fn line(seconds_ago: u64, service: &str, text: &str) -> LogLine {
        let labels = Labels::from([("service", service), ("source", "file")]);
        LogLine { at: Some(NOW.before_ms(seconds_ago * 1000)), labels, line: text.to_owned() }
    }

    fn asked(question: &str, lines: &[LogLine]) -> LogsAnswered {
        answer(&translate(question, NOW.0), lines.to_vec(), NOW)
    }

    #[test]
    fn question_without_a_time_means_the_last_hour() {
        let window = window(&translate("errors in checkout", NOW.0), NOW);
        assert_eq!(window.start, NOW.before_ms(3_600_000));
        assert!(window.contains(NOW));
    }

    #[test]
    fn lines_are_shown_whole_redacted_and_with_their_stack() {
        let mut lines = vec![
            line(
                60,
                "checkout",
                "2026-11-22T10:55:40Z ERROR cannot reach the database password=hunter2hunter2",
            ),
            line(50, "payments", "2026-11-22T10:55:50Z ERROR cannot reach the database"),
            line(40, "checkout", "2026-11-22T10:56:00Z INFO order placed"),
        ];
        lines.insert(
            1,
            LogLine { at: None, ..line(0, "checkout", "  at shop.Database.connect(Database.java:7)") },
        );
        let answered = asked("errors in checkout about the database", &lines);
        assert_eq!((answered.matched, answered.lines.len()), (1, 1));
        let text = &answered.lines[0].line;
        assert!(text.contains("cannot reach") && text.ends_with("connect(Database.java:7)"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
        assert_eq!(answered.lines[0].at, Some(NOW.before_ms(60_000)));
    }

    #[test]
    fn counts_are_given_by_service_and_by_template_with_its_text() {
        let lines: Vec<LogLine> = (0..30)
            .map(|n| {
                let service = if n % 3 == 0 { "cart" } else { "store" };
                line(100 - n, service, &format!("ERROR order {n} failed after {} ms", n * 7))
            })
            .collect();
        let services = asked("which services had errors", &lines);
        let named: Vec<(&str, u64)> =
            services.groups.iter().map(|one| (one.name.as_str(), one.count)).collect();
        assert_eq!(named, [("store", 20), ("cart", 10)]);
        let templates = asked("show=templates", &lines);
        assert_eq!(templates.groups.len(), 1, "{templates:?}");
        assert!(templates.groups[0].text.contains("failed after"), "{:?}", templates.groups);
        // A template's name holds from one question to the next.
        let again = asked(&format!("template={} last=2", templates.groups[0].name), &lines);
        assert_eq!((again.matched, again.lines.len()), (30, 2));
    }

    #[test]
    fn services_are_called_as_the_source_calls_them() {
        let known = ["cart-0", "cart-1", "db"].map(str::to_owned);
        let mut notes = Vec::new();
        assert_eq!(services(&translate("errors in cart", NOW.0), &known, &mut notes), ["cart-0", "cart-1"]);
        assert!(notes.is_empty());
        assert!(services(&translate("errors", NOW.0), &known, &mut notes).is_empty());
        assert!(services(&translate("service=carrot", NOW.0), &known, &mut notes).is_empty());
        assert_eq!(notes, ["no source is called carrot; there are: cart-0, cart-1, db"]);
    }
}
