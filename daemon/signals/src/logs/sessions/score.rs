//! Which entities of a log are not like those of a normal one, and why.
//!
//! Owns the cut between normal and anomalous and the reasons in words. Never changes a model.
//!
//! Each entity has a chance: how likely one of the baseline's own entities, judged in the same way, is as unusual. The cut
//! is where, of all that lie beyond it, the share to be expected by chance is still within the options' `false_share`
//! (Y. Benjamini and Y. Hochberg, "Controlling the False Discovery Rate", JRSS B 57, 1995; with chances by rank as in S. Bates
//! et al., "Testing for Outliers with Conformal p-values", Annals of Statistics 51, 2023, and by a tail where ranks end). So a log with
//! many anomalies is judged less strictly than one that has none.

use super::model::{Edges, Events, Parts, SessionModel, Structure, counts_of};
use super::pattern::{Counts, Difference, Index};
use super::thread::{Step, Thread, thread};
use super::timing::{Feature, Timing};
use super::{SessionAnomaly, SessionOptions, SessionReport, order};
use crate::logs::analyze::EvidenceLine;
use crate::logs::mask::clip;
use crate::logs::record::LogRecord;
use crate::logs::templates::TemplateId;
use std::collections::{BTreeMap, BTreeSet};

/// False alarms that a log without anomalies may have, on the average: so that a lone one in a large log is not lost.
const FALSE_ALARMS: f64 = 0.2;
/// Beyond this chance nothing is called an anomaly, however many there are.
const CHANCE_MAX: f64 = 0.01;
/// Of an event's text in a reason.
const TEXT_BYTES_MAX: usize = 80;
const EVIDENCE_BYTES_MAX: usize = 400;

impl SessionModel {
    /// Judges the entities of a log against this model. `ids` are the records' templates, from a miner that knows those of
    /// the baseline; `text` gives a template's words.
    pub fn score(
        &self,
        records: &[LogRecord],
        ids: &[TemplateId],
        text: &dyn Fn(TemplateId) -> String,
        options: &SessionOptions,
    ) -> SessionReport {
        self.score_as(false, records, ids, text, options)
    }

    /// `own`: the log is the one that the model was learned from.
    pub(super) fn score_as(
        &self,
        own: bool,
        records: &[LogRecord],
        ids: &[TemplateId],
        text: &dyn Fn(TemplateId) -> String,
        options: &SessionOptions,
    ) -> SessionReport {
        let events = Events::of(ids, &self.events);
        let threads = thread(records, &events.numbers, &self.kind);
        let unit_ms = if threads.timed { self.timing.unit_ms() } else { 0 };
        let beside = Timing::learn(threads.all.iter().map(|thread| (thread, true)), records, unit_ms);
        let beside = (!own).then_some(&beside);
        let index = Index::of(&self.patterns);
        let mut known: BTreeMap<(Counts, Vec<u32>), Structure> = BTreeMap::new();
        let judged: Vec<(Edges, Parts)> = threads
            .all
            .iter()
            .map(|thread| {
                let edges = self.edges(thread, &threads, beside);
                let open: BTreeSet<u32> = if edges == (Edges { begun: true, ended: true }) {
                    BTreeSet::new()
                } else {
                    (0..self.events.len() as u32)
                        .filter(|event| self.may_lie_beyond(*event, thread, edges, threads.end, beside))
                        .collect()
                };
                let key = (counts_of(thread), open.iter().copied().collect());
                let structure = known.entry(key).or_insert_with_key(|(counts, _)| {
                    self.structure(&index, counts, own, &|event| open.contains(&event))
                });
                let parts = self.judge(thread, records, edges, structure.clone(), &self.timing, beside, own);
                (edges, parts)
            })
            .collect();
        let weighed: Vec<(f64, usize)> = judged.iter().map(|(_, parts)| self.weighed(&parts.bits)).collect();
        let chances: Vec<f64> = weighed.iter().map(|(bits, _)| self.together.chance(*bits)).collect();
        let cut = cut(&chances, options.false_share);
        let scores: Vec<f64> = chances.iter().map(|chance| score(*chance, cut)).collect();
        let words = |event: u32| {
            events
                .names
                .get(event as usize)
                .map_or_else(String::new, |id| format!("«{}»", shorten(&text(*id))))
        };
        let mut order: Vec<usize> =
            (0..scores.len()).filter(|at| scores.get(*at).is_some_and(|s| *s >= 0.5)).collect();
        let anomalous = order.len() as u64;
        order.sort_by(|a, b| {
            chances.get(*a).unwrap_or(&1.0).total_cmp(chances.get(*b).unwrap_or(&1.0)).then(a.cmp(b))
        });
        let anomalies = order
            .iter()
            .take(options.anomalies_max)
            .filter_map(|at| {
                let (thread, (_, parts)) = (threads.all.get(*at)?, judged.get(*at)?);
                let part = weighed.get(*at)?.1;
                let (reason, steps) = self.reason(thread, parts, part, &words);
                Some(SessionAnomaly {
                    entity: thread.entity.clone(),
                    score: *scores.get(*at)?,
                    reason,
                    lines: thread.steps.len() as u64 + thread.dropped,
                    first_ms: thread.steps.first().and_then(|step| records.get(step.record as usize)?.at_ms),
                    evidence: evidence(&steps, records, options.evidence_lines_max),
                })
            })
            .collect();
        SessionReport {
            kind: self.kind.name.clone(),
            entities: threads.all.len() as u64,
            entities_dropped: threads.entities_dropped,
            anomalous,
            anomalies,
            scores: threads
                .all
                .iter()
                .zip(&scores)
                .map(|(thread, score)| (thread.entity.clone(), *score))
                .collect(),
        }
    }

