//! How text becomes terms, alike for documents and queries. Owns identifier splitting, stop words and stemming;
//! never weighs a term.
//!
//! `KubePodNotReady` and `kube_pod_not_ready` both give `kubepodnotready` (the whole, so that an exact name wins)
//! and `kube`, `pod`, `not`, `readi` (the parts, so that plain words find it).

use std::collections::HashSet;
use std::sync::OnceLock;

use tantivy::tokenizer::{Language, Stemmer, StopWordFilter, TextAnalyzer, Token, TokenStream, Tokenizer};

/// The analyzer's name inside the text index.
pub(crate) const ANALYZER: &str = "medic-words";

/// A longer run of letters is encoded data, not a word.
const WORD_BYTES_MAX: usize = 64;

/// Words that say nothing about a fault. Negations stay: "not ready" differs from "ready".
const STOP_WORDS: &[&str] = &[
    "a", "about", "after", "all", "also", "an", "and", "any", "are", "as", "at", "be", "because", "been",
    "being", "but", "by", "can", "could", "did", "do", "does", "during", "each", "etc", "for", "from", "get",
    "gets", "got", "had", "has", "have", "he", "her", "here", "his", "how", "i", "if", "in", "into", "is",
    "it", "its", "itself", "just", "may", "might", "more", "most", "much", "must", "my", "of", "on", "one",
    "onto", "or", "our", "ours", "please", "she", "should", "since", "so", "some", "such", "than", "that",
    "the", "their", "them", "then", "there", "these", "they", "this", "those", "to", "too", "us", "very",
    "was", "we", "were", "what", "when", "where", "which", "while", "who", "why", "will", "with", "would",
    "you", "your",
];

/// Stems of words that belong to any sentence: a document may lack them and still be right.
pub(crate) fn is_filler(term: &str) -> bool {
    static FILLERS: OnceLock<HashSet<String>> = OnceLock::new();
    let fillers = FILLERS.get_or_init(|| {
        let lines = include_str!("fillers.txt").lines().filter(|line| !line.starts_with('#'));
        lines.flat_map(terms).collect()
    });
    fillers.contains(term)
}

pub(crate) fn analyzer() -> TextAnalyzer {
    static ANALYZER: OnceLock<TextAnalyzer> = OnceLock::new();
    ANALYZER
        .get_or_init(|| {
            TextAnalyzer::builder(WordTokenizer)
                .filter(StopWordFilter::remove(STOP_WORDS.iter().map(|word| (*word).to_owned())))
                .filter(Stemmer::new(Language::English))
                .build()
        })
        .clone()
}

/// The terms of `text` in order, repeats included.
pub(crate) fn terms(text: &str) -> Vec<String> {
    let mut analyzer = analyzer();
    let mut stream = analyzer.token_stream(text);
    let mut terms = Vec::new();
    while let Some(token) = stream.next() {
        terms.push(token.text.clone());
    }
    terms
}

