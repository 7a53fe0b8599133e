//! A line's form, given as a regular expression: what the operator knows of a source that nothing detects.

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bytes of a compiled pattern. 1 MiB: far above what a line's head needs, far below what a hostile one takes.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// Named groups are fields; `time`, `level`, `service` and `message` and their like mean what they say.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LinePattern(Regex);

#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    #[error("cannot compile the pattern of a log line: {0}")]
    Invalid(#[from] regex::Error),
    #[error("the pattern of a log line has no named group")]
    NoGroup,
}

impl LinePattern {
    /// # Errors
    /// A pattern that does not compile, or compiles to more than 1 MiB, or names no group.
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        let regex = RegexBuilder::new(pattern).size_limit(COMPILED_BYTES_MAX).build()?;
        if regex.capture_names().flatten().next().is_none() {
            return Err(PatternError::NoGroup);
        }
        Ok(Self(regex))
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(super) fn fields(&self, line: &str) -> Option<BTreeMap<String, String>> {
        let found = self.0.captures(line)?;
        let names = self.0.capture_names().flatten();
        Some(
            names.filter_map(|name| Some((name.to_owned(), found.name(name)?.as_str().to_owned()))).collect(),
        )
    }
}

impl PartialEq for LinePattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for LinePattern {}

impl TryFrom<String> for LinePattern {
    type Error = PatternError;

    fn try_from(pattern: String) -> Result<Self, PatternError> {
        Self::new(&pattern)
    }
}

impl From<LinePattern> for String {
    fn from(pattern: LinePattern) -> String {
        pattern.as_str().to_owned()
    }
}
