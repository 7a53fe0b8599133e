//! Whether an operation may be: places still taken, revisions as expected, letters new or known, room for them.
//!
//! Reads the database and the group before it; changes nothing, so that a refused operation leaves no trace.

use super::{Committer, Group};
use crate::engine::Family;
use crate::keys;
use crate::prepare::{PreparedBatch, PreparedEffect, PreparedIncident, PreparedLetter};
use crate::records::{DedupRow, IncidentHead, Record as _, StoredEnvelope, TimerDue};
use medic_core::effect::TimerChange;
use medic_core::{EnvelopeId, IncidentId, TimestampMs};
use medic_ports::JournalError;
use medic_ports::journal::{DeadPlace, EffectRecord, EffectState, Origin, Slot};
use std::collections::{BTreeSet, HashMap};

/// What a sender refused for a full mailbox is told to wait: some thousand envelopes are handled in it.
const FULL_RETRY_AFTER_MS: u64 = 1_000;

/// What becomes of a letter.
pub(super) enum Fate {
    New,
    Duplicate(EnvelopeId),
}

impl Committer {
    /// Every envelope the batch was made from must still be there: one that is gone was handled by an earlier batch, and
    /// handling it again would do everything twice. Returns the envelopes to be put off, with their new counts.
    pub(super) fn judge_places(
        &self,
        batch: &PreparedBatch,
        leaving: &BTreeSet<Slot>,
    ) -> Result<Vec<(Slot, Vec<u8>)>, JournalError> {
        if let Some(slot) = leaving.iter().find(|slot| !self.mailboxes.holds(**slot)) {
            return Err(JournalError::gone(*slot));
        }
        let mut retried = Vec::with_capacity(batch.retries.len());
        for retry in &batch.retries {
            if leaving.contains(&retry.slot) || !self.mailboxes.holds(retry.slot) {
                return Err(JournalError::gone(retry.slot));
            }
            let stored = self
                .engine
                .get(Family::Inbox, &keys::inbox(retry.slot))?
                .ok_or_else(|| JournalError::gone(retry.slot))?;
            let envelope = StoredEnvelope {
                attempts: retry.attempts,
                visible_at: retry.visible_at,
                ..StoredEnvelope::decode(&stored)?
            };
            retried.push((retry.slot, envelope.encode()?));
        }
        Ok(retried)
    }

    /// A dead letter that is gone was discarded or sent again already.
    pub(super) fn judge_unburied(&self, group: &Group<'_>, places: &[DeadPlace]) -> Result<(), JournalError> {
        let mut within = BTreeSet::new();
        for place in places {
            let there = within.insert(*place)
                && !group.unburied.contains(place)
                && self.engine.get(Family::Dead, &keys::dead(*place))?.is_some();
            if !there {
                return Err(JournalError::gone(place.slot));
            }
        }
        Ok(())
    }

    /// Nothing is done that was not started, and nothing that ended starts again.
    pub(super) fn judge_effects(
        &self,
        group: &Group<'_>,
        effects: &[PreparedEffect],
    ) -> Result<(), JournalError> {
        let mut within: HashMap<&[u8], EffectState> = HashMap::new();
        for effect in effects {
            let before = match within.get(effect.key.as_slice()) {
                Some(state) => Some(*state),
                None => self.effect_state(group, &effect.key)?,
            };
            if !effect.state.may_follow(before) {
                return Err(JournalError::illegal_effect(&effect.id, before, effect.state));
            }
            within.insert(&effect.key, effect.state);
        }
        Ok(())
    }