/// The one spelling under which a name is compared: letters and digits only, lower case.
pub(crate) fn name_key(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whether `word` is a name of at least two parts in CamelCase, as alerts are named.
pub(crate) fn is_camel_case_name(word: &str) -> bool {
    word.chars().all(char::is_alphanumeric)
        && word.chars().next().is_some_and(char::is_alphabetic)
        && word.chars().any(char::is_lowercase)
        && parts(word).len() >= 2
}

/// Splits an identifier at `_` and at changes of case: `PrometheusTSDBReloads` → Prometheus, TSDB, Reloads.
/// A plural of an acronym stays whole: `PVCs`. Digits never split: `p99`, `k8s`, `ipv6` are words.
pub(crate) fn parts(identifier: &str) -> Vec<&str> {
    let mut cuts = vec![0];
    let chars: Vec<(usize, char)> = identifier.char_indices().collect();
    for (index, window) in chars.windows(2).enumerate() {
        let [(_, before), (at, here)] = window else { continue };
        let after = chars.get(index + 2).map(|(_, c)| *c);
        let lower_to_upper = (before.is_lowercase() || before.is_numeric()) && here.is_uppercase();
        let acronym_ends = before.is_uppercase()
            && here.is_uppercase()
            && after.is_some_and(char::is_lowercase)
            && !(after == Some('s') && chars.get(index + 3).is_none_or(|(_, c)| !c.is_lowercase()));
        if *before == '_' || *here == '_' || lower_to_upper || acronym_ends {
            cuts.push(*at);
        }
    }
    cuts.push(identifier.len());
    cuts.windows(2)
        .filter_map(|cut| match cut {
            [from, to] => identifier.get(*from..*to),
            _ => None,
        })
        .filter(|part| part.chars().any(char::is_alphanumeric))
        .collect()
}

#[derive(Clone)]
struct WordTokenizer;

impl Tokenizer for WordTokenizer {
    type TokenStream<'a> = Words;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Words {
        let mut tokens = Vec::new();
        let mut position = 0;
        let mut start = None;
        for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
            let inside = c.is_alphanumeric() || c == '_';
            match (inside, start) {
                (true, None) => start = Some(at),
                (false, Some(from)) => {
                    push_identifier(text, from, at, &mut position, &mut tokens);
                    start = None;
                }
                _ => {}
            }
        }
        Words { tokens, next: 0, empty: Token::default() }
    }
}

fn push_identifier(text: &str, from: usize, to: usize, position: &mut usize, tokens: &mut Vec<Token>) {
    let Some(identifier) = text.get(from..to) else { return };
    let pieces = parts(identifier);
    let mut push = |text: String, position: usize| {
        if !text.is_empty() && text.len() <= WORD_BYTES_MAX {
            tokens.push(Token { offset_from: from, offset_to: to, position, text, position_length: 1 });
        }
    };
    if pieces.len() > 1 {
        // At the place of its first part, so that the parts keep standing side by side.
        push(name_key(identifier), *position);
    }
    for piece in pieces {
        push(piece.to_lowercase(), *position);
        *position += 1;
    }
}

struct Words {
    tokens: Vec<Token>,
    /// One past the current token.
    next: usize,
    empty: Token,
}

impl TokenStream for Words {
    fn advance(&mut self) -> bool {
        self.next += 1;
        self.next <= self.tokens.len()
    }

    fn token(&self) -> &Token {
        self.tokens.get(self.next.wrapping_sub(1)).unwrap_or(&self.empty)
    }

    fn token_mut(&mut self) -> &mut Token {
        self.tokens.get_mut(self.next.wrapping_sub(1)).unwrap_or(&mut self.empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_give_their_parts_and_their_whole() {
        assert_eq!(terms("KubePodNotReady"), ["kubepodnotreadi", "kube", "pod", "not", "readi"]);
        assert_eq!(terms("kube_pod_not_ready"), terms("KubePodNotReady"));
        assert_eq!(parts("PrometheusTSDBReloadsFailing"), ["Prometheus", "TSDB", "Reloads", "Failing"]);
        assert_eq!(parts("PVCsFull"), ["PVCs", "Full"]);
        assert_eq!(terms("p99 k8s ipv6"), ["p99", "k8s", "ipv6"]);
    }

    #[test]
    fn inflections_meet_and_stop_words_go() {
        assert_eq!(terms("The pods are restarting"), terms("pod restarts"));
        assert!(terms("of the and to").is_empty());
        assert_eq!(terms("not ready").len(), 2);
    }

    #[test]
    fn encoded_blobs_are_no_words() {
        assert!(terms(&"a".repeat(65)).is_empty());
    }

    #[test]
    fn only_names_of_two_parts_are_alert_names() {
        assert!(is_camel_case_name("HighErrorRate"));
        assert!(is_camel_case_name("etcdMembersDown"));
        assert!(!is_camel_case_name("Readiness"));
        assert!(!is_camel_case_name("two words"));
        assert!(!is_camel_case_name("HTTP"));
    }
}
