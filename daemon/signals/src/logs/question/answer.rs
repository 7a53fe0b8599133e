//! The answer to a query, made of records as they pass.
//!
//! Owns the counts and the lines that are kept. Memory is bounded by the query's limit and a number of groups,
//! however many records pass.

use super::{Answer, TypedQuery};
use crate::logs::record::LogRecord;
use crate::logs::templates::TemplateId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Names that are counted each; the lines of further ones are counted together.
const GROUPS_MAX: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Answered {
    /// Records that matched, shown or not.
    pub matched: u64,
    /// In the order of the source; empty if something else than lines was asked for.
    pub lines: Vec<LogRecord>,
    /// Most frequent first, then by name; a timeline's spans by their start in milliseconds since the epoch.
    pub groups: Vec<(String, u64)>,
    /// Records in groups that are not shown, or that have no group: no time, no service, no level, no template.
    pub ungrouped: u64,
}

/// Takes records, gives the answer.
#[derive(Debug, Clone)]
pub struct Answering {
    query: TypedQuery,
    matched: u64,
    lines: VecDeque<LogRecord>,
    groups: BTreeMap<Key, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Name(String),
    Start(u64),
}

impl Answering {
    pub fn new(query: TypedQuery) -> Self {
        Self { query, matched: 0, lines: VecDeque::new(), groups: BTreeMap::new() }
    }

    /// True if the record matches. `template`: where it is known.
    pub fn push(&mut self, record: &LogRecord, template: Option<TemplateId>) -> bool {
        if !self.query.matches_with(record, template) {
            return false;
        }
        self.matched += 1;
        let name = |name: &str| Key::Name(name.to_owned());
        let key = match self.query.answer {
            Answer::Lines => {
                self.keep(record);
                None
            }
            Answer::Count => None,
            Answer::Templates => template.map(|template| name(&template.to_string())),
            Answer::Services => record.service.as_deref().map(name),
            Answer::Levels => record.level.map(|level| name(level.as_str())),
            Answer::Timeline { every_ms } => {
                record.at_ms.map(|at_ms| Key::Start(at_ms - at_ms % every_ms.max(1)))
            }
        };
        if let Some(key) = key
            && (self.groups.len() < GROUPS_MAX || self.groups.contains_key(&key))
        {
            *self.groups.entry(key).or_default() += 1;
        }
        true
    }

    pub fn finish(self) -> Answered {
        let limit = self.query.limit;
        let timeline = matches!(self.query.answer, Answer::Timeline { .. });
        let mut groups: Vec<(Key, u64)> = self.groups.into_iter().collect();
        if !timeline {
            // Stable: names stay in order where counts are equal.
            groups.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        }
        groups.truncate(limit);
        let shown: u64 = groups.iter().map(|(_, count)| count).sum();
        let grouped = !matches!(self.query.answer, Answer::Lines | Answer::Count);
        let text = |key: Key| match key {
            Key::Name(name) => name,
            Key::Start(at_ms) => at_ms.to_string(),
        };
        Answered {
            matched: self.matched,
            lines: self.lines.into(),
            groups: groups.into_iter().map(|(key, count)| (text(key), count)).collect(),
            ungrouped: if grouped { self.matched - shown } else { 0 },
        }
    }

    fn keep(&mut self, record: &LogRecord) {
        if self.lines.len() < self.query.limit {
            self.lines.push_back(record.clone());
        } else if self.query.newest_first {
            self.lines.pop_front();
            self.lines.push_back(record.clone());
        }
    }
}