    /// In words, with the steps that show it.
    fn reason(
        &self,
        thread: &Thread,
        parts: &Parts,
        part: usize,
        words: &dyn Fn(u32) -> String,
    ) -> (String, Vec<Step>) {
        let step = |index: usize| thread.steps.get(index).cloned();
        let last = || thread.steps.last().cloned();
        match part {
            0 => {
                let mut differences = parts.differences.clone();
                differences.sort_by(|a, b| b.bits.total_cmp(&a.bits).then(a.event.cmp(&b.event)));
                let said: Vec<String> =
                    differences.iter().take(2).map(|one| self.difference(one, words)).collect();
                let shown: BTreeSet<u32> =
                    differences.iter().filter(|one| one.count > 0).map(|one| one.event).collect();
                let mut steps: Vec<Step> =
                    thread.steps.iter().filter(|step| shown.contains(&step.event)).cloned().collect();
                if steps.is_empty() {
                    steps.extend(last());
                }
                (said.join("; "), steps)
            }
            1 => {
                let (a, b) = parts.pair.unwrap_or((order::EDGE, order::EDGE));
                let reason = match (a == order::EDGE, b == order::EDGE) {
                    (true, _) => format!("begins with {}, which none normally does", words(b)),
                    (_, true) => format!("ends with {}, which something normally follows", words(a)),
                    _ => format!("{} directly after {}, which is not usual", words(b), words(a)),
                };
                let at = (0..=thread.steps.len()).find(|index| {
                    let event = |at: Option<usize>| {
                        at.and_then(|at| thread.steps.get(at)).map_or(order::EDGE, |s| s.event)
                    };
                    event(index.checked_sub(1)) == a && event(Some(*index)) == b
                });
                let pair = at.map_or_else(Vec::new, |at| {
                    [at.checked_sub(1), Some(at)].into_iter().flatten().filter_map(step).collect()
                });
                (reason, pair)
            }
            2 => {
                let Some(seen) = parts.time.seen else { return (String::new(), Vec::new()) };
                let took = seconds(self.timing.in_units(seen.feature, seen.value));
                let usual = self.timing.usual(seen.feature).map(seconds).unwrap_or_default();
                let what = match seen.feature {
                    Feature::Gap(a, b) => format!("from {} to {}", words(a), words(b)),
                    Feature::Until(event) => format!("from its beginning to {}", words(event)),
                    _ => "from beginning to end".to_owned(),
                };
                (
                    format!("took {took} {what}; nine in ten take at most {usual}"),
                    [step(seen.from), step(seen.to)].into_iter().flatten().collect(),
                )
            }
            3 => {
                let Some(seen) = parts.number.seen else { return (String::new(), Vec::new()) };
                let event =
                    if let Feature::Number(event, _) = seen.feature { words(event) } else { String::new() };
                let usual = self
                    .timing
                    .usual(seen.feature)
                    .map(|usual| format!("; nine in ten have at most {}", number(usual)));
                (
                    format!(
                        "the value {} in {event} is unusual{}",
                        number(self.timing.in_units(seen.feature, seen.value)),
                        usual.unwrap_or_default()
                    ),
                    step(seen.to).into_iter().collect(),
                )
            }
            _ => {
                let (name, alike, all) = (words(parts.rarest.event), parts.rarest.alike, self.entities);
                if parts.rarest.present {
                    let steps = thread
                        .steps
                        .iter()
                        .filter(|step| step.event == parts.rarest.event)
                        .cloned()
                        .collect();
                    (format!("{name} came in {alike} of {all} normal ones"), steps)
                } else {
                    (
                        format!("{name} is missing, as in {alike} of {all} normal ones"),
                        last().into_iter().collect(),
                    )
                }
            }
        }
    }

