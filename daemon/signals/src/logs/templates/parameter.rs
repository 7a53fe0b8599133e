//! What varies in a message, with its type.
//!
//! Owns the reading of values out of a message whose template is known. Never changes a template.

use crate::logs::mask::{Masked, WILDCARD};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    pub value: String,
    pub kind: ParameterKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParameterKind {
    Integer,
    Decimal,
    Hex,
    Uuid,
    /// An IP address, with or without a port.
    Address,
    Path,
    Url,
    /// A number with a unit of time or size, or a per cent sign.
    Quantity,
    /// Letters with digits or marks: a name of something.
    Identifier,
    /// Anything else, blanks included.
    Text,
}

/// What stands in the message where the template varies.
pub(super) fn parameters(template: &[Box<str>], masked: &Masked, message: &str) -> Vec<Parameter> {
    let mut found = Vec::new();
    for (token, place) in template.iter().zip(&masked.tokens) {
        let Some(raw) = message.get(place.raw.clone()) else { continue };
        if **token == *WILDCARD {
            found.push(parameter(raw.trim_end_matches([',', ';'])));
        } else if token.contains(WILDCARD) {
            within(token, raw, &mut found);
        }
    }
    found
}

/// Aligns `status=<*>,` with `status=ok,`: each wildcard reaches to the next constant part.
fn within(token: &str, raw: &str, found: &mut Vec<Parameter>) {
    let mut parts = token.split(WILDCARD);
    let mut rest = raw.strip_prefix(parts.next().unwrap_or("")).unwrap_or(raw);
    for part in parts {
        let end = if part.is_empty() { rest.len() } else { rest.find(part).unwrap_or(rest.len()) };
        let (value, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
        found.push(parameter(value));
        rest = tail.strip_prefix(part).unwrap_or(tail);
    }
}

fn parameter(value: &str) -> Parameter {
    Parameter { value: value.to_owned(), kind: kind_of(value) }
}

fn kind_of(value: &str) -> ParameterKind {
    let unsigned = value.strip_prefix(['-', '+']).unwrap_or(value);
    let all = |test: fn(&u8) -> bool| !unsigned.is_empty() && unsigned.as_bytes().iter().all(test);
    if all(u8::is_ascii_digit) {
        ParameterKind::Integer
    } else if all(|byte| byte.is_ascii_digit() || *byte == b'.') && unsigned.parse::<f64>().is_ok() {
        ParameterKind::Decimal
    } else if value.contains("://") {
        ParameterKind::Url
    } else if is_uuid(value) {
        ParameterKind::Uuid
    } else if is_address(value) {
        ParameterKind::Address
    } else if value.starts_with('/') {
        ParameterKind::Path
    } else if unsigned.strip_prefix("0x").is_some_and(is_hex)
        || (unsigned.len() >= 7 && is_hex(unsigned) && unsigned.bytes().any(|byte| byte.is_ascii_digit()))
    {
        ParameterKind::Hex
    } else if is_quantity(unsigned) {
        ParameterKind::Quantity
    } else if !value.is_empty() && !value.contains(char::is_whitespace) {
        ParameterKind::Identifier
    } else {
        ParameterKind::Text
    }
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(|part| is_hex(part))
}

fn is_address(text: &str) -> bool {
    let text = text.strip_prefix('/').unwrap_or(text);
    text.parse::<std::net::IpAddr>().is_ok() || text.parse::<std::net::SocketAddr>().is_ok()
}

fn is_quantity(text: &str) -> bool {
    const UNITS: [&str; 22] = [
        "ns", "us", "µs", "ms", "s", "m", "h", "d", "b", "kb", "mb", "gb", "tb", "kib", "mib", "gib", "tib",
        "%", "min", "sec", "k", "x",
    ];
    let digits = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    digits.len() < text.len() && UNITS.contains(&digits.to_lowercase().as_str())
}
