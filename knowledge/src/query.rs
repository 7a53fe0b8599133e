//! What is asked, and how a question becomes weighted terms. An alert names itself, carries labels and values;
//! a person writes a sentence: both come here as text.

use std::collections::BTreeMap;

use crate::document::Kind;
use crate::thesaurus::Thesaurus;
use crate::words;

/// Question text read at most; an alert with all its annotations is some 2 KiB.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// Terms used at most, the first ones: beyond it a question is a paste of a log, and time would grow with it.
const TERMS_MAX: usize = 256;

/// Weight of a term that is a value (a number, an address, a generated name) rather than a word.
const VALUE_WEIGHT: f32 = 0.3;

/// Weight of a label's value, such as the service's name: it helps to choose and rarely decides.
const LABEL_WEIGHT: f32 = 0.5;

/// Weight of a word of any sentence. In a small corpus such words are rare, and rarity alone would make them count most.
const FILLER_WEIGHT: f32 = 0.4;

/// Labels that say where an alert comes from and nothing of what it is about.
const ADDRESS_LABELS: &[&str] = &[
    "cluster",
    "endpoint",
    "host",
    "instance",
    "ip",
    "namespace",
    "node",
    "pod",
    "prometheus",
    "region",
    "severity",
    "uid",
    "zone",
];

/// A question.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchQuery {
    /// An alert (its name, `label=value` pairs, annotations) or a symptom in plain words.
    pub text: String,
    /// Hits wanted; one a document. At most 100.
    pub limit: usize,
    /// Only documents about this service, or about none in particular.
    pub service: Option<String>,
    pub kind: Option<Kind>,
    /// Only documents of this source, as named in [`crate::Stats::sources`].
    pub source: Option<String>,
    /// `2026-03-01`: only documents of that day or later, and those that say no day.
    pub since: Option<String>,
    pub mode: Mode,
    pub drafts: Drafts,
    /// Asks this version in place of the one that answers.
    pub version: Option<u64>,
}

impl Default for SearchQuery {
    fn default() -> Self {
        Self {
            text: String::new(),
            limit: 5,
            service: None,
            kind: None,
            source: None,
            since: None,
            mode: Mode::default(),
            drafts: Drafts::default(),
            version: None,
        }
    }
}

/// Where documents stand that no person has reviewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Drafts {
    /// Below every reviewed one, and never the reason to call an answer sufficient.
    #[default]
    Below,
    /// By their score, as if they were reviewed.
    Among,
    /// Not at all.
    None,
}

/// Which rankings take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    #[default]
    Hybrid,
    /// BM25 alone.
    Lexical,
    /// Vectors alone.
    Dense,
}

/// A term of the question.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct QueryTerm {
    pub(crate) term: String,
    pub(crate) weight: f32,
    /// Terms that may stand in its place, each with its share of the weight, in [0,1].
    pub(crate) synonyms: Vec<(String, f32)>,
    /// Whether a document that lacks it is a worse answer: false for values.
    pub(crate) informative: bool,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ParsedQuery {
    pub(crate) terms: Vec<QueryTerm>,
    /// The name of an `alertname=` label.
    pub(crate) alert: Option<String>,
    /// Keys (see [`words::name_key`]) of everything in the question that is written like an alert's name.
    pub(crate) names: Vec<String>,
    /// What may be an error code, lower case. A bare number only where the word before it says that it is one.
    pub(crate) codes: Vec<String>,
    /// The question without addresses and values, for an embedder.
    pub(crate) plain: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Word,
    Label,
    Value,
}

impl ParsedQuery {
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default();
        let mut query = Self::default();
        let mut spoken: Vec<(String, Role)> = Vec::new();
        let mut plain: Vec<&str> = Vec::new();
        for raw in text.split_whitespace() {
            let raw = raw.trim_matches(|c: char| !c.is_alphanumeric() && c != '_' && c != '/');
            let (role, word) = match raw.split_once('=') {
                Some((key, value)) if is_label(key) => {
                    let value = value.trim_matches(|c: char| !c.is_alphanumeric());
                    if key == "alertname" {
                        query.alert = Some(value.to_owned());
                        query.note_name(value);
                        (Role::Word, value)
                    } else if ADDRESS_LABELS.contains(&key) {
                        continue;
                    } else {
                        (Role::Label, value)
                    }
                }
                _ if is_value(raw) => (Role::Value, raw),
                _ => (Role::Word, raw),
            };
            if role == Role::Word {
                if words::is_camel_case_name(word) {
                    query.note_name(word);
                }
                plain.push(word);
            }
            spoken.extend(words::terms(word).into_iter().map(|term| (term, role)));
        }
        spoken.truncate(TERMS_MAX);
        query.codes = codes(text);
        query.plain = plain.join(" ");
        query.terms = weigh(&spoken);
        query
    }

    fn note_name(&mut self, name: &str) {
        let key = words::name_key(name);
        if !key.is_empty() && !self.names.contains(&key) {
            self.names.push(key);
        }
    }
}

/// Words before a bare number that make it a code.
const BEFORE_CODES: &[&str] =
    &["code", "codes", "err", "errno", "error", "exit", "http", "sqlcode", "sqlstate", "status"];

