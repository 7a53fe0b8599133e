//! Sets a plugin aside that keeps failing, and tries it again after a while.
//!
//! Owns the counting for one plugin. What counts is the sandbox ending a call: a trap, a limit, a deadline. What a tool
//! answers of its own accord, errors included, is its work. Never stands in the way of an undo: it is asked before
//! something new is begun, and only then.

use std::sync::{Mutex, PoisonError};

use medic_core::{Fault, FaultKind};

use crate::text;

/// Failures in a row until a plugin is set aside. 5: a burst of calls on one bad day of its upstream, not one bad call.
const FAILURES_MAX: u32 = 5;
/// 30 s for the first time, doubled each time after, up to 15 min.
const ASIDE_MS: u64 = 30_000;
const ASIDE_MS_MAX: u64 = 900_000;

#[derive(Default)]
pub struct Breaker {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    /// How often it was set aside since it last worked.
    times: u32,
    /// On the clock that never jumps.
    until_ms: Option<u64>,
    last: String,
}

impl Breaker {
    /// Whether a new call may begin. Once its time aside is over one call may, and the next only when that one worked or
    /// as much time has passed again.
    ///
    /// # Errors
    /// `PLUGIN_SET_ASIDE`.
    pub fn admit(&self, plugin: &str, now_ms: u64) -> Result<(), Fault> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(until_ms) = state.until_ms else { return Ok(()) };
        if now_ms < until_ms {
            let message = format!("{plugin} is set aside: {}", words(&state, until_ms - now_ms));
            return Err(Fault::new(FaultKind::Sandbox, "PLUGIN_SET_ASIDE", message));
        }
        state.until_ms = Some(now_ms + aside_ms(state.times));
        Ok(())
    }

    /// Counts how a call ended. Answers why the plugin is set aside, when this call brought that about.
    pub fn note(&self, fault: Option<&Fault>, now_ms: u64) -> Option<String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(fault) = fault.filter(|fault| is_failure(fault)) else {
            *state = State::default();
            return None;
        };
        state.failures = state.failures.saturating_add(1);
        state.last = format!("{}: {}", fault.code, text::line(&fault.message, 200));
        let on_trial = state.until_ms.is_some();
        if !on_trial && state.failures < FAILURES_MAX {
            return None;
        }
        let aside_ms = aside_ms(state.times);
        state.times = state.times.saturating_add(1);
        state.until_ms = Some(now_ms + aside_ms);
        Some(words(&state, aside_ms))
    }

    /// Why it is set aside, while it is.
    pub fn aside(&self, now_ms: u64) -> Option<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let until_ms = state.until_ms?;
        Some(words(&state, until_ms.saturating_sub(now_ms)))
    }
}

fn is_failure(fault: &Fault) -> bool {
    fault.kind == FaultKind::Sandbox && fault.code != "SANDBOX_BUSY" && fault.code != "PLUGIN_SET_ASIDE"
}

fn aside_ms(times: u32) -> u64 {
    ASIDE_MS.saturating_mul(1 << times.min(16)).min(ASIDE_MS_MAX)
}

fn words(state: &State, left_ms: u64) -> String {
    format!(
        "it failed {} times in a row, last with {}; it is tried again in {} s",
        state.failures,
        state.last,
        left_ms.div_ceil(1000)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trap() -> Fault {
        Fault::new(FaultKind::Sandbox, "SANDBOX_TRAP", "unreachable")
    }

    #[test]
    fn five_failures_in_a_row_set_aside_and_each_time_for_longer() {
        let breaker = Breaker::default();
        for _ in 0..FAILURES_MAX - 1 {
            assert_eq!(breaker.note(Some(&trap()), 0), None);
        }
        breaker.note(None, 0);
        for _ in 0..FAILURES_MAX - 1 {
            assert_eq!(breaker.note(Some(&trap()), 0), None, "a call that worked in between counts");
        }
        assert!(breaker.admit("p", 0).is_ok());
        assert!(breaker.note(Some(&trap()), 0).unwrap().contains("SANDBOX_TRAP"));
        assert_eq!(breaker.admit("p", ASIDE_MS - 1).unwrap_err().code, "PLUGIN_SET_ASIDE");

        assert!(breaker.admit("p", ASIDE_MS).is_ok(), "one may try");
        assert!(breaker.admit("p", ASIDE_MS).is_err(), "and only one");
        breaker.note(Some(&trap()), ASIDE_MS).unwrap();
        assert!(breaker.admit("p", 3 * ASIDE_MS - 1).is_err(), "twice as long");
        assert!(breaker.admit("p", 3 * ASIDE_MS).is_ok());
        breaker.note(None, 3 * ASIDE_MS);
        assert!(breaker.aside(3 * ASIDE_MS).is_none() && breaker.admit("p", 3 * ASIDE_MS).is_ok());
    }

    #[test]
    fn what_a_tool_answers_and_waiting_for_a_place_are_no_failures() {
        let breaker = Breaker::default();
        for fault in [
            Fault::new(FaultKind::Upstream, "HTTP_STATUS_500", "no"),
            Fault::new(FaultKind::Sandbox, "SANDBOX_BUSY", "no place"),
        ] {
            for _ in 0..2 * FAILURES_MAX {
                assert_eq!(breaker.note(Some(&fault), 0), None);
            }
        }
        assert!(breaker.admit("p", 0).is_ok());
    }

    #[test]
    fn the_time_aside_has_a_limit() {
        assert_eq!(
            [0, 1, 4, 5, 60].map(aside_ms),
            [ASIDE_MS, 2 * ASIDE_MS, 16 * ASIDE_MS, ASIDE_MS_MAX, ASIDE_MS_MAX]
        );
    }
}
