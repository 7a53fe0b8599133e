//! A batch in stored form. Encoding is done by the caller's task, so that the one committer thread only judges, chains
//! and writes.

use crate::keys;
use crate::records::{DedupRow, IncidentHead, Record as _, RecordError, StoredAnswer, StoredEnvelope};
use medic_core::audit::AuditRecord;
use medic_core::effect::TimerChange;
use medic_core::mail::{Address, Lane, Letter};
use medic_core::{EffectId, EnvelopeId, IncidentId, TimestampMs};
use medic_ports::JournalError;
use medic_ports::journal::{Batch, DeadPlace, DueTimer, EffectState, Retry, Slot, Table};
use std::collections::BTreeSet;

pub(crate) struct PreparedLetter {
    pub id: EnvelopeId,
    pub at: TimestampMs,
    pub to: Address,
    pub lane: Lane,
    pub dedup_key: Vec<u8>,
    pub dedup_row: Vec<u8>,
    pub envelope: Vec<u8>,
}

impl PreparedLetter {
    pub fn new(letter: Letter) -> Result<Self, RecordError> {
        let (id, at, to, lane) = (letter.id.clone(), letter.at, letter.to, letter.lane);
        let dedup_key = keys::dedup(to, &letter.dedup);
        let dedup_row = DedupRow { id: id.clone(), at }.encode()?;
        let envelope = StoredEnvelope::from_letter(letter).encode()?;
        Ok(Self { id, at, to, lane, dedup_key, dedup_row, envelope })
    }

    pub fn size_bytes(&self) -> usize {
        self.dedup_key.len() + self.dedup_row.len() + self.envelope.len()
    }
}

pub(crate) struct PreparedIncident {
    pub id: IncidentId,
    pub expected_revision: Option<u64>,
    pub head: IncidentHead,
    pub snapshot: Vec<u8>,
}

pub(crate) struct PreparedEffect {
    pub id: EffectId,
    pub key: Vec<u8>,
    pub state: EffectState,
    pub record: Vec<u8>,
}

pub(crate) struct PreparedDocument {
    pub key: Vec<u8>,
    /// `None` deletes.
    pub value: Option<Vec<u8>>,
    /// An answer is stamped with the time the journal knows when it is written.
    pub is_answer: bool,
}

pub(crate) struct PreparedBatch {
    pub consumed: BTreeSet<Slot>,
    pub incidents: Vec<PreparedIncident>,
    /// Checked, not written.
    pub rests_on: Vec<(IncidentId, u64)>,
    pub documents: Vec<PreparedDocument>,
    pub letters: Vec<PreparedLetter>,
    pub fired: Vec<DueTimer>,
    pub timers: Vec<(IncidentId, TimerChange)>,
    pub effects: Vec<PreparedEffect>,
    pub retries: Vec<Retry>,
    /// Place, key and record.
    pub dead: Vec<(Slot, Vec<u8>, Vec<u8>)>,
    pub unburied: Vec<DeadPlace>,
    pub decided: Vec<(IncidentId, Vec<u8>)>,
    pub audit: Vec<AuditRecord>,
    pub size_bytes: usize,
}

impl PreparedBatch {
    /// # Errors
    /// [`JournalError::Illegal`] for what no journal may keep, [`JournalError::Corrupt`] for what cannot be encoded.
    pub fn new(batch: Batch) -> Result<Self, JournalError> {
        let of = batch.incidents_decided()?.into_iter().cloned().zip(&batch.decided);
        let prepared_decided = of
            .map(|(incident, row)| Ok((incident, row.encode()?)))
            .collect::<Result<Vec<_>, RecordError>>()?;
        let Batch {
            consumed,
            incidents,
            rests_on,
            documents,
            letters,
            timers,
            fired,
            effects,
            retries,
            dead,
            unburied,
            decided: _,
            audit,
        } = batch;
        let mut prepared = Self {
            consumed: consumed.into_iter().collect(),
            incidents: Vec::with_capacity(incidents.len()),
            rests_on,
            documents: documents
                .into_iter()
                .map(|row| {
                    let is_answer = row.table == Table::Answer;
                    let answer =
                        |bytes: Vec<u8>| StoredAnswer { at: TimestampMs(0), answer: &bytes }.encode();
                    PreparedDocument {
                        key: keys::document(row.table, &row.key),
                        value: if is_answer { row.value.map(answer) } else { row.value },
                        is_answer,
                    }
                })
                .collect(),
            letters: letters.into_iter().map(PreparedLetter::new).collect::<Result<_, _>>()?,
            fired,
            timers,
            effects: Vec::with_capacity(effects.len()),
            retries,
            dead: Vec::with_capacity(dead.len()),
            unburied,
            decided: prepared_decided,
            audit,
            size_bytes: 0,
        };
        for write in incidents {
            prepared.incidents.push(PreparedIncident {
                expected_revision: write.expected_revision,
                head: IncidentHead::of(&write.next),
                snapshot: write.next.encode()?,
                id: write.next.id,
            });
        }
        for effect in effects {
            prepared.effects.push(PreparedEffect {
                key: keys::effect(&effect.id),
                state: effect.state,
                record: effect.encode()?,
                id: effect.id,
            });
        }
        for (slot, letter) in dead {
            let place = DeadPlace { at: letter.at, slot };
            prepared.dead.push((slot, keys::dead(place), letter.encode()?));
        }
        prepared.size_bytes = prepared.measure();
        Ok(prepared)
    }

    /// Bytes that count towards a group's size: the payloads, and a guess for the small rows.
    fn measure(&self) -> usize {
        const SMALL_ROW_BYTES: usize = 64;
        const AUDIT_ROW_BYTES: usize = 512;
        let payloads = self.incidents.iter().map(|incident| incident.snapshot.len()).sum::<usize>()
            + self
                .documents
                .iter()
                .map(|row| row.key.len() + row.value.as_ref().map_or(0, Vec::len))
                .sum::<usize>()
            + self.decided.iter().map(|(_, row)| row.len()).sum::<usize>()
            + self.letters.iter().map(PreparedLetter::size_bytes).sum::<usize>()
            + self.effects.iter().map(|effect| effect.record.len()).sum::<usize>()
            + self.dead.iter().map(|(_, _, record)| record.len()).sum::<usize>();
        let small = self.unburied.len()
            + self.consumed.len()
            + self.fired.len()
            + self.timers.len()
            + self.retries.len();
        payloads + small * SMALL_ROW_BYTES + self.audit.len() * AUDIT_ROW_BYTES
    }
}
