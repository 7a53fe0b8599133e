//! Which components began to log something else: the share of each template among a component's own lines.
//!
//! Owns the comparison before and after the onset. Never counts lines by themselves: a component that gets twice
//! the traffic writes twice of everything, and nothing is new.
//!
//! For a template that makes up `b` of `B` lines of its component before the onset and `a` of `A` after it, `e =
//! b·A/B` were to be expected, and `z = (a − e)/√(a + e + 1)` says how far from chance that is (the difference of two
//! Poisson counts in its own standard deviations, with one line of doubt). A template that went missing counts as
//! well: behind an early return the lines of success no longer come.

use super::meaning::without_pod_suffix;
use crate::logs::mask::clip;
use crate::logs::novelty::tells_of_failure;
use crate::logs::{Level, LogRecord, Miner, TemplateId};
use std::collections::{BTreeMap, BTreeSet};

/// Columns in which a plain line may name its component.
const COLUMNS_MAX: usize = 6;
/// Lines without a word of trouble are mostly another path through healthy code.
const EVERYDAY_WEIGHT: f64 = 0.2;
const WARN_WEIGHT: f64 = 0.5;
/// Words of failure below the level of a warning.
const FAILURE_WEIGHT: f64 = 0.85;
/// What went missing says less than what came.
const MISSING_WEIGHT: f64 = 0.4;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct LogChange {
    pub component: String,
    pub template: String,
    /// As it was read; for a missing template, from before.
    pub sample: String,
    pub before: u64,
    pub after: u64,
    /// In weighted standard deviations; never negative.
    pub surprise: f64,
    pub is_missing: bool,
    pub first_ms: Option<u64>,
}

struct Tally<'a> {
    before: u64,
    after: u64,
    example: &'a LogRecord,
    first_ms: Option<u64>,
}

/// Changes at `onset_ms`, the most surprising first. Records without a time or a component are left out. Those of the
/// `guard_ms` before the onset may belong to either side, and count for neither where the past without them is a
/// quarter as long as what came after.
pub(super) fn changes(
    records: &[LogRecord],
    known: &BTreeSet<&str>,
    onset_ms: u64,
    guard_ms: u64,
) -> Vec<LogChange> {
    let column = column_of_components(records, known);
    let mut timed: Vec<(u64, &LogRecord)> =
        records.iter().filter_map(|record| Some((record.at_ms?, record))).collect();
    timed.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.line.cmp(&b.1.line)).then_with(|| a.1.raw.cmp(&b.1.raw)));
    let lines = |until_ms: u64| timed.partition_point(|(at_ms, _)| *at_ms < until_ms);
    let (clean_ms, after) = (onset_ms.saturating_sub(guard_ms), timed.len() - lines(onset_ms));
    let guard = if 4 * lines(clean_ms) >= after { clean_ms..onset_ms } else { onset_ms..onset_ms };
    let mut miner = Miner::default();
    let mut tallies: BTreeMap<(String, TemplateId, Option<Level>), Tally> = BTreeMap::new();
    let mut totals: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (at_ms, record) in timed.into_iter().filter(|(at_ms, _)| !guard.contains(at_ms)) {
        let Some(component) = component(record, known, column) else { continue };
        let id = miner.learn(spoken(record, column)).id;
        let total = totals.entry(component.clone()).or_default();
        let tally = tallies.entry((component, id, record.level)).or_insert(Tally {
            before: 0,
            after: 0,
            example: record,
            first_ms: None,
        });
        if at_ms < onset_ms {
            tally.before += 1;
            total.0 += 1;
        } else {
            tally.after += 1;
            total.1 += 1;
            if tally.first_ms.is_none() {
                tally.first_ms = Some(at_ms);
                tally.example = record;
            }
        }
    }
    if totals.values().all(|(before, _)| *before == 0) {
        // Nothing to compare with: everything would be new.
        return Vec::new();
    }
    let mut changes: Vec<LogChange> = tallies
        .into_iter()
        .filter_map(|((component, id, level), tally)| {
            let (before, after) = totals.get(&component).copied()?;
            let expected = tally.before as f64 * after as f64 / before.max(1) as f64;
            let after = tally.after as f64;
            let z = (after - expected) / (after + expected + 1.0).sqrt();
            let is_missing = z < 0.0;
            let weight = if is_missing { MISSING_WEIGHT } else { weight(tally.example, level) };
            (z != 0.0).then(|| LogChange {
                component,
                template: miner
                    .template(id)
                    .map_or_else(|| tally.example.message.clone(), |template| template.text),
                sample: clip(&tally.example.raw, 512).to_owned(),
                before: tally.before,
                after: tally.after,
                surprise: z.abs() * weight,
                is_missing,
                first_ms: tally.first_ms.filter(|_| !is_missing),
            })
        })
        .collect();
    changes.sort_by(|a, b| {
        b.surprise
            .total_cmp(&a.surprise)
            .then_with(|| a.component.cmp(&b.component))
            .then_with(|| a.template.cmp(&b.template))
            .then_with(|| a.sample.cmp(&b.sample))
    });
    changes
}

