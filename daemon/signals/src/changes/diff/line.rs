//! Lines of a diff, and what one turned into.
//!
//! Owns tokens, values with their units, and the judgement of one edited line. Never needs to know the language.

use super::Behaviour;
use std::collections::{BTreeMap, BTreeSet};

/// A changed line without its comment.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) text: String,
    squeezed: String,
    tokens: Vec<String>,
}

impl Line {
    pub(super) fn of(code: &str) -> Self {
        let text = without_comment(code).trim().to_owned();
        let squeezed = text.chars().filter(|letter| !letter.is_whitespace()).collect();
        let tokens = tokens(&text);
        Self { text, squeezed, tokens }
    }

    /// True for lines of nothing, and of brackets only.
    pub(super) fn is_empty(&self) -> bool {
        !self.squeezed.chars().any(char::is_alphanumeric)
    }

    /// Names directly before an opening parenthesis, without the words of control flow and definitions.
    pub(super) fn calls(&self) -> impl Iterator<Item = &str> {
        let mut before_that = "";
        let mut before = "";
        let mut found = Vec::new();
        for token in &self.tokens {
            if token == "("
                && before.chars().next().is_some_and(|first| first.is_alphabetic() || first == '_')
                && !["if", "for", "while", "switch", "match", "return", "func", "catch"].contains(&before)
                && !["func", "fn", "def", "function"].contains(&before_that)
            {
                found.push(before);
            }
            before_that = before;
            before = token;
        }
        found.into_iter()
    }

    /// A definition's head or a call of a helper: what moving lines leaves behind.
    pub(super) fn is_scaffold(&self) -> bool {
        let first = self.tokens.first().map_or("", String::as_str);
        ["func", "fn", "def", "function", "return"].contains(&first) || self.calls().next().is_some()
    }

    /// Mentions logs, metrics or traces.
    pub(super) fn only_observes(&self) -> bool {
        super::words::split(&self.text).iter().any(|word| {
            [
                "log",
                "logg",
                "logger",
                "metric",
                "counter",
                "histogram",
                "gauge",
                "span",
                "trace",
                "prometheu",
                "prometheus",
                "buckets",
                "inc",
            ]
            .contains(&word.as_str())
        })
    }
}

/// Cuts `//`, `#`, `--` and `/*` comments. A mark within a word (`http://`) or at a colour (`#fff`) is none.
pub(super) fn without_comment(code: &str) -> &str {
    let trimmed = code.trim_start();
    if ["//", "# ", "/*", "* ", "-- ", "<!--"].iter().any(|mark| trimmed.starts_with(mark)) || trimmed == "#"
    {
        return "";
    }
    for mark in [" // ", "\t// ", " # ", " /* "] {
        if let Some((before, _)) = code.split_once(mark) {
            return before;
        }
    }
    code
}

/// Identifiers, numbers with their units, and single marks.
fn tokens(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut token = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let in_number = token.chars().next().is_some_and(|first| first.is_ascii_digit());
        let joins = letter.is_alphanumeric()
            || letter == '_'
            || (letter == '.' && in_number && letters.peek().is_some_and(char::is_ascii_digit))
            // v1.2.3: dots within a version belong to it.
            || (letter == '.' && is_version_head(&token) && letters.peek().is_some_and(char::is_ascii_digit));
        if joins {
            token.push(letter);
        } else {
            if !token.is_empty() {
                found.push(std::mem::take(&mut token));
            }
            if !letter.is_whitespace() {
                found.push(letter.to_string());
            }
        }
    }
    if !token.is_empty() {
        found.push(token);
    }
    found
}

