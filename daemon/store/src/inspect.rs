//! What can be told of a store by looking: shared by opening, which refuses at the first fault, and `check`, which
//! lists them all.

use crate::engine::{END, Engine, Family};
use crate::error::OpenError;
use crate::keys;
use crate::records::{Format, LaneSpan, Record, SCHEMA_VERSION, StoreHead};
use crate::witness::Witnessed;
use medic_core::TimestampMs;
use medic_core::audit::{ChainHead, ChainedRecord};
use medic_core::mail::{Address, Lane};
use medic_ports::JournalError;
use medic_ports::journal::Slot;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

/// A look into the database under one directory; its errors name that directory.
pub(crate) struct Inspection<'a> {
    pub dir: &'a Path,
    pub engine: &'a Engine,
}

impl Inspection<'_> {
    pub fn failed(&self, error: JournalError) -> OpenError {
        OpenError::Engine { dir: self.dir.to_owned(), reason: error.to_string() }
    }

    pub fn inconsistent(&self, detail: String) -> OpenError {
        OpenError::Inconsistent { dir: self.dir.to_owned(), detail }
    }

    pub fn row<T: Record>(&self, family: Family, key: &[u8]) -> Result<Option<T>, OpenError> {
        let bytes = self.engine.get(family, key).map_err(|error| self.failed(error))?;
        bytes
            .map(|bytes| {
                T::decode(&bytes).map_err(|source| OpenError::Record { dir: self.dir.to_owned(), source })
            })
            .transpose()
    }

    /// `None` for a database nothing was ever written to.
    ///
    /// # Errors
    /// [`OpenError::NewerSchema`].
    pub fn format(&self) -> Result<Option<Format>, OpenError> {
        let format: Option<Format> = self.row(Family::Meta, keys::FORMAT)?;
        match format {
            Some(format) if format.min_reader_version > SCHEMA_VERSION => Err(OpenError::NewerSchema {
                dir: self.dir.to_owned(),
                needs: format.min_reader_version,
                reads: SCHEMA_VERSION,
            }),
            format => Ok(format),
        }
    }

    /// Whether the head was written by a build that counts incidents, effects and time.
    pub fn head_counts(&self) -> Result<bool, OpenError> {
        let row = self.engine.get(Family::Meta, keys::HEAD).map_err(|error| self.failed(error))?;
        Ok(row.is_some_and(|row| row.first().is_some_and(|version| *version >= 2)))
    }

    pub fn head(&self) -> Result<StoreHead, OpenError> {
        self.row(Family::Meta, keys::HEAD)?
            .ok_or_else(|| self.inconsistent("its head row is missing".to_owned()))
    }

    /// Holds the database against what was acknowledged.
    ///
    /// # Errors
    /// [`OpenError::RolledBack`], [`OpenError::OtherHistory`].
    pub fn held_against(&self, head: &StoreHead, witnessed: &Witnessed) -> Result<(), OpenError> {
        if head.commit_seq < witnessed.commit_seq || head.audit.seq < witnessed.audit.seq {
            return Err(OpenError::RolledBack {
                dir: self.dir.to_owned(),
                found: head.commit_seq,
                witnessed: witnessed.commit_seq,
            });
        }
        let seq = witnessed.audit.seq;
        let same = match seq {
            0 => witnessed.audit == ChainHead::genesis(),
            seq => self.audit_record(seq)?.is_some_and(|record| record.hash == witnessed.audit.hash),
        };
        if same { Ok(()) } else { Err(OpenError::OtherHistory { dir: self.dir.to_owned(), seq }) }
    }

    fn audit_record(&self, seq: u64) -> Result<Option<ChainedRecord>, OpenError> {
        self.row(Family::Audit, &seq.to_be_bytes())
    }

    /// Recomputes the chain behind record `from_seq` (0: all of it) up to `head`.
    ///
    /// # Errors
    /// [`OpenError::AuditBroken`] for the first record that is missing, changed, or behind the head.
    pub fn audit_chain(&self, from_seq: u64, head: &ChainHead) -> Result<(), OpenError> {
        let broken = |seq| OpenError::AuditBroken { dir: self.dir.to_owned(), seq };
        let mut at = match from_seq {
            0 => ChainHead::genesis(),
            seq => {
                let record = self.audit_record(seq)?.ok_or_else(|| broken(seq))?;
                ChainHead { seq, hash: record.hash }
            }
        };
        let mut fault = None;
        let from = from_seq.saturating_add(1).to_be_bytes();
        let walked = self.engine.scan(Family::Audit, &from, END, false, |key, value| {
            let record = ChainedRecord::decode(value)?;
            let (expected, next) = at.append(record.record.clone());
            if expected != record || keys::leading_u64(key) != Some(record.seq) {
                fault = Some(expected.seq);
                return Ok(ControlFlow::Break(()));
            }
            at = next;
            Ok(ControlFlow::Continue(()))
        });
        walked.map_err(|error| self.failed(error))?;
        match fault {
            Some(seq) => Err(broken(seq)),
            None if at != *head => Err(broken(at.seq.min(head.seq) + 1)),
            None => Ok(()),
        }
    }

    pub fn span(&self, to: Address, lane: Lane) -> Result<LaneSpan, OpenError> {
        Ok(self.row(Family::Meta, &keys::lane(to, lane))?.unwrap_or_default())
    }

    /// Live places of a lane from `from_seq` on, with the length of each envelope.
    pub fn places(&self, to: Address, lane: Lane, from_seq: u64) -> Result<BTreeMap<u64, u64>, OpenError> {
        let at = |seq| keys::inbox(Slot { to, lane, seq });
        let mut places = BTreeMap::new();
        let walked = self.engine.scan(Family::Inbox, &at(from_seq), &at(u64::MAX), false, |key, value| {
            let slot = keys::inbox_slot(key)
                .ok_or_else(|| JournalError::Corrupt("an inbox key is malformed".to_owned()))?;
            places.insert(slot.seq, value.len() as u64);
            Ok(ControlFlow::Continue(()))
        });
        walked.map_err(|error| self.failed(error))?;
        Ok(places)
    }

    /// Rows of a family.
    pub fn count(&self, family: Family) -> Result<u64, OpenError> {
        let mut rows = 0;
        let walked = self.engine.scan(family, &[], END, false, |_, _| {
            rows += 1;
            Ok(ControlFlow::Continue(()))
        });
        walked.map_err(|error| self.failed(error))?;
        Ok(rows)
    }

    pub fn earliest_timer(&self) -> Result<Option<TimestampMs>, OpenError> {
        let mut earliest = None;
        let walked = self.engine.scan(Family::Timers, &[], END, false, |key, _| {
            earliest = keys::leading_u64(key).map(TimestampMs);
            Ok(ControlFlow::Break(()))
        });
        walked.map_err(|error| self.failed(error))?;
        Ok(earliest)
    }
}

/// Compares what a lane's row says with what lies in it.
pub(crate) fn lane_fault(
    to: Address,
    lane: Lane,
    span: LaneSpan,
    places: &BTreeMap<u64, u64>,
) -> Option<String> {
    let (envelopes, bytes) = (places.len() as u64, places.values().sum::<u64>());
    let first = places.first_key_value().map_or(span.tail, |(seq, _)| *seq);
    let last = places.last_key_value().map_or(0, |(seq, _)| *seq);
    let agrees =
        envelopes == span.envelopes && bytes == span.bytes && first == span.head && last < span.tail.max(1);
    (!agrees).then(|| {
        format!(
            "the {lane:?} lane of {to} holds {envelopes} envelopes of {bytes} bytes in {first}..={last}, its row says {} \
             of {} bytes in {}..{}",
            span.envelopes, span.bytes, span.head, span.tail
        )
    })
}
