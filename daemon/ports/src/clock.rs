//! Time, so that a test owns it.

use async_trait::async_trait;
use medic_core::TimestampMs;

#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// Wall clock, UTC. May jump either way.
    fn now(&self) -> TimestampMs;
    /// Returns once `ms` have passed on a clock that does not jump.
    async fn sleep(&self, ms: u64);
}