    fn difference(&self, one: &Difference, words: &dyn Fn(u32) -> String) -> String {
        let name = words(one.event);
        if !self.patterns.knows(one.event) {
            format!("{name} was never seen in a normal one")
        } else if one.count == 0 {
            format!("{name} is missing, usually {} of it", one.usual)
        } else if one.usual == 0 {
            format!("{} × {name}, usually none in such company", one.count)
        } else {
            format!("{} × {name}, usually {}", one.count, one.usual)
        }
    }
}

/// The highest chance that is still anomalous: Benjamini and Hochberg's step-up rule, but at least [`FALSE_ALARMS`].
pub(super) fn cut(chances: &[f64], false_share: f64) -> f64 {
    let mut sorted = chances.to_vec();
    sorted.sort_by(f64::total_cmp);
    let step = false_share / sorted.len().max(1) as f64;
    let passed = sorted.iter().zip(1u32..).filter(|(chance, rank)| **chance <= step * f64::from(*rank));
    let rank = passed.map(|(_, rank)| rank).max().unwrap_or(1);
    let alarms = FALSE_ALARMS / sorted.len().max(1) as f64;
    (step * f64::from(rank)).max(alarms).min(CHANCE_MAX)
}

/// 0.5 at the cut, towards 1 for ever smaller chances, towards 0 for larger ones.
pub(super) fn score(chance: f64, cut: f64) -> f64 {
    let (bits, cut_bits) = (-chance.max(1e-300).log2(), -cut.log2());
    if chance <= cut {
        1.0 - 0.5 * (-(bits - cut_bits) / 8.0).exp2()
    } else {
        0.5 * (bits / cut_bits).clamp(0.0, 0.999)
    }
}

fn evidence(steps: &[Step], records: &[LogRecord], lines_max: usize) -> Vec<EvidenceLine> {
    let mut seen = BTreeSet::new();
    steps
        .iter()
        .filter(|step| seen.insert(step.record))
        .filter_map(|step| records.get(step.record as usize))
        .take(lines_max)
        .map(|record| EvidenceLine {
            line: record.line,
            text: clip(&record.raw, EVIDENCE_BYTES_MAX).to_owned(),
        })
        .collect()
}

fn shorten(text: &str) -> String {
    let clipped = clip(text, TEXT_BYTES_MAX);
    if clipped.len() < text.len() { format!("{clipped}…") } else { text.to_owned() }
}

fn seconds(ms: f64) -> String {
    if ms < 1000.0 { format!("{ms:.0} ms") } else { format!("{:.1} s", ms / 1000.0) }
}

fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cut_is_lenient_where_there_are_many_and_strict_where_there_are_none() {
        let mut many = vec![0.004; 100];
        many.extend((0..900).map(|i| 0.01 + f64::from(i) / 910.0));
        assert!((cut(&many, 0.05) - 0.005).abs() < 1e-9);
        let none: Vec<f64> = (1..=1000).map(|i| f64::from(i) / 1000.0).collect();
        assert!((cut(&none, 0.05) - 0.000_2).abs() < 1e-9);
        assert!(score(0.005, 0.005) >= 0.5 && score(0.0051, 0.005) < 0.5 && score(1.0, 0.005) == 0.0);
        assert!(score(1e-9, 0.005) > score(1e-6, 0.005));
    }
}
