//! What one call has used of its [`Limits`].
//!
//! Owns the counting. Time is the sandbox's own monotonic time: a wall clock that jumps, or a test's clock that stands
//! still, must not lift a limit.

use std::collections::BTreeMap;
use std::time::Duration;

use medic_core::{Fault, FaultKind};
use tokio::time::Instant;
use wasmtime::ResourceLimiter;

use crate::limits::{INSTANCES_MAX, Limits, TABLE_ELEMENTS_MAX, TICK_MS};

/// From the deadline, at which host calls begin to answer `timeout`, until the guest is ended. 500 ms: time to say what it
/// has, not to go on.
const WRAP_UP_MS: u64 = 500;

/// Functions named in the words about a limit.
const TOP_CALLS: usize = 3;

/// A limit of the sandbox that was reached.
pub fn exceeded(code: &str, what: &str, used: u64, limit: u64) -> Fault {
    Fault::new(FaultKind::Sandbox, code, format!("the tool used up its {what}: {used}, the limit is {limit}"))
}

pub struct Meter {
    limits: Limits,
    started: Instant,
    host_calls: u32,
    by_function: BTreeMap<String, u32>,
    second: Instant,
    calls_in_second: u32,
    answers: u64,
    cpu_ticks: u64,
    log_lines: u32,
    log_lines_lost: u32,
    artifacts: u64,
}

/// What stands between a host call and its going ahead.
pub enum Pace {
    Go,
    /// Too many in this second; this long until the next.
    Wait(Duration),
}

impl Meter {
    pub fn start(limits: Limits) -> Self {
        let now = Instant::now();
        Self {
            limits,
            started: now,
            host_calls: 0,
            by_function: BTreeMap::new(),
            second: now,
            calls_in_second: 0,
            answers: 0,
            cpu_ticks: 0,
            log_lines: 0,
            log_lines_lost: 0,
            artifacts: 0,
        }
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Until the call must have ended.
    pub fn remaining(&self) -> Duration {
        Duration::from_millis(self.limits.wall_ms).saturating_sub(self.started.elapsed())
    }

    /// Counts one host call.
    ///
    /// # Errors
    /// `SANDBOX_HOST_CALLS`.
    pub fn host_call(&mut self, function: &str) -> Result<Pace, Fault> {
        self.host_calls = self.host_calls.saturating_add(1);
        if let Some(count) = self.by_function.get_mut(function) {
            *count += 1;
        } else {
            self.by_function.insert(function.to_owned(), 1);
        }
        let limit = self.limits.host_calls;
        if self.host_calls > limit {
            return Err(exceeded(
                "SANDBOX_HOST_CALLS",
                "host calls",
                u64::from(self.host_calls),
                u64::from(limit),
            ));
        }
        let elapsed = self.second.elapsed();
        if elapsed >= Duration::from_secs(1) {
            self.second = Instant::now();
            self.calls_in_second = 0;
        }
        self.calls_in_second += 1;
        if self.calls_in_second <= self.limits.host_calls_per_second {
            return Ok(Pace::Go);
        }
        Ok(Pace::Wait(Duration::from_secs(1).saturating_sub(elapsed)))
    }

    /// The host functions that were called most, for whoever wonders where a limit went.
    pub fn top_host_calls(&self) -> String {
        let mut calls: Vec<_> = self.by_function.iter().collect();
        calls.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        if calls.is_empty() {
            return "no host calls".to_owned();
        }
        let top = calls.iter().take(TOP_CALLS).map(|(function, count)| format!("{function} {count}"));
        format!("host calls: {}", top.collect::<Vec<_>>().join(", "))
    }

    /// Counts bytes about to be handed to the guest.
    ///
    /// # Errors
    /// How many, and the limit they pass.
    pub fn answer(&mut self, bytes: usize) -> Result<(), (u64, u64)> {
        let bytes = bytes as u64;
        if bytes > self.limits.answer {
            return Err((bytes, self.limits.answer));
        }
        self.answers = self.answers.saturating_add(bytes);
        if self.answers > self.limits.answers {
            return Err((self.answers, self.limits.answers));
        }
        Ok(())
    }

    /// Counts a tick during which the guest ran.
    ///
    /// # Errors
    /// `SANDBOX_CPU`, `SANDBOX_WALL`.
    pub fn tick(&mut self) -> Result<(), Fault> {
        self.cpu_ticks += 1;
        let used_ms = self.cpu_ticks.saturating_mul(TICK_MS);
        if used_ms > self.limits.cpu_ms {
            return Err(exceeded(
                "SANDBOX_CPU",
                "milliseconds of processor time",
                used_ms,
                self.limits.cpu_ms,
            ));
        }
        if self.started.elapsed() > Duration::from_millis(self.limits.wall_ms + WRAP_UP_MS) {
            return Err(self.wall());
        }
        Ok(())
    }

    pub fn wall(&self) -> Fault {
        let used_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        exceeded("SANDBOX_WALL", "milliseconds from start to end", used_ms, self.limits.wall_ms)
    }

    /// Whether one more log line is kept. The first that is lost answers `None` too; [`Self::log_lines_lost`] counts.
    pub fn log_line(&mut self) -> bool {
        if self.log_lines >= self.limits.log_lines {
            self.log_lines_lost += 1;
            return false;
        }
        self.log_lines += 1;
        true
    }

    pub fn log_lines_lost(&self) -> u32 {
        self.log_lines_lost
    }

    /// # Errors
    /// How many bytes of artefacts there would be, and the limit.
    pub fn artifact(&mut self, bytes: usize) -> Result<(), (u64, u64)> {
        let total = self.artifacts.saturating_add(bytes as u64);
        if total > self.limits.artifacts {
            return Err((total, self.limits.artifacts));
        }
        self.artifacts = total;
        Ok(())
    }
}

/// Memory and tables over all of a store, in one sum: a guest gains nothing by spreading.
pub struct MemoryMeter {
    limit: u64,
    used: u64,
    table_elements: usize,
    refused: Option<Fault>,
}

impl MemoryMeter {
    pub fn new(limit: u64) -> Self {
        Self { limit, used: 0, table_elements: 0, refused: None }
    }

