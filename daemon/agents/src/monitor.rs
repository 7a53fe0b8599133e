//! Monitor: puts alerts into incidents, and reads the world around an onset. Never judges what it reads.

mod gather;
mod intake;
mod log_findings;
mod metric_findings;

use crate::shell::{WorkError, Worker};
use crate::world::World;
use async_trait::async_trait;
use medic_core::mail::{Address, Body, Envelope};
use std::sync::Arc;

/// Incidents gathered for side by side, and one for intake. 64: one that hangs holds its place for its deadline, no more.
const CONCURRENCY: usize = 65;

pub(crate) struct Monitor {
    pub world: Arc<World>,
}

#[async_trait]
impl Worker for Monitor {
    fn address(&self) -> Address {
        Address::Monitor
    }
    fn concurrency(&self) -> usize {
        CONCURRENCY
    }
    fn drains(&self) -> bool {
        true
    }
    fn key(&self, envelope: &Envelope) -> String {
        match &envelope.body {
            // Grouping reads what it wrote: deliveries are placed one after the other, many to a commit.
            Body::Alerts { .. } => "intake".to_owned(),
            body => body.incident().map(|incident| incident.to_string()).unwrap_or_default(),
        }
    }

    async fn handle(&self, envelopes: &[Envelope]) -> Result<(), WorkError> {
        match envelopes.first().map(|envelope| &envelope.body) {
            Some(Body::Alerts { .. }) => intake::place(&self.world, envelopes).await,
            _ => gather::run(&self.world, envelopes).await,
        }
    }
}
