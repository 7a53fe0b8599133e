//! What a diff does to behaviour.
//!
//! Owns the pairing of removed with added lines and the judgement of each pair. Never trusts what a commit calls itself:
//! a "refactor" that drops a call is a change of behaviour, one that moves lines is none.

use super::words;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

mod line;
mod path;

pub use path::FileKind;

/// The outcome of reading a diff.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Behaviour {
    /// How much the change alters what the program does, in [0, 1].
    pub change: f64,
    /// One line for people: the strongest reason.
    pub reason: String,
    /// Words of the change with their weight in [0, 1]: what was altered most, what stands beside it less.
    pub words: BTreeMap<String, f64>,
    /// Words that only the old lines hold.
    pub removed: BTreeSet<String>,
    /// Numbers replaced by others, as (old, new).
    pub values: Vec<(f64, f64)>,
}

/// Without a diff the change is this likely to alter behaviour: most commits do not.
const UNREAD: f64 = 0.3;
/// Lines of one side that are looked at: pairing is quadratic.
const LINES_MAX: usize = 400;
/// Pairs of lines less alike than this (Dice coefficient of their tokens) are a deletion and an addition.
const ALIKE_MIN: f64 = 0.5;

/// Reads a diff together with the paths it touches; None stands for a diff that is not at hand.
pub fn read(diff: Option<&str>, files: &[String]) -> Behaviour {
    let kinds: Vec<FileKind> = files.iter().map(|file| FileKind::of(file)).collect();
    let ceiling = kinds.iter().map(|kind| kind.ceiling()).fold(f64::NAN, f64::max);
    let ceiling = if ceiling.is_nan() { 1.0 } else { ceiling };
    let mut behaviour = Behaviour::default();
    match diff {
        Some(diff) => judge(diff, &mut behaviour),
        None => behaviour.say(UNREAD, "its diff is not at hand"),
    }
    if kinds.contains(&FileKind::Migration) {
        judge_migration(diff.unwrap_or(""), &mut behaviour);
    }
    if behaviour.change > ceiling {
        let kind = kinds.first().copied().unwrap_or(FileKind::Code);
        behaviour.reason = format!("touches nothing but {}", kind.noun());
        behaviour.change = ceiling;
    }
    behaviour
}

/// A schema's change is told by its verbs: what takes away or rewrites, and what only adds beside.
fn judge_migration(diff: &str, behaviour: &mut Behaviour) {
    let added: String = diff.lines().filter_map(|line| line.strip_prefix('+')).collect::<Vec<_>>().join("\n");
    let upper = added.to_ascii_uppercase();
    let takes =
        ["DROP ", "TRUNCATE", "DELETE ", "RENAME ", "SET NOT NULL", "LOCK ", "ALTER COLUMN", "UPDATE "];
    if let Some(verb) = takes.iter().find(|verb| upper.contains(*verb)) {
        behaviour.say(0.85, format!("a migration with {}", verb.trim()));
    } else if upper.contains("CONCURRENTLY") || upper.contains("CREATE TABLE") {
        behaviour.change = 0.2;
        behaviour.reason = "a migration that only adds beside".to_owned();
    }
}

impl Behaviour {
    fn say(&mut self, change: f64, reason: impl Into<String>) {
        if change > self.change || self.reason.is_empty() {
            self.change = change;
            self.reason = reason.into();
        }
    }

    fn weigh(&mut self, text: &str, weight: f64) {
        for word in words::split(text) {
            let known = self.words.entry(word).or_insert(0.0);
            *known = known.max(weight);
        }
    }
}

fn judge(diff: &str, behaviour: &mut Behaviour) {
    let (mut removed, mut added) = (Vec::new(), Vec::new());
    for line in diff.lines() {
        if line.starts_with("+++") || line.starts_with("---") || line.starts_with("@@") {
            continue;
        }
        if let Some(code) = line.strip_prefix('-') {
            removed.push(line::Line::of(code));
        } else if let Some(code) = line.strip_prefix('+') {
            added.push(line::Line::of(code));
        } else {
            behaviour.weigh(line::without_comment(line), 0.15);
        }
    }
    removed.retain(|line| !line.is_empty());
    added.retain(|line| !line.is_empty());
    removed.truncate(LINES_MAX);
    added.truncate(LINES_MAX);
    if removed.is_empty() && added.is_empty() {
        behaviour.say(0.05, "alters only comments or blanks");
        return;
    }
    let lines = removed.len().max(added.len());
    let recombines = line::recombines(&removed, &added);
    let moved = line::cancel(&mut removed, &mut added);
    for text in &moved {
        behaviour.weigh(text, 0.15);
    }
    if removed.is_empty() && added.iter().all(line::Line::is_scaffold) {
        behaviour.say(0.1, "moves lines without altering them");
    }
    let calls_left: BTreeSet<&str> = added.iter().flat_map(|line| line.calls()).collect();
    let calls_lost: BTreeSet<String> = removed
        .iter()
        .flat_map(|line| line.calls())
        .filter(|call| !calls_left.contains(call) && !moved.iter().any(|text| text.contains(call)))
        .map(str::to_owned)
        .collect();
    let words_left: BTreeSet<String> = added.iter().flat_map(|line| words::split(&line.text)).collect();
    for line in &removed {
        behaviour
            .removed
            .extend(words::split(&line.text).into_iter().filter(|word| !words_left.contains(word)));
    }
    let pairs = line::pair(&removed, &added, ALIKE_MIN);
    let renames = line::renamed(&pairs.matched);
    for (old, new) in &pairs.matched {
        if line::only_renames(old, new, &renames) {
            behaviour.say(0.1, "gives a variable another name");
        } else {
            line::edit(old, new, behaviour);
        }
    }
    let motion = moved.len() * 2 >= lines;
    judge_unmatched(&pairs, motion, behaviour);
    if !calls_lost.is_empty() && !motion {
        let names = calls_lost.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        if added.is_empty() {
            behaviour.say(0.85, format!("no longer calls {names}"));
        } else {
            behaviour.say(0.6, format!("calls something else than {names}"));
        }
    } else if recombines && (0.2..=0.45).contains(&behaviour.change) {
        behaviour.change = 0.2;
        behaviour.reason = "puts together what was there in another way".to_owned();
    }
}

fn judge_unmatched(pairs: &line::Pairs, motion: bool, behaviour: &mut Behaviour) {
    for line in &pairs.removed {
        behaviour.weigh(&line.text, 0.9);
    }
    for line in &pairs.added {
        behaviour.weigh(&line.text, 0.7);
    }
    let alone = pairs.added.is_empty() && pairs.matched.is_empty();
    match (pairs.removed.is_empty(), pairs.added.is_empty()) {
        (true, true) => {}
        (false, _) if alone && !motion => behaviour.say(0.7, "only deletes lines"),
        (false, _) => behaviour.say(if motion { 0.15 } else { 0.3 }, "rewrites lines"),
        (true, false) if motion => behaviour.say(0.15, "moves lines into a place of their own"),
        (true, false) if pairs.added.iter().all(line::Line::only_observes) => {
            behaviour.say(0.2, "only adds logs or metrics");
        }
        (true, false) => behaviour.say(0.45, "only adds lines"),
    }
}

#[cfg(test)]
mod tests;
