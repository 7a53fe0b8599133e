//! The hash chain over everything that was decided and done.
//!
//! `hash(n) = SHA-256(hash(n-1) ‖ seq(n) as 8 bytes big endian ‖ record(n) as canonical JSON)`, with 32 zero bytes before the
//! first. Hashes are kept as text (`sha256:…`); the text's bytes are what is hashed.

use crate::{Digest, IncidentId, TimestampMs};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// One fact for the log, not yet in the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditRecord {
    pub at: TimestampMs,
    pub incident: Option<IncidentId>,
    /// Who: a principal, an actor, `host`.
    pub actor: String,
    /// What: `phase`, `approval`, `refusal`, `effect`, `host_call`, `started`, `receipt`, `tool`, `operator`.
    pub kind: String,
    /// To what: an effect id, a plan digest, a host function.
    pub subject: String,
    /// Rule that decided, where one did.
    pub rule: Option<String>,
    /// Redacted facts.
    pub detail: serde_json::Value,
}

/// A record in its place. What is stored and exported, one JSON line each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChainedRecord {
    /// Counts from 1 without a gap.
    pub seq: u64,
    pub hash: Digest,
    #[serde(flatten)]
    pub record: AuditRecord,
}

/// Where a chain ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainHead {
    pub seq: u64,
    pub hash: Digest,
}

impl ChainHead {
    pub fn genesis() -> Self {
        Self { seq: 0, hash: Digest::of_bytes(&[0; 32]) }
    }

    /// Puts a record behind this head.
    pub fn append(&self, record: AuditRecord) -> (ChainedRecord, Self) {
        let seq = self.seq + 1;
        let hash = link(&self.hash, seq, &record);
        (ChainedRecord { seq, hash: hash.clone(), record }, Self { seq, hash })
    }
}

fn link(before: &Digest, seq: u64, record: &AuditRecord) -> Digest {
    let mut bytes = before.as_str().as_bytes().to_vec();
    bytes.extend_from_slice(&seq.to_be_bytes());
    // A record is strings, integers and JSON values: it always serialises.
    bytes.extend(serde_json::to_vec(record).unwrap_or_default());
    Digest::of_bytes(&bytes)
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChainFault {
    #[error("record {found} stands where {expected} should: records are missing, repeated or out of order")]
    Gap { expected: u64, found: u64 },
    #[error("record {seq} does not match its hash: it, or one before it, was changed")]
    Broken { seq: u64 },
    #[error("the chain ends at {found}, its head says {expected}: the end was cut off or replaced")]
    Head { expected: u64, found: u64 },
    #[error("record {seq} of the chain is not the anchored one")]
    Anchor { seq: u64 },
}

/// Recomputes a whole chain, record by record, without anything but the records and what they are held against.
#[derive(Debug)]
pub struct ChainVerifier {
    head: ChainHead,
    anchors: Vec<ChainHead>,
}

impl Default for ChainVerifier {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl ChainVerifier {
    /// `anchors`: heads kept elsewhere, in any order; each must be met on the way.
    pub fn new(mut anchors: Vec<ChainHead>) -> Self {
        anchors.sort_by_key(|anchor| std::cmp::Reverse(anchor.seq));
        Self { head: ChainHead::genesis(), anchors }
    }

    /// # Errors
    /// The first [`ChainFault`] met.
    pub fn push(&mut self, chained: &ChainedRecord) -> Result<(), ChainFault> {
        let expected = self.head.seq + 1;
        if chained.seq != expected {
            return Err(ChainFault::Gap { expected, found: chained.seq });
        }
        let hash = link(&self.head.hash, chained.seq, &chained.record);
        if hash != chained.hash {
            return Err(ChainFault::Broken { seq: chained.seq });
        }
        self.head = ChainHead { seq: chained.seq, hash };
        while self.anchors.last().is_some_and(|anchor| anchor.seq == self.head.seq) {
            if self.anchors.pop().is_some_and(|anchor| anchor != self.head) {
                return Err(ChainFault::Anchor { seq: self.head.seq });
            }
        }
        Ok(())
    }

    /// # Errors
    /// [`ChainFault::Head`] when the chain is shorter or longer than `head` says or an anchor was never reached.
    pub fn finish(self, head: Option<&ChainHead>) -> Result<ChainHead, ChainFault> {
        let unmet = self.anchors.first().filter(|anchor| anchor.seq > 0);
        let missed = head.filter(|head| **head != self.head).or(unmet);
        match missed {
            Some(expected) => Err(ChainFault::Head { expected: expected.seq, found: self.head.seq }),
            None => Ok(self.head),
        }
    }
}
