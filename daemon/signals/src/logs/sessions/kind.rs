//! Which identifiers thread lines together: found from how their values come back.
//!
//! Owns the kinds of entity (block, instance, request, …) of a log and the measure of how much each explains. Never judges
//! an entity.
//!
//! Values are gathered by context (their shape and the word before them); contexts that share distinctive values are one
//! kind. A kind explains a log if, within its threads, the next event is easier to tell than from its frequency alone:
//! `gain = Σ log2(p(event | event before, same thread) / p(event)) − ½·log2(n)·parameters`, in bits, the beginnings and the
//! ends of threads included; the last term is the price of the model (G. Schwarz, "Estimating the Dimension of a Model",
//! Annals of Statistics 6, 1978). Hosts and addresses thread many lines too, but what comes next on a host is nearly
//! anything: they gain little. A request is often a part of a longer story, that of an instance or an order: of kinds that
//! explain alike the one with the longer threads is worth more, `gain · log2(lines / entities)`.

use super::identifier::{Identifier, identifiers};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Records looked at: enough to see hundreds of entities begin and end.
const RECORDS_MAX: usize = 60_000;
/// Contexts told apart; a log with more has payload where names should be.
const CONTEXTS_MAX: usize = 4096;
/// Fewer entities than this tell nothing of each other.
const ENTITIES_MIN: usize = 8;
/// A thread that holds more than this share of the lines of its kind is no session but a process.
const SHARE_MAX: f64 = 0.25;
/// Doublings of a thread's length that make its kind worth more; beyond, it is a process rather than a story.
const DOUBLINGS_MAX: f64 = 5.0;
/// Kinds reported.
const KINDS_MAX: usize = 12;

/// What names the entities of a log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EntityKind {
    /// For people: `blk_-#`, `<uuid> after instance`.
    pub name: String,
    /// The contexts in which such values stand.
    pub contexts: BTreeSet<String>,
    /// Different values seen.
    pub entities: u64,
    /// Records that carry one.
    pub lines: u64,
    /// Bits that threading by it saves; see the module.
    pub gain_bits: f64,
}

#[derive(Default)]
struct Context {
    name: String,
    occurrences: u64,
    distinctive: bool,
}

/// The kinds that gain something, the most worth first. `events` are the records' event numbers, one each.
pub(super) fn discover<'a>(lines: impl Iterator<Item = &'a str>, events: &[u32]) -> Vec<EntityKind> {
    let mut contexts: Vec<Context> = Vec::new();
    let mut by_name: HashMap<String, u32> = HashMap::new();
    let mut values: HashMap<&'a str, u32> = HashMap::new();
    // (context, value, record), in order of record.
    let mut seen: Vec<(u32, u32, u32)> = Vec::new();
    let mut name = String::new();
    for (record, line) in lines.take(RECORDS_MAX.min(events.len())).enumerate() {
        identifiers(line, |one: Identifier<'a>| {
            one.context(&mut name);
            let context = match by_name.get(name.as_str()) {
                Some(context) => *context,
                None if contexts.len() >= CONTEXTS_MAX => return,
                None => {
                    let context = contexts.len() as u32;
                    contexts.push(Context { name: name.clone(), ..Context::default() });
                    by_name.insert(name.clone(), context);
                    context
                }
            };
            if let Some(context) = contexts.get_mut(context as usize) {
                context.occurrences += 1;
                context.distinctive |= one.is_distinctive();
            }
            let next = values.len() as u32;
            let value = *values.entry(one.value).or_insert(next);
            seen.push((context, value, record as u32));
        });
    }
    let group_of = united(&contexts, &seen);
    let mut groups: BTreeMap<u32, Vec<(u32, u32)>> = BTreeMap::new();
    for (context, value, record) in &seen {
        let group = group_of.get(*context as usize).copied().unwrap_or(*context);
        groups.entry(group).or_default().push((*value, *record));
    }
    let mut kinds: Vec<EntityKind> = groups
        .into_iter()
        .filter_map(|(group, mut pairs)| {
            // By value, then record; a value twice on a line counts once.
            pairs.sort_unstable();
            pairs.dedup();
            let (entities, lines, gain_bits) = gain(&pairs, events)?;
            let members =
                || contexts.iter().zip(&group_of).filter(|(_, of)| **of == group).map(|(context, _)| context);
            let name = members()
                .max_by(|a, b| a.occurrences.cmp(&b.occurrences).then_with(|| b.name.cmp(&a.name)))?
                .name
                .clone();
            let contexts = members().map(|context| context.name.clone()).collect();
            Some(EntityKind { name, contexts, entities, lines, gain_bits })
        })
        .filter(|kind| kind.gain_bits > 0.0)
        .collect();
    let worth = |kind: &EntityKind| {
        let length = kind.lines as f64 / kind.entities.max(1) as f64;
        kind.gain_bits * length.log2().clamp(1.0, DOUBLINGS_MAX)
    };
    kinds.sort_by(|a, b| worth(b).total_cmp(&worth(a)).then_with(|| a.name.cmp(&b.name)));
    kinds.truncate(KINDS_MAX);
    kinds
}

