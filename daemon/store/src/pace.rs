//! How long the disk takes. Measures what is told to operators; nothing that is decided depends on it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// A slow write is told of for this long after it. 30 s: two looks of a monitoring system.
const TOLD_MS: u64 = 30_000;

/// Durations in ms since the store was opened; 0 stands for never.
pub(crate) struct Pace {
    origin: Instant,
    slow_ms: u64,
    began_at: AtomicU64,
    last_ms: AtomicU64,
    slow_at: AtomicU64,
    writes: AtomicU64,
}

impl Pace {
    #[allow(clippy::disallowed_methods, reason = "the disk is measured, no decision is timed by it")]
    pub fn new(slow_ms: u64) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            origin: Instant::now(),
            slow_ms,
            began_at: zero(),
            last_ms: zero(),
            slow_at: zero(),
            writes: zero(),
        }
    }

    /// At least 1.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    pub fn begin(&self) {
        self.began_at.store(self.now_ms(), Ordering::SeqCst);
    }

    pub fn end(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.end_at(self.now_ms());
    }

    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    fn end_at(&self, now_ms: u64) {
        let took_ms = now_ms.saturating_sub(self.began_at.swap(0, Ordering::SeqCst));
        self.last_ms.store(took_ms, Ordering::SeqCst);
        if took_ms > self.slow_ms {
            self.slow_at.store(now_ms, Ordering::SeqCst);
        }
    }

    /// Duration of the last write or, when it is longer, of the one under way; and whether writes are slow of late.
    pub fn look(&self) -> (u64, bool) {
        self.look_at(self.now_ms())
    }

    fn look_at(&self, now_ms: u64) -> (u64, bool) {
        let under_way_ms = match self.began_at.load(Ordering::SeqCst) {
            0 => 0,
            began_at => now_ms.saturating_sub(began_at),
        };
        let slow_at = self.slow_at.load(Ordering::SeqCst);
        let lately = slow_at > 0 && now_ms.saturating_sub(slow_at) < TOLD_MS;
        (self.last_ms.load(Ordering::SeqCst).max(under_way_ms), lately || under_way_ms > self.slow_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_write_is_told_of_while_it_lasts_and_for_a_while_after() {
        let pace = Pace::new(1_000);
        assert_eq!(pace.look_at(5), (0, false));
        pace.began_at.store(10, Ordering::SeqCst);
        assert_eq!(pace.look_at(1_010), (1_000, false), "as long as is normal");
        assert_eq!(pace.look_at(1_011), (1_001, true), "while it hangs");
        pace.end_at(3_010);
        assert_eq!(pace.look_at(3_011), (3_000, true));
        pace.began_at.store(4_000, Ordering::SeqCst);
        pace.end_at(4_002);
        assert_eq!(pace.look_at(4_003), (2, true), "one quick write is not yet a well disk");
        assert_eq!(pace.look_at(3_010 + TOLD_MS), (2, false));
    }
}
