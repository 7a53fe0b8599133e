//! Where log lines come from.

use async_trait::async_trait;
use medic_core::{Fault, Labels, TimeRange, TimestampMs};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogQuery {
    pub window: TimeRange,
    /// Empty: all.
    pub services: Vec<String>,
    /// Substrings, each of which a line must contain, case-insensitive.
    pub contains: Vec<String>,
    /// Newest lines are kept when there are more.
    pub limit: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// `None` when the line carries no time that could be read; such a line takes its predecessor's place in order.
    pub at: Option<TimestampMs>,
    /// `service`, `source` and what else the source knows.
    pub labels: Labels,
    pub line: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogAnswer {
    /// In order of time.
    pub lines: Vec<LogLine>,
    /// Lines that matched and were cut by the limit.
    pub dropped: u64,
    /// Sources that could not be read while others could: the answer is not the whole.
    #[serde(default)]
    pub unread: Vec<Fault>,
}

#[async_trait]
pub trait Logs: Send + Sync + 'static {
    /// # Errors
    /// `LOGS_UNREADABLE` with the source's name; a source that is merely empty answers with no line.
    async fn search(&self, query: &LogQuery) -> Result<LogAnswer, Fault>;

    /// The services that have logs within the window, in order of name. Empty: the source cannot tell.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    async fn services(&self, _window: TimeRange) -> Result<Vec<String>, Fault> {
        Ok(Vec::new())
    }
}
