//! What a service says after an onset that it did not say before.
//!
//! Owns the comparison of each service with its own past: faults in code show nowhere else. Never compares
//! services with each other by volume; a quiet service's first complaint counts as much as a loud one's.
//!
//! The score of a template in a service is `surprise · weight`. With `a` lines after the onset, `b` before, and
//! the spans `A` and `B` of the service's records on each side, `e = b·A/B` lines were to be expected:
//! `surprise = (a − e) / (a + e + 1)`, 0 if negative: one line never seen before gives 0.5, five 0.83, a doubled
//! rate at most 0.33. The weight is the line's own claim to be trouble: its level, or words of failure.

use super::record::{Level, LogRecord};
use super::templates::{Miner, TemplateId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A template that is new, or much more frequent, in a service since the onset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Novelty {
    /// The empty string for records that name none.
    pub service: String,
    pub id: TemplateId,
    pub template: String,
    /// In [0, 1].
    pub score: f64,
    /// The first time of the template after the onset.
    pub first_ms: u64,
    pub level: Option<Level>,
    pub before: u64,
    pub after: u64,
    /// The first such line, as it was read.
    pub sample: String,
    pub sample_line: u64,
}

/// Spans shorter than this are taken as this long: two lines a millisecond apart make no rate.
const SPAN_MS_MIN: u64 = 10_000;
const SCORE_MIN: f64 = 0.05;

#[derive(Default)]
struct Tally<'a> {
    before: u64,
    after: u64,
    first: Option<(&'a LogRecord, u64)>,
    level: Option<Level>,
}

/// Novelties since `onset_ms`, highest score first; then earlier, then by service and id. Records without a
/// time are left out.
pub fn novelty(records: &[LogRecord], onset_ms: u64) -> Vec<Novelty> {
    let mut miner = Miner::default();
    let mut tallies: BTreeMap<(&str, TemplateId), Tally> = BTreeMap::new();
    let mut spans: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let mut timed: Vec<(u64, &LogRecord)> =
        records.iter().filter_map(|record| Some((record.at_ms?, record))).collect();
    timed.sort_by_key(|(at_ms, record)| (*at_ms, record.line));
    let mut ids: Vec<(u64, &LogRecord, TemplateId)> = Vec::with_capacity(timed.len());
    for (at_ms, record) in timed {
        ids.push((at_ms, record, miner.learn(&record.message).id));
    }
    for (at_ms, record, id) in ids {
        let id = miner.resolve(id);
        let service = record.service_or_empty();
        let span = spans.entry(service).or_insert((at_ms, at_ms));
        *span = (span.0.min(at_ms), span.1.max(at_ms));
        let tally = tallies.entry((service, id)).or_default();
        if at_ms < onset_ms {
            tally.before += 1;
        } else {
            tally.after += 1;
            tally.level = tally.level.max(severity(record));
            if tally.first.is_none() {
                tally.first = Some((record, at_ms));
            }
        }
    }
    let mut found: Vec<Novelty> = tallies
        .into_iter()
        .filter_map(|((service, id), tally)| {
            let (record, first_ms) = tally.first?;
            let (start_ms, end_ms) = spans.get(service).copied()?;
            let before_ms = onset_ms.saturating_sub(start_ms).max(SPAN_MS_MIN);
            let after_ms = end_ms.saturating_sub(onset_ms).max(SPAN_MS_MIN);
            let score =
                surprise(tally.before, tally.after, before_ms, after_ms) * weight(record, tally.level);
            (score >= SCORE_MIN).then(|| Novelty {
                service: service.to_owned(),
                id,
                template: miner.template(id).map_or_else(|| record.message.clone(), |template| template.text),
                score,
                first_ms,
                level: tally.level,
                before: tally.before,
                after: tally.after,
                sample: record.raw.clone(),
                sample_line: record.line,
            })
        })
        .collect();
    found.sort_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then(a.first_ms.cmp(&b.first_ms))
            .then_with(|| a.service.cmp(&b.service))
            .then(a.id.cmp(&b.id))
    });
    found
}

