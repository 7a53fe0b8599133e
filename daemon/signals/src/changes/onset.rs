//! What hurts, where, and since when.
//!
//! Owns the making of symptoms from series, logs and spans. Never blames: a symptom at a service may come from elsewhere.

use super::{AlertFacts, Case, SERVICE_LABEL, words};
use crate::logs::{Level, LogRecord, Miner};
use crate::series::{Sample, Series};
use crate::shift::{self, ShiftOptions};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SymptomKind {
    /// A metric moved to another level.
    Metric,
    /// A log template that was not there before, or hardly.
    LogNew,
    /// A log template that was there and is no more.
    LogGone,
    /// A span failed.
    Span,
}

/// A change in what is observed of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Symptom {
    pub kind: SymptomKind,
    pub service: String,
    pub onset_ms: u64,
    pub onset_uncertainty_ms: u64,
    /// How clear, and how much it claims to be trouble; in [0, 1].
    pub strength: f64,
    /// The metric's name, the template, the span's error.
    pub text: String,
    /// Levels of a metric before and after.
    pub levels: Option<(f64, f64)>,
    pub words: BTreeSet<String>,
}

/// From this strength on a symptom marks the beginning of trouble.
pub(super) const CLEAR: f64 = 0.5;
/// How long before the alert is looked at: slow failures begin well before they page.
const BEFORE_MS: u64 = 3 * 3_600_000;
const AFTER_MS: u64 = 3_600_000;
/// Lines of a template are counted in so many buckets over the logs' span.
const BUCKETS: u64 = 60;

/// All symptoms, in order of onset, then of service, kind and text.
pub(super) fn symptoms(case: &Case) -> Vec<Symptom> {
    let mut found = of_series(case);
    found.extend(of_logs(&case.logs, case.alert.fired_at_ms));
    found.extend(of_spans(case));
    found.sort_by(|a, b| {
        (a.onset_ms, &a.service, a.kind, &a.text).cmp(&(b.onset_ms, &b.service, b.kind, &b.text))
    });
    found
}

/// The earliest clear symptom at `service`; the alert's own metric counts from a lesser clarity on.
pub(super) fn first_at(symptoms: &[Symptom], service: &str, alert: &AlertFacts) -> Option<u64> {
    symptoms
        .iter()
        .filter(|one| {
            one.service == service
                && (one.strength >= CLEAR || (one.text == alert.metric && one.service == alert.service))
        })
        .map(|one| one.onset_ms)
        .min()
}

fn options() -> ShiftOptions {
    ShiftOptions { before_ms: BEFORE_MS, after_ms: AFTER_MS, ..ShiftOptions::default() }
}

fn of_series(case: &Case) -> Vec<Symptom> {
    case.series
        .iter()
        .filter_map(|series| {
            let gauge = series.as_gauge();
            let shift = shift::detect(&gauge, case.alert.fired_at_ms, &options())?;
            Some(Symptom {
                kind: SymptomKind::Metric,
                service: series.label(SERVICE_LABEL).unwrap_or("").to_owned(),
                onset_ms: shift.onset_ms,
                onset_uncertainty_ms: shift.onset_uncertainty_ms,
                strength: shift.score,
                text: series.name().to_owned(),
                levels: Some((shift.before_median, shift.after_median)),
                words: words::set(series.name()),
            })
        })
        .collect()
}

fn of_spans(case: &Case) -> Vec<Symptom> {
    case.spans
        .iter()
        .filter(|span| span.failed)
        .map(|span| Symptom {
            kind: SymptomKind::Span,
            service: span.service.clone(),
            onset_ms: span.at_ms,
            onset_uncertainty_ms: 0,
            // Spans are samples: that one failed is certain, when the first one did is not.
            strength: 0.4,
            text: if span.detail.is_empty() { span.name.clone() } else { span.detail.clone() },
            levels: None,
            words: words::set(&format!("{} {}", span.name, span.detail)),
        })
        .collect()
}

struct Heard<'a> {
    times: Vec<u64>,
    level: Option<Level>,
    sample: &'a LogRecord,
}

