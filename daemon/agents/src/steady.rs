//! The daemon's own time: the machine's, but that it never goes back.
//!
//! Owns what "now" is for every decision and every record. While the machine's clock is behind what has been told before,
//! time flows on by the clock that does not jump. Never decides what a jump means for a timer.

use crate::shell::lock;
use async_trait::async_trait;
use medic_core::TimestampMs;
use medic_ports::Clock;
use std::sync::{Arc, Mutex};

/// A step of the wall clock against the steady one that is worth telling. 30 s: the shortest deadlines are a minute, and
/// NTP slews what is smaller.
pub(crate) const JUMP_MS: u64 = 30_000;
/// Between two looks, at most, while the process runs. What is longer by more than [`JUMP_MS`] was spent stopped.
const LOOK_MS: u64 = 1_000;

/// The wall clock and the steady one have come apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Jump {
    /// Forwards, or back when negative.
    pub by_ms: i64,
    /// What it would have been now without the jump.
    pub expected: TimestampMs,
    /// The process stood still: stopped, or its machine asleep with a clock that ran on.
    pub stood_still: bool,
}

pub(crate) struct SteadyClock {
    machine: Arc<dyn Clock>,
    told: Mutex<Told>,
    looked: Mutex<Looked>,
}

struct Told {
    now: TimestampMs,
    elapsed_ms: u64,
}

/// What the last look at the clocks saw.
struct Looked {
    wall: TimestampMs,
    elapsed_ms: u64,
}

impl SteadyClock {
    /// `latest`: of what was written in earlier lives; time does not go back behind it.
    pub fn new(machine: Arc<dyn Clock>, latest: TimestampMs) -> Self {
        let (wall, elapsed_ms) = (machine.now(), machine.elapsed_ms());
        let now = wall.max(latest);
        Self {
            machine,
            told: Mutex::new(Told { now, elapsed_ms }),
            // A machine that woke up in the past is found at the first look.
            looked: Mutex::new(Looked { wall: now, elapsed_ms }),
        }
    }

    /// The machine's clock as it is: for questions to others, who go by theirs.
    pub fn wall(&self) -> TimestampMs {
        self.machine.now()
    }

    /// How far this clock is ahead of the machine's, in ms.
    pub fn ahead_ms(&self) -> u64 {
        self.now().since_ms(self.wall())
    }

    /// Compares the clocks with the last look. To be asked at least every second.
    pub fn look(&self) -> Option<Jump> {
        let (wall, elapsed_ms) = (self.machine.now(), self.machine.elapsed_ms());
        let mut looked = lock(&self.looked);
        let passed_ms = elapsed_ms.saturating_sub(looked.elapsed_ms);
        let stood_still = passed_ms > LOOK_MS + JUMP_MS;
        let expected = looked.wall.after_ms(if stood_still { LOOK_MS } else { passed_ms });
        *looked = Looked { wall, elapsed_ms };
        let apart_ms = wall.since_ms(expected).max(expected.since_ms(wall));
        let size = i64::try_from(apart_ms).unwrap_or(i64::MAX);
        let by_ms = if wall < expected { -size } else { size };
        (apart_ms > JUMP_MS).then_some(Jump { by_ms, expected, stood_still })
    }
}

#[async_trait]
impl Clock for SteadyClock {
    fn now(&self) -> TimestampMs {
        let (wall, elapsed_ms) = (self.machine.now(), self.machine.elapsed_ms());
        let mut told = lock(&self.told);
        let flowed = told.now.after_ms(elapsed_ms.saturating_sub(told.elapsed_ms));
        told.now = wall.max(flowed);
        told.elapsed_ms = told.elapsed_ms.max(elapsed_ms);
        told.now
    }

    fn elapsed_ms(&self) -> u64 {
        self.machine.elapsed_ms()
    }

    async fn sleep(&self, ms: u64) {
        self.machine.sleep(ms).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use medic_ports::fake::FakeClock;

    const START: TimestampMs = TimestampMs(1_000_000_000);

    fn clocks(latest: TimestampMs) -> (FakeClock, SteadyClock) {
        let machine = FakeClock::new(START);
        let steady = SteadyClock::new(Arc::new(machine.clone()), latest);
        (machine, steady)
    }

    #[test]
    fn time_never_goes_back_and_never_stands_still() {
        let (machine, steady) = clocks(TimestampMs(0));
        machine.advance(1_000);
        assert_eq!(steady.now(), START.after_ms(1_000));
        machine.jump_by(-3_600_000);
        assert_eq!(steady.now(), START.after_ms(1_000));
        machine.advance(5_000);
        assert_eq!(steady.now(), START.after_ms(6_000), "it flows on while the wall clock is behind");
        assert_eq!(steady.ahead_ms(), 3_600_000);
        machine.jump_by(3_600_000);
        assert_eq!((steady.now(), steady.ahead_ms()), (START.after_ms(6_000), 0));
    }

    #[test]
    fn a_life_does_not_begin_before_what_the_last_one_wrote() {
        let written = START.after_ms(90_000);
        let (_, steady) = clocks(written);
        assert_eq!(steady.now(), written);
        let jump = steady.look().unwrap();
        assert_eq!((jump.by_ms, jump.stood_still), (-90_000, false));
        assert_eq!(steady.look(), None, "told once");
    }

    #[test]
    fn only_a_step_of_more_than_half_a_minute_is_a_jump() {
        for (by_ms, told) in
            [(30_000, None), (-30_000, None), (30_001, Some(30_001)), (-45_000, Some(-45_000))]
        {
            let (machine, steady) = clocks(TimestampMs(0));
            machine.advance(500);
            assert_eq!(steady.look(), None);
            machine.advance(500);
            machine.jump_by(by_ms);
            let jump = steady.look();
            assert_eq!(jump.map(|jump| jump.by_ms), told, "{by_ms}");
            assert!(jump.is_none_or(|jump| jump.expected == START.after_ms(1_000)), "{jump:?}");
        }
    }

    #[test]
    fn a_process_that_was_stopped_has_jumped_forward() {
        let (machine, steady) = clocks(TimestampMs(0));
        machine.advance(600_000);
        let jump = steady.look().unwrap();
        assert_eq!((jump.by_ms, jump.stood_still), (600_000 - 1_000, true));
    }
}
