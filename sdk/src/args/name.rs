//! Owns the name of a service as an argument.

use std::fmt;

use serde_json::{Value, json};

use super::{ArgError, ArgType, mismatch};
use crate::promql::PromValue;

/// The name of a service: lower case letters, digits, `-`, `_` and `.`, a letter or digit at both ends, at most 63
/// characters. Safe to build the name of an endpoint from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceName(String);

const LENGTH_MAX: usize = 63;

impl ServiceName {
    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        let at_the_ends = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let ends = bytes.first().is_some_and(at_the_ends) && bytes.last().is_some_and(at_the_ends);
        let within = bytes.iter().all(|byte| at_the_ends(byte) || matches!(byte, b'-' | b'_' | b'.'));
        (ends && within && text.len() <= LENGTH_MAX).then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PromValue for ServiceName {
    fn write(&self, out: &mut String) {
        self.0.write(out);
    }

    fn write_regex(&self, out: &mut String) {
        self.0.write_regex(out);
    }
}

impl ArgType for ServiceName {
    const DEPTH: usize = 0;

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$" })
    }

    fn parse(value: &Value, at: &str) -> Result<Self, ArgError> {
        let text = value.as_str().ok_or_else(|| mismatch(at, "a string", value))?;
        Self::parse(text).ok_or_else(|| ArgError {
            pointer: at.to_owned(),
            message: format!(
                "expected a service name: a-z, 0-9 and .-_ inside, at most {LENGTH_MAX} characters"
            ),
        })
    }
}

/// The name of a Kubernetes object or namespace: lower case letters, digits, `-` and `.`, a letter or digit at both ends,
/// at most 253 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName(String);

const OBJECT_LENGTH_MAX: usize = 253;

impl ObjectName {
    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let label = |label: &str| {
            let bytes = label.as_bytes();
            let ends = bytes.first().is_some_and(alphanumeric) && bytes.last().is_some_and(alphanumeric);
            ends && bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-')
        };
        let within = text.len() <= OBJECT_LENGTH_MAX && text.split('.').all(label);
        within.then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ArgType for ObjectName {
    const DEPTH: usize = 0;

    fn schema() -> Value {
        json!({ "type": "string", "maxLength": OBJECT_LENGTH_MAX, "pattern": "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$" })
    }

    fn parse(value: &Value, at: &str) -> Result<Self, ArgError> {
        let text = value.as_str().ok_or_else(|| mismatch(at, "a string", value))?;
        Self::parse(text).ok_or_else(|| ArgError {
            pointer: at.to_owned(),
            message: format!(
                "expected the name of an object: a-z, 0-9 and .- inside, at most {OBJECT_LENGTH_MAX} characters"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_name_cannot_mean_another_path() {
        for text in ["web", "web-6c959dc85d-vxxff", "a.b-c.d1", &"a".repeat(253)] {
            assert_eq!(ObjectName::parse(text).unwrap().as_str(), text);
        }
        for text in ["", ".", "..", "a..b", "a/b", "a_b", "-a", "a.", "A", "a%2f", &"a".repeat(254)] {
            assert_eq!(ObjectName::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_name_is_a_name_and_nothing_else() {
        for text in ["a", "checkout", "checkout-v2", "eu.checkout_1"] {
            assert_eq!(ServiceName::parse(text).unwrap().as_str(), text);
        }
        for text in ["", "-a", "a-", "A", "a/b", "a b", "..", "a\n", "ä", &"a".repeat(64)] {
            assert_eq!(ServiceName::parse(text), None, "{text:?}");
        }
    }
}
