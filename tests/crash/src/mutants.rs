//! Planted bugs: a sweep that does not find these finds nothing.
//!
//! Each is a classic mistake of such protocols, made around the real store and the real agents: a journal that splits a
//! batch, a host that calls first and writes later, a disk that lies. None is in the daemon's own code.

use crate::faultfs::{Lie, Mode, point};
use async_trait::async_trait;
use medic_core::audit::ChainedRecord;
use medic_core::effect::TimerChange;
use medic_core::event::EventKind;
use medic_core::mail::{Address, Body, Envelope, Lane, Letter};
use medic_core::replay::Decided;
use medic_core::{EffectId, Incident, IncidentId, TimestampMs};
use medic_ports::journal::{
    Accepted, Batch, Boot, Change, Committed, DeadLetter, DueTimer, EffectRecord, EffectState,
    IncidentFilter, JournalHealth, Slot, Table,
};
use medic_ports::{Journal, JournalError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, broadcast};
use tokio::task::JoinSet;

macro_rules! mutants {
    ($($(#[doc = $doc:literal])* $name:ident $text:literal $modes:expr;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Mutant { $($(#[doc = $doc])* $name,)* }

        impl Mutant {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Modes in which it can show itself, the most telling first. Empty: it shows without any fault.
            pub fn modes(self) -> &'static [Mode] {
                match self { $(Self::$name => &$modes,)* }
            }
        }
    };
}

mutants! {
    /// The disk says that the log is synced and has not done it.
    LogSyncLies "log-sync-lies" [Mode::Power];
    /// A failed sync is taken for a good one.
    SyncErrorSwallowed "sync-error-swallowed" [Mode::Eio];
    /// Names are never synced.
    DirectorySyncLies "directory-sync-lies" [Mode::Power];
    /// Senders are answered before their letter is written.
    AckBeforeWrite "ack-before-write" [Mode::Kill, Mode::Logic];
    /// State first, the letter it came from later: handled twice.
    ConsumedLater "consumed-later" [Mode::Logic, Mode::Kill];
    /// The letter first, the state it leads to later: lost.
    ConsumedFirst "consumed-first" [Mode::Logic, Mode::Kill];
    LettersLater "letters-later" [Mode::Logic, Mode::Kill];
    TimersLater "timers-later" [Mode::Logic, Mode::Kill];
    AuditLater "audit-later" [Mode::Logic, Mode::Kill];
    DecidedLater "decided-later" [Mode::Logic, Mode::Kill];
    /// Nothing is written before the first byte leaves.
    NoStartedRecord "no-started-record" [];
    /// The deed begins while its Started record is still being written.
    StartedLater "started-later" [Mode::Logic, Mode::Kill];
    IntentAfterDeed "intent-after-deed" [Mode::Logic, Mode::Kill];
    /// Noted as done, then done.
    ReceiptBeforeDeed "receipt-before-deed" [Mode::Logic, Mode::Kill];
    /// What is found Started is simply run again.
    BlindRerun "blind-rerun" [Mode::Logic, Mode::Kill];
    /// "It cannot be told" is read as "it did not happen".
    EndpointNotAsked "endpoint-not-asked" [Mode::Logic, Mode::Kill];
    UnknownIsFailure "unknown-is-failure" [Mode::Logic, Mode::Kill];
    /// The same letter sent twice is two letters.
    DedupDropped "dedup-dropped" [];
    TimersLost "timers-lost" [];
    TimersEarly "timers-early" [];
    /// An approval stays in its mailbox after it was heard.
    ApprovalHeardTwice "approval-heard-twice" [];
    /// An approval counts whenever it comes.
    ExpiryIgnored "expiry-ignored" [];
    RetryForgetsAttempts "retry-forgets-attempts" [];
    /// What cannot be handled vanishes without a word.
    DeadLetterDropped "dead-letter-dropped" [];
}

impl Mutant {
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|mutant| mutant.name() == name)
    }

    /// How the labels of the logic points end at which it is most likely to show itself.
    pub fn seam(self) -> Option<&'static str> {
        match self {
            Self::ConsumedLater
            | Self::ConsumedFirst
            | Self::LettersLater
            | Self::TimersLater
            | Self::AuditLater
            | Self::DecidedLater => Some(SEAM),
            Self::AckBeforeWrite => Some("enqueue: acknowledged, before the sender knows"),
            Self::ReceiptBeforeDeed => Some("before the call"),
            Self::StartedLater | Self::IntentAfterDeed | Self::BlindRerun | Self::EndpointNotAsked => {
                Some("after the call, before the receipt")
            }
            Self::UnknownIsFailure => Some("poke_legacy: after the call, before the receipt"),
            _ => None,
        }
    }

    pub fn lie(self) -> Option<Lie> {
        match self {
            Self::LogSyncLies => Some(Lie::LogSync),
            Self::SyncErrorSwallowed => Some(Lie::ErrorSwallowed),
            Self::DirectorySyncLies => Some(Lie::DirectorySync),
            _ => None,
        }
    }
}

