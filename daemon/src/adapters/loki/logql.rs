//! A search as LogQL.
//!
//! Owns the escaping. Service names and words come from people, alerts and log lines: each is data within a string literal,
//! within a regular expression where it is one.

use medic_ports::logs::LogQuery;

/// `{service_name=~"cart|db",job="shop"} |~ "(?i)timed out"`.
pub(super) fn of(query: &LogQuery, service_label: &str, matchers: &str) -> String {
    let mut logql = selector(&query.services, service_label, matchers);
    for words in query.contains.iter().filter(|words| !words.is_empty()) {
        let plain = words.chars().all(|c| !c.is_alphabetic());
        if plain {
            logql.push_str(&format!(" |= {}", literal(words)));
        } else {
            logql.push_str(&format!(" |~ {}", literal(&format!("(?i){}", pattern(words)))));
        }
    }
    logql
}

/// Streams of these services; of all when none is named. Loki wants one matcher that nothing empty fits.
pub(super) fn selector(services: &[String], service_label: &str, matchers: &str) -> String {
    let matchers = matchers.trim().trim_matches(',');
    let own = match services {
        [] if !matchers.is_empty() => None,
        [] => Some(format!("{service_label}=~\".+\"")),
        [only] => Some(format!("{service_label}={}", literal(only))),
        several => {
            let patterns: Vec<String> = several.iter().map(|service| pattern(service)).collect();
            Some(format!("{service_label}=~{}", literal(&patterns.join("|"))))
        }
    };
    let matchers = Some(matchers.to_owned()).filter(|matchers| !matchers.is_empty());
    format!("{{{}}}", [own, matchers].into_iter().flatten().collect::<Vec<_>>().join(","))
}

/// What a label may be called.
pub(super) fn is_label(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A string literal, as Go reads it.
fn literal(text: &str) -> String {
    let mut literal = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => literal.push_str("\\\""),
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => literal.push_str(&format!("\\x{:02x}", c as u32)),
            c => literal.push(c),
        }
    }
    literal.push('"');
    literal
}

/// A regular expression (RE2) that matches the text and nothing else.
fn pattern(text: &str) -> String {
    let mut pattern = String::new();
    for c in text.chars() {
        if matches!(c, '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use medic_core::{TimeRange, TimestampMs};

    fn asked(services: &[&str], contains: &[&str], matchers: &str) -> String {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let window = TimeRange::new(TimestampMs(0), TimestampMs(1));
        let query = LogQuery { window, services: own(services), contains: own(contains), limit: 1 };
        of(&query, "service_name", matchers)
    }

    #[test]
    fn services_and_words_become_matchers_and_filters() {
        assert_eq!(asked(&[], &[], ""), r#"{service_name=~".+"}"#);
        assert_eq!(asked(&[], &[], "job=\"shop\","), r#"{job="shop"}"#);
        assert_eq!(asked(&["cart"], &["Timeout"], ""), r#"{service_name="cart"} |~ "(?i)Timeout""#);
        assert_eq!(
            asked(&["cart", "db.v2"], &["503", "lock"], "env=~\"live|dark\""),
            r#"{service_name=~"cart|db\\.v2",env=~"live|dark"} |= "503" |~ "(?i)lock""#
        );
    }

    #[test]
    fn nothing_that_is_asked_ends_its_literal_or_its_pattern() {
        let hostile = "x\"} |~ \".*\\";
        assert_eq!(
            asked(&[hostile], &[hostile], ""),
            r#"{service_name="x\"} |~ \".*\\"} |~ "(?i)x\"\\} \\|~ \"\\.\\*\\\\""#
        );
        assert_eq!(asked(&["a|b", "(c"], &[], ""), r#"{service_name=~"a\\|b|\\(c"}"#);
        assert_eq!(asked(&[], &["a\nb\u{7}"], ""), "{service_name=~\".+\"} |~ \"(?i)a\\nb\\x07\"");
        assert!(is_label("service_name") && !is_label("service name") && !is_label("a}") && !is_label(""));
    }
}
