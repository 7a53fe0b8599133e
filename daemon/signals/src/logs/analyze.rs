//! A heap of records as one screen: what is new, what changed, since when, in which services.
//!
//! Owns the report. Never reads bytes (see [`super::reader`]) and never ranks causes (see [`crate::correlate`]).
//!
//! With a baseline, records are compared with it. Without one, those before the onset are compared with those
//! after; the onset is the caller's, or found in the records: a shift in the flow of lines that tell of trouble.

use super::baseline::Baseline;
use super::novelty::{self, Novelty, surprise, weight};
use super::record::{Level, LogRecord};
use super::sessions::{SessionOptions, SessionReport, score_alone};
use super::templates::{Miner, TemplateId};
use crate::series::{Sample, Series};
use crate::shift::{self, Direction, ShiftOptions};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod summary;

use summary::{cut, summary};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnalyzeOptions {
    /// When the trouble began, if that is known.
    pub onset_ms: Option<u64>,
    /// Lines that the reader could not read in full: only passed on.
    pub broken: u64,
    pub templates_top: usize,
    pub anomalies_max: usize,
    /// Lines cited for one anomaly.
    pub evidence_lines_max: usize,
    /// Anomalies scored below are left out.
    pub score_min: f64,
}

impl Default for AnalyzeOptions {
    /// Ten of each: what fits on a screen.
    fn default() -> Self {
        Self {
            onset_ms: None,
            broken: 0,
            templates_top: 10,
            anomalies_max: 10,
            evidence_lines_max: 3,
            score_min: 0.25,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LogReport {
    pub lines: u64,
    pub broken: u64,
    pub start_ms: Option<u64>,
    pub end_ms: Option<u64>,
    pub levels: BTreeMap<Level, u64>,
    /// By name; the empty name stands for records without one.
    pub services: BTreeMap<String, ServiceSummary>,
    pub templates_total: usize,
    /// Templates forgotten to keep within the miner's limit.
    pub templates_evicted: u64,
    /// The most frequent.
    pub templates: Vec<TemplateSummary>,
    /// Unknown to the baseline or, without one, first seen after the onset; earliest first.
    pub new_templates: Vec<TemplateSummary>,
    pub rate_changes: Vec<RateChange>,
    /// What deserves a look, highest score first.
    pub anomalies: Vec<LogAnomaly>,
    /// The entities that thread the lines, judged by the baseline's or, without one, by each other; None if nothing
    /// threads them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<SessionReport>,
    pub onset_ms: Option<u64>,
    /// At most a screen of text.
    pub summary: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServiceSummary {
    pub lines: u64,
    pub warnings: u64,
    pub errors: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateSummary {
    pub id: TemplateId,
    pub template: String,
    pub count: u64,
    pub level: Option<Level>,
    pub services: Vec<String>,
    pub first_ms: Option<u64>,
    pub sample: String,
    pub sample_line: u64,
}

/// A known template that comes more or less often than before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RateChange {
    pub id: TemplateId,
    pub template: String,
    pub direction: Direction,
    /// Lines a minute.
    pub before_per_min: f64,
    pub after_per_min: f64,
    /// In [0, 1].
    pub score: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogAnomaly {
    pub kind: AnomalyKind,
    /// In [0, 1].
    pub score: f64,
    pub service: String,
    pub id: TemplateId,
    pub template: String,
    /// One line for people.
    pub reason: String,
    pub first_ms: Option<u64>,
    /// The first lines that show it, by number and as they were read.
    pub evidence: Vec<EvidenceLine>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyKind {
    NewTemplate,
    MoreFrequent,
    LessFrequent,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceLine {
    pub line: u64,
    pub text: String,
}

/// A line in a report is cut off here; the record has it in full.
const EVIDENCE_BYTES_MAX: usize = 400;
/// The flow of trouble is counted in this many buckets at most.
const BUCKETS_MAX: u64 = 240;
/// Without a clear shift, the lines that tell of trouble are too few to have an onset.
const ONSET_LINES_MIN: usize = 3;

#[derive(Default)]
struct Tally<'a> {
    count: u64,
    before: u64,
    after: u64,
    level: Option<Level>,
    /// Per service: lines in all.
    services: BTreeMap<&'a str, u64>,
    first: Option<&'a LogRecord>,
    /// The first records within what is compared.
    evidence: Vec<&'a LogRecord>,
}

impl Tally<'_> {
    fn main_service(&self) -> &str {
        self.services
            .iter()
            .max_by(|a, b| a.1.cmp(b.1).then_with(|| b.0.cmp(a.0)))
            .map_or("", |(name, _)| name)
    }
}

/// Reads the records as a whole. Deterministic.
pub fn analyze(records: &[LogRecord], baseline: Option<&Baseline>, options: &AnalyzeOptions) -> LogReport {
    let mut miner = baseline.map_or_else(Miner::default, Baseline::miner);
    let ids: Vec<TemplateId> = records.iter().map(|record| miner.learn(&record.message).id).collect();
    // Templates merge on the way.
    let ids: Vec<TemplateId> = ids.into_iter().map(|id| miner.resolve(id)).collect();
    let mut report = overview(records, options);
    report.templates_total = miner.len();
    report.templates_evicted = miner.evicted();
    let flow_onset_ms = options.onset_ms.or_else(|| flow_onset(records));
    // With a baseline all records are "after"; without an onset nothing can be compared.
    let split_ms = if baseline.is_some() { Some(0) } else { flow_onset_ms };
    let tallies = tally(records, &ids, split_ms, options);

    let text = |id: TemplateId, tally: &Tally| {
        miner.template(id).map_or_else(
            || tally.first.map_or_else(String::new, |record| record.message.clone()),
            |template| template.text,
        )
    };
    let summarise = |id: TemplateId, tally: &Tally| TemplateSummary {
        id,
        template: text(id, tally),
        count: tally.count,
        level: tally.level,
        services: tally
            .services
            .keys()
            .filter(|name| !name.is_empty())
            .map(|name| (*name).to_owned())
            .collect(),
        first_ms: tally.first.and_then(|record| record.at_ms),
        sample: tally.first.map_or_else(String::new, |record| cut(&record.raw, EVIDENCE_BYTES_MAX)),
        sample_line: tally.first.map_or(0, |record| record.line),
    };
    let mut by_count: Vec<(&TemplateId, &Tally)> = tallies.iter().collect();
    by_count.sort_by(|a, b| b.1.count.cmp(&a.1.count).then(a.0.cmp(b.0)));
    report.templates =
        by_count.iter().take(options.templates_top).map(|(id, tally)| summarise(**id, tally)).collect();

    let spans = spans(&report, baseline, split_ms);
    for (id, tally) in &tallies {
        let known = match baseline {
            Some(baseline) => baseline.templates.get(id).map_or(0, |template| template.count),
            None => tally.before,
        };
        let Some((before_ms, after_ms)) = spans.filter(|_| tally.after > 0 || known > 0) else { continue };
        if known == 0 {
            report.new_templates.push(summarise(*id, tally));
        }
        if let Some(change) = rate_change(*id, &text(*id, tally), known, tally.after, before_ms, after_ms) {
            report.rate_changes.push(change);
        }
        if let Some(anomaly) = anomaly(*id, &text(*id, tally), tally, known, (before_ms, after_ms))
            && anomaly.score >= options.score_min
        {
            report.anomalies.push(anomaly);
        }
    }
    if let (Some(baseline), Some((before_ms, after_ms))) = (baseline, spans) {
        // A template of the baseline that does not come at all has no tally.
        for (id, template) in baseline.templates.iter().filter(|(id, _)| !tallies.contains_key(id)) {
            report.rate_changes.extend(rate_change(
                *id,
                &template.text,
                template.count,
                0,
                before_ms,
                after_ms,
            ));
        }
    }
    report.new_templates.sort_by_key(|new| (new.first_ms, new.sample_line, new.id));
    report.rate_changes.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
    report.rate_changes.truncate(options.anomalies_max);
    report
        .anomalies
        .sort_by(|a, b| b.score.total_cmp(&a.score).then(a.first_ms.cmp(&b.first_ms)).then(a.id.cmp(&b.id)));
    report.anomalies.truncate(options.anomalies_max);
    let words = |id| miner.template(id).map(|template| template.text).unwrap_or_default();
    let judging = SessionOptions {
        anomalies_max: options.anomalies_max,
        evidence_lines_max: options.evidence_lines_max,
        ..SessionOptions::default()
    };
    report.sessions = match baseline {
        Some(baseline) => {
            baseline.sessions.as_ref().map(|model| model.score(records, &ids, &words, &judging))
        }
        None => score_alone(records, &ids, &words, &judging),
    };
    report.onset_ms = options.onset_ms.or_else(|| onset_of(&report.anomalies)).or(flow_onset_ms);
    report.summary = summary(&report, baseline.is_some());
    report
}

fn overview(records: &[LogRecord], options: &AnalyzeOptions) -> LogReport {
    let mut report =
        LogReport { lines: records.len() as u64, broken: options.broken, ..LogReport::default() };
    for record in records {
        if let Some(level) = record.level {
            *report.levels.entry(level).or_default() += 1;
        }
        let service = report.services.entry(record.service_or_empty().to_owned()).or_default();
        service.lines += 1;
        service.warnings += u64::from(record.level == Some(Level::Warn));
        service.errors += u64::from(record.is_error());
        if let Some(at_ms) = record.at_ms {
            report.start_ms = Some(report.start_ms.map_or(at_ms, |start_ms| start_ms.min(at_ms)));
            report.end_ms = Some(report.end_ms.map_or(at_ms, |end_ms| end_ms.max(at_ms)));
        }
    }
    report
}

fn tally<'a>(
    records: &'a [LogRecord],
    ids: &[TemplateId],
    split_ms: Option<u64>,
    options: &AnalyzeOptions,
) -> BTreeMap<TemplateId, Tally<'a>> {
    let mut tallies: BTreeMap<TemplateId, Tally> = BTreeMap::new();
    for (record, id) in records.iter().zip(ids) {
        let tally = tallies.entry(*id).or_default();
        tally.count += 1;
        tally.first = tally.first.or(Some(record));
        *tally.services.entry(record.service_or_empty()).or_default() += 1;
        tally.level = tally.level.max(record.level);
        // Without a time a record is before nothing.
        let after = split_ms.is_some_and(|split_ms| record.at_ms.is_none_or(|at_ms| at_ms >= split_ms));
        if after {
            tally.after += 1;
            if tally.evidence.len() < options.evidence_lines_max {
                tally.evidence.push(record);
            }
        } else {
            tally.before += 1;
        }
    }
    tallies
}

/// The lengths of what is compared, before and after; None if there is nothing to compare.
fn spans(report: &LogReport, baseline: Option<&Baseline>, split_ms: Option<u64>) -> Option<(f64, f64)> {
    const SPAN_MS_MIN: u64 = 10_000;
    let (start_ms, end_ms) = (report.start_ms.unwrap_or(0), report.end_ms.unwrap_or(0));
    match baseline {
        Some(baseline) => {
            let own_ms = end_ms.saturating_sub(start_ms);
            if own_ms == 0 || baseline.duration_ms == 0 {
                // No times on one side: lines are the only clock.
                Some(((baseline.lines as f64).max(1.0), (report.lines as f64).max(1.0)))
            } else {
                Some((baseline.duration_ms.max(SPAN_MS_MIN) as f64, own_ms.max(SPAN_MS_MIN) as f64))
            }
        }
        None => {
            let split_ms = split_ms?;
            let before_ms = split_ms.checked_sub(start_ms).filter(|before_ms| *before_ms > 0)?;
            Some((before_ms.max(SPAN_MS_MIN) as f64, end_ms.saturating_sub(split_ms).max(SPAN_MS_MIN) as f64))
        }
    }
}

/// Counts as Poisson variables: the difference of the rates in standard deviations, by the conditional
/// binomial with expectation `n·A/(A+B)`.
fn rate_change(
    id: TemplateId,
    text: &str,
    before: u64,
    after: u64,
    before_ms: f64,
    after_ms: f64,
) -> Option<RateChange> {
    let total = (before + after) as f64;
    let share = after_ms / (before_ms + after_ms);
    let deviation = (total * share * (1.0 - share)).sqrt();
    let z = (after as f64 - total * share) / deviation;
    let per_min = |count: u64, span_ms: f64| count as f64 * 60_000.0 / span_ms;
    let (before_per_min, after_per_min) = (per_min(before, before_ms), per_min(after, after_ms));
    let doubled = after_per_min >= 2.0 * before_per_min || before_per_min >= 2.0 * after_per_min;
    // Three deviations: of 300 templates about one differs so by chance; and a doubling, so that it matters.
    if before == 0 || !z.is_finite() || z.abs() < 3.0 || !doubled {
        return None;
    }
    let contrast = (after_per_min - before_per_min).abs() / (after_per_min + before_per_min);
    Some(RateChange {
        id,
        template: text.to_owned(),
        direction: if z > 0.0 { Direction::Up } else { Direction::Down },
        before_per_min,
        after_per_min,
        score: contrast * (1.0 - (-(z / 4.0).powi(2)).exp()),
    })
}

fn anomaly(id: TemplateId, text: &str, tally: &Tally, before: u64, spans: (f64, f64)) -> Option<LogAnomaly> {
    let first = *tally.evidence.first().or(tally.first.as_ref())?;
    let weight = weight(first, tally.level);
    let change = rate_change(id, text, before, tally.after, spans.0, spans.1);
    let (kind, score, reason) = if before == 0 {
        let lines = if tally.after == 1 { "line" } else { "lines" };
        let score = surprise(0, tally.after, 1, 1) * weight;
        (AnomalyKind::NewTemplate, score, format!("not seen before, {} {lines} now", tally.after))
    } else {
        let change = change?;
        let rates =
            format!("{:.1} lines a minute before, {:.1} now", change.before_per_min, change.after_per_min);
        match change.direction {
            Direction::Up => (AnomalyKind::MoreFrequent, change.score * weight, rates),
            // That something stopped tells less of where the trouble is.
            Direction::Down => (AnomalyKind::LessFrequent, change.score * 0.5, rates),
        }
    };
    Some(LogAnomaly {
        kind,
        score,
        service: tally.main_service().to_owned(),
        id,
        template: text.to_owned(),
        reason,
        first_ms: first.at_ms,
        evidence: tally
            .evidence
            .iter()
            .map(|record| EvidenceLine { line: record.line, text: cut(&record.raw, EVIDENCE_BYTES_MAX) })
            .collect(),
    })
}

/// When the flow of lines that tell of trouble rose, if it did.
fn flow_onset(records: &[LogRecord]) -> Option<u64> {
    let times = || records.iter().filter_map(|record| record.at_ms);
    let (start_ms, end_ms) = (times().min()?, times().max()?);
    let trouble: Vec<u64> = records
        .iter()
        .filter(|record| record.level >= Some(Level::Warn) || record.is_error())
        .filter_map(|record| record.at_ms)
        .collect();
    if trouble.len() < ONSET_LINES_MIN {
        return None;
    }
    let step_ms = ((end_ms - start_ms) / BUCKETS_MAX).max(1_000);
    let mut counts: BTreeMap<u64, f64> =
        (0..=(end_ms - start_ms) / step_ms).map(|bucket| (bucket, 0.0)).collect();
    for at_ms in &trouble {
        *counts.entry((at_ms - start_ms) / step_ms).or_default() += 1.0;
    }
    let samples = counts
        .iter()
        .map(|(bucket, count)| Sample { at_ms: start_ms + bucket * step_ms, value: *count })
        .collect();
    let options = ShiftOptions { before_ms: u64::MAX, after_ms: 0, ..ShiftOptions::default() };
    let shift = shift::detect(&Series::new(BTreeMap::new(), samples), end_ms, &options);
    match shift.filter(|shift| shift.direction == Direction::Up) {
        // The first such line of the bucket where it rose, not the bucket's edge.
        Some(shift) => trouble.iter().copied().filter(|at_ms| *at_ms >= shift.onset_ms).min(),
        // Too few for a level of their own: the first, if all was quiet for half of the time before it.
        None => {
            let first_ms = trouble.iter().copied().min()?;
            (first_ms - start_ms >= (end_ms - start_ms) / 2).then_some(first_ms)
        }
    }
}

/// The earliest beginning of an anomaly that is at least half as strong as the strongest and no mere silence.
fn onset_of(anomalies: &[LogAnomaly]) -> Option<u64> {
    let strongest = anomalies.first()?.score;
    anomalies
        .iter()
        .filter(|one| one.kind == AnomalyKind::NewTemplate && one.score >= 0.5 * strongest)
        .filter_map(|one| one.first_ms)
        .min()
}

/// Novelties of the records since the report's onset, per service; empty without an onset.
pub fn novelties(records: &[LogRecord], report: &LogReport) -> Vec<Novelty> {
    report.onset_ms.map_or_else(Vec::new, |onset_ms| novelty::novelty(records, onset_ms))
}

#[cfg(test)]
mod tests;