/// The logic point between the two halves of what should have been one batch.
pub const SEAM: &str = "mutant: seam";

/// A journal with a bug in it, over one without.
pub struct MutantJournal {
    inner: Arc<dyn Journal>,
    mutant: Mutant,
    count: AtomicU64,
    /// Approvals that were heard once and kept.
    kept: Mutex<BTreeSet<Slot>>,
    later: Mutex<JoinSet<()>>,
}

impl MutantJournal {
    pub fn new(inner: Arc<dyn Journal>, mutant: Mutant) -> Self {
        Self { inner, mutant, count: AtomicU64::new(0), kept: Mutex::default(), later: Mutex::default() }
    }

    fn unique(&self, letter: &mut Letter) {
        letter.dedup = format!("{}#{}", letter.dedup, self.count.fetch_add(1, Ordering::SeqCst));
    }

    fn later(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.later.lock().unwrap_or_else(PoisonError::into_inner).spawn(work);
    }

    /// What a caller is told of a write that has not been made.
    fn pretended(&self, letters: &[Letter]) -> Committed {
        let health = self.inner.health();
        let accepted =
            letters.iter().map(|letter| Accepted { id: letter.id.clone(), duplicate: false }).collect();
        Committed { commit_seq: health.commit_seq, audit_head: health.audit_head, accepted }
    }

    /// Two batches in place of one.
    async fn split(&self, first: Batch, second: Batch) -> Result<Committed, JournalError> {
        if first == Batch::default() || second == Batch::default() {
            return self.inner.commit(if second == Batch::default() { first } else { second }).await;
        }
        let before = self.inner.commit(first).await?;
        point(SEAM);
        let after = self.inner.commit(second).await?;
        let accepted = before.accepted.into_iter().chain(after.accepted).collect();
        Ok(Committed { accepted, ..after })
    }
}

fn starts(batch: &Batch) -> bool {
    let started = |effect: &EffectRecord| effect.state == EffectState::Started && effect.calls.is_empty();
    batch.letters.is_empty() && batch.incidents.is_empty() && batch.effects.iter().any(started)
}

#[async_trait]
impl Journal for MutantJournal {
    async fn enqueue(&self, mut letters: Vec<Letter>) -> Result<Vec<Accepted>, JournalError> {
        match self.mutant {
            Mutant::DedupDropped => letters.iter_mut().for_each(|letter| self.unique(letter)),
            Mutant::AckBeforeWrite => {
                let told = self.pretended(&letters).accepted;
                let inner = self.inner.clone();
                self.later(async move {
                    // Whoever sent them has their answer already.
                    let _ = inner.enqueue(letters).await;
                });
                return Ok(told);
            }
            _ => {}
        }
        self.inner.enqueue(letters).await
    }

