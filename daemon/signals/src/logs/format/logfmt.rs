//! `key=value key="a value" flag`, as many Go programs write.

use super::{Broken, FIELDS_MAX, FieldNames};

/// Names and values, in the line's order.
pub(crate) type Pairs = Vec<(String, String)>;

/// The pairs of a line that begins with one, has at least two, and uses one of the names that logs use.
pub(crate) fn parse(line: &str) -> Option<(Pairs, Option<Broken>)> {
    let line = line.trim();
    let key = line.bytes().take_while(|byte| is_key_byte(*byte)).count();
    if key == 0 || line.as_bytes().get(key) != Some(&b'=') {
        return None;
    }
    let (found, broken) = pairs(line);
    let names = FieldNames::default();
    (found.len() >= 2 && found.iter().any(|(key, _)| names.is_known(key))).then_some((found, broken))
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'@' | b'/')
}

/// All pairs of a text; words without a mark are left out.
pub(crate) fn pairs(line: &str) -> (Pairs, Option<Broken>) {
    let mut pairs = Vec::new();
    let mut broken = None;
    let mut rest = line.trim_start();
    while !rest.is_empty() && pairs.len() < FIELDS_MAX {
        let key_end = rest.bytes().take_while(|byte| is_key_byte(*byte)).count();
        let (key, tail) = rest.split_at_checked(key_end).unwrap_or((rest, ""));
        let Some(tail) = tail.strip_prefix('=').filter(|_| !key.is_empty()) else {
            // Behind the key: a key of many bytes is not looked at again.
            rest = tail.split_once(char::is_whitespace).map_or("", |(_, tail)| tail).trim_start();
            continue;
        };
        let (value, tail) = if let Some(open) = tail.strip_prefix('"') {
            let (value, tail, closed) = quoted(open);
            if !closed {
                broken = Some(Broken::OpenQuote);
            }
            (value, tail)
        } else {
            let end = tail.find(char::is_whitespace).unwrap_or(tail.len());
            let (value, tail) = tail.split_at_checked(end).unwrap_or((tail, ""));
            (value.to_owned(), tail)
        };
        pairs.push((key.to_owned(), value));
        rest = tail.trim_start();
    }
    (pairs, broken)
}

/// The text up to the closing quote with its escapes resolved, what follows, and whether there was a quote.
pub(crate) fn quoted(text: &str) -> (String, &str, bool) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, text.get(at + 1..).unwrap_or(""), true),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, other)) => value.push(other),
                None => {}
            },
            other => value.push(other),
        }
    }
    (value, "", false)
}
