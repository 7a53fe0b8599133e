//! What operators may do with mail: look at it, send a dead letter again, or give it up.

use super::{Desk, DeskError, TEXT_BYTES_MAX, within};
use medic_core::audit::AuditRecord;
use medic_core::mail::{Address, Envelope, Lane, Letter};
use medic_core::{EnvelopeId, Principal, TimestampMs};
use medic_ports::journal::{Batch, DeadLetter, JournalError};
use serde::Serialize;
use serde_json::json;

/// Letters looked at for a summary, per lane. 1,000: the head of the queue tells how it moves.
const LOOK_MAX: usize = 1_000;
/// Dead letters looked through for one. 100,000: with more, nobody looks at them one by one.
const DEAD_MAX: usize = 100_000;

/// One mailbox at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MailboxView {
    pub to: Address,
    pub envelopes: u64,
    pub bytes: u64,
    /// When the oldest letter was written.
    pub oldest_at: Option<TimestampMs>,
    /// Of its first letters, those that failed before and wait for another try.
    pub failing: u64,
    /// Tries of the one that was tried most often.
    pub attempts_max: u32,
    pub dead_letters: u64,
}

impl Desk {
    /// Every mailbox, in order of address.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn mailboxes(&self) -> Result<Vec<MailboxView>, DeskError> {
        let journal = &self.world.ports.journal;
        let dead = journal.dead_letters(DEAD_MAX)?;
        let mut views = Vec::new();
        for depth in journal.health().mailboxes {
            let mut first = Vec::new();
            for lane in Lane::ALL {
                first.extend(journal.mail(depth.to, lane, 0, LOOK_MAX)?);
            }
            let failing = first.iter().filter(|letter| letter.attempts > 0).count();
            let of_mailbox = dead.iter().filter(|dead| dead.envelope.to == depth.to).count();
            views.push(MailboxView {
                to: depth.to,
                envelopes: depth.envelopes,
                bytes: depth.bytes,
                oldest_at: first.iter().map(|letter| letter.at).min(),
                failing: u64::try_from(failing).unwrap_or(u64::MAX),
                attempts_max: first.iter().map(|letter| letter.attempts).max().unwrap_or_default(),
                dead_letters: u64::try_from(of_mailbox).unwrap_or(u64::MAX),
            });
        }
        Ok(views)
    }

    /// The first letters of a mailbox, in the order in which they are served; at most `limit` of each lane.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn letters(&self, to: Address, limit: usize) -> Result<Vec<Envelope>, DeskError> {
        let mut letters = Vec::new();
        for lane in Lane::ALL {
            letters.extend(self.world.ports.journal.mail(to, lane, 0, limit)?);
        }
        Ok(letters)
    }

    /// Oldest first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, DeskError> {
        Ok(self.world.ports.journal.dead_letters(limit)?)
    }

    /// # Errors
    /// [`DeskError::NoSuchLetter`], or when the journal cannot be read.
    pub fn dead_letter(&self, id: &EnvelopeId) -> Result<DeadLetter, DeskError> {
        let dead = self.world.ports.journal.dead_letters(DEAD_MAX)?;
        let found = dead.into_iter().find(|dead| dead.envelope.id == *id);
        found.ok_or_else(|| DeskError::NoSuchLetter(id.clone()))
    }

    /// Puts a dead letter back into its mailbox, as if it had never been tried.
    ///
    /// # Errors
    /// [`DeskError::NoSuchLetter`], also when somebody else was faster.
    pub async fn retry_letter(&self, id: &EnvelopeId, principal: &Principal) -> Result<(), DeskError> {
        self.open()?;
        let dead = self.dead_letter(id)?;
        let Envelope { to, lane, cause, body, .. } = dead.envelope.clone();
        let again = Letter {
            id: id.clone(),
            to,
            lane,
            cause,
            at: self.world.now(),
            // Its own key is known for ever; this one is new, so that it is delivered.
            dedup: format!("again:{id}:{}", self.world.new_envelope_id()),
            body,
        };
        self.unbury(&dead, vec![again], "retry", None, principal).await
    }

    /// Gives a dead letter up for good.
    ///
    /// # Errors
    /// [`DeskError::NoSuchLetter`]; [`DeskError::Invalid`] without a reason.
    pub async fn drop_letter(
        &self,
        id: &EnvelopeId,
        reason: &str,
        principal: &Principal,
    ) -> Result<(), DeskError> {
        if reason.trim().is_empty() {
            return Err(DeskError::Invalid("to give a letter up needs a reason".to_owned()));
        }
        within("the reason", reason.len(), TEXT_BYTES_MAX)?;
        let dead = self.dead_letter(id)?;
        self.unbury(&dead, Vec::new(), "drop", Some(reason), principal).await
    }

    async fn unbury(
        &self,
        dead: &DeadLetter,
        letters: Vec<Letter>,
        deed: &str,
        reason: Option<&str>,
        principal: &Principal,
    ) -> Result<(), DeskError> {
        let envelope = &dead.envelope;
        let record = AuditRecord {
            at: self.world.now(),
            incident: envelope.body.incident().cloned(),
            actor: principal.to_string(),
            kind: "mailbox".to_owned(),
            subject: envelope.id.to_string(),
            rule: None,
            detail: json!({ "deed": deed, "reason": reason, "mailbox": envelope.to, "error": dead.error }),
        };
        let batch = Batch { unburied: vec![dead.place()], letters, audit: vec![record], ..Batch::default() };
        match self.world.ports.journal.commit(batch).await {
            Ok(_) => Ok(()),
            Err(JournalError::Conflict { .. }) => Err(DeskError::NoSuchLetter(envelope.id.clone())),
            Err(error) => Err(error.into()),
        }
    }
}
