//! Plain words as a typed query over log records.
//!
//! Owns the grammar, the query's printed form, and whether a record matches. Never guesses silently: words it
//! could not place are given back. Times without an offset are UTC; an hour without a day is the latest such
//! hour before now.

use super::record::{Level, LogRecord};
use super::templates::TemplateId;
use crate::series::TimeRange;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

mod answer;
mod clock;
mod grammar;
mod shown;
mod words;

pub use answer::{Answered, Answering};

/// Lines given when none were asked for.
pub const LIMIT_DEFAULT: usize = 100;
/// More lines than this are not given at once.
pub const LIMIT_MAX: usize = 10_000;
/// Words of a question that are read; a longer one is cut off and said to be.
pub(crate) const WORDS_MAX: usize = 128;
/// Terms of one kind in a query. With more than this nobody asks; and a query that is shown can be read again.
const TERMS_MAX: usize = 16;

/// What was asked, in terms of records. All parts must hold; an empty part holds always.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TypedQuery {
    pub answer: Answer,
    /// Either end may be open: 0 and `u64::MAX`.
    pub range: Option<TimeRange>,
    /// Any of these; matched as [`service_matches`] says.
    pub services: Vec<String>,
    /// None of these.
    pub excluded_services: Vec<String>,
    pub levels: BTreeSet<Level>,
    /// None of these; a record without a level stays.
    pub excluded_levels: BTreeSet<Level>,
    /// All of these.
    pub fields: Vec<FieldTerm>,
    /// All of these terms.
    pub text: Vec<TextTerm>,
    /// None of these, in any case.
    pub excluded: Vec<String>,
    pub template: Option<TemplateId>,
    pub limit: usize,
    /// The last lines were asked for, not the first.
    pub newest_first: bool,
    /// Words that found no place in the query.
    pub not_understood: Vec<String>,
}

/// One of these words or phrases, in any case, anywhere in the line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextTerm {
    pub any_of: Vec<String>,
}

/// A field that must be there with this value, in any case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldTerm {
    pub name: String,
    pub value: String,
}

/// What is wanted of the records that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    #[default]
    Lines,
    /// Only how many.
    Count,
    /// The most frequent templates, the limit's number of them.
    Templates,
    Services,
    Levels,
    /// How many in each span of time.
    Timeline {
        every_ms: u64,
    },
}

impl TypedQuery {
    /// True if the record is asked for; `template` is its template where that is known.
    pub fn matches_with(&self, record: &LogRecord, template: Option<TemplateId>) -> bool {
        self.template.is_none_or(|wanted| template == Some(wanted)) && self.matches(record)
    }

    /// As [`TypedQuery::matches_with`], but for the template, which a record does not know.
    pub fn matches(&self, record: &LogRecord) -> bool {
        let in_time = self.range.is_none_or(|range| record.at_ms.is_some_and(|at_ms| range.contains(at_ms)));
        let in_level =
            self.levels.is_empty() || record.level.is_some_and(|level| self.levels.contains(&level));
        let in_service = self.services.is_empty()
            || record
                .service
                .as_deref()
                .is_some_and(|service| self.services.iter().any(|wanted| service_matches(wanted, service)));
        let in_fields = self.fields.iter().all(|term| {
            record.fields.iter().any(|(name, value)| {
                name.eq_ignore_ascii_case(&term.name) && value.to_lowercase() == term.value.to_lowercase()
            })
        });
        let excluded = record.level.is_some_and(|level| self.excluded_levels.contains(&level))
            || record.service.as_deref().is_some_and(|service| {
                self.excluded_services.iter().any(|unwanted| service_matches(unwanted, service))
            });
        if !(in_time && in_level && in_service && in_fields) || excluded {
            return false;
        }
        if self.text.is_empty() && self.excluded.is_empty() {
            return true;
        }
        let line = searchable(record);
        self.text.iter().all(|term| term.any_of.iter().any(|word| line.contains(&word.to_lowercase())))
            && !self.excluded.iter().any(|word| line.contains(&word.to_lowercase()))
    }
}

fn searchable(record: &LogRecord) -> String {
    let mut line = record.message.to_lowercase();
    for (name, value) in &record.fields {
        line.push('\n');
        line.push_str(&name.to_lowercase());
        line.push('=');
        line.push_str(&value.to_lowercase());
    }
    line
}

/// The same name in any case, or an instance of it: `checkout` is asked for, and `checkout-7f9c`,
/// `checkout-service`, `checkoutservice` and `shop/checkout` are found.
pub fn service_matches(wanted: &str, service: &str) -> bool {
    let (wanted, service) = (wanted.to_lowercase(), service.to_lowercase());
    let own = service.rsplit(['/', ':']).next().unwrap_or(&service);
    [service.as_str(), own].iter().any(|name| {
        name.strip_prefix(wanted.as_str()).is_some_and(|rest| {
            let mark =
                rest.starts_with(|c: char| matches!(c, '-' | '_' | '.' | '/' | ':') || c.is_ascii_digit());
            rest.is_empty() || rest == "service" || rest == "svc" || mark
        })
    })
}

/// Reads a question, or a query as it is shown; total: the worst has everything in `not_understood`.
pub fn translate(text: &str, now_ms: u64) -> TypedQuery {
    grammar::read(text, now_ms)
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
