//! Records threaded by entity: what happened to each block, instance or request, in order.
//!
//! Owns the threads of one kind of entity and the numbers their lines carry. Never compares them.

use super::identifier::identifiers;
use super::kind::EntityKind;
use crate::logs::mask::clip;
use crate::logs::record::LogRecord;
use std::collections::{HashMap, HashSet};

/// Steps kept of one entity; beyond, they are only counted.
pub(super) const STEPS_MAX: usize = 2048;
/// Entities followed at once; beyond, their lines are left out and counted.
pub(super) const ENTITIES_MAX: usize = 500_000;
/// Numbers taken from one line.
const NUMBERS_MAX: usize = 8;

/// One line of an entity.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub event: u32,
    /// Milliseconds since the epoch or, in a log without times, the line's number.
    pub at: u64,
    pub record: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Thread {
    pub entity: String,
    pub steps: Vec<Step>,
    /// Steps beyond [`STEPS_MAX`].
    pub dropped: u64,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Threads {
    /// In order of first appearance.
    pub all: Vec<Thread>,
    pub timed: bool,
    /// First and last clock value of the whole log.
    pub start: u64,
    pub end: u64,
    pub entities_dropped: u64,
}

pub(super) fn thread(records: &[LogRecord], events: &[u32], kind: &EntityKind) -> Threads {
    let timed_count = records.iter().filter(|record| record.at_ms.is_some()).count();
    let timed = timed_count * 10 >= records.len() * 9 && timed_count > 0;
    let mut threads = Threads { timed, ..Threads::default() };
    let mut clock = 0;
    let clocks: Vec<u64> = records
        .iter()
        .map(|record| {
            // A record without a time happened when the one above it did.
            clock = if timed { record.at_ms.unwrap_or(clock) } else { record.line };
            clock
        })
        .collect();
    threads.start = clocks.iter().copied().min().unwrap_or(0);
    threads.end = clocks.iter().copied().max().unwrap_or(0);
    // A distinctive value belongs to its entity in whatever words it comes.
    let mut known: HashSet<&str> = HashSet::new();
    let mut name = String::new();
    for record in records {
        identifiers(&record.raw, |one| {
            if one.is_distinctive() && !known.contains(one.value) {
                one.context(&mut name);
                if kind.contexts.contains(&name) {
                    known.insert(one.value);
                }
            }
        });
    }
    let mut index: HashMap<&str, usize> = HashMap::new();
    let mut on_line: Vec<&str> = Vec::new();
    for ((position, record), (event, at)) in records.iter().enumerate().zip(events.iter().zip(&clocks)) {
        on_line.clear();
        identifiers(&record.raw, |one| {
            if on_line.contains(&one.value) {
                return;
            }
            if known.contains(one.value) {
                on_line.push(one.value);
            } else if !one.is_distinctive() {
                one.context(&mut name);
                if kind.contexts.contains(&name) {
                    on_line.push(one.value);
                }
            }
        });
        for value in &on_line {
            let at_index = match index.get(value) {
                Some(at_index) => *at_index,
                None if threads.all.len() >= ENTITIES_MAX => {
                    threads.entities_dropped += 1;
                    continue;
                }
                None => {
                    threads.all.push(Thread { entity: (*value).to_owned(), steps: Vec::new(), dropped: 0 });
                    index.insert(value, threads.all.len() - 1);
                    threads.all.len() - 1
                }
            };
            let Some(thread) = threads.all.get_mut(at_index) else { continue };
            if thread.steps.len() < STEPS_MAX {
                thread.steps.push(Step { event: *event, at: *at, record: position as u32 });
            } else {
                thread.dropped += 1;
            }
        }
    }
    // Logs merged from several hosts are not always in order of time.
    for thread in &mut threads.all {
        thread.steps.sort_by_key(|step| (step.at, step.record));
    }
    threads
}

/// The free-standing numbers of a message, in order: `Took 19.05 seconds`, `len: 1893`, `15ms`. Not the digits in names.
pub(super) fn numbers(message: &str) -> Vec<f64> {
    let message = clip(message, 2048);
    let bytes = message.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() && found.len() < NUMBERS_MAX {
        let start = at;
        while bytes.get(at).is_some_and(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'%')
        }) {
            at += 1;
        }
        if at == start {
            at += 1;
            continue;
        }
        // The parts of a time of day, an address with its port and the like are no quantities.
        let joined = |byte: Option<&u8>| matches!(byte, Some(b':'));
        let run = message.get(start..at).unwrap_or("").trim_end_matches(['.', '-']);
        let beside = bytes.get(at) == Some(&b':') && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)
            || start > 1
                && joined(bytes.get(start - 1))
                && bytes.get(start - 2).is_some_and(u8::is_ascii_digit);
        let digits = run.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '%');
        if !beside
            && run.len() - digits.len() <= 4
            && run.bytes().next().is_some_and(|byte| byte.is_ascii_digit() || byte == b'-')
            && let Ok(number) = digits.parse::<f64>()
            && number.is_finite()
        {
            found.push(number);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_that_stand_alone() {
        assert_eq!(
            numbers(
                "Took 19.05 seconds to spawn, len: 1893 at 10:15:01 on 10.0.0.1:80 in 15ms, 99% of blk_-1"
            ),
            [19.05, 1893.0, 15.0, 99.0]
        );
        assert_eq!(numbers("memory limit: 96258.00 MB, free: 95746.00 MB."), [96258.0, 95746.0]);
        assert!(numbers("").is_empty());
    }
}