fn codes(text: &str) -> Vec<String> {
    let mut codes: Vec<String> = Vec::new();
    let mut before = String::new();
    let apart = |c: char| c.is_whitespace() || "=:,;()[]{}<>\"'`|".contains(c);
    for word in text.split(apart) {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
        if word.is_empty() {
            continue;
        }
        let number = word.bytes().all(|byte| byte.is_ascii_digit());
        let told = BEFORE_CODES.contains(&before.as_str());
        if (!number || told || text.trim() == word) && codes.len() < TERMS_MAX && !codes.contains(&word) {
            codes.push(word.clone());
        }
        before = word;
    }
    codes
}

fn is_label(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Numbers, percentages, addresses, durations, pod names with their hashes.
fn is_value(word: &str) -> bool {
    let digits = word.chars().filter(char::is_ascii_digit).count();
    let letters = word.chars().filter(|c| c.is_alphabetic()).count();
    digits > 0 && (digits >= letters || word.contains(['/', ':', '-', '.', '%']))
}

/// Joins repeats (a word said n times weighs 1 + ln n) and adds synonyms.
fn weigh(spoken: &[(String, Role)]) -> Vec<QueryTerm> {
    let mut counts: BTreeMap<&str, (f32, Role)> = BTreeMap::new();
    for (term, role) in spoken {
        let (count, strongest) = counts.entry(term).or_insert((0.0, *role));
        *count += 1.0;
        if *role == Role::Word {
            *strongest = Role::Word;
        }
    }
    let sequence: Vec<String> = spoken.iter().map(|(term, _)| term.clone()).collect();
    let mut synonyms: BTreeMap<&str, BTreeMap<String, f32>> = BTreeMap::new();
    let thesaurus = Thesaurus::shared();
    for found in thesaurus.find(&sequence) {
        let named = sequence.get(found.at..found.at + found.length).unwrap_or_default();
        let Some(head) = named.first() else { continue };
        for phrase in thesaurus.phrases(found.concept) {
            for term in phrase.iter().filter(|term| !named.contains(term)) {
                let share = 1.0 / phrase.len() as f32;
                let best = synonyms.entry(head).or_default().entry(term.clone()).or_insert(0.0);
                *best = best.max(share);
            }
        }
    }
    counts
        .iter()
        .map(|(term, (count, role))| QueryTerm {
            term: (*term).to_owned(),
            weight: (1.0 + count.ln())
                * if words::is_filler(term) { FILLER_WEIGHT } else { 1.0 }
                * match role {
                    Role::Word => 1.0,
                    Role::Label => LABEL_WEIGHT,
                    Role::Value => VALUE_WEIGHT,
                },
            synonyms: synonyms
                .get(term)
                .into_iter()
                .flatten()
                .map(|(term, share)| (term.clone(), *share))
                .collect(),
            informative: *role == Role::Word,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_gives_its_name_and_not_its_address() {
        let query = ParsedQuery::parse(
            "HighErrorRate alertname=\"HighErrorRate\" severity=critical instance=10.0.0.1:9100 service=checkout \
             7.3% of requests to shop/cart-5c6d7f8b9-zq8wl failed for 15m.",
        );
        assert_eq!(query.alert.as_deref(), Some("HighErrorRate"));
        assert_eq!(query.names, ["higherrorrate"]);
        let term = |wanted: &str| query.terms.iter().find(|term| term.term == wanted);
        assert!(term("critic").is_none() && term("10").is_none());
        assert!(term("request").unwrap().informative);
        assert!(!term("checkout").unwrap().informative);
        assert!(!term("zq8wl").unwrap().informative);
        assert!(!query.plain.contains("zq8wl"));
    }

    #[test]
    fn a_code_is_found_in_a_log_line_and_a_measure_is_none() {
        let codes =
            ParsedQuery::parse("2026-01-01 ERROR [PAY_4021]: ORA-01555 after 503 ms, http status=503 (E7)")
                .codes;
        for code in ["pay_4021", "ora-01555", "503", "e7"] {
            assert!(codes.contains(&code.to_owned()), "{code}: {codes:?}");
        }
        assert!(
            !ParsedQuery::parse("503 ms on 2 nodes").codes.iter().any(|code| code == "503" || code == "2")
        );
        assert_eq!(ParsedQuery::parse("503").codes, ["503"]);
    }

    #[test]
    fn words_with_digits_stay_words_and_numbers_do_not() {
        for value in ["7.3%", "10.0.3.17:9100", "15m", "ns/cart-5c6", "2024-01-01"] {
            assert!(is_value(value), "{value}");
        }
        for word in ["etcd3x", "config.yaml", "read-only", "CrashLoopBackOff"] {
            assert!(!is_value(word), "{word}");
        }
    }

    #[test]
    fn a_repeated_word_weighs_more_and_a_synonym_never_more_than_the_word() {
        let query = ParsedQuery::parse("disk disk full");
        let disk = query.terms.iter().find(|term| term.term == "disk").unwrap();
        assert!(disk.weight > 1.5);
        assert!(disk.synonyms.iter().any(|(term, _)| term == "volum"));
        assert!(disk.synonyms.iter().all(|(term, share)| term != "disk" && *share <= 1.0));
    }

    #[test]
    fn a_megabyte_of_question_is_bounded() {
        let query = ParsedQuery::parse(&"word1x different2y ".repeat(60_000));
        assert!(query.terms.len() <= TERMS_MAX);
        let many: String = (0..20_000).map(|n| format!("w{n}x ")).collect();
        assert!(ParsedQuery::parse(&many).terms.len() <= TERMS_MAX);
    }
}