fn of_logs(logs: &[LogRecord], fired_at_ms: u64) -> Vec<Symptom> {
    let mut timed: Vec<(u64, &LogRecord)> =
        logs.iter().filter_map(|record| Some((record.at_ms?, record))).collect();
    timed.sort_by_key(|(at_ms, record)| (*at_ms, record.line));
    let (Some((start_ms, _)), Some((end_ms, _))) = (timed.first().copied(), timed.last().copied()) else {
        return Vec::new();
    };
    // The first half of what lies before the alert is taken as normal operation.
    let normal_until_ms = start_ms + fired_at_ms.saturating_sub(start_ms) / 2;
    let mut miner = Miner::default();
    let mut heard: BTreeMap<(&str, u64), Heard> = BTreeMap::new();
    for (at_ms, record) in timed {
        let id = miner.learn(&record.message).id;
        let one = heard.entry((record.service_or_empty(), id.0)).or_insert_with(|| Heard {
            times: Vec::new(),
            level: None,
            sample: record,
        });
        one.times.push(at_ms);
        one.level = one.level.max(record.level);
    }
    heard
        .into_iter()
        .filter_map(|((service, _), one)| {
            let (kind, onset_ms, uncertainty_ms, clarity) =
                course(&one.times, (start_ms, end_ms), normal_until_ms, fired_at_ms)?;
            let weight = match one.level {
                Some(Level::Error | Level::Fatal) => 1.0,
                Some(Level::Warn) => 0.85,
                _ if one.sample.is_error() => 1.0,
                _ => 0.4,
            };
            let weight = if kind == SymptomKind::LogGone { 0.4 } else { weight };
            let mut text_words = words::set(&one.sample.message);
            // A flood of debug lines is told by its level, not by its words.
            if let Some(level @ (Level::Debug | Level::Trace)) = one.level {
                text_words.insert(level.as_str().to_owned());
            }
            Some(Symptom {
                kind,
                service: service.to_owned(),
                onset_ms,
                onset_uncertainty_ms: uncertainty_ms,
                strength: clarity * weight,
                text: one.sample.message.clone(),
                levels: None,
                words: text_words,
            })
        })
        .collect()
}

/// What became of a template: new, more, gone, or nothing to speak of (None). With kind, onset, its uncertainty, clarity.
fn course(
    times: &[u64],
    span: (u64, u64),
    normal_until_ms: u64,
    fired_at_ms: u64,
) -> Option<(SymptomKind, u64, u64, f64)> {
    let (first, last) = (*times.first()?, *times.last()?);
    let count = times.len() as f64;
    if first > normal_until_ms {
        return Some((SymptomKind::LogNew, first, 0, count / (count + 1.0)));
    }
    let gaps: Vec<f64> = times
        .windows(2)
        .filter_map(|pair| Some(pair.get(1)?.saturating_sub(*pair.first()?) as f64))
        .collect();
    let usual_gap = crate::stats::quantile(&gaps, 0.9).unwrap_or(f64::INFINITY);
    // Silent for four of its longer pauses, until the end: not by chance for a template that came steadily.
    if times.len() >= 5 && last < fired_at_ms && (span.1.saturating_sub(last)) as f64 > 4.0 * usual_gap {
        return Some((SymptomKind::LogGone, last, usual_gap as u64, count / (count + 5.0)));
    }
    let width_ms = (span.1.saturating_sub(span.0) / BUCKETS).max(1);
    let mut buckets = vec![0.0_f64; BUCKETS as usize + 1];
    for at_ms in times {
        if let Some(bucket) = buckets.get_mut((at_ms.saturating_sub(span.0) / width_ms) as usize) {
            *bucket += 1.0;
        }
    }
    let samples = buckets
        .iter()
        .enumerate()
        .map(|(index, count)| Sample { at_ms: span.0 + index as u64 * width_ms, value: *count })
        .collect();
    let counts = Series::new(BTreeMap::new(), samples);
    let shift = shift::detect(&counts, fired_at_ms, &options())?;
    (shift.direction == shift::Direction::Up).then_some((
        SymptomKind::LogNew,
        shift.onset_ms,
        shift.onset_uncertainty_ms.max(width_ms),
        shift.score,
    ))
}
