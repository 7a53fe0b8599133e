//! The machine's clock. The only place that asks it.

use async_trait::async_trait;
use medic_core::TimestampMs;
use medic_ports::Clock;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// When this process first asked.
static START: OnceLock<Instant> = OnceLock::new();

#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    /// Before 1970 it is 1970.
    #[expect(clippy::disallowed_methods, reason = "the port that everything else asks instead")]
    fn now(&self) -> TimestampMs {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        TimestampMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    #[expect(clippy::disallowed_methods, reason = "the port that everything else asks instead")]
    fn elapsed_ms(&self) -> u64 {
        u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn sleep(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}