    pub(super) fn judge_revisions(
        &self,
        group: &Group<'_>,
        rests_on: &[(IncidentId, u64)],
        incidents: &[PreparedIncident],
    ) -> Result<(), JournalError> {
        for (id, expected) in rests_on {
            let found = self.incident_head(group, id)?.map_or(0, |head| head.revision);
            if found != *expected {
                return Err(JournalError::Conflict { incident: id.clone(), expected: *expected, found });
            }
        }
        let mut within: HashMap<&IncidentId, u64> = HashMap::new();
        for write in incidents {
            let found = match within.get(&write.id) {
                Some(revision) => Some(*revision),
                None => self.incident_head(group, &write.id)?.map(|head| head.revision),
            };
            if found != write.expected_revision {
                return Err(JournalError::Conflict {
                    incident: write.id.clone(),
                    expected: write.expected_revision.unwrap_or(0),
                    found: found.unwrap_or(0),
                });
            }
            within.insert(&write.id, write.head.revision);
        }
        Ok(())
    }

    /// Rows that staging will look at must be readable: found out here, a damaged one fails this operation alone.
    pub(super) fn judge_rows(&self, group: &Group<'_>, batch: &PreparedBatch) -> Result<(), JournalError> {
        for timer in &batch.fired {
            self.timer_due(group, &keys::timer_ix(&timer.incident, timer.kind))?;
        }
        for (incident, change) in &batch.timers {
            let (TimerChange::Set { kind, .. } | TimerChange::Cancel { kind }) = change;
            self.timer_due(group, &keys::timer_ix(incident, *kind))?;
        }
        Ok(())
    }

    pub(super) fn judge_letters(
        &self,
        group: &Group<'_>,
        origin: Origin,
        letters: &[PreparedLetter],
        leaving: &BTreeSet<Slot>,
    ) -> Result<Vec<Fate>, JournalError> {
        let mut within: HashMap<&[u8], &EnvelopeId> = HashMap::new();
        let mut fates = Vec::with_capacity(letters.len());
        for letter in letters {
            let known = within
                .get(letter.dedup_key.as_slice())
                .copied()
                .or_else(|| group.dedup.get(&letter.dedup_key));
            let fate = match known {
                Some(id) => Fate::Duplicate(id.clone()),
                None => match self.engine.get(Family::Dedup, &letter.dedup_key)? {
                    Some(row) => Fate::Duplicate(DedupRow::decode(&row)?.id),
                    None => {
                        within.insert(&letter.dedup_key, &letter.id);
                        Fate::New
                    }
                },
            };
            fates.push(fate);
        }
        let new = letters.iter().zip(&fates).filter(|(_, fate)| matches!(fate, Fate::New));
        let sizes = new.map(|(letter, _)| (letter.to, letter.lane, letter.envelope.len() as u64));
        self.mailboxes
            .room(origin, sizes, leaving)
            .map_err(|to| JournalError::Full { to, retry_after_ms: FULL_RETRY_AFTER_MS })?;
        Ok(fates)
    }

    pub(super) fn incident_head(
        &self,
        group: &Group<'_>,
        id: &IncidentId,
    ) -> Result<Option<IncidentHead>, JournalError> {
        if let Some(head) = group.heads.get(id) {
            return Ok(Some(*head));
        }
        let row = self.engine.get(Family::IncidentHeads, &keys::incident(id))?;
        Ok(row.map(|row| IncidentHead::decode(&row)).transpose()?)
    }

    pub(super) fn timer_due(
        &self,
        group: &Group<'_>,
        index_key: &[u8],
    ) -> Result<Option<TimestampMs>, JournalError> {
        if let Some(due) = group.timers.get(index_key) {
            return Ok(*due);
        }
        let row = self.engine.get(Family::TimerIx, index_key)?;
        Ok(row.map(|row| TimerDue::decode(&row)).transpose()?.map(|row| row.due))
    }

    pub(super) fn effect_state(
        &self,
        group: &Group<'_>,
        key: &[u8],
    ) -> Result<Option<EffectState>, JournalError> {
        if let Some(state) = group.effects.get(key) {
            return Ok(Some(*state));
        }
        let row = self.engine.get(Family::Effects, key)?;
        Ok(row.map(|row| EffectRecord::decode(&row)).transpose()?.map(|record| record.state))
    }
}
