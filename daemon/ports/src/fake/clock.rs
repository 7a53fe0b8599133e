//! A clock that stands still until it is told to move.

use super::lock;
use crate::Clock;
use async_trait::async_trait;
use medic_core::TimestampMs;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Clones share one time.
#[derive(Clone, Debug)]
pub struct FakeClock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    wall: Mutex<TimestampMs>,
    /// Milliseconds passed since the clock was made; never goes back.
    passed: watch::Sender<u64>,
    sleepers: watch::Sender<Sleepers>,
}

#[derive(Debug, Default)]
struct Sleepers {
    next_id: u64,
    /// Wake-up time by sleeper, on the scale of `passed`.
    due: BTreeMap<u64, u64>,
}

impl FakeClock {
    pub fn new(now: TimestampMs) -> Self {
        Self {
            shared: Arc::new(Shared {
                wall: Mutex::new(now),
                passed: watch::Sender::new(0),
                sleepers: watch::Sender::new(Sleepers::default()),
            }),
        }
    }

    /// Lets `ms` pass: wall clock and sleepers alike.
    pub fn advance(&self, ms: u64) {
        {
            let mut wall = lock(&self.shared.wall);
            *wall = wall.after_ms(ms);
        }
        self.shared.passed.send_modify(|passed| *passed = passed.saturating_add(ms));
    }

    /// Sets the wall clock, forwards or back. Nobody who sleeps notices.
    pub fn jump_to(&self, now: TimestampMs) {
        *lock(&self.shared.wall) = now;
    }

    /// Sets the wall clock forwards by `ms`, or back when negative. Nobody who sleeps notices.
    pub fn jump_by(&self, ms: i64) {
        let mut wall = lock(&self.shared.wall);
        *wall = if ms < 0 { wall.before_ms(ms.unsigned_abs()) } else { wall.after_ms(ms.unsigned_abs()) };
    }

    /// Advances to the wake-up time of the sleeper that is due first; `false` when nobody sleeps.
    pub fn advance_to_next(&self) -> bool {
        let Some(due) = self.shared.sleepers.borrow().due.values().min().copied() else { return false };
        let passed = *self.shared.passed.borrow();
        self.advance(due.saturating_sub(passed));
        true
    }

    /// How many sleep now.
    pub fn sleepers(&self) -> usize {
        self.shared.sleepers.borrow().due.len()
    }

    /// Returns once at least `count` sleep: only then does an [`advance`](Self::advance) reach them.
    pub async fn wait_for_sleepers(&self, count: usize) {
        let mut sleepers = self.shared.sleepers.subscribe();
        // The sender lives in `self`: waiting cannot fail.
        let _ = sleepers.wait_for(|sleepers| sleepers.due.len() >= count).await;
    }
}

/// Takes its sleeper off the list, also when the sleep is given up.
struct Asleep<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        self.shared.sleepers.send_modify(|sleepers| {
            sleepers.due.remove(&self.id);
        });
    }
}

#[async_trait]
impl Clock for FakeClock {
    fn now(&self) -> TimestampMs {
        *lock(&self.shared.wall)
    }

    fn elapsed_ms(&self) -> u64 {
        *self.shared.passed.borrow()
    }

    async fn sleep(&self, ms: u64) {
        let mut passed = self.shared.passed.subscribe();
        let due = passed.borrow().saturating_add(ms);
        let mut id = 0;
        self.shared.sleepers.send_modify(|sleepers| {
            id = sleepers.next_id;
            sleepers.next_id += 1;
            sleepers.due.insert(id, due);
        });
        let _asleep = Asleep { shared: &self.shared, id };
        let _ = passed.wait_for(|passed| *passed >= due).await;
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test's task ends with the test")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleeper_wakes_when_its_time_has_passed_and_not_before() {
        let clock = FakeClock::new(TimestampMs(1_000));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep(50).await }
        });
        clock.wait_for_sleepers(1).await;
        clock.advance(49);
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.jump_to(TimestampMs(900_000));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished(), "a jump of the wall clock wakes nobody");
        clock.advance(1);
        sleeper.await.unwrap();
        assert_eq!(clock.now(), TimestampMs(900_001));
        clock.jump_by(-900_001);
        assert_eq!((clock.now(), clock.elapsed_ms()), (TimestampMs(0), 50), "only the wall clock jumps");
        assert_eq!(clock.sleepers(), 0);
    }

    #[tokio::test]
    async fn sleep_given_up_leaves_no_sleeper_behind() {
        let clock = FakeClock::new(TimestampMs(0));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep(50).await }
        });
        clock.wait_for_sleepers(1).await;
        sleeper.abort();
        assert!(sleeper.await.unwrap_err().is_cancelled());
        assert_eq!(clock.sleepers(), 0);
        assert!(!clock.advance_to_next());
    }
}