/// See the module.
pub(crate) fn surprise(before: u64, after: u64, before_ms: u64, after_ms: u64) -> f64 {
    let expected = before as f64 * after_ms as f64 / before_ms.max(1) as f64;
    let after = after as f64;
    ((after - expected) / (after + expected + 1.0)).max(0.0)
}

/// The level, raised to error by a stack trace.
fn severity(record: &LogRecord) -> Option<Level> {
    if record.fields.contains_key("stack") { record.level.max(Some(Level::Error)) } else { record.level }
}

/// How much a line claims to be trouble, in [0, 1].
pub(crate) fn weight(record: &LogRecord, level: Option<Level>) -> f64 {
    let by_level = match level {
        Some(Level::Fatal | Level::Error) => 1.0,
        Some(Level::Warn) => 0.85,
        Some(Level::Info) | None => 0.5,
        Some(Level::Debug | Level::Trace) => 0.3,
    };
    if by_level < 0.85 && tells_of_failure(&record.message) { 0.85 } else { by_level }
}

/// Words of failure in any case, at the beginning of a word (`timeout`, `TimeoutException`, `failed`).
pub(crate) fn tells_of_failure(message: &str) -> bool {
    const STEMS: [&str; 22] = [
        "error",
        "exception",
        "fail",
        "fatal",
        "panic",
        "refused",
        "timeout",
        "timed out",
        "denied",
        "unreachable",
        "unavailable",
        "out of memory",
        "oom",
        "exhausted",
        "overflow",
        "corrupt",
        "abort",
        "crash",
        "killed",
        "no space left",
        "deadlock",
        "throttl",
    ];
    let text = super::mask::clip(message, 2048).to_ascii_lowercase();
    STEMS.iter().any(|stem| text.contains(stem)) && !text.contains("no error") && !text.contains("0 errors")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(second: u64, service: &str, level: Level, message: &str) -> LogRecord {
        LogRecord {
            at_ms: Some(second * 1000),
            level: Some(level),
            service: Some(service.into()),
            message: message.into(),
            raw: message.into(),
            line: second,
            ..LogRecord::default()
        }
    }

    #[test]
    fn a_service_is_compared_with_its_own_past() {
        let mut records = Vec::new();
        for second in 0..200 {
            // The same words are old news in one service and new in the other.
            records.push(record(second, "store", Level::Warn, "disk slow on sda7"));
            records.push(record(second, "cart", Level::Info, "cart 7 saved"));
            if second >= 100 && second % 10 == 0 {
                records.push(record(second, "cart", Level::Warn, "disk slow on sdb9"));
            }
        }
        let found = novelty(&records, 100_000);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (found[0].service.as_str(), found[0].first_ms, found[0].before, found[0].after),
            ("cart", 100_000, 0, 10)
        );
        assert!(found[0].score > 0.7);
    }

    #[test]
    fn an_error_outranks_new_chatter_and_a_doubled_rate() {
        let mut records = Vec::new();
        for second in 0..200 {
            records.push(record(second, "cart", Level::Error, "retry of call 1 failed"));
            if second >= 100 {
                records.push(record(second, "cart", Level::Error, "retry of call 2 failed"));
                records.push(record(second, "cart", Level::Info, "hello there"));
                records.push(record(second, "cart", Level::Error, "schema mismatch in column total"));
            }
        }
        let found = novelty(&records, 100_000);
        let order: Vec<&str> = found.iter().map(|one| one.template.as_str()).collect();
        assert_eq!(order, ["schema mismatch in column total", "hello there", "retry of call <*> failed"]);
        assert!(found[2].score < 0.4);
    }

    #[test]
    fn nothing_after_the_onset_and_no_times_give_nothing() {
        let records =
            vec![record(1, "a", Level::Error, "x y z"), LogRecord { at_ms: None, ..LogRecord::default() }];
        assert!(novelty(&records, 5_000_000).is_empty());
        assert!(novelty(&[], 0).is_empty());
    }
}
