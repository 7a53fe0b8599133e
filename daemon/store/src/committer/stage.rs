//! An operation that may be, turned into rows of the group's batch and into the committer's memory.

use super::judge::Fate;
use super::{Committer, Group};
use crate::engine::Family;
use crate::keys;
use crate::prepare::{PreparedBatch, PreparedDocument, PreparedEffect, PreparedIncident, PreparedLetter};
use crate::records::{Record as _, StoredAnswer, TimerDue};
use medic_core::audit::AuditRecord;
use medic_core::effect::{TimerChange, TimerKind};
use medic_core::{IncidentId, TimestampMs};
use medic_ports::JournalError;
use medic_ports::journal::{Accepted, Change, DueTimer, EffectState, Slot};
use std::collections::BTreeSet;

impl Committer {
    pub(super) fn stage_letters(
        &mut self,
        group: &mut Group<'_>,
        letters: Vec<PreparedLetter>,
        fates: Vec<Fate>,
    ) -> Result<Vec<Accepted>, JournalError> {
        let mut accepted = Vec::with_capacity(letters.len());
        for (letter, fate) in letters.into_iter().zip(fates) {
            if let Fate::Duplicate(id) = fate {
                accepted.push(Accepted { id, duplicate: true });
                continue;
            }
            let slot = self.mailboxes.push(letter.to, letter.lane, letter.envelope.len() as u64);
            group.staging.put(Family::Inbox, &keys::inbox(slot), &letter.envelope)?;
            group.staging.put(Family::Dedup, &letter.dedup_key, &letter.dedup_row)?;
            group.dedup.insert(letter.dedup_key, letter.id.clone());
            self.head.latest_at = self.head.latest_at.max(letter.at);
            group.lanes.insert((letter.to, letter.lane));
            group.arrived.insert(letter.to);
            accepted.push(Accepted { id: letter.id, duplicate: false });
        }
        Ok(accepted)
    }

    pub(super) fn stage_batch(
        &mut self,
        group: &mut Group<'_>,
        batch: PreparedBatch,
        leaving: &BTreeSet<Slot>,
        retried: Vec<(Slot, Vec<u8>)>,
        fates: Vec<Fate>,
    ) -> Result<Vec<Accepted>, JournalError> {
        for slot in leaving {
            group.staging.delete(Family::Inbox, &keys::inbox(*slot))?;
            group.lanes.insert((slot.to, slot.lane));
            self.mailboxes.remove(*slot);
        }
        for (_, key, record) in &batch.dead {
            group.staging.put(Family::Dead, key, record)?;
            self.head.dead_letters += 1;
        }
        for place in &batch.unburied {
            group.staging.delete(Family::Dead, &keys::dead(*place))?;
            group.unburied.insert(*place);
            self.head.dead_letters = self.head.dead_letters.saturating_sub(1);
        }
        for (slot, envelope) in retried {
            group.staging.put(Family::Inbox, &keys::inbox(slot), &envelope)?;
            group.lanes.insert((slot.to, slot.lane));
            self.mailboxes.resize(slot, envelope.len() as u64);
        }
        for write in batch.incidents {
            self.stage_incident(group, write)?;
        }
        // Before the documents, which are stamped with the time of the latest.
        for record in batch.audit {
            self.stage_audit(group, record)?;
        }
        for PreparedDocument { key, value, is_answer } in batch.documents {
            match value {
                Some(mut value) => {
                    if is_answer {
                        StoredAnswer::stamp(&mut value, self.head.latest_at);
                    }
                    group.staging.put(Family::Documents, &key, &value)?;
                }
                None => group.staging.delete(Family::Documents, &key)?,
            }
        }
        // Fired before set: a batch that handles a timer may set the same one again.
        for fired in &batch.fired {
            self.stage_fired(group, fired)?;
        }
        for (incident, change) in &batch.timers {
            match *change {
                TimerChange::Set { kind, due } => self.stage_timer(group, incident, kind, Some(due))?,
                TimerChange::Cancel { kind } => self.stage_timer(group, incident, kind, None)?,
            }
        }
        for effect in batch.effects {
            self.stage_effect(group, effect)?;
        }
        for (incident, decided) in batch.decided {
            // The number this commit will have.
            let key = keys::numbered(&incident, self.head.commit_seq + 1);
            group.staging.put(Family::Decided, &key, &decided)?;
        }
        self.stage_letters(group, batch.letters, fates)
    }

