//! Secrets and personal data out of a text, before it leaves the house.
//!
//! Owns the patterns and what stands in their place. Never decides where redaction is due, and never keeps
//! what it removed. Hashes, UUIDs, versions, addresses and counts of tokens stay: a diagnosis needs them.

use regex::{Captures, Regex};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A text without secrets, and how many of each kind were taken out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Redacted {
    pub text: String,
    pub counts: BTreeMap<&'static str, u32>,
}

impl Redacted {
    pub fn is_clean(&self) -> bool {
        self.counts.is_empty()
    }
}

/// The kinds that [`redact`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    PrivateKey,
    Jwt,
    Bearer,
    Basic,
    AwsKey,
    ApiKey,
    UrlPassword,
    Password,
    Cookie,
    Email,
    Card,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::PrivateKey => "private_key",
            Kind::Jwt => "jwt",
            Kind::Bearer => "bearer_token",
            Kind::Basic => "basic_auth",
            Kind::AwsKey => "aws_key",
            Kind::ApiKey => "api_key",
            Kind::UrlPassword | Kind::Password => "password",
            Kind::Cookie => "cookie",
            Kind::Email => "email",
            Kind::Card => "card",
        }
    }
}

/// In this order: what is recognised by its own shape goes before what is recognised by the name before it.
/// The group `keep` stays in front of the mark.
const RULES: [(Kind, &str); 13] = [
    // To the end of the text if the block is cut off: half a key is a key.
    (
        Kind::PrivateKey,
        r"-----BEGIN [A-Z ]*PRIVATE KEY( BLOCK)?-----(?s:.*?)(-----END [A-Z ]*PRIVATE KEY( BLOCK)?-----|\z)",
    ),
    (Kind::Jwt, r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]*)?"),
    (Kind::Bearer, r"(?i)(?P<keep>\bbearer[ \t:=]+)[A-Za-z0-9._~+/=-]{8,}"),
    (
        Kind::Basic,
        r#"(?i)(?P<keep>\bauthorization["']?[ \t]*[:=][ \t]*["']?basic[ \t]+)[A-Za-z0-9+/=_-]{6,}"#,
    ),
    (Kind::AwsKey, r"\b(AKIA|ASIA|AGPA|AIDA|AROA|ANPA)[A-Z0-9]{16}\b"),
    (
        Kind::ApiKey,
        r"\b(sk|pk|rk)[-_](live|test|proj|ant|or)[-_][A-Za-z0-9_-]{10,}|\bsk-[A-Za-z0-9]{20,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bglpat-[A-Za-z0-9_-]{16,}|\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bAIza[A-Za-z0-9_-]{30,}|\bnpm_[A-Za-z0-9]{30,}|\bhf_[A-Za-z0-9]{20,}|\bpypi-[A-Za-z0-9_-]{20,}|\bdop_v1_[a-f0-9]{40,}|\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|\bhvs\.[A-Za-z0-9_-]{20,}|\bAGE-SECRET-KEY-1[A-Z0-9]{40,}",
    ),
    (Kind::ApiKey, r"(?P<keep>https://hooks\.slack\.com/services/)[A-Za-z0-9/_-]{8,}"),
    (Kind::UrlPassword, r"(?P<keep>\b[A-Za-z][A-Za-z0-9+.-]*://[^\s:/@?#\x22']*:)[^\s/@\x22']+(?P<after>@)"),
    // Before the general rule, so that all pairs of a cookie go, not only the first.
    (Kind::Cookie, r#"(?i)(?P<keep>\b(set-)?cookie["']?[ \t]*[:=][ \t]*["']?)[^\s"'\[][^\r\n"']*"#),
    // A name, a mark, a value in double quotes (perhaps escaped, as JSON in JSON), in single quotes, or bare.
    (
        Kind::Password,
        concat!(
            r#"(?i)(?P<keep>(?:\b|_|-)(?:passwords?|passwd|passphrase|pwd|secrets?|secret[_-]?key|api[_-]?keys?|apikey|x-api-key|access[_-]?key|access[_-]?key[_-]?id|secret[_-]?access[_-]?key|account[_-]?key|auth[_-]?token|access[_-]?token|refresh[_-]?token|id[_-]?token|session[_-]?token|bot[_-]?token|token|client[_-]?secret|private[_-]?key|encryption[_-]?key|signing[_-]?key|credentials?|pgpassword)"#,
            r#"\\?["']?[ \t]*(?:=>|:=|=|:)[ \t]*)"#,
            r#"(?:\\"(?P<escaped>[^"\\]+)\\"|"(?P<double>(?:[^"\\]|\\.)+)"|'(?P<single>[^']+)'|(?P<bare>[^\s"'\\,;&)\]}<>\[{(][^\s"',;&)\]}<>]*))"#
        ),
    ),
    (
        Kind::Password,
        r"(?i)(?P<keep>\s--?(?:password|passwd|pass|token|secret|api-key)[ \t]+)[^\s\x22'\[-][^\s\x22']*",
    ),
    (Kind::Email, r"(?i)\b[a-z0-9][a-z0-9._%+-]{0,63}@(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}\b"),
    (Kind::Card, r"\b[3-6][0-9](?:[ -]?[0-9]){11,17}\b"),
];

