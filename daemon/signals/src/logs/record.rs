//! One log line, whatever format it came in.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// How bad the writer of a line thought it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

impl Level {
    pub const ALL: [Level; 6] =
        [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error, Level::Fatal];

    pub fn as_str(self) -> &'static str {
        match self {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Fatal => "fatal",
        }
    }

    /// A level's name as loggers write it, in any case: also notice (info), critical, alert and panic (fatal).
    pub fn parse(word: &str) -> Option<Level> {
        // The longest name is "informational"; a copy of that many bytes needs no allocation.
        let mut lower = [0u8; 13];
        let lower = lower.get_mut(..word.len())?;
        lower.copy_from_slice(word.as_bytes());
        lower.make_ascii_lowercase();
        Some(match &*lower {
            b"trace" | b"trc" | b"verbose" | b"finest" | b"finer" => Level::Trace,
            b"debug" | b"dbg" | b"fine" | b"debug1" | b"debug2" | b"debug3" => Level::Debug,
            b"info" | b"inf" | b"information" | b"informational" | b"notice" | b"config" | b"log" => {
                Level::Info
            }
            b"warn" | b"warning" | b"wrn" => Level::Warn,
            b"error" | b"err" | b"severe" | b"failure" => Level::Error,
            b"fatal" | b"critical" | b"crit" | b"alert" | b"emerg" | b"emergency" | b"panic" | b"ftl" => {
                Level::Fatal
            }
            _ => return None,
        })
    }

    /// The one-letter form of Android and klog.
    pub fn from_letter(letter: char) -> Option<Level> {
        Some(match letter {
            'V' => Level::Trace,
            'D' => Level::Debug,
            'I' => Level::Info,
            'W' => Level::Warn,
            'E' => Level::Error,
            'F' => Level::Fatal,
            _ => return None,
        })
    }

    /// Numbers as bunyan and pino (10…60) or syslog (0…7) write them.
    pub fn from_number(number: i64) -> Option<Level> {
        Some(match number {
            0..=2 => Level::Fatal,
            3 => Level::Error,
            4 => Level::Warn,
            5 | 6 => Level::Info,
            7 => Level::Debug,
            10 => Level::Trace,
            20 => Level::Debug,
            30 => Level::Info,
            40 => Level::Warn,
            50 => Level::Error,
            60 => Level::Fatal,
            _ => return None,
        })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One log record. A stack trace belongs to the record above it, in the field `stack`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogRecord {
    pub at_ms: Option<u64>,
    pub level: Option<Level>,
    pub service: Option<String>,
    /// The text without the header columns or, for structured lines, the message field.
    pub message: String,
    /// Everything else that was structured, nested names joined by dots.
    pub fields: BTreeMap<String, String>,
    /// The number of its first line, from 1.
    pub line: u64,
    /// As it was read, without the line's end; at most 64 KiB.
    pub raw: String,
}

impl LogRecord {
    /// The service, or the empty string for a record that names none.
    pub fn service_or_empty(&self) -> &str {
        self.service.as_deref().unwrap_or("")
    }

    /// True for error and fatal, and for a stack trace at any level.
    pub fn is_error(&self) -> bool {
        self.level.is_some_and(|level| level >= Level::Error) || self.fields.contains_key("stack")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_names_parse_in_any_case_and_back() {
        for level in Level::ALL {
            assert_eq!(Level::parse(&level.as_str().to_uppercase()), Some(level));
        }
        assert_eq!(Level::parse("Warning"), Some(Level::Warn));
        assert_eq!(Level::parse("errors"), None);
        assert_eq!(Level::parse(""), None);
        assert_eq!(Level::from_number(35), None);
    }
}