    /// Why the store refused to grow, when it did.
    pub fn refused(&self) -> Option<&Fault> {
        self.refused.as_ref()
    }
}

impl ResourceLimiter for MemoryMeter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.used.saturating_add(desired.saturating_sub(current) as u64);
        if total > self.limit {
            self.refused = Some(exceeded("SANDBOX_MEMORY", "bytes of memory", total, self.limit));
            return Ok(false);
        }
        self.used = total;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_add(desired.saturating_sub(current));
        if total > TABLE_ELEMENTS_MAX {
            self.refused =
                Some(exceeded("SANDBOX_MEMORY", "table elements", total as u64, TABLE_ELEMENTS_MAX as u64));
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }
    fn tables(&self) -> usize {
        INSTANCES_MAX
    }
    fn memories(&self) -> usize {
        INSTANCES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use medic_core::ToolCategory;

    #[test]
    fn memory_is_summed_over_memories() {
        let mut memory = MemoryMeter::new(100);
        assert!(memory.memory_growing(0, 60, None).unwrap());
        assert!(!memory.memory_growing(0, 60, None).unwrap());
        assert!(memory.memory_growing(60, 100, None).unwrap());
        let refused = memory.refused().unwrap();
        assert_eq!(refused.code, "SANDBOX_MEMORY");
        assert!(refused.message.contains("120") && refused.message.contains("100"), "{refused}");
    }

    #[tokio::test]
    async fn host_calls_are_paced_by_the_second_and_ended_by_the_total() {
        let mut meter = Meter::start(Limits {
            host_calls: 3,
            host_calls_per_second: 2,
            ..Limits::of(ToolCategory::Query)
        });
        assert!(matches!(meter.host_call("state.get"), Ok(Pace::Go)));
        assert!(matches!(meter.host_call("state.get"), Ok(Pace::Go)));
        assert!(matches!(meter.host_call("state.get"), Ok(Pace::Wait(_))));
        assert_eq!(meter.host_call("metrics.query").err().unwrap().code, "SANDBOX_HOST_CALLS");
        assert_eq!(meter.top_host_calls(), "host calls: state.get 3, metrics.query 1");
    }

    #[tokio::test]
    async fn answers_count_alone_and_together() {
        let mut meter = Meter::start(Limits { answer: 10, answers: 15, ..Limits::of(ToolCategory::Query) });
        assert_eq!(meter.answer(11), Err((11, 10)));
        assert_eq!(meter.answer(10), Ok(()));
        assert_eq!(meter.answer(10), Err((20, 15)));
    }
}
