//! Plain words as a typed query over log records.
//!
//! Owns the grammar, the query's printed form, and whether a record matches. Never guesses silently: words it
//! could not place are given back. Times without an offset are UTC; an hour without a day is the latest such
//! hour before now.

use super::record::{Level, LogRecord};
use super::templates::TemplateId;
use crate::series::TimeRange;
use crate::timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

mod clock;
mod words;

use words::Word;

/// Lines given when none were asked for.
pub const LIMIT_DEFAULT: usize = 100;
/// More lines than this are not given at once.
pub const LIMIT_MAX: usize = 10_000;
/// Words of a question that are read; a longer one is cut off and said to be.
pub(crate) const WORDS_MAX: usize = 128;

/// What was asked, in terms of records. All parts must hold; an empty part holds always.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TypedQuery {
    /// Either end may be open: 0 and `u64::MAX`.
    pub range: Option<TimeRange>,
    /// Any of these; matched as [`service_matches`] says.
    pub services: Vec<String>,
    pub levels: BTreeSet<Level>,
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
        if !(in_time && in_level && in_service) {
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

impl fmt::Display for TypedQuery {
    /// `level=error|fatal service=checkout from=… to=… text~"database" limit=100`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        if !self.levels.is_empty() {
            let names: Vec<&str> = self.levels.iter().map(|level| level.as_str()).collect();
            parts.push(format!("level={}", names.join("|")));
        }
        if !self.services.is_empty() {
            parts.push(format!("service={}", self.services.join("|")));
        }
        if let Some(range) = self.range {
            if range.start_ms > 0 {
                parts.push(format!("from={}", timestamp::show(range.start_ms)));
            }
            if range.end_ms < u64::MAX {
                parts.push(format!("to={}", timestamp::show(range.end_ms)));
            }
        }
        if let Some(template) = self.template {
            parts.push(format!("template={template}"));
        }
        for term in &self.text {
            let words: Vec<String> = term.any_of.iter().map(|word| format!("{word:?}")).collect();
            parts.push(format!("text~{}", words.join("|")));
        }
        for word in &self.excluded {
            parts.push(format!("not~{word:?}"));
        }
        parts.push(format!("{}={}", if self.newest_first { "last" } else { "limit" }, self.limit));
        f.write_str(&parts.join(" "))
    }
}

/// Reads a question; total: the worst has everything in `not_understood`.
pub fn translate(text: &str, now_ms: u64) -> TypedQuery {
    let words = words::split(text);
    let mut parser = Parser {
        words: &words,
        at: 0,
        now_ms,
        query: TypedQuery { limit: LIMIT_DEFAULT, ..TypedQuery::default() },
    };
    while parser.at < words.len() {
        parser.step();
    }
    if words.len() >= WORDS_MAX {
        parser.query.not_understood.push("(the question is too long; the rest was not read)".to_owned());
    }
    parser.query
}

struct Parser<'a> {
    words: &'a [Word],
    at: usize,
    now_ms: u64,
    query: TypedQuery,
}