static PATTERNS: LazyLock<Vec<(Kind, Regex)>> =
    LazyLock::new(|| RULES.iter().filter_map(|(kind, rule)| Some((*kind, Regex::new(rule).ok()?))).collect());

/// Takes secrets and personal data out of `text`; `[redacted:kind]` stands in their place. Redacting twice
/// changes nothing more. Linear in the length of the text.
pub fn redact(text: &str) -> Redacted {
    let mut counts = BTreeMap::new();
    let mut text = Cow::Borrowed(text);
    for (kind, pattern) in PATTERNS.iter() {
        let replaced = pattern.replace_all(&text, |found: &Captures<'_>| {
            let whole = found.get(0).map_or("", |all| all.as_str());
            match replacement(*kind, found, whole) {
                Some(replacement) => {
                    *counts.entry(kind.name()).or_insert(0u32) += 1;
                    replacement
                }
                None => whole.to_owned(),
            }
        });
        if let Cow::Owned(replaced) = replaced {
            text = Cow::Owned(replaced);
        }
    }
    Redacted { text: text.into_owned(), counts }
}

/// What stands in the place of a find, or None if it is innocent.
fn replacement(kind: Kind, found: &Captures<'_>, whole: &str) -> Option<String> {
    let group = |name: &str| found.name(name).map(|part| part.as_str());
    let keep = group("keep").unwrap_or("");
    let mark = format!("[redacted:{}]", kind.name());
    match kind {
        Kind::Password => {
            let quoted = [("escaped", r#"\""#), ("double", "\""), ("single", "'")];
            let found = quoted.iter().find_map(|(name, quote)| Some((group(name)?, *quote)));
            let (value, quote) = match found.or_else(|| Some((group("bare")?, ""))) {
                Some(found) => found,
                None => return Some(format!("{keep}{mark}")),
            };
            (!is_innocent(value)).then(|| format!("{keep}{quote}{mark}{quote}"))
        }
        Kind::UrlPassword if whole.contains("[redacted:") => None,
        Kind::UrlPassword => Some(format!("{keep}{mark}@")),
        Kind::Card => is_card(whole).then_some(mark),
        _ => Some(format!("{keep}{mark}")),
    }
}

/// Words that stand where a secret could: absent, switched, or hidden already.
fn is_innocent(value: &str) -> bool {
    const WORDS: [&str; 22] = [
        "null",
        "none",
        "nil",
        "true",
        "false",
        "yes",
        "no",
        "undefined",
        "empty",
        "unset",
        "missing",
        "required",
        "invalid",
        "expired",
        "incorrect",
        "wrong",
        "is",
        "was",
        "not",
        "changed",
        "error",
        "ok",
    ];
    let value = value.trim();
    value.starts_with("[redacted")
        || value.chars().all(|c| matches!(c, '*' | 'x' | 'X' | '.' | '•' | '-'))
        || WORDS.contains(&value.to_ascii_lowercase().as_str())
        // A reference is not what it refers to: ${DB_PASSWORD}, $DB_PASSWORD, file:/run/secrets/db, env:NAME.
        || value.starts_with("${")
        || value.starts_with("$(")
        || value.starts_with("{{")
        || value.starts_with("env:")
        || value.starts_with("file:")
}

/// An issuer's prefix with a length that issuer uses, and the check digit of ISO/IEC 7812 (Luhn).
fn is_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let prefix = |count: usize| digits.iter().take(count).fold(0, |value, digit| value * 10 + digit);
    let known = match digits.len() {
        13 | 19 => prefix(1) == 4,
        14 => matches!(prefix(2), 36 | 38 | 39) || (300..=305).contains(&prefix(3)),
        15 => matches!(prefix(2), 34 | 37),
        16 => {
            prefix(1) == 4
                || (51..=55).contains(&prefix(2))
                || (2221..=2720).contains(&prefix(4))
                || prefix(4) == 6011
                || matches!(prefix(2), 35 | 62 | 64 | 65)
        }
        _ => false,
    };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| match index % 2 {
            0 => *digit,
            _ if *digit > 4 => digit * 2 - 9,
            _ => digit * 2,
        })
        .sum();
    known && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests;
