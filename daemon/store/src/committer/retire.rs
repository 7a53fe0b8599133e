//! What retention lets go, slice by slice.
//!
//! A slice was made by somebody who looked at the database a moment ago. It is judged again here, where nothing else
//! writes: one that is out of date deletes nothing.

use super::{Committer, Group};
use crate::engine::Family;
use crate::keys::{self, LANES};
use crate::records::{DedupRow, LaneSpan, Record as _, StoredAnswer};
use medic_core::audit::AuditRecord;
use medic_core::mail::{Address, Lane};
use medic_core::{IncidentId, TimestampMs};
use medic_ports::JournalError;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

pub(crate) enum Slice {
    Retire(Box<Retirement>),
    Expire(Expiry),
}

/// All rows of one finished, archived incident.
pub(crate) struct Retirement {
    pub id: IncidentId,
    /// As archived.
    pub revision: u64,
    /// Where each lane ended when no letter in it concerned the incident.
    pub tails: BTreeMap<(Address, Lane), u64>,
    /// All but its head and its place in the phase index.
    pub rows: Vec<(Family, Vec<u8>)>,
    /// Documents that speak of it, deleted only where they still are as they were read.
    pub memory: Vec<(Vec<u8>, Vec<u8>)>,
    pub record: AuditRecord,
}

/// Rows of one family that were last wanted before `cutoff`.
pub(crate) struct Expiry {
    pub family: Family,
    pub keys: Vec<Vec<u8>>,
    pub cutoff: TimestampMs,
    /// Written when any row was deleted.
    pub record: Option<AuditRecord>,
}

impl Committer {
    pub(super) fn sweep(&mut self, slice: Slice) -> Result<u64, JournalError> {
        if let Some(failure) = self.shared.failure() {
            return Err(failure);
        }
        let engine = std::sync::Arc::clone(&self.engine);
        let mut group = Group::new(&engine);
        let staged = match slice {
            Slice::Retire(retirement) => self.stage_retirement(&mut group, *retirement),
            Slice::Expire(expiry) => self.stage_expiry(&mut group, expiry),
        };
        match staged {
            Ok(0) => Ok(0),
            Ok(rows) => {
                self.head.commit_seq += 1;
                self.write(group).map_err(|failure| self.fail(failure))?;
                Ok(rows)
            }
            // Staged in part: the committer's memory is ahead of the disk.
            Err(error) if group.staging.len() > 0 => Err(self.fail(error)),
            Err(error) => Err(error),
        }
    }

    fn stage_retirement(
        &mut self,
        group: &mut Group<'_>,
        retirement: Retirement,
    ) -> Result<u64, JournalError> {
        let Retirement { id, revision, tails, rows, memory, record } = retirement;
        let Some(head) = self.incident_head(group, &id)? else { return Ok(0) };
        if head.revision != revision || !head.phase.is_terminal() || self.is_wanted(&id, &tails)? {
            return Ok(0);
        }
        for (family, key) in &rows {
            group.staging.delete(*family, key)?;
        }
        for (key, value) in &memory {
            if self.engine.get(Family::Documents, key)?.as_ref() == Some(value) {
                group.staging.delete(Family::Documents, key)?;
            }
        }
        let key = keys::incident(&id);
        group.staging.delete(Family::IncidentHeads, &key)?;
        group.staging.delete(Family::IncidentPhases, &keys::phase(head.phase, &id))?;
        self.head.count_phase(Some(head.phase), None);
        self.stage_audit(group, record)?;
        Ok(rows.len() as u64 + 2)
    }

    /// Whether anything still to come concerns the incident.
    fn is_wanted(
        &self,
        id: &IncidentId,
        tails: &BTreeMap<(Address, Lane), u64>,
    ) -> Result<bool, JournalError> {
        let mail_came = Address::ALL.into_iter().any(|to| {
            LANES.into_iter().any(|lane| {
                let tail = self.mailboxes.span(to, lane).tail;
                tail != tails.get(&(to, lane)).copied().unwrap_or(LaneSpan::default().tail)
            })
        });
        Ok(mail_came || self.any_of(Family::EffectsOpen, id)? || self.any_of(Family::TimerIx, id)?)
    }

    fn any_of(&self, family: Family, id: &IncidentId) -> Result<bool, JournalError> {
        let (from, until) = keys::of_incident(id);
        let mut found = false;
        self.engine.scan(family, &from, &until, false, |_, _| {
            found = true;
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    fn stage_expiry(&mut self, group: &mut Group<'_>, expiry: Expiry) -> Result<u64, JournalError> {
        let Expiry { family, keys, cutoff, record } = expiry;
        let mut rows = 0;
        for key in keys {
            let Some(value) = self.engine.get(family, &key)? else { continue };
            if last_wanted(family, &key, &value)? >= cutoff {
                continue;
            }
            group.staging.delete(family, &key)?;
            rows += 1;
            if family == Family::Dead {
                self.head.dead_letters = self.head.dead_letters.saturating_sub(1);
            }
        }
        if rows > 0
            && let Some(mut record) = record
        {
            record.detail = serde_json::json!({ "rows": rows, "before": cutoff });
            self.stage_audit(group, record)?;
        }
        Ok(rows)
    }
}

/// The time a row's age is counted from.
fn last_wanted(family: Family, key: &[u8], value: &[u8]) -> Result<TimestampMs, JournalError> {
    Ok(match family {
        Family::Dedup => DedupRow::decode(value)?.at,
        Family::Dead => TimestampMs(keys::leading_u64(key).unwrap_or(u64::MAX)),
        Family::Documents => match StoredAnswer::decode(value).at {
            // Not known: kept.
            TimestampMs(0) => TimestampMs(u64::MAX),
            at => at,
        },
        // Nothing else expires by age.
        _ => TimestampMs(u64::MAX),
    })
}
