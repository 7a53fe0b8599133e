//! Time, so that a test owns it.

use async_trait::async_trait;
use medic_core::TimestampMs;

#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// Wall clock, UTC. May jump either way.
    fn now(&self) -> TimestampMs;
    /// Milliseconds since some start of this process, on a clock that never jumps and never goes back. It may stand still
    /// while the machine sleeps.
    fn elapsed_ms(&self) -> u64;
    /// Returns once `ms` have passed on a clock that does not jump.
    async fn sleep(&self, ms: u64);
}
