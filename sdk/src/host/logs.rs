//! Owns the search for log lines.

use crate::sys::Handle;
use crate::types::{HostError, LogEntry, TimeRange};

/// Log lines of the sources the operator configured.
pub struct Logs<'h>(pub(super) &'h Handle);

impl Logs<'_> {
    /// Lines in `range` that match `query`, newest first, at most `limit`.
    ///
    /// # Errors
    /// Denied, the query is invalid, or the log store fails or is too slow.
    pub fn search(&self, query: &str, range: TimeRange, limit: u32) -> Result<Vec<LogEntry>, HostError> {
        self.0.logs_search(query, range, limit)
    }
}

impl LogEntry {
    /// The value of a label; `None` when the line does not carry it.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|label| label.name == name).map(|label| label.value.as_str())
    }
}
