//! Instants and windows: milliseconds since the Unix epoch, UTC.

use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TimestampMs(pub u64);

impl TimestampMs {
    pub fn after_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
    pub fn before_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(ms))
    }
    /// Milliseconds from `earlier` to `self`; zero when the clock went back.
    pub fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Debug for TimestampMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

/// Half-open: `start` is inside, `end` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeRange {
    pub start: TimestampMs,
    pub end: TimestampMs,
}

impl TimeRange {
    pub fn new(start: TimestampMs, end: TimestampMs) -> Self {
        Self { start, end: end.max(start) }
    }
    pub fn length_ms(&self) -> u64 {
        self.end.since_ms(self.start)
    }
    pub fn contains(&self, at: TimestampMs) -> bool {
        self.start <= at && at < self.end
    }
}
