//! Standard output: what people and programs asked for, and nothing else.

use crate::failure::Failure;
use serde::Serialize;
use std::io::{IsTerminal as _, Write as _};

/// One document: indented for a person who looks, on one line for a program.
pub fn document(value: &impl Serialize) -> Result<(), Failure> {
    let text = if std::io::stdout().is_terminal() {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    line(&text.map_err(|error| Failure::new("INTERNAL", error.to_string()))?)
}

/// One document of a stream, one a line.
pub fn record(value: &impl Serialize) -> Result<(), Failure> {
    line(&serde_json::to_string(value).map_err(|error| Failure::new("INTERNAL", error.to_string()))?)
}

/// Flushed: who reads a stream wants it now. A reader that has gone (`| head`) ends the command without a word.
pub fn line(line: &str) -> Result<(), Failure> {
    text(&format!("{line}\n"))
}

/// As it is, line ends included.
pub fn text(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => Ok(other?),
    }
}

/// A line, formatted.
macro_rules! say {
    ($($arguments:tt)*) => { $crate::output::line(&format!($($arguments)*))? };
}
/// Text that ends its own lines, formatted.
macro_rules! tell {
    ($($arguments:tt)*) => { $crate::output::text(&format!($($arguments)*))? };
}
pub(crate) use {say, tell};
