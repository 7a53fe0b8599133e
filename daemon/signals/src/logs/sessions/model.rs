//! What the entities of a normal log are like.
//!
//! Owns the learned model and how its own entities score against it. Never keeps an entity's name or a line.

use super::SessionOptions;
use super::kind::{self, EntityKind};
use super::order::{self, Order};
use super::pattern::{Counts, Difference, Index, Patterns, Rarest};
use super::tail::Null;
use super::thread::{Thread, Threads, thread};
use super::timing::{Feature, Surprise, Timing, unit_ms};
use crate::logs::record::LogRecord;
use crate::logs::templates::TemplateId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the serialised form. In the first, entities were ranked by their least likely part alone.
pub const SESSION_MODEL_VERSION: u32 = 2;
/// Fewer entities make no model.
const ENTITIES_MIN: usize = 8;
/// Of an event's usual latest time, how much later it is still waited for.
const PATIENCE: f64 = 1.25;
/// An event that so few entities begin with is no beginning.
const BEGINS_MIN: f64 = 0.01;
/// What fewer entities do, and less than a hundredth of them, is not usual.
const USUAL_ENTITIES_MIN: u64 = 4;
/// Rarity and novelty are not independent: together they say less than their sum.
const BELIEVED: f64 = 0.45;
/// What the other parts add to the least likely one: they are often one fault seen from several sides.
const BESIDE: f64 = 0.5;
/// Ways in which an entity can be unusual: counts, order, durations, numbers, what is there at all.
pub(super) const PARTS: usize = 5;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct EventName {
    pub id: TemplateId,
    pub text: String,
}

/// The entities of a normal log: their patterns, orders and times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionModel {
    pub version: u32,
    pub kind: EntityKind,
    /// Entities learned from.
    pub entities: u64,
    pub(super) timed: bool,
    pub(super) events: Vec<EventName>,
    pub(super) patterns: Patterns,
    pub(super) order: Order,
    pub(super) timing: Timing,
    /// How the model's own entities score, each left out in turn: by part, and taken together.
    pub(super) nulls: Vec<Null>,
    pub(super) together: Null,
}

/// What is known of one thread's edges: whether the log began or ended in the middle of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edges {
    pub begun: bool,
    pub ended: bool,
}

/// One entity against the model, in bits, with what shows it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parts {
    pub bits: [f64; PARTS],
    pub differences: Vec<Difference>,
    pub pair: Option<(u32, u32)>,
    pub time: Surprise,
    pub number: Surprise,
    pub rarest: Rarest,
}

/// Held against each part: machines that write at once put events in any order, and a slow day slows some more than others.
const CAUTION_BITS: [f64; PARTS] = [0.0, 2.0, 1.0, 1.0, 0.0];

/// How the counts of an entity compare.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Structure {
    pub bits: f64,
    pub differences: Vec<Difference>,
    pub rarest: Rarest,
}

/// Event numbers of records: those of the model first, then the log's own in order of appearance.
pub(super) struct Events {
    pub numbers: Vec<u32>,
    pub names: Vec<TemplateId>,
}

impl Events {
    pub fn of(ids: &[TemplateId], known: &[EventName]) -> Self {
        let mut names: Vec<TemplateId> = known.iter().map(|name| name.id).collect();
        let mut index: BTreeMap<TemplateId, u32> = names.iter().copied().zip(0..).collect();
        let numbers = ids
            .iter()
            .map(|id| {
                *index.entry(*id).or_insert_with(|| {
                    names.push(*id);
                    names.len() as u32 - 1
                })
            })
            .collect();
        Self { numbers, names }
    }
}

pub(super) fn counts_of(thread: &Thread) -> Counts {
    let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
    for step in &thread.steps {
        *counts.entry(step.event).or_default() += 1;
    }
    counts.into_iter().collect()
}

