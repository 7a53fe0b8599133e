//! The grammar of questions: which words mean what.
//!
//! Owns the order in which phrases are tried. Each takes words from the front; what none takes is filler, or not
//! understood.

use super::clock::{self, Now};
use super::words::{self, Pair, Word};
use super::{Answer, FieldTerm, LIMIT_DEFAULT, LIMIT_MAX, TERMS_MAX, TextTerm, TypedQuery, WORDS_MAX};
use crate::logs::record::Level;
use crate::series::TimeRange;

/// Words that a time can take: `between yesterday at 10:05 am and the 3rd of may 2024 at 10 pm`.
const TIME_WORDS_MAX: usize = 16;

pub(super) fn read(text: &str, now_ms: u64) -> TypedQuery {
    let words = words::split(text);
    let mut parser = Parser {
        words: &words,
        at: 0,
        now: Now { now_ms, day_ms: None },
        query: TypedQuery { limit: LIMIT_DEFAULT, ..TypedQuery::default() },
    };
    while parser.at < words.len() {
        parser.step();
    }
    if words.len() >= WORDS_MAX {
        parser.query.not_understood.push("(the question is too long; the rest was not read)".to_owned());
    }
    let mut query = parser.query;
    // What is open at both ends says nothing.
    query.range = query.range.filter(|range| range.start_ms > 0 || range.end_ms < u64::MAX);
    query
}

struct Parser<'a> {
    words: &'a [Word],
    at: usize,
    now: Now,
    query: TypedQuery,
}