impl<'a> Parser<'a> {
    /// The lower-case word `ahead` of the current one; empty beyond the end and for quoted text.
    fn word(&self, ahead: usize) -> &'a str {
        self.words.get(self.at + ahead).filter(|word| !word.quoted).map_or("", |word| word.lower.as_str())
    }

    fn step(&mut self) {
        let Some(current) = self.words.get(self.at) else { return };
        if current.quoted {
            self.add_text(vec![current.text.clone()]);
            self.at += 1;
            return;
        }
        let taken = self.count_phrase().or_else(|| self.time_phrase()).or_else(|| self.level_phrase());
        if let Some(taken) =
            taken.or_else(|| self.pair()).or_else(|| self.text_phrase()).or_else(|| self.service_phrase())
        {
            self.at += taken.max(1);
            return;
        }
        if !words::is_filler(&current.lower) {
            // `database errors`, `timeout lines`: a noun before what lines are called describes them.
            if words::is_line_noun(self.word(1)) || level_words(self.word(1)).is_some() {
                self.add_text(vec![words::singular(&current.lower)]);
            } else {
                self.query.not_understood.push(current.text.clone());
            }
        }
        self.at += 1;
    }

    fn add_text(&mut self, any_of: Vec<String>) {
        let term = TextTerm { any_of };
        if !self.query.text.contains(&term) {
            self.query.text.push(term);
        }
    }

    /// `last 20 lines`, `first 5`, `limit 50`, `top 10`, `20 lines`.
    fn count_phrase(&mut self) -> Option<usize> {
        let lead = self.word(0);
        let number = |word: &str| word.parse::<usize>().ok().filter(|count| *count > 0);
        let (count, taken) = if matches!(lead, "last" | "latest" | "newest" | "first" | "top" | "limit") {
            let count = number(self.word(1))?;
            if words::is_line_noun(self.word(2)) || level_words(self.word(2)).is_some() {
                // The noun itself is read next: `last 20 errors`.
                (count, 2)
            } else if lead == "limit" || (lead != "last" && clock::unit_ms(self.word(2)).is_none()) {
                (count, 2)
            } else {
                return None;
            }
        } else {
            let count = number(lead)?;
            (words::is_line_noun(self.word(1)) || level_words(self.word(1)).is_some())
                .then_some((count, 1))?
        };
        self.query.newest_first = matches!(lead, "last" | "latest" | "newest");
        self.query.limit = count.min(LIMIT_MAX);
        Some(taken)
    }

    fn time_phrase(&mut self) -> Option<usize> {
        let rest: Vec<&str> = (0..12).map(|ahead| self.word(ahead)).collect();
        let (range, taken) = clock::range(&rest, self.now_ms)?;
        self.query.range = Some(match self.query.range {
            // `after 10:05 before 10:10` narrows.
            Some(before) => {
                TimeRange::new(before.start_ms.max(range.start_ms), before.end_ms.min(range.end_ms))
            }
            None => range,
        });
        Some(taken)
    }

    /// `errors`, `warnings or worse`, `at least warn`, `above info`.
    fn level_phrase(&mut self) -> Option<usize> {
        let (lead, from) = match (self.word(0), self.word(1)) {
            ("at", "least") => (2, true),
            ("level" | "severity", _) if level_words(self.word(1)).is_some() => (1, false),
            _ => (0, false),
        };
        let levels = level_words(self.word(lead))?;
        let lowest = levels.first().copied()?;
        let worse = matches!(
            (self.word(lead + 1), self.word(lead + 2)),
            ("or" | "and", "worse" | "above" | "higher" | "up")
        );
        if from || worse {
            self.query.levels.extend(Level::ALL.iter().filter(|level| **level >= lowest));
        } else {
            self.query.levels.extend(levels);
        }
        Some(lead + 1 + if worse { 2 } else { 0 })
    }

    /// `service=checkout`, `level:error`, `template=…`, `limit=5`, `text=…`.
    fn pair(&mut self) -> Option<usize> {
        let current = self.words.get(self.at)?;
        let (name, value) = current.text.split_once(['=', ':'])?;
        if value.is_empty() {
            return None;
        }
        match name.to_lowercase().as_str() {
            "service" | "app" | "svc" | "component" => self.query.services.push(value.to_owned()),
            "level" | "severity" => self.query.levels.extend(level_words(&value.to_lowercase())?),
            "template" => self.query.template = Some(value.parse().ok()?),
            "limit" => self.query.limit = value.parse::<usize>().ok()?.clamp(1, LIMIT_MAX),
            "text" | "message" | "msg" => self.add_text(vec![value.to_owned()]),
            _ => return None,
        }
        Some(1)
    }

    /// `about the database or the cache`, `containing timeout`, `without health`, `template 0f…`.
    fn text_phrase(&mut self) -> Option<usize> {
        let lead = self.word(0);
        if lead == "template" {
            self.query.template = Some(self.word(1).parse().ok()?);
            return Some(2);
        }
        let (negative, mut taken) = match (lead, self.word(1)) {
            ("without" | "excluding" | "except" | "ignoring", _) => (true, 1),
            ("not", "about" | "containing" | "mentioning" | "matching" | "like") => (true, 2),
            (
                "about" | "containing" | "contains" | "mentioning" | "mentions" | "regarding" | "concerning"
                | "saying" | "says" | "matching" | "like" | "with" | "including" | "involving",
                _,
            ) => (false, 1),
            (
                "that" | "which",
                "say" | "mention" | "contain" | "match" | "contains" | "mentions" | "says",
            ) => (false, 2),
            ("related", "to") => (false, 2),
            _ => return None,
        };
        let before = taken;
        let mut any_of: Vec<String> = Vec::new();
        let mut joined_by_or = true;
        while let Some(word) = self.words.get(self.at + taken) {
            let lower = self.word(taken);
            if !word.quoted && matches!(lower, "the" | "a" | "an" | "any" | "word" | "text" | "phrase") {
                taken += 1;
                continue;
            }
            if !word.quoted && self.begins_phrase(taken) {
                break;
            }
            let text = if word.quoted { word.text.clone() } else { words::singular(lower) };
            if negative {
                self.query.excluded.push(text);
            } else if joined_by_or {
                any_of.push(text);
            } else {
                self.add_text(std::mem::take(&mut any_of));
                any_of.push(text);
            }
            taken += 1;
            match self.word(taken) {
                "or" => (joined_by_or, taken) = (true, taken + 1),
                "and" if !self.begins_phrase(taken + 1) => (joined_by_or, taken) = (false, taken + 1),
                _ => joined_by_or = false,
            }
        }
        if !any_of.is_empty() {
            self.add_text(any_of);
        }
        (taken > before).then_some(taken)
    }

    /// True if something other than text begins `ahead`: then a list of terms ends there.
    fn begins_phrase(&self, ahead: usize) -> bool {
        let rest: Vec<&str> = (ahead..ahead + 12).map(|ahead| self.word(ahead)).collect();
        let lead = self.word(ahead);
        clock::range(&rest, self.now_ms).is_some()
            || matches!(
                lead,
                "in" | "from"
                    | "of"
                    | "by"
                    | "for"
                    | "on"
                    | "at"
                    | "and"
                    | "without"
                    | "except"
                    | "about"
                    | "not"
                    | "limit"
                    | "service"
                    | "template"
                    | "that"
                    | "which"
                    | "when"
                    | "containing"
                    | "between"
                    | "with"
            )
            || lead.contains('=')
    }

    /// `in checkout`, `from the payments service`, `checkout service`, `in checkout and payments`.
    fn service_phrase(&mut self) -> Option<usize> {
        let lead = self.word(0);
        if matches!(lead, "in" | "from" | "of" | "by" | "for" | "on" | "at" | "service" | "services") {
            let mut taken = 1;
            let before = self.query.services.len();
            loop {
                while matches!(
                    self.word(taken),
                    "the" | "service" | "services" | "both" | "all" | "our" | "my"
                ) {
                    taken += 1;
                }
                let name = self.word(taken);
                if !words::is_name(name) || words::is_filler(name) || self.begins_phrase(taken) {
                    break;
                }
                self.query.services.push(name.to_owned());
                taken += 1;
                if matches!(self.word(taken), "service" | "services" | "pod" | "pods" | "container" | "app") {
                    taken += 1;
                }
                match self.word(taken) {
                    "and" | "or"
                        if words::is_name(self.word(taken + 1))
                            && level_words(self.word(taken + 1)).is_none() =>
                    {
                        taken += 1;
                    }
                    _ => break,
                }
            }
            return (self.query.services.len() > before).then_some(taken);
        }
        if matches!(self.word(1), "service" | "pod" | "container")
            && words::is_name(lead)
            && !words::is_filler(lead)
        {
            self.query.services.push(lead.to_owned());
            return Some(2);
        }
        None
    }
}

/// The levels that a word of a question means, lowest first. `errors` are errors and what is worse.
fn level_words(word: &str) -> Option<Vec<Level>> {
    Some(match word {
        "errors" | "error" | "err" | "failures" | "exceptions" => vec![Level::Error, Level::Fatal],
        "warnings" | "warning" | "warn" | "warns" => vec![Level::Warn],
        "fatal" | "fatals" | "critical" | "criticals" | "crit" | "panics" => vec![Level::Fatal],
        "info" | "infos" | "notice" | "notices" => vec![Level::Info],
        "debug" => vec![Level::Debug],
        "trace" => vec![Level::Trace],
        "problems" | "issues" | "trouble" => vec![Level::Warn, Level::Error, Level::Fatal],
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
