//! Words of identifiers, messages and paths, so that code and symptoms can be compared.
//!
//! Owns splitting, stemming and the list of words that say nothing. Never translates: two words for one thing stay two.

use std::collections::{BTreeMap, BTreeSet};

/// Words of programming languages and of logging as such. They connect everything with everything.
const EMPTY_WORDS: &[&str] = &[
    "func",
    "function",
    "return",
    "nil",
    "null",
    "none",
    "err",
    "error",
    "errors",
    "string",
    "str",
    "int",
    "bool",
    "float",
    "byte",
    "const",
    "var",
    "let",
    "import",
    "from",
    "export",
    "default",
    "new",
    "this",
    "self",
    "for",
    "else",
    "range",
    "true",
    "false",
    "void",
    "async",
    "await",
    "public",
    "private",
    "class",
    "struct",
    "map",
    "any",
    "type",
    "types",
    "context",
    "ctx",
    "the",
    "and",
    "with",
    "not",
    "was",
    "are",
    "has",
    "via",
    "into",
    "over",
    "after",
    "before",
    "fail",
    "service",
    "svc",
    "http",
    "https",
    "status",
    "code",
    "api",
    "src",
    "pkg",
    "internal",
    "main",
    "add",
    "fix",
    "chore",
    "feat",
    "refactor",
    "simplify",
    "tidy",
    "update",
    "adjust",
    "tune",
    "helper",
    "handler",
    "server",
    "client",
    "config",
    "cfg",
    "yaml",
    "json",
    "interface",
    "begin",
    "end",
    "ratio",
    "total",
    "count",
    "avg",
    "per",
    "second",
    "rate",
    "value",
    "name",
    "set",
    "get",
    "len",
    "append",
    "make",
    "out",
    "result",
    "time",
    "com",
    "net",
    "org",
    "www",
    "use",
    "using",
];

/// Lower-case words of three letters and more, split at punctuation, digits and humps, without endings.
pub(super) fn split(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut word = String::new();
    let mut previous_lower = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        // `HTTPServer`: the last capital before a small letter begins a word.
        let hump = letter.is_uppercase()
            && (previous_lower
                || (!word.is_empty() && letters.peek().is_some_and(|next| next.is_lowercase())));
        if !letter.is_alphabetic() || hump {
            finish(&mut word, &mut found);
        }
        if letter.is_alphabetic() {
            word.extend(letter.to_lowercase());
        }
        previous_lower = letter.is_lowercase();
    }
    finish(&mut word, &mut found);
    found
}

fn finish(word: &mut String, found: &mut Vec<String>) {
    let whole = std::mem::take(word);
    if whole.chars().count() < 3 || EMPTY_WORDS.contains(&whole.as_str()) {
        return;
    }
    let stem = stem(&whole);
    if !EMPTY_WORDS.contains(&stem) {
        found.push(stem.to_owned());
    }
}

/// Without plural and verb endings, where enough is left to be a word.
fn stem(word: &str) -> &str {
    // `matches`, `boxes`: the e belongs to the ending; `services`, `queues`: it does not.
    for (ending, left_min) in [("ing", 4), ("ed", 4), ("ches", 4), ("xes", 3), ("sses", 3), ("s", 3)] {
        let Some(left) = word.strip_suffix(ending) else { continue };
        let cut = if ending.ends_with("es") { word.strip_suffix("es").unwrap_or(left) } else { left };
        if left.len() >= left_min && !(ending == "s" && left.ends_with(['s', 'u', 'i'])) {
            return cut;
        }
    }
    word
}

pub(super) fn set(text: &str) -> BTreeSet<String> {
    split(text).into_iter().collect()
}

/// One word, or one an abbreviation of the other (`conn`, `connection`) of four letters and more.
pub(super) fn alike(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    short == long || (short.len() >= 4 && long.starts_with(short))
}

/// How telling words are, from how many of the documents hold them: 1 for a word of one, towards 0 for one of all.
pub(super) struct Rarity {
    holders: BTreeMap<String, usize>,
    documents: usize,
}

impl Rarity {
    pub(super) fn of<'a>(documents: impl IntoIterator<Item = &'a BTreeSet<String>>) -> Self {
        let mut holders: BTreeMap<String, usize> = BTreeMap::new();
        let mut count = 0;
        for document in documents {
            count += 1;
            for word in document {
                *holders.entry(word.clone()).or_default() += 1;
            }
        }
        Self { holders, documents: count }
    }

    pub(super) fn weight(&self, word: &str) -> f64 {
        let held = self.holders.get(word).copied().unwrap_or(0) as f64;
        let all = self.documents as f64;
        // One of two documents is no sign of a common word: smoothed towards rare for small collections.
        (((all + 10.0) / (held.max(1.0) + 1.0)).ln() / ((all + 10.0) / 2.0).ln()).clamp(0.0, 1.0)
    }
}