impl SessionModel {
    /// Learns from a log, of which `ids` are the templates, one a record. None if nothing threads its lines. The kind of
    /// entity is the one that explains most, or the one that the options name.
    pub fn learn(
        records: &[LogRecord],
        ids: &[TemplateId],
        text: &dyn Fn(TemplateId) -> String,
        options: &SessionOptions,
    ) -> Option<Self> {
        let events = Events::of(ids, &[]);
        let mut kinds = kind::discover(records.iter().map(|record| record.raw.as_str()), &events.numbers);
        let at = match &options.entity {
            Some(name) => kinds.iter().position(|kind| kind.name == *name || kind.contexts.contains(name))?,
            None => 0,
        };
        let kind = (at < kinds.len()).then(|| kinds.swap_remove(at))?;
        let threads = thread(records, &events.numbers, &kind);
        if threads.all.len() < ENTITIES_MIN {
            return None;
        }
        let names = events.names.iter().map(|id| EventName { id: *id, text: text(*id) }).collect();
        Some(Self::of_threads(kind, names, &threads, records))
    }

    fn of_threads(
        kind: EntityKind,
        events: Vec<EventName>,
        threads: &Threads,
        records: &[LogRecord],
    ) -> Self {
        let whole = Edges { begun: true, ended: true };
        let unit_ms = unit_ms(threads);
        let mut model = Self {
            version: SESSION_MODEL_VERSION,
            kind,
            entities: threads.all.len() as u64,
            timed: threads.timed,
            events,
            patterns: Patterns::default(),
            order: Order::default(),
            timing: Timing::learn(threads.all.iter().map(|thread| (thread, true)), records, unit_ms),
            nulls: Vec::new(),
            together: Null::default(),
        };
        let sequences = |edges: &[Edges]| {
            let pairs = |(thread, edges): (&Thread, &Edges)| {
                order::pairs(thread.steps.iter().map(|step| step.event), edges.begun, edges.ended)
            };
            threads.all.iter().zip(edges).map(pairs).collect::<Vec<_>>()
        };
        // Where threads begin must be known before a cut one can be told.
        model.order = Order::learn(sequences(&vec![whole; threads.all.len()]).iter());
        let mut edges: Vec<Edges> =
            threads.all.iter().map(|thread| model.edges(thread, threads, None)).collect();
        let vectors = |edges: &[Edges]| -> Vec<Counts> {
            let complete = threads.all.iter().zip(edges).filter(|(_, edges)| **edges == whole);
            complete.map(|(thread, _)| counts_of(thread)).collect()
        };
        let mut complete = vectors(&edges);
        if complete.len() * 2 < threads.all.len() {
            // A log as short as its entities: better to learn from what was cut than from nothing.
            edges = vec![whole; threads.all.len()];
            complete = vectors(&edges);
        }
        model.patterns = Patterns::learn(&complete, model.events.len());
        let pairs = sequences(&edges);
        model.order = Order::learn(pairs.iter());
        let timing = |keep: &dyn Fn(usize) -> bool| {
            let kept = threads.all.iter().zip(&edges).enumerate().filter(|(index, _)| keep(*index));
            Timing::learn(kept.map(|(_, (thread, edges))| (thread, *edges == whole)), records, unit_ms)
        };
        model.timing = timing(&|_| true);
        // Tails fitted to a value cannot be surprised by it: each half is judged by the other.
        let halves = [timing(&|index| index % 2 == 1), timing(&|index| index % 2 == 0)];
        let parts: Vec<[f64; PARTS]> = {
            let index = Index::of(&model.patterns);
            let mut known: BTreeMap<Counts, Structure> = BTreeMap::new();
            let complete =
                threads.all.iter().zip(&edges).enumerate().filter(|(_, (_, edges))| **edges == whole);
            complete
                .map(|(position, (thread, edges))| {
                    let counts = counts_of(thread);
                    let structure = known
                        .entry(counts)
                        .or_insert_with_key(|counts| model.structure(&index, counts, true, &|_| false));
                    let timing = halves.get(position % 2).unwrap_or(&model.timing);
                    model.judge(thread, records, *edges, structure.clone(), timing, None, true).bits
                })
                .collect()
        };
        model.nulls = (0..PARTS)
            .map(|part| Null::of(parts.iter().filter_map(|bits| bits.get(part).copied()).collect()))
            .collect();
        model.together = Null::of(parts.iter().map(|bits| model.weighed(bits).0).collect());
        model
    }

