//! Secrets and personal data out of a text, before it leaves the house.
//!
//! Owns the patterns and what stands in their place. Never decides where redaction is due, and never keeps
//! what it removed. Hashes, UUIDs, versions, addresses and counts of tokens stay: a diagnosis needs them.

use regex::{Captures, Regex};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

mod lines;
mod numbers;
mod rules;

pub use lines::LineRedactor;
use rules::RULES;

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
    Authorization,
    AwsKey,
    ApiKey,
    UrlPassword,
    UserPassword,
    Password,
    Cookie,
    Email,
    Iban,
    Card,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::PrivateKey => "private_key",
            Kind::Jwt => "jwt",
            Kind::Bearer => "bearer_token",
            Kind::Basic => "basic_auth",
            Kind::Authorization => "authorization",
            Kind::AwsKey => "aws_key",
            Kind::ApiKey => "api_key",
            Kind::UrlPassword | Kind::UserPassword | Kind::Password => "password",
            Kind::Cookie => "cookie",
            Kind::Email => "email",
            Kind::Iban => "iban",
            Kind::Card => "card",
        }
    }

    fn mark(self) -> String {
        format!("[redacted:{}]", self.name())
    }
}

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
    let (keep, after) = (group("keep").unwrap_or(""), group("after").unwrap_or(""));
    let mark = kind.mark();
    match kind {
        Kind::Password | Kind::UserPassword => {
            let quoted = [("escaped", r#"\""#), ("double", "\""), ("single", "'"), ("bare", "")];
            let (value, quote) = quoted.iter().find_map(|(name, quote)| Some((group(name)?, *quote)))?;
            // `-u 1000:1000` names a user and a group.
            let ids = kind == Kind::UserPassword
                && value.len() < 8
                && value.bytes().all(|byte| byte.is_ascii_digit());
            (!is_innocent(value) && !ids).then(|| format!("{keep}{quote}{mark}{quote}"))
        }
        Kind::UrlPassword | Kind::Cookie if whole.contains("[redacted:") => None,
        Kind::Card => numbers::is_card(whole).then_some(mark),
        Kind::Iban => {
            numbers::iban_bytes(whole).map(|end| format!("{mark}{}", whole.get(end..).unwrap_or("")))
        }
        _ => Some(format!("{keep}{mark}{after}")),
    }
}

/// Words that stand where a secret could: absent, switched, or hidden already.
fn is_innocent(value: &str) -> bool {
    const WORDS: [&str; 30] = [
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
        "redacted",
        "hidden",
        "filtered",
        "masked",
        "mismatch",
        "failed",
        "rejected",
        "revoked",
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

#[cfg(test)]
mod tests;