fn weight(record: &LogRecord, level: Option<Level>) -> f64 {
    match level {
        Some(Level::Error | Level::Fatal) => 1.0,
        _ if record.fields.contains_key("stack") => 1.0,
        Some(Level::Warn) => WARN_WEIGHT,
        _ if tells_of_failure(&record.message) => FAILURE_WEIGHT,
        _ => EVERYDAY_WEIGHT,
    }
}

/// Whose line it is: what the format says, or the column that names components.
fn component(record: &LogRecord, known: &BTreeSet<&str>, column: Option<usize>) -> Option<String> {
    if let Some(service) = record.service.as_deref().filter(|service| !service.is_empty()) {
        let bare = without_pod_suffix(service);
        return Some(if known.contains(service) { service } else { bare }.to_owned());
    }
    let word = record.raw.split_whitespace().nth(column?)?;
    Some(named(word, known)?.to_owned())
}

/// What the line says: behind the column of components in a plain line, without time and level; the message of a
/// structured one.
fn spoken(record: &LogRecord, column: Option<usize>) -> &str {
    let Some(column) = column.filter(|_| record.service.is_none()) else {
        return if record.message.is_empty() { &record.raw } else { &record.message };
    };
    let mut rest = record.raw.as_str();
    for _ in 0..=column {
        rest = rest.trim_start().split_once(char::is_whitespace).map_or("", |(_, rest)| rest);
    }
    while let Some((word, after)) = rest.trim_start().split_once(char::is_whitespace) {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_time = bare.contains(':') && bare.starts_with(|c: char| c.is_ascii_digit());
        if !is_time && Level::parse(bare).is_none() {
            break;
        }
        rest = after;
    }
    rest.trim_start()
}

fn named<'a>(word: &'a str, known: &BTreeSet<&str>) -> Option<&'a str> {
    let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    [word, without_pod_suffix(word)].into_iter().find(|name| known.contains(name))
}

/// The column in which most lines name a known component; None if not even a third do.
fn column_of_components(records: &[LogRecord], known: &BTreeSet<&str>) -> Option<usize> {
    let mut votes = [0usize; COLUMNS_MAX];
    let mut lines = 0usize;
    // A sample over the whole recording: 2,000 lines tell a column.
    let every = records.len().div_ceil(2_000).max(1);
    for record in records.iter().step_by(every).filter(|record| record.service.is_none()) {
        lines += 1;
        for (vote, word) in votes.iter_mut().zip(record.raw.split_whitespace()) {
            *vote += usize::from(named(word, known).is_some());
        }
    }
    let (column, most) =
        votes.iter().enumerate().max_by_key(|(column, votes)| (**votes, COLUMNS_MAX - column))?;
    (3 * *most >= lines && *most > 0).then_some(column)
}