    pub(super) fn stage_audit(
        &mut self,
        group: &mut Group<'_>,
        record: AuditRecord,
    ) -> Result<(), JournalError> {
        let (chained, next) = self.head.audit.append(record);
        group.staging.put(Family::Audit, &chained.seq.to_be_bytes(), &chained.encode()?)?;
        if let Some(incident) = &chained.record.incident {
            group.staging.put(Family::AuditIx, &keys::numbered(incident, chained.seq), &[])?;
        }
        self.head.latest_at = self.head.latest_at.max(chained.record.at);
        self.head.audit = next;
        Ok(())
    }

    fn stage_incident(&mut self, group: &mut Group<'_>, write: PreparedIncident) -> Result<(), JournalError> {
        let before = self.incident_head(group, &write.id)?;
        let PreparedIncident { id, head, snapshot, .. } = write;
        let key = keys::incident(&id);
        group.staging.put(Family::Incidents, &key, &snapshot)?;
        group.staging.put(Family::IncidentHeads, &key, &head.encode()?)?;
        let entered = before.is_none_or(|before| before.phase != head.phase);
        self.head.count_phase(before.map(|before| before.phase), Some(head.phase));
        if entered {
            if let Some(before) = before {
                group.staging.delete(Family::IncidentPhases, &keys::phase(before.phase, &id))?;
            }
            group.staging.put(Family::IncidentPhases, &keys::phase(head.phase, &id), &[])?;
        }
        group.heads.insert(id.clone(), head);
        group.changes.push(Change { incident: id, revision: head.revision, phase: head.phase, entered });
        Ok(())
    }

    /// Puts a timer in place of the one of its kind; `None` cancels it.
    fn stage_timer(
        &self,
        group: &mut Group<'_>,
        incident: &IncidentId,
        kind: TimerKind,
        due: Option<TimestampMs>,
    ) -> Result<(), JournalError> {
        let index_key = keys::timer_ix(incident, kind);
        if let Some(before) = self.timer_due(group, &index_key)? {
            group.staging.delete(Family::Timers, &keys::timer(before, incident, kind))?;
            group.staging.delete(Family::TimerIx, &index_key)?;
            group.timers_changed = true;
        }
        if let Some(due) = due {
            let timer = DueTimer { incident: incident.clone(), kind, due };
            group.staging.put(Family::Timers, &keys::timer(due, incident, kind), &timer.encode()?)?;
            group.staging.put(Family::TimerIx, &index_key, &TimerDue { due }.encode()?)?;
            group.timers_changed = true;
            group.earliest_set = group.earliest_set.into_iter().chain([due]).min();
        }
        group.timers.insert(index_key, due);
        Ok(())
    }

    /// Removes a timer that became mail, unless it was set to another time meanwhile.
    fn stage_fired(&self, group: &mut Group<'_>, fired: &DueTimer) -> Result<(), JournalError> {
        let due = self.timer_due(group, &keys::timer_ix(&fired.incident, fired.kind))?;
        if due == Some(fired.due) {
            self.stage_timer(group, &fired.incident, fired.kind, None)
        } else {
            Ok(())
        }
    }

    fn stage_effect(&mut self, group: &mut Group<'_>, effect: PreparedEffect) -> Result<(), JournalError> {
        let PreparedEffect { key, state, record, .. } = effect;
        let before = self.effect_state(group, &key)?;
        let was_open = before.is_some_and(EffectState::is_open);
        group.staging.put(Family::Effects, &key, &record)?;
        if state.is_open() {
            group.staging.put(Family::EffectsOpen, &key, &[])?;
        } else if was_open {
            group.staging.delete(Family::EffectsOpen, &key)?;
        }
        self.head.count_effect(was_open, state.is_open());
        group.effect_started |= state == EffectState::Started && before != Some(EffectState::Started);
        group.effects.insert(key, state);
        Ok(())
    }
}
