//! The notifier's worker: tells people, and keeps trying while there is hope that somebody hears it.

use crate::shell::{WorkError, Worker};
use crate::world::World;
use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use medic_core::audit::AuditRecord;
use medic_core::mail::{Address, Body, Envelope};
use medic_core::{Effect, Fault};
use medic_ports::journal::{Batch, Slot};
use std::sync::Arc;

/// Commits side by side.
const CONCURRENCY: usize = 8;
/// Incidents whose notices share a commit. 16: a slow receiver keeps no more than these waiting.
const INCIDENTS_PER_COMMIT_MAX: usize = 16;
/// Receivers waited for at once by one of these. 4, so 32 in all: a webhook is not made for more.
const SIDE_BY_SIDE_MAX: usize = 4;
/// Between two tries. 5 s: as often as a door that does not answer is knocked at.
const RETRY_MS: u64 = 5_000;
/// A notice older than this is not news any more. One hour: the people on call have looked by themselves.
const LIFETIME_MS: u64 = 60 * 60 * 1000;
/// With more than this many waiting, the oldest are given up: what they tell of must not stop for want of room here.
const WAITING_MAX: u64 = 1_000;
/// Telling people, retries of the adapter included.
const PATIENCE_MS: u64 = 120_000;

pub(crate) struct Notices {
    pub world: Arc<World>,
}

impl Notices {
    fn hopeless(&self, envelope: &Envelope) -> bool {
        let waiting = || self.world.ports.journal.health().mailboxes;
        self.world.now().since_ms(envelope.at) >= LIFETIME_MS
            || waiting()
                .iter()
                .any(|mailbox| mailbox.to == Address::Notifier && mailbox.envelopes > WAITING_MAX)
    }

    /// Tells what happened to one incident, in order; what cannot be told now holds the rest back.
    async fn tell(&self, notices: &[Envelope]) -> Told {
        let mut told = Told::default();
        for envelope in notices {
            if let Body::Order { id, effect: Effect::Notify { notice } } = &envelope.body
                && let Err(fault) = self.world.ports.notifier.notify(id, notice).await
            {
                if !self.hopeless(envelope) {
                    told.fault = Some(fault);
                    break;
                }
                told.lost.push(self.lost(envelope, &fault));
            }
            told.consumed.push(Slot::of(envelope));
        }
        told
    }

    /// A notice that nobody heard is written down where people look afterwards.
    fn lost(&self, envelope: &Envelope, fault: &Fault) -> AuditRecord {
        tracing::error!(notice = %envelope.id, %fault, "notice was not delivered");
        AuditRecord {
            at: self.world.now(),
            incident: envelope.body.incident().cloned(),
            actor: "notifier".to_owned(),
            kind: "notice_lost".to_owned(),
            subject: envelope.id.to_string(),
            rule: None,
            detail: serde_json::json!({ "code": fault.code, "error": fault.message }),
        }
    }
}

#[async_trait]
impl Worker for Notices {
    fn address(&self) -> Address {
        Address::Notifier
    }
    fn concurrency(&self) -> usize {
        CONCURRENCY
    }
    fn drains(&self) -> bool {
        true
    }
    fn keys_per_commit(&self) -> usize {
        INCIDENTS_PER_COMMIT_MAX
    }
    fn patience_ms(&self, _: &Envelope) -> u64 {
        PATIENCE_MS
    }

    async fn handle(&self, envelopes: &[Envelope]) -> Result<(), WorkError> {
        let mut batch = Batch::default();
        let mut waiting = None;
        let incidents = envelopes.chunk_by(|a, b| a.body.incident() == b.body.incident());
        let told: Vec<BoxFuture<'_, Told>> = incidents.map(|notices| self.tell(notices).boxed()).collect();
        let mut told = futures::stream::iter(told).buffer_unordered(SIDE_BY_SIDE_MAX);
        while let Some(Told { consumed, lost, fault }) = told.next().await {
            batch.consumed.extend(consumed);
            batch.audit.extend(lost);
            waiting = waiting.or(fault);
        }
        if !batch.consumed.is_empty() {
            self.world.ports.journal.commit(batch).await?;
        }
        // Not counted against the letters: a notice that cannot be delivered must not escalate what it speaks of.
        waiting.map_or(Ok(()), |fault| {
            Err(WorkError::Busy { retry_after_ms: RETRY_MS, why: format!("{}: {fault}", fault.code) })
        })
    }
}

/// What became of one incident's notices.
#[derive(Default)]
struct Told {
    consumed: Vec<Slot>,
    lost: Vec<AuditRecord>,
    /// Why those behind wait.
    fault: Option<Fault>,
}
