//! Owns the length of a stretch of time, written as in PromQL.

use std::fmt;

use serde_json::{Value, json};

use super::{ArgError, ArgType, mismatch};

/// A stretch of time that goes into PromQL as it is written: `30s`, `5m`, `1h`, `7d`. From 1 second to 30 days, so that no
/// argument asks a metrics server for a year of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    count: u32,
    unit: char,
}

const WINDOW_MAX_S: u64 = 30 * 24 * 3600;

impl Window {
    /// Reads a window.
    pub fn parse(text: &str) -> Option<Self> {
        let unit = text.chars().last().filter(|unit| matches!(unit, 's' | 'm' | 'h' | 'd'))?;
        let digits = text.strip_suffix(unit)?;
        if digits.len() > 7 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let window = Self { count: digits.parse().ok()?, unit };
        (1..=WINDOW_MAX_S).contains(&window.as_secs()).then_some(window)
    }

    /// Length in seconds.
    pub fn as_secs(self) -> u64 {
        let unit_s = match self.unit {
            'm' => 60,
            'h' => 3600,
            'd' => 24 * 3600,
            _ => 1,
        };
        u64::from(self.count) * unit_s
    }

    /// Length in milliseconds.
    pub fn as_millis(self) -> u64 {
        self.as_secs() * 1000
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.count, self.unit)
    }
}

impl ArgType for Window {
    const DEPTH: usize = 0;

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^[0-9]{1,7}[smhd]$" })
    }

    fn parse(value: &Value, at: &str) -> Result<Self, ArgError> {
        let text = value.as_str().ok_or_else(|| mismatch(at, "a string", value))?;
        Self::parse(text).ok_or_else(|| ArgError {
            pointer: at.to_owned(),
            message: "expected a length of time from 1s to 30d, such as 30s, 5m or 1h".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_a_whole_number_with_one_unit() {
        for (text, seconds) in [("30s", 30), ("5m", 300), ("1h", 3600), ("30d", 2_592_000)] {
            let window = Window::parse(text).unwrap();
            assert_eq!((window.as_secs(), window.to_string().as_str()), (seconds, text));
        }
    }

    #[test]
    fn anything_else_is_no_window() {
        for text in
            ["", "m", "5", "0s", "31d", "-5m", "5m]", "5m)) or vector(1", "1.5h", "5 m", "99999999s", "５m"]
        {
            assert_eq!(Window::parse(text), None, "{text:?}");
        }
    }
}
