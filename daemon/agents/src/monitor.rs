//! Monitor: puts alerts into incidents, and reads the world around an onset. Never judges what it reads.

mod gather;
mod intake;
mod localization;
mod log_findings;
mod metric_findings;
mod plausible;
mod survey;

use crate::shell::{WorkError, Worker};
use crate::world::World;
use async_trait::async_trait;
use medic_core::Effect;
use medic_core::mail::{Address, Body, Envelope};
use std::sync::Arc;

/// Incidents gathered for side by side, and one for intake. 64: one that hangs holds its place for its deadline, no more.
const CONCURRENCY: usize = 65;
/// With more than this in the supervisor's mailbox nothing new is put into it. 1,024: keeps it busy for a while, and leaves
/// most of the mailbox to the results of what is under way, so that these two never wait for each other.
const SUPERVISOR_BACKLOG_MAX: u64 = 1_024;
/// Placing touches nothing but the journal. 10 s: a thousand times what it takes.
const PLACING_PATIENCE_MS: u64 = 10_000;
/// Beyond gathering's own deadline, which escalates: what comes later is of no use to anybody.
const GATHER_SLACK_MS: u64 = 15_000;

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

    fn weight(&self, envelope: &Envelope) -> usize {
        match &envelope.body {
            Body::Alerts { batch, .. } => batch.alerts.len().max(1),
            _ => 1,
        }
    }
    fn may_start(&self, envelope: &Envelope) -> bool {
        let waiting = || {
            let health = self.world.ports.journal.health();
            let supervisor = health.mailboxes.into_iter().find(|mailbox| mailbox.to == Address::Supervisor);
            supervisor.map_or(0, |mailbox| mailbox.envelopes)
        };
        !matches!(envelope.body, Body::Alerts { .. }) || waiting() <= SUPERVISOR_BACKLOG_MAX
    }
    fn patience_ms(&self, envelope: &Envelope) -> u64 {
        match &envelope.body {
            Body::Order { effect: Effect::Gather { not_before }, .. } => not_before
                .since_ms(self.world.now())
                .saturating_add(self.world.policy.gather_deadline_ms)
                .saturating_add(GATHER_SLACK_MS),
            _ => PLACING_PATIENCE_MS,
        }
    }

    async fn handle(&self, envelopes: &[Envelope]) -> Result<(), WorkError> {
        match envelopes.first().map(|envelope| &envelope.body) {
            Some(Body::Alerts { .. }) => intake::place(&self.world, envelopes).await,
            _ => gather::run(&self.world, envelopes).await,
        }
    }
}
