//! Owns what every tool has: log, clock, state, artifacts, knowledge.

use crate::sys::Handle;
use crate::types::{HostError, KnowledgeHit, LogLevel};

/// The tool's log lines. The host limits their number and length.
pub struct Log<'h>(pub(super) &'h Handle);

impl Log<'_> {
    /// For whoever debugs the tool.
    pub fn debug(&self, message: &str) {
        self.0.log_emit(LogLevel::Debug, message);
    }

    /// What an operator may want to know.
    pub fn info(&self, message: &str) {
        self.0.log_emit(LogLevel::Info, message);
    }

    /// What an operator should look at.
    pub fn warn(&self, message: &str) {
        self.0.log_emit(LogLevel::Warn, message);
    }

    /// What went wrong without ending the call.
    pub fn error(&self, message: &str) {
        self.0.log_emit(LogLevel::Error, message);
    }

    /// How far the call is. percent: 0 to 100.
    pub fn progress(&self, percent: u8, message: &str) {
        self.0.log_progress(percent.min(100), message);
    }
}

/// The host's clock; a tool has no other.
pub struct Clock<'h>(pub(super) &'h Handle);

impl Clock<'_> {
    /// Milliseconds since the epoch, UTC.
    pub fn now_ms(&self) -> u64 {
        self.0.clock_now_ms()
    }

    /// Milliseconds until the host ends this call.
    pub fn remaining_ms(&self) -> u64 {
        self.0.clock_remaining_ms()
    }
}

/// Bytes kept between calls, private to this tool. An instance lives for one call: nothing else is kept.
pub struct State<'h>(pub(super) &'h Handle);

impl State<'_> {
    /// What was kept under `key`, if it is still there.
    ///
    /// # Errors
    /// The host denies it.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, HostError> {
        self.0.state_get(key)
    }

    /// Keeps `value` for `ttl_ms` milliseconds.
    ///
    /// # Errors
    /// The host denies it, or the tool's quota is used up.
    pub fn set(&self, key: &str, value: &[u8], ttl_ms: u64) -> Result<(), HostError> {
        self.0.state_set(key, value, ttl_ms)
    }
}

/// Where output goes that is too large for a reader's first look.
pub struct Artifacts<'h>(pub(super) &'h Handle);

impl Artifacts<'_> {
    /// Stores a document and answers the reference to give to [`Output::artifact`](crate::types::Output::artifact).
    ///
    /// # Errors
    /// The host denies it, or the call's quota is used up.
    pub fn put(&self, name: &str, media_type: &str, data: &[u8]) -> Result<String, HostError> {
        self.0.artifacts_put(name, media_type, data)
    }
}

/// Runbooks and past incidents.
pub struct Knowledge<'h>(pub(super) &'h Handle);

impl Knowledge<'_> {
    /// The passages nearest to `query`, best first, at most `limit`.
    ///
    /// # Errors
    /// The host denies it, or the index does not answer.
    pub fn search(&self, query: &str, limit: u32) -> Result<Vec<KnowledgeHit>, HostError> {
        self.0.knowledge_search(query, limit)
    }
}