    async fn commit(&self, mut batch: Batch) -> Result<Committed, JournalError> {
        let nothing = Batch::default;
        match self.mutant {
            Mutant::ConsumedLater => {
                let consumed = std::mem::take(&mut batch.consumed);
                return self.split(batch, Batch { consumed, ..nothing() }).await;
            }
            Mutant::ConsumedFirst => {
                let consumed = std::mem::take(&mut batch.consumed);
                return self.split(Batch { consumed, ..nothing() }, batch).await;
            }
            Mutant::LettersLater => {
                let letters = std::mem::take(&mut batch.letters);
                return self.split(batch, Batch { letters, ..nothing() }).await;
            }
            Mutant::TimersLater => {
                let timers = std::mem::take(&mut batch.timers);
                return self.split(batch, Batch { timers, ..nothing() }).await;
            }
            Mutant::AuditLater => {
                let audit = std::mem::take(&mut batch.audit);
                return self.split(batch, Batch { audit, ..nothing() }).await;
            }
            Mutant::DecidedLater => {
                let decided = std::mem::take(&mut batch.decided);
                return self.split(batch, Batch { decided, ..nothing() }).await;
            }
            Mutant::NoStartedRecord if starts(&batch) => return Ok(self.pretended(&batch.letters)),
            Mutant::StartedLater if starts(&batch) => {
                let told = self.pretended(&batch.letters);
                let inner = self.inner.clone();
                self.later(async move {
                    let _ = inner.commit(batch).await;
                });
                return Ok(told);
            }
            Mutant::DedupDropped => batch.letters.iter_mut().for_each(|letter| self.unique(letter)),
            Mutant::TimersLost => {
                batch.timers.retain(|(_, change)| matches!(change, TimerChange::Cancel { .. }));
            }
            Mutant::ApprovalHeardTwice => {
                let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                batch.consumed.retain(|slot| slot.lane != Lane::Approval || !kept.insert(*slot));
            }
            Mutant::RetryForgetsAttempts => batch.retries.iter_mut().for_each(|retry| retry.attempts = 0),
            Mutant::DeadLetterDropped => {
                batch.consumed.extend(batch.dead.drain(..).map(|(slot, _)| slot));
                batch.letters.retain(|letter| !letter.dedup.starts_with("dead:"));
            }
            _ => {}
        }
        self.inner.commit(batch).await
    }

    fn mail(
        &self,
        to: Address,
        lane: Lane,
        from_seq: u64,
        limit: usize,
    ) -> Result<Vec<Envelope>, JournalError> {
        let mut found = self.inner.mail(to, lane, from_seq, limit)?;
        if self.mutant == Mutant::ExpiryIgnored {
            for envelope in &mut found {
                if let Body::Occurred { event, .. } = &mut envelope.body
                    && let EventKind::Approved { approval } = &mut event.kind
                {
                    approval.at = TimestampMs(1);
                    event.at = TimestampMs(1);
                }
            }
        }
        Ok(found)
    }

    fn timers_due(&self, now: TimestampMs, limit: usize) -> Result<Vec<DueTimer>, JournalError> {
        let now = match self.mutant {
            Mutant::TimersEarly => now.after_ms(3_600_000),
            // A timer may be late; what has expired has expired all the same.
            Mutant::ExpiryIgnored => now.before_ms(5_000),
            _ => now,
        };
        self.inner.timers_due(now, limit)
    }

    fn mail_arrived(&self, to: Address) -> Arc<Notify> {
        self.inner.mail_arrived(to)
    }
    fn incident(&self, id: &IncidentId) -> Result<Option<Incident>, JournalError> {
        self.inner.incident(id)
    }
    fn incidents(&self, filter: &IncidentFilter) -> Result<Vec<Incident>, JournalError> {
        self.inner.incidents(filter)
    }
    fn document(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, JournalError> {
        self.inner.document(table, key)
    }
    fn effect(&self, id: &EffectId) -> Result<Option<EffectRecord>, JournalError> {
        self.inner.effect(id)
    }
    fn next_timer(&self) -> Result<Option<TimestampMs>, JournalError> {
        self.inner.next_timer()
    }
    fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, JournalError> {
        self.inner.dead_letters(limit)
    }
    fn audit(&self, from_seq: u64, limit: usize) -> Result<Vec<ChainedRecord>, JournalError> {
        self.inner.audit(from_seq, limit)
    }
    fn audit_of(&self, id: &IncidentId, from: u64, limit: usize) -> Result<Vec<ChainedRecord>, JournalError> {
        self.inner.audit_of(id, from, limit)
    }
    fn decided(&self, id: &IncidentId, from: u64, limit: usize) -> Result<Vec<(u64, Decided)>, JournalError> {
        self.inner.decided(id, from, limit)
    }
    fn boot(&self) -> Boot {
        self.inner.boot()
    }
    async fn mark(&self, slot: Option<Slot>) -> Result<(), JournalError> {
        self.inner.mark(slot).await
    }
    async fn settled(&self) -> Result<(), JournalError> {
        self.inner.settled().await
    }
    fn health(&self) -> JournalHealth {
        self.inner.health()
    }
    fn changes(&self) -> broadcast::Receiver<Change> {
        self.inner.changes()
    }
}