impl<'a> Parser<'a> {
    /// The lower-case word `ahead` of the current one; empty beyond the end, for quoted text and for pairs.
    fn word(&self, ahead: usize) -> &'a str {
        self.words.get(self.at + ahead).map_or("", |word| word.lower.as_str())
    }

    fn step(&mut self) {
        let Some(current) = self.words.get(self.at) else { return };
        if current.quoted {
            self.add_text(vec![current.text.clone()]);
            self.at += 1;
            return;
        }
        if let Some(pair) = &current.pair {
            if self.pair(pair).is_none() {
                self.query.not_understood.push(current.text.clone());
            }
            self.at += 1;
            return;
        }
        let taken = self
            .answer_phrase()
            .or_else(|| self.count_phrase())
            .or_else(|| self.time_phrase())
            .or_else(|| self.negative_phrase())
            // Before the levels: a trace is one, and has an id.
            .or_else(|| self.identifier_phrase())
            .or_else(|| self.level_phrase())
            .or_else(|| self.text_phrase())
            .or_else(|| self.service_phrase());
        if let Some(taken) = taken {
            self.at += taken.max(1);
            return;
        }
        // `database errors`, `timeout lines`: a noun before what lines are called describes them.
        let describes = words::is_line_noun(self.word(1)) || level_words(self.word(1)).is_some();
        if words::is_identifier(&current.lower) {
            self.add_text(vec![current.text.clone()]);
        } else if !words::is_filler(&current.lower) {
            if describes {
                self.add_text(vec![words::singular(&current.lower)]);
            } else {
                self.query.not_understood.push(current.text.clone());
            }
        }
        self.at += 1;
    }

    fn add_text(&mut self, any_of: Vec<String>) {
        let mut distinct: Vec<String> = Vec::new();
        for word in any_of {
            if word.trim().is_empty() || distinct.contains(&word) {
                continue;
            }
            if distinct.len() < TERMS_MAX {
                distinct.push(word)
            } else {
                self.query.not_understood.push(word)
            }
        }
        let term = TextTerm { any_of: distinct };
        if term.any_of.is_empty() || self.query.text.contains(&term) {
            return;
        }
        if self.query.text.len() < TERMS_MAX {
            self.query.text.push(term);
        } else {
            self.query.not_understood.extend(term.any_of);
        }
    }

    /// `how many errors`, `top 5 templates`, `which services`, `errors by level`, `warnings per minute`.
    fn answer_phrase(&mut self) -> Option<usize> {
        let (answer, taken) = match (self.word(0), self.word(1), self.word(2)) {
            ("how", "many", "services") | ("how", "many", "templates") => (grouping(self.word(2))?, 3),
            ("how", "many", "times") => (Answer::Count, 3),
            ("how", "many", _) | ("how", "often", _) | ("number" | "count", "of", _) => (Answer::Count, 2),
            ("count", ..) => (Answer::Count, 1),
            ("in" | "from" | "of", "which" | "what", group) => (grouping(group)?, 3),
            ("which" | "what", group, _) if group.ends_with('s') => (grouping(group)?, 2),
            ("most", "common" | "frequent", group) => (grouping(group)?, 3),
            ("common" | "frequent", group, _) => (grouping(group)?, 2),
            ("top" | "first", count, group) if count.parse::<usize>().is_ok() => {
                let answer = grouping(group)?;
                self.query.limit = count.parse::<usize>().ok()?.clamp(1, LIMIT_MAX);
                (answer, 3)
            }
            ("top", group, _) => (grouping(group)?, 2),
            ("grouped" | "group" | "broken" | "split", "by" | "down", group) if grouping(group).is_some() => {
                (grouping(group)?, 3)
            }
            ("by" | "per" | "each", group, _) if grouping(group).is_some() => (grouping(group)?, 2),
            ("over", "time", _) => (Answer::Timeline { every_ms: 60_000 }, 2),
            ("per" | "each" | "a", unit, _) if self.query.answer != Answer::Lines || self.word(0) != "a" => {
                (Answer::Timeline { every_ms: clock::unit_ms(unit).filter(|every| *every > 0)? }, 2)
            }
            ("every", ..) => {
                let rest: Vec<&str> = (1..4).map(|ahead| self.word(ahead)).collect();
                let (every_ms, taken) = clock::span(&rest).filter(|(every_ms, _)| *every_ms > 0)?;
                (Answer::Timeline { every_ms: every_ms.min(366 * 86_400_000) }, 1 + taken)
            }
            _ => return None,
        };
        self.query.answer = answer;
        Some(taken)
    }

    /// `last 20 lines`, `first 5`, `limit 50`, `top 10`, `20 lines`, `the latest error`.
    fn count_phrase(&mut self) -> Option<usize> {
        let lead = self.word(0);
        let lead_words = usize::from(lead == "most" && self.word(1) == "recent");
        let newest = matches!(lead, "last" | "latest" | "newest") || lead_words > 0;
        let oldest = matches!(lead, "first" | "earliest" | "oldest");
        let is_noun = |word: &str| words::is_line_noun(word) || level_words(word).is_some();
        let number = |word: &str| {
            clock::number(word).filter(|count| *count > 0).and_then(|count| usize::try_from(count).ok())
        };
        let next = 1 + lead_words;
        let (count, taken) = if newest || oldest || matches!(lead, "top" | "limit") {
            match number(self.word(next)) {
                Some(count) => {
                    // The noun itself is read next: `last 20 errors`.
                    let noun = is_noun(self.word(next + 1));
                    let unit = clock::unit_ms(self.word(next + 1)).is_some();
                    if !noun && lead != "limit" && (lead == "last" || unit) {
                        return None;
                    }
                    (count, next + 1)
                }
                None if (newest || oldest) && is_noun(self.word(next)) => {
                    let one = !self.word(next).ends_with('s');
                    (if one { 1 } else { self.query.limit }, next)
                }
                None => return None,
            }
        } else {
            let count = number(lead).filter(|_| lead != "a" && lead != "an")?;
            is_noun(self.word(1)).then_some((count, 1))?
        };
        self.query.newest_first = newest;
        self.query.limit = count.min(LIMIT_MAX);
        Some(taken)
    }

    fn time_phrase(&mut self) -> Option<usize> {
        let found = self.time_at(0)?;
        self.now.day_ms = found.day_ms.or(self.now.day_ms);
        self.query.range = Some(match self.query.range {
            // `after 10:05 before 10:10` narrows.
            Some(before) => narrowed(before, found.range),
            None => found.range,
        });
        Some(found.taken)
    }

    fn time_at(&self, ahead: usize) -> Option<clock::FoundRange> {
        let rest: Vec<&str> = (ahead..ahead + TIME_WORDS_MAX).map(|ahead| self.word(ahead)).collect();
        clock::range(&rest, self.now)
    }

    /// `errors`, `warnings or worse`, `at least warn`, `above info`, `warn and error`.
    fn level_phrase(&mut self) -> Option<usize> {
        if matches!((self.word(0), self.word(1)), ("went" | "goes" | "going", "wrong")) {
            self.query.levels.extend(level_words("problems")?);
            return Some(2);
        }
        let (lead, from, above) = match (self.word(0), self.word(1)) {
            ("at", "least") => (2, true, false),
            ("above" | "over", _) => (1, true, true),
            ("level" | "severity", _) if level_words(self.word(1)).is_some() => (1, false, false),
            _ => (0, false, false),
        };
        let levels = level_words(self.word(lead))?;
        let lowest = levels.first().copied()?;
        let worse = matches!(
            (self.word(lead + 1), self.word(lead + 2)),
            ("or" | "and", "worse" | "above" | "higher" | "up" | "more")
        );
        if from || worse {
            self.query
                .levels
                .extend(Level::ALL.iter().filter(|level| **level > lowest || **level == lowest && !above));
        } else {
            self.query.levels.extend(levels);
        }
        let next = self.word(lead + 1);
        // `fatal errors` are fatal: the noun adds nothing.
        let described =
            matches!(self.word(lead), "fatal" | "critical" | "crit" | "warning" | "info" | "debug")
                && level_words(next).is_some();
        Some(lead + 1 + if worse { 2 } else { usize::from(described || matches!(next, "level" | "levels")) })
    }

    /// A part of a query as it is shown.
    fn pair(&mut self, pair: &Pair) -> Option<()> {
        let (first, all) = (pair.values.first()?, &pair.values);
        match pair.name.as_str() {
            "service" | "app" | "svc" | "component" => {
                add(&mut self.query.services, all, &mut self.query.not_understood)
            }
            "not.service" => add(&mut self.query.excluded_services, all, &mut self.query.not_understood),
            "level" | "severity" | "not.level" => {
                let mut levels = Vec::new();
                for name in all {
                    // As it is shown, an error is an error; in words, what is worse is meant too.
                    let exact = Level::parse(&name.to_lowercase()).map(|level| vec![level]);
                    levels.extend(exact.or_else(|| level_words(&name.to_lowercase()))?);
                }
                let excluded = pair.name == "not.level";
                if excluded { &mut self.query.excluded_levels } else { &mut self.query.levels }
                    .extend(levels);
            }
            "template" => self.query.template = Some(first.parse().ok()?),
            "limit" | "last" => {
                self.query.limit = first.parse::<usize>().ok()?.clamp(1, LIMIT_MAX);
                self.query.newest_first = pair.name == "last";
            }
            "from" | "since" | "after" => {
                let at_ms = clock::instant(first, self.now)?;
                self.narrow(TimeRange::new(at_ms, u64::MAX));
            }
            "to" | "until" | "before" => {
                let at_ms = clock::instant(first, self.now)?;
                self.narrow(TimeRange::new(0, at_ms));
            }
            "text" | "message" | "msg" => self.add_text(all.clone()),
            "not" => add(&mut self.query.excluded, all, &mut self.query.not_understood),
            "show" => {
                self.query.answer = match first.as_str() {
                    "lines" => Answer::Lines,
                    "count" => Answer::Count,
                    "timeline" => Answer::Timeline { every_ms: 60_000 },
                    other => grouping(other)?,
                }
            }
            "every" => {
                let (every_ms, _) = clock::span(&[first.as_str()]).filter(|(every_ms, _)| *every_ms > 0)?;
                self.query.answer = Answer::Timeline { every_ms: every_ms.min(366 * 86_400_000) };
            }
            name => {
                let name = name.strip_prefix("field.").unwrap_or(name);
                let term = FieldTerm { name: name.to_owned(), value: first.clone() };
                if name.is_empty() || all.len() > 1 || self.query.fields.len() >= TERMS_MAX {
                    return None;
                }
                if !self.query.fields.contains(&term) {
                    self.query.fields.push(term);
                }
            }
        }
        Some(())
    }

    fn narrow(&mut self, range: TimeRange) {
        self.query.range = Some(self.query.range.map_or(range, |before| narrowed(before, range)));
    }

    /// `not in checkout`, `except debug`, `without health checks`, `but not timeouts`, `ignoring the cache`.
    fn negative_phrase(&mut self) -> Option<usize> {
        let lead = match (self.word(0), self.word(1), self.word(2)) {
            (
                "not",
                "about" | "containing" | "mentioning" | "matching" | "like" | "including" | "with",
                _,
            ) => 2,
            ("other", "than", _) => 2,
            ("that" | "which", "do" | "does" | "did", "not") | ("that" | "which", "are" | "is", "not") => {
                3 + usize::from(matches!(self.word(3), "mention" | "contain" | "say" | "match"))
            }
            (
                "without" | "excluding" | "exclude" | "except" | "ignoring" | "ignore" | "not" | "no" | "non",
                ..,
            ) => 1,
            _ => return None,
        };
        let skip_article = |at: usize| at + usize::from(matches!(self.word(at), "the" | "any" | "for" | "a"));
        let mut taken = skip_article(lead);
        if matches!(self.word(taken), "in" | "from" | "of" | "by") {
            let (names, after) = self.names(taken + 1);
            add(&mut self.query.excluded_services, &names, &mut self.query.not_understood);
            return (!names.is_empty()).then_some(after);
        }
        if let Some(levels) = level_words(self.word(taken)) {
            self.query.excluded_levels.extend(levels);
            taken += 1;
            while matches!(self.word(taken), "and" | "or")
                && let Some(levels) = level_words(self.word(taken + 1))
            {
                self.query.excluded_levels.extend(levels);
                taken += 2;
            }
            return Some(taken);
        }
        if self.word(taken + 1) == "service" && words::is_name(self.word(taken)) {
            let name = [self.word(taken).to_owned()];
            add(&mut self.query.excluded_services, &name, &mut self.query.not_understood);
            return Some(taken + 2);
        }
        let (terms, after) = self.terms(taken);
        let all: Vec<String> = terms.into_iter().flatten().collect();
        add(&mut self.query.excluded, &all, &mut self.query.not_understood);
        (!all.is_empty()).then_some(after)
    }

    /// `about the database or the cache`, `containing timeout`, `template 0f…`.
    fn text_phrase(&mut self) -> Option<usize> {
        let lead = self.word(0);
        if lead == "template" {
            self.query.template = Some(self.word(1).parse().ok()?);
            return Some(2);
        }
        let taken = match (lead, self.word(1)) {
            (
                "about" | "containing" | "contains" | "contain" | "mentioning" | "mentions" | "mention"
                | "regarding" | "concerning" | "saying" | "says" | "matching" | "like" | "with" | "including"
                | "involving",
                _,
            ) => 1,
            (
                "that" | "which",
                "say" | "mention" | "contain" | "match" | "contains" | "mentions" | "says" | "include",
            ) => 2,
            ("related", "to") | ("due", "to") | ("caused", "by") => 2,
            _ => return None,
        };
        let (terms, after) = self.terms(taken);
        let any = !terms.is_empty();
        for term in terms {
            self.add_text(term);
        }
        any.then_some(after)
    }

    /// Words from `taken` on: those that `or` joins are alternatives. Ends where another phrase begins.
    fn terms(&self, mut taken: usize) -> (Vec<Vec<String>>, usize) {
        let mut terms: Vec<Vec<String>> = Vec::new();
        let mut joined_by_or = false;
        while let Some(word) = self.words.get(self.at + taken) {
            let lower = self.word(taken);
            if matches!(lower, "the" | "a" | "an" | "any" | "word" | "words" | "text" | "phrase") {
                taken += 1;
                continue;
            }
            if word.pair.is_some() || !word.quoted && self.begins_phrase(taken) {
                break;
            }
            let text = if word.quoted { word.text.clone() } else { words::singular(lower) };
            match terms.last_mut().filter(|_| joined_by_or) {
                Some(term) => term.push(text),
                None => terms.push(vec![text]),
            }
            taken += 1;
            joined_by_or = self.word(taken) == "or" && !self.begins_phrase(taken + 1);
            if joined_by_or || self.word(taken) == "and" && !self.begins_phrase(taken + 1) {
                taken += 1;
            }
        }
        (terms, taken)
    }

    /// True if something other than text begins `ahead`: then a list of terms ends there.
    fn begins_phrase(&self, ahead: usize) -> bool {
        matches!(
            self.word(ahead),
            "in" | "from"
                | "of"
                | "by"
                | "for"
                | "on"
                | "at"
                | "and"
                | "or"
                | "but"
                | "per"
                | "every"
                | "without"
                | "except"
                | "excluding"
                | "ignoring"
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
        ) || self.word(ahead + 1) == "service"
            || self.time_at(ahead).is_some()
    }

    /// `request 4711`, `for user bob-7`, `status 500`, `trace 4bf92f…`: a value and what it is of.
    fn identifier_phrase(&mut self) -> Option<usize> {
        let lead =
            usize::from(matches!(self.word(0), "for" | "of" | "from" | "by" | "with" | "on" | "in" | "to"));
        let lead = lead + usize::from(self.word(lead) == "the");
        if !words::is_identified(self.word(lead)) {
            return (lead > 0 && words::is_identifier(self.word(lead)) && !words::is_name(self.word(lead)))
                .then(|| {
                    self.add_text(vec![self.word(lead).to_owned()]);
                    lead + 1
                });
        }
        let next = lead + 1 + usize::from(matches!(self.word(lead + 1), "id" | "code" | "number"));
        let value = self.words.get(self.at + next)?;
        if !value.quoted && !value.lower.bytes().any(|byte| byte.is_ascii_digit()) || value.pair.is_some() {
            return None;
        }
        self.add_text(vec![value.text.clone()]);
        Some(next + 1)
    }

    /// `in checkout`, `from the payments service`, `checkout service`, `in checkout and payments`.
    fn service_phrase(&mut self) -> Option<usize> {
        let lead = self.word(0);
        if matches!(
            lead,
            "in" | "from" | "of" | "by" | "for" | "on" | "at" | "service" | "services" | "component"
        ) {
            let (names, taken) = self.names(1);
            add(&mut self.query.services, &names, &mut self.query.not_understood);
            return (!names.is_empty()).then_some(taken);
        }
        if matches!(self.word(1), "service" | "pod" | "container" | "component")
            && words::is_name(lead)
            && !words::is_filler(lead)
        {
            add(&mut self.query.services, &[lead.to_owned()], &mut self.query.not_understood);
            return Some(2);
        }
        None
    }

    /// Names of services from `taken` on, and where they end.
    fn names(&self, mut taken: usize) -> (Vec<String>, usize) {
        let mut names = Vec::new();
        loop {
            while matches!(
                self.word(taken),
                "the" | "service" | "services" | "component" | "both" | "all" | "our" | "my" | "app"
            ) {
                taken += 1;
            }
            let name = self.word(taken);
            let is_name = words::is_name(name) && !words::is_filler(name) && level_words(name).is_none();
            if !is_name || self.begins_phrase(taken) && self.word(taken + 1) != "service" {
                break;
            }
            names.push(name.to_owned());
            taken += 1;
            if matches!(
                self.word(taken),
                "service" | "services" | "pod" | "pods" | "container" | "app" | "component"
            ) {
                taken += 1;
            }
            let goes_on = matches!(self.word(taken), "and" | "or")
                && words::is_name(self.word(taken + 1))
                && !words::is_filler(self.word(taken + 1))
                && level_words(self.word(taken + 1)).is_none();
            if !goes_on {
                break;
            }
            taken += 1;
        }
        (names, taken)
    }
}

/// Puts names that are not there yet behind those that are; beyond the limit they are not understood.
fn add(names: &mut Vec<String>, more: &[String], not_understood: &mut Vec<String>) {
    for name in more {
        if names.contains(name) {
            continue;
        }
        if names.len() < TERMS_MAX { names.push(name.clone()) } else { not_understood.push(name.clone()) }
    }
}

fn narrowed(a: TimeRange, b: TimeRange) -> TimeRange {
    TimeRange::new(a.start_ms.max(b.start_ms), a.end_ms.min(b.end_ms))
}

/// What answers are grouped by.
fn grouping(word: &str) -> Option<Answer> {
    Some(match word {
        "templates" | "template" | "patterns" | "pattern" | "messages" | "message" | "kinds" => {
            Answer::Templates
        }
        "services" | "service" | "components" | "component" | "apps" | "app" => Answer::Services,
        "levels" | "level" | "severities" | "severity" => Answer::Levels,
        _ => return None,
    })
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
