//! Telling people.

use async_trait::async_trait;
use medic_core::effect::Notice;
use medic_core::{EffectId, Fault};

#[async_trait]
pub trait Notifier: Send + Sync + 'static {
    /// `id` goes along as an idempotency key: after a crash the same notice may be sent again.
    async fn notify(&self, id: &EffectId, notice: &Notice) -> Result<(), Fault>;
}
