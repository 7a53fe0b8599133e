//! The notifier's worker: one notice, one attempt at telling people, kept trying by the mailbox.

use crate::shell::{WorkError, Worker};
use crate::world::World;
use async_trait::async_trait;
use medic_core::Effect;
use medic_core::mail::{Address, Body, Envelope};
use medic_ports::journal::{Batch, Slot};
use std::sync::Arc;

pub(crate) struct Notices {
    pub world: Arc<World>,
}

#[async_trait]
impl Worker for Notices {
    fn address(&self) -> Address {
        Address::Notifier
    }
    fn concurrency(&self) -> usize {
        8
    }

    async fn handle(&self, envelopes: &[Envelope]) -> Result<(), WorkError> {
        for envelope in envelopes {
            if let Body::Order { id, effect: Effect::Notify { notice } } = &envelope.body {
                let told = self.world.ports.notifier.notify(id, notice).await;
                // The last try decides; a notice that cannot be delivered must not escalate what it speaks of.
                if let Err(fault) = told {
                    if envelope.attempts + 1 < crate::shell::ATTEMPTS_MAX {
                        return Err(WorkError::Failed(format!("{}: {fault}", fault.code)));
                    }
                    tracing::error!(effect = %id, %fault, "notice was not delivered");
                }
            }
            let batch = Batch { consumed: vec![Slot::of(envelope)], ..Batch::default() };
            self.world.ports.journal.commit(batch).await?;
        }
        Ok(())
    }
}