    /// Turns a model of a log that holds anomalies into one of what is usual in it: rare patterns vouch for nothing, and
    /// scores are not ranked among those of the anomalies.
    pub(super) fn keep_usual(&mut self) {
        self.patterns.keep_usual(USUAL_ENTITIES_MIN.max(self.entities / 100));
        self.nulls = vec![Null::nominal(BELIEVED); PARTS];
        self.together = Null::nominal(1.0);
    }

    /// Whether the log began or ended in the middle of the thread: whether, at either end of it, more might lie beyond.
    /// `beside` are the ranges of the thread's own log, which may be slower than the baseline.
    pub(super) fn edges(&self, thread: &Thread, threads: &Threads, beside: Option<&Timing>) -> Edges {
        let (Some(first), Some(last)) = (thread.steps.first(), thread.steps.last()) else {
            return Edges { begun: true, ended: true };
        };
        let before = self.patience(Feature::Before(first.event), beside);
        let after = self.patience(Feature::After(last.event), beside);
        let cut_off = |room: u64, patience: f64| self.timed && (room as f64) < patience;
        Edges {
            begun: self.order.begins(first.event) >= BEGINS_MIN
                || !cut_off(first.at.saturating_sub(threads.start), before),
            ended: thread.dropped == 0 && !cut_off(threads.end.saturating_sub(last.at), after),
        }
    }

    /// How long an event is waited for, ms.
    fn patience(&self, feature: Feature, beside: Option<&Timing>) -> f64 {
        let own = beside.map_or(0.0, |beside| beside.usually_within(feature));
        PATIENCE * self.timing.usually_within(feature).max(own)
    }

    /// True for a missing event that may lie beyond the edges of the log.
    pub(super) fn may_lie_beyond(
        &self,
        event: u32,
        thread: &Thread,
        edges: Edges,
        end: u64,
        beside: Option<&Timing>,
    ) -> bool {
        let age = thread.steps.first().map_or(0, |first| end.saturating_sub(first.at)) as f64;
        !edges.begun || !edges.ended && age < self.patience(Feature::Last(event), beside).max(1.0)
    }

    pub(super) fn structure(
        &self,
        index: &Index,
        counts: &[(u32, u32)],
        own: bool,
        excused: &dyn Fn(u32) -> bool,
    ) -> Structure {
        let (bits, differences) = index.distance(counts, own, excused);
        Structure { bits, differences, rarest: self.patterns.rarest(counts, own, excused) }
    }

    #[expect(clippy::too_many_arguments, reason = "one call each for learning and for judging")]
    pub(super) fn judge(
        &self,
        thread: &Thread,
        records: &[LogRecord],
        edges: Edges,
        structure: Structure,
        timing: &Timing,
        beside: Option<&Timing>,
        own: bool,
    ) -> Parts {
        let pairs = order::pairs(thread.steps.iter().map(|step| step.event), edges.begun, edges.ended);
        let (order_bits, pair) = self.order.surprise(&pairs, own);
        let (time, number) = timing.surprise(thread, records, own, beside);
        let Structure { bits, differences, rarest } = structure;
        let bits = [bits, order_bits, time.bits, number.bits, rarest.bits];
        Parts { bits, differences, pair, time, number, rarest }
    }

    /// Bits of the parts' chances among normal entities, those beside the least likely one at [`BESIDE`] of theirs, and
    /// which part that is. No chance is believed to be less than the part's own bits say: where all normal entities score
    /// nothing, next to nothing is no proof.
    pub(super) fn weighed(&self, bits: &[f64; PARTS]) -> (f64, usize) {
        let parts = bits
            .iter()
            .zip(&self.nulls)
            .zip(CAUTION_BITS)
            .map(|((bits, null), caution)| (-null.chance(*bits).log2()).min(*bits) - caution);
        let mut sum = 0.0;
        let mut best: (f64, usize) = (0.0, 0);
        for (part, bits) in parts.enumerate() {
            sum += bits.max(0.0);
            if bits > best.0 {
                best = (bits, part);
            }
        }
        // What was ranked by one part must be judged by one.
        let beside = if self.version < 2 { 0.0 } else { BESIDE };
        (best.0 + beside * (sum - best.0), best.1)
    }
}
