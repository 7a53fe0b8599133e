//! The questions of the journal that one look into the database answers: the same for a running store and for one that is
//! only looked at.

use crate::engine::{END, Engine, Family};
use crate::keys;
use crate::records::{LaneSpan, Record, StoredAnswer, StoredEnvelope};
use medic_core::audit::ChainedRecord;
use medic_core::mail::{Address, Envelope, Lane};
use medic_core::replay::Decided;
use medic_core::{EffectId, Incident, IncidentId, PhaseName, TimestampMs};
use medic_ports::JournalError;
use medic_ports::journal::{DeadLetter, DueTimer, EffectRecord, IncidentFilter, Slot, Table};
use std::ops::ControlFlow;

#[derive(Clone, Copy)]
pub(crate) struct Reads<'e>(pub &'e Engine);

impl Reads<'_> {
    pub fn row<T: Record>(&self, family: Family, key: &[u8]) -> Result<Option<T>, JournalError> {
        let bytes = self.0.get(family, key)?;
        Ok(bytes.map(|bytes| T::decode(&bytes)).transpose()?)
    }

    /// At most `limit` rows of `from..until`, as `read` makes them.
    fn rows<T>(
        &self,
        family: Family,
        (from, until): (&[u8], &[u8]),
        limit: usize,
        mut read: impl FnMut(&[u8], &[u8]) -> Result<T, JournalError>,
    ) -> Result<Vec<T>, JournalError> {
        let mut rows = Vec::new();
        if limit == 0 {
            return Ok(rows);
        }
        self.0.scan(family, from, until, false, |key, value| {
            rows.push(read(key, value)?);
            Ok(if rows.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(rows)
    }

    /// From the head, not from the lane's beginning: what lies before it are tombstones.
    pub fn mail(
        &self,
        to: Address,
        lane: Lane,
        span: LaneSpan,
        from_seq: u64,
        limit: usize,
    ) -> Result<Vec<Envelope>, JournalError> {
        if from_seq >= span.tail || span.envelopes == 0 {
            return Ok(Vec::new());
        }
        let at = |seq| keys::inbox(Slot { to, lane, seq });
        let range = (&*at(from_seq.max(span.head)), &*at(span.tail));
        self.rows(Family::Inbox, range, limit, |key, value| {
            let slot = keys::inbox_slot(key).ok_or_else(|| malformed("an inbox key"))?;
            Ok(StoredEnvelope::decode(value)?.at_slot(slot))
        })
    }

    pub fn incident(&self, id: &IncidentId) -> Result<Option<Incident>, JournalError> {
        self.row(Family::Incidents, &keys::incident(id))
    }

    pub fn incidents(&self, filter: &IncidentFilter) -> Result<Vec<Incident>, JournalError> {
        let wanted = |phase: &PhaseName| {
            filter.phase.is_none_or(|only| only == *phase) && !(filter.live_only && phase.is_terminal())
        };
        let mut incidents = Vec::new();
        if filter.limit == 0 {
            return Ok(incidents);
        }
        let mut ids = Vec::new();
        for phase in PhaseName::ALL.into_iter().filter(wanted) {
            ids.extend(self.incidents_in(phase, filter.before.as_ref(), filter.limit)?);
        }
        // An incident that moved between two of the reads is listed once.
        ids.sort_by(|a, b| b.cmp(a));
        ids.dedup();
        for id in ids.iter().take(filter.limit) {
            let Some(incident) = self.incident(id)? else { continue };
            // It may have moved on since it was listed.
            if wanted(&incident.phase.name()) {
                incidents.push(incident);
            }
        }
        Ok(incidents)
    }

    /// Ids of incidents in one phase, newest first.
    fn incidents_in(
        &self,
        phase: PhaseName,
        before: Option<&IncidentId>,
        limit: usize,
    ) -> Result<Vec<IncidentId>, JournalError> {
        let from = [keys::phase_code(phase)];
        let until = match before {
            Some(before) => keys::phase(phase, before),
            None => vec![keys::phase_code(phase) + 1],
        };
        let mut ids = Vec::new();
        self.0.scan(Family::IncidentPhases, &from, &until, true, |key, _| {
            let id = key.get(1..).and_then(keys::incident_id);
            ids.push(id.ok_or_else(|| malformed("an incident id"))?);
            Ok(if ids.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(ids)
    }

    /// Ids of incidents in one phase, oldest first, behind `after`.
    pub fn oldest_in(
        &self,
        phase: PhaseName,
        after: Option<&IncidentId>,
        limit: usize,
    ) -> Result<Vec<IncidentId>, JournalError> {
        let from = match after {
            Some(after) => [keys::phase(phase, after), vec![0]].concat(),
            None => vec![keys::phase_code(phase)],
        };
        let until = [keys::phase_code(phase) + 1];
        self.rows(Family::IncidentPhases, (&from, &until), limit, |key, _| {
            key.get(1..).and_then(keys::incident_id).ok_or_else(|| malformed("an incident id"))
        })
    }

    pub fn document(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, JournalError> {
        let bytes = self.0.get(Family::Documents, &keys::document(table, key))?;
        Ok(match table {
            Table::Answer => bytes.map(|bytes| StoredAnswer::decode(&bytes).answer.to_vec()),
            _ => bytes,
        })
    }

    pub fn effect(&self, id: &EffectId) -> Result<Option<EffectRecord>, JournalError> {
        self.row(Family::Effects, &keys::effect(id))
    }

    /// Timers due until `now`, none of which is earlier than `earliest`.
    pub fn timers_due(
        &self,
        earliest: TimestampMs,
        now: TimestampMs,
        limit: usize,
    ) -> Result<Vec<DueTimer>, JournalError> {
        let until = now.0.checked_add(1).map_or(END.to_vec(), |after| after.to_be_bytes().to_vec());
        let range = (&earliest.0.to_be_bytes()[..], &*until);
        self.rows(Family::Timers, range, limit, |_, value| Ok(DueTimer::decode(value)?))
    }

    pub fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, JournalError> {
        self.rows(Family::Dead, (&[], END), limit, |_, value| Ok(DeadLetter::decode(value)?))
    }

    pub fn audit(&self, from_seq: u64, limit: usize) -> Result<Vec<ChainedRecord>, JournalError> {
        let range = (&from_seq.to_be_bytes()[..], END);
        self.rows(Family::Audit, range, limit, |_, value| Ok(ChainedRecord::decode(value)?))
    }

    pub fn audit_of(
        &self,
        incident: &IncidentId,
        from_seq: u64,
        limit: usize,
    ) -> Result<Vec<ChainedRecord>, JournalError> {
        let (_, until) = keys::of_incident(incident);
        let range = (&*keys::numbered(incident, from_seq), &*until);
        self.rows(Family::AuditIx, range, limit, |key, _| {
            let (_, seq) = keys::numbered_parts(key).ok_or_else(|| malformed("an audit index key"))?;
            self.row(Family::Audit, &seq.to_be_bytes())?
                .ok_or_else(|| JournalError::Corrupt(format!("audit record {seq} is indexed and missing")))
        })
    }

    pub fn decided(
        &self,
        incident: &IncidentId,
        from_commit: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Decided)>, JournalError> {
        let (_, until) = keys::of_incident(incident);
        let range = (&*keys::numbered(incident, from_commit), &*until);
        self.rows(Family::Decided, range, limit, |key, value| {
            let (_, commit) = keys::numbered_parts(key).ok_or_else(|| malformed("a decisions key"))?;
            Ok((commit, Decided::decode(value)?))
        })
    }
}

fn malformed(what: &str) -> JournalError {
    JournalError::Corrupt(format!("{what} is malformed"))
}