fn is_version_head(token: &str) -> bool {
    token
        .strip_prefix('v')
        .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

/// Takes lines out that stand on both sides, whatever their blanks; returns their texts.
pub(super) fn cancel(removed: &mut Vec<Line>, added: &mut Vec<Line>) -> Vec<String> {
    let mut spare: BTreeMap<String, usize> = BTreeMap::new();
    for line in added.iter() {
        *spare.entry(line.squeezed.clone()).or_default() += 1;
    }
    let mut cancelled: BTreeMap<String, usize> = BTreeMap::new();
    let mut moved = Vec::new();
    removed.retain(|line| match spare.get_mut(&line.squeezed) {
        Some(left) if *left > 0 => {
            *left -= 1;
            *cancelled.entry(line.squeezed.clone()).or_default() += 1;
            moved.push(line.text.clone());
            false
        }
        _ => true,
    });
    added.retain(|line| match cancelled.get_mut(&line.squeezed) {
        Some(left) if *left > 0 => {
            *left -= 1;
            false
        }
        _ => true,
    });
    moved
}

/// True if the added lines hold no word that the removed ones do not, but for words of control flow.
pub(super) fn recombines(removed: &[Line], added: &[Line]) -> bool {
    let known: BTreeSet<&String> = removed.iter().flat_map(|line| &line.tokens).collect();
    let flow = ["return", "if", "else", "err", "nil", "null", "let", "var", "const", "await"];
    !removed.is_empty()
        && !added.is_empty()
        && added
            .iter()
            .flat_map(|line| &line.tokens)
            .all(|token| !speaks(token) || known.contains(token) || flow.contains(&token.as_str()))
}

pub(super) struct Pairs {
    pub(super) matched: Vec<(Line, Line)>,
    pub(super) removed: Vec<Line>,
    pub(super) added: Vec<Line>,
}

/// Pairs each removed line with the added one most like it, the most alike first.
pub(super) fn pair(removed: &[Line], added: &[Line], alike_min: f64) -> Pairs {
    let mut candidates: Vec<(f64, usize, usize)> = Vec::new();
    for (i, old) in removed.iter().enumerate() {
        for (j, new) in added.iter().enumerate() {
            let alike = dice(&old.tokens, &new.tokens);
            if alike >= alike_min {
                candidates.push((alike, i, j));
            }
        }
    }
    candidates.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let (mut old_taken, mut new_taken) = (BTreeSet::new(), BTreeSet::new());
    let mut matched = Vec::new();
    for (_, i, j) in candidates {
        if old_taken.contains(&i) || new_taken.contains(&j) {
            continue;
        }
        if let (Some(old), Some(new)) = (removed.get(i), added.get(j)) {
            old_taken.insert(i);
            new_taken.insert(j);
            matched.push((old.clone(), new.clone()));
        }
    }
    let rest = |lines: &[Line], taken: &BTreeSet<usize>| -> Vec<Line> {
        lines.iter().enumerate().filter(|(i, _)| !taken.contains(i)).map(|(_, line)| line.clone()).collect()
    };
    Pairs { matched, removed: rest(removed, &old_taken), added: rest(added, &new_taken) }
}

fn counts(tokens: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for token in tokens {
        *counts.entry(token.as_str()).or_default() += 1;
    }
    counts
}

/// What `a` has more of than `b`, in `a`'s order.
fn surplus<'a>(a: &'a [String], b: &'a [String]) -> Vec<&'a str> {
    let mut spare = counts(b);
    a.iter()
        .map(String::as_str)
        .filter(|token| match spare.get_mut(token) {
            Some(left) if *left > 0 => {
                *left -= 1;
                false
            }
            _ => true,
        })
        .collect()
}

fn dice(a: &[String], b: &[String]) -> f64 {
    let shared = a.len().saturating_sub(surplus(a, b).len());
    2.0 * shared as f64 / (a.len() + b.len()).max(1) as f64
}

/// Judges what became of one line.
pub(super) fn edit(old: &Line, new: &Line, behaviour: &mut Behaviour) {
    let gone: Vec<&str> = surplus(&old.tokens, &new.tokens).into_iter().filter(|t| speaks(t)).collect();
    let come: Vec<&str> = surplus(&new.tokens, &old.tokens).into_iter().filter(|t| speaks(t)).collect();
    let mut key_weight = 0.3;
    if let (Some(before), Some(after)) = (version(&gone), version(&come)) {
        let (change, what) = if before.0 != after.0 {
            (0.6, "another major version of a dependency")
        } else if before.1 != after.1 {
            (0.35, "another minor version of a dependency")
        } else {
            (0.12, "a patch of a dependency")
        };
        behaviour.say(change, what);
    } else if gone.is_empty() && come.is_empty() {
        behaviour.say(0.25, "reorders a line");
    } else if let (Some(before), Some(after)) = (value(&old.tokens, &gone), value(&new.tokens, &come)) {
        let ratio = (before / after).abs().max((after / before).abs());
        // Nearly the same value alters nearly nothing; from tenfold on it is another regime. From or to zero is, too.
        let size = if ratio.is_finite() { 1.0 - (-ratio.ln() / 1.2).exp() } else { 1.0 };
        behaviour.say(0.3 + 0.65 * size, format!("`{}` became `{}`", clip(&old.text), clip(&new.text)));
        behaviour.values.push((before, after));
        key_weight = 0.9;
    } else if gone.is_empty() {
        behaviour.say(0.3, "adds to a line");
    } else {
        let swap = || format!("`{}` became `{}`", clip(&old.text), clip(&new.text));
        match literal(old, new) {
            Some(Literal::Prose) => behaviour.say(0.15, "rewords a text"),
            // A key, a path, a pattern, a query: others must spell it the same.
            Some(Literal::Code) => {
                behaviour.say(0.75, swap());
                key_weight = 0.6;
            }
            None if gone.len() == 1 && come.len() == 1 && is_setting(old) => {
                behaviour.say(0.75, swap());
                key_weight = 0.6;
            }
            None if gone.len() == 1 && come.len() == 1 => behaviour.say(0.45, swap()),
            None => behaviour.say(0.4, "rewrites a line"),
        }
    }
    for token in &gone {
        behaviour.weigh(token, 1.0);
    }
    for token in &come {
        behaviour.weigh(token, 0.8);
    }
    behaviour.weigh(&old.text, key_weight);
}

/// Tokens that carry meaning: not marks alone.
fn speaks(token: &str) -> bool {
    token.chars().any(char::is_alphanumeric)
}

fn clip(text: &str) -> String {
    text.chars().take(60).collect()
}

enum Literal {
    /// Words for people.
    Prose,
    Code,
}

/// What differs, if the lines differ within quotes only.
fn literal(old: &Line, new: &Line) -> Option<Literal> {
    let parts = |line: &Line, quoted: bool| -> Vec<String> {
        let skip = usize::from(quoted);
        line.text
            .split(['"', '\'', '`'])
            .skip(skip)
            .step_by(2)
            .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    };
    // The text of settings without quotes is one with its line.
    if parts(old, false) != parts(new, false) || parts(old, true) == parts(new, true) {
        return None;
    }
    let reads = |part: &String| {
        part.contains(' ')
            && part.chars().all(|c| c.is_alphanumeric() || " .,:;!?'()-".contains(c))
            && !part.split(' ').any(|word| word.len() > 3 && word.chars().all(|c| c.is_ascii_uppercase()))
    };
    let (before, after) = (parts(old, true), parts(new, true));
    let differing = before.iter().zip(&after).filter(|(a, b)| a != b);
    Some(if differing.into_iter().all(|(a, _)| reads(a)) { Literal::Prose } else { Literal::Code })
}

/// `level: info`, `mode = fast`: one name, one mark, one value.
fn is_setting(line: &Line) -> bool {
    let words = line.tokens.iter().filter(|token| speaks(token)).count();
    words == 2 && line.tokens.iter().any(|token| token == ":" || token == "=")
}

/// Pairs of names that stand for each other in two edits and more, and nowhere else: one name became another.
pub(super) fn renamed(matched: &[(Line, Line)]) -> BTreeSet<(String, String)> {
    let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (old, new) in matched {
        let gone: Vec<&str> = surplus(&old.tokens, &new.tokens).into_iter().filter(|t| speaks(t)).collect();
        let come: Vec<&str> = surplus(&new.tokens, &old.tokens).into_iter().filter(|t| speaks(t)).collect();
        if let ([before], [after]) = (gone.as_slice(), come.as_slice())
            && !old.text.contains(['"', '\''])
            && before.chars().next().is_some_and(char::is_alphabetic)
        {
            *seen.entry(((*before).to_owned(), (*after).to_owned())).or_default() += 1;
        }
    }
    seen.into_iter().filter(|(_, count)| *count >= 2).map(|(pair, _)| pair).collect()
}

/// True if the edit is nothing but one of `renames`.
pub(super) fn only_renames(old: &Line, new: &Line, renames: &BTreeSet<(String, String)>) -> bool {
    renames.iter().any(|(before, after)| {
        old.tokens.iter().map(|token| if token == before { after } else { token }).eq(new.tokens.iter())
    })
}

/// Major and minor of a version such as `v1.2.3`, if all that differs is one.
fn version(tokens: &[&str]) -> Option<(u64, u64)> {
    let [token] = tokens else { return None };
    let mut parts = token.strip_prefix('v').unwrap_or(token).split('.').map(str::parse::<u64>);
    let (Some(Ok(major)), Some(Ok(minor)), Some(Ok(_))) = (parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    Some((major, minor))
}

/// The number of a line, in its base unit, if numbers and units are all that differs.
fn value(all: &[String], differing: &[&str]) -> Option<f64> {
    if differing.is_empty() || !differing.iter().all(|token| number(token).is_some() || unit(token).is_some())
    {
        return None;
    }
    let differing_number = differing.iter().find_map(|token| number(token));
    // `15 * time.Minute` to `15 * time.Second`: the number stays, its unit differs.
    let base = differing_number.or_else(|| all.iter().find_map(|token| number(token)))?;
    let unit = all.iter().find_map(|token| unit(token)).unwrap_or(1.0);
    Some(base * unit)
}

/// `50`, `0.1`, `1_000`, `30s`, `512Mi`.
fn number(token: &str) -> Option<f64> {
    let digits = token.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(token.len());
    let (head, suffix) = token.split_at_checked(digits)?;
    let value: f64 = head.replace('_', "").parse().ok()?;
    let factor = match suffix {
        "" => 1.0,
        _ => short_unit(suffix)?,
    };
    Some(value * factor)
}

fn short_unit(suffix: &str) -> Option<f64> {
    Some(match suffix {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        "k" | "K" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "Ki" | "KiB" => 1024.0,
        "Mi" | "MiB" => 1_048_576.0,
        "Gi" | "GiB" => 1_073_741_824.0,
        "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        _ => return None,
    })
}

/// Units as words, singular and plural.
fn unit(token: &str) -> Option<f64> {
    let lower = token.to_ascii_lowercase();
    Some(match lower.trim_end_matches('s') {
        "nanosecond" => 1e-9,
        "microsecond" => 1e-6,
        "milli" | "millisecond" => 1e-3,
        "second" | "sec" => 1.0,
        "minute" | "min" => 60.0,
        "hour" => 3600.0,
        "day" => 86_400.0,
        _ => return None,
    })
}