/// For each context its group: contexts of distinctive values that share some of them are one.
fn united(contexts: &[Context], seen: &[(u32, u32, u32)]) -> Vec<u32> {
    let mut parents: Vec<u32> = (0..contexts.len() as u32).collect();
    fn root(parents: &[u32], mut at: u32) -> u32 {
        while let Some(parent) = parents.get(at as usize).copied().filter(|parent| *parent != at) {
            at = parent;
        }
        at
    }
    let mut pairs: Vec<(u32, u32)> = seen.iter().map(|(context, value, _)| (*value, *context)).collect();
    pairs.sort_unstable();
    pairs.dedup();
    let mut sizes: HashMap<u32, u32> = HashMap::new();
    let mut shared: BTreeMap<(u32, u32), u32> = BTreeMap::new();
    for of_value in pairs.chunk_by(|a, b| a.0 == b.0) {
        for (_, context) in of_value {
            *sizes.entry(*context).or_default() += 1;
        }
        // A value in very many contexts is a common number.
        if of_value.len() <= 16 {
            for (index, (_, a)) in of_value.iter().enumerate() {
                for (_, b) in of_value.iter().skip(index + 1) {
                    *shared.entry((*a, *b)).or_default() += 1;
                }
            }
        }
    }
    let distinctive =
        |context: u32| contexts.get(context as usize).is_some_and(|context| context.distinctive);
    for ((a, b), count) in shared {
        let smaller = [a, b].iter().filter_map(|context| sizes.get(context)).min().copied().unwrap_or(1);
        let enough = count >= 1 && distinctive(a) && distinctive(b) && count * 10 >= smaller;
        if enough {
            let (a, b) = (root(&parents, a), root(&parents, b));
            if let Some(parent) = parents.get_mut(a.max(b) as usize) {
                *parent = a.min(b);
            }
        }
    }
    (0..contexts.len() as u32).map(|context| root(&parents, context)).collect()
}

/// Entities, lines and bits gained by threading `(value, record)` pairs; None if they are no sessions.
fn gain(pairs: &[(u32, u32)], events: &[u32]) -> Option<(u64, u64, f64)> {
    const EDGE: u32 = u32::MAX;
    let mut marginal: HashMap<u32, u64> = HashMap::new();
    let mut bigrams: HashMap<(u32, u32), u64> = HashMap::new();
    let mut before: HashMap<u32, u64> = HashMap::new();
    let (mut entities, mut threads, mut longest) = (0usize, 0usize, 0usize);
    for thread in pairs.chunk_by(|a, b| a.0 == b.0) {
        entities += 1;
        threads += usize::from(thread.len() > 1);
        longest = longest.max(thread.len());
        let mut last = EDGE;
        let ids = thread.iter().filter_map(|(_, record)| events.get(*record as usize).copied());
        for event in ids.chain([EDGE]) {
            *marginal.entry(event).or_default() += 1;
            *bigrams.entry((last, event)).or_default() += 1;
            *before.entry(last).or_default() += 1;
            last = event;
        }
    }
    if entities < ENTITIES_MIN
        || threads * 4 < entities
        || threads < ENTITIES_MIN
        || longest as f64 > SHARE_MAX * pairs.len() as f64
    {
        return None;
    }
    let total = (pairs.len() + entities) as f64;
    // Summed in a fixed order: floating point addition is not associative.
    let mut terms: Vec<f64> = bigrams
        .iter()
        .map(|((last, event), count)| {
            let count = *count as f64;
            let given = count / before.get(last).map_or(1.0, |n| *n as f64);
            let alone = marginal.get(event).map_or(1.0, |n| *n as f64) / total;
            count * (given / alone).log2()
        })
        .collect();
    terms.sort_by(f64::total_cmp);
    let parameters = bigrams.len().saturating_sub(marginal.len()) as f64;
    let gain = terms.iter().sum::<f64>() - 0.5 * total.log2() * parameters;
    let mut lines: Vec<u32> = pairs.iter().map(|(_, record)| *record).collect();
    lines.sort_unstable();
    lines.dedup();
    Some((entities as u64, lines.len() as u64, gain))
}
