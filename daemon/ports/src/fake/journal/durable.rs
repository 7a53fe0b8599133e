//! What survives a crash of the journal in memory, and the one way it changes: judged as a whole, then written as a whole.

use crate::boot::Run;
use crate::journal::{
    Accepted, Batch, Change, DeadLetter, DeadPlace, DueTimer, EffectRecord, EffectState, IncidentWrite,
    JournalError, Origin, Slot, Table,
};
use medic_core::audit::{AuditRecord, ChainHead, ChainedRecord};
use medic_core::effect::{TimerChange, TimerKind};
use medic_core::mail::{Address, Envelope, Lane, Letter};
use medic_core::replay::Decided;
use medic_core::{EffectId, EnvelopeId, Incident, IncidentId, PhaseName, TimestampMs};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Told to a sender whose mailbox is full.
pub(super) const RETRY_AFTER_MS: u64 = 1_000;

/// How much a mailbox takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Letters over all lanes of one mailbox.
    pub envelopes_max: u64,
    /// Bytes of their JSON over all lanes of one mailbox.
    pub bytes_max: u64,
}

impl Default for Caps {
    fn default() -> Self {
        Self { envelopes_max: 10_000, bytes_max: 64 << 20 }
    }
}

impl Caps {
    fn admits(self, load: Load, origin: Origin, lane: Lane) -> bool {
        let below = |cap: u64| cap - cap.saturating_mul(origin.reserved_percent(lane)) / 100;
        load.envelopes <= below(self.envelopes_max) && load.bytes <= below(self.bytes_max)
    }
}

/// How full a mailbox is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    pub envelopes: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub envelope: Envelope,
    bytes: u64,
}

/// Rows are shared between copies; a copy is made only by a crash.
#[derive(Clone, Debug)]
pub(super) struct Durable {
    pub mail: BTreeMap<Slot, Arc<Stored>>,
    pub loads: BTreeMap<Address, Load>,
    tails: BTreeMap<(Address, Lane), u64>,
    dedup: BTreeMap<(Address, Arc<str>), EnvelopeId>,
    pub incidents: BTreeMap<IncidentId, Arc<Incident>>,
    pub phases: BTreeMap<PhaseName, u64>,
    pub documents: BTreeMap<(Table, String), Arc<[u8]>>,
    pub effects: BTreeMap<EffectId, Arc<EffectRecord>>,
    pub effects_open: u64,
    timers: BTreeMap<(IncidentId, TimerKind), TimestampMs>,
    pub due: BTreeSet<(TimestampMs, IncidentId, TimerKind)>,
    pub dead: BTreeMap<DeadPlace, Arc<DeadLetter>>,
    pub decided: BTreeMap<(IncidentId, u64), Arc<Decided>>,
    pub audit: Vec<Arc<ChainedRecord>>,
    pub audit_of: BTreeMap<IncidentId, Vec<Arc<ChainedRecord>>>,
    pub audit_head: ChainHead,
    pub latest_at: TimestampMs,
    pub commit_seq: u64,
    pub epoch: u64,
    pub run: Run,
}

/// Letters and put-off envelopes as they will be written.
#[derive(Default)]
pub(super) struct Judged {
    letters: Vec<Fate>,
    retried: Vec<(Slot, Stored)>,
}

enum Fate {
    New(Box<Letter>, u64),
    Known(EnvelopeId),
}

impl Durable {
    pub fn new() -> Self {
        Self {
            mail: BTreeMap::new(),
            loads: BTreeMap::new(),
            tails: BTreeMap::new(),
            dedup: BTreeMap::new(),
            incidents: BTreeMap::new(),
            phases: BTreeMap::new(),
            documents: BTreeMap::new(),
            effects: BTreeMap::new(),
            effects_open: 0,
            timers: BTreeMap::new(),
            due: BTreeSet::new(),
            dead: BTreeMap::new(),
            decided: BTreeMap::new(),
            audit: Vec::new(),
            audit_of: BTreeMap::new(),
            audit_head: ChainHead::genesis(),
            latest_at: TimestampMs::default(),
            commit_seq: 0,
            epoch: 1,
            run: Run::first(),
        }
    }

    /// The next opening on what was durable.
    pub fn opened_again(mut self) -> Self {
        self.run = Run::after(&self.run, |slot| self.mail.contains_key(&slot));
        self.epoch += 1;
        self
    }

    /// The first opening of a copy of this: the world went on since it was taken.
    pub fn restored(mut self) -> Self {
        self.run = Run::first();
        self.epoch += 1;
        let open: Vec<EffectRecord> = self
            .effects
            .values()
            .filter(|effect| effect.state.is_open())
            .map(|e| e.as_ref().clone())
            .collect();
        let note = |incident: Option<IncidentId>, subject: String, at, detail| AuditRecord {
            at,
            incident,
            actor: "store".to_owned(),
            kind: "restored".to_owned(),
            subject,
            rule: None,
            detail,
        };
        let counted = serde_json::json!({ "epoch": self.epoch, "effects_unknown": open.len() });
        self.write_audit(note(None, "store".to_owned(), self.latest_at, counted));
        for effect in open {
            let detail = serde_json::json!({ "state": "unknown" });
            self.write_audit(note(
                Some(effect.id.incident.clone()),
                effect.id.to_string(),
                self.latest_at,
                detail,
            ));
            let detail = "the store was restored from a backup".to_owned();
            self.write_effect(EffectRecord { state: EffectState::Unknown, detail, ..effect });
        }
        self
    }

    /// Whether outside letters may be stored, and which of them are new.
    pub fn judge_intake(&self, letters: Vec<Letter>, caps: Caps) -> Result<Judged, JournalError> {
        let letters = self.judge_letters(letters, caps, Origin::Outside, &BTreeSet::new())?;
        Ok(Judged { letters, retried: Vec::new() })
    }

    /// Whether a batch may be written. Takes its letters out of it.
    pub fn judge(&self, batch: &mut Batch, caps: Caps) -> Result<Judged, JournalError> {
        let mut leaving: BTreeSet<Slot> = batch.consumed.iter().copied().collect();
        leaving.extend(batch.dead.iter().map(|(slot, _)| *slot));
        if let Some(slot) = leaving.iter().find(|slot| !self.mail.contains_key(slot)) {
            return Err(JournalError::gone(*slot));
        }
        let mut retried = Vec::with_capacity(batch.retries.len());
        for retry in &batch.retries {
            let Some(stored) = self.mail.get(&retry.slot).filter(|_| !leaving.contains(&retry.slot)) else {
                return Err(JournalError::gone(retry.slot));
            };
            let mut envelope = stored.envelope.clone();
            envelope.attempts = retry.attempts;
            envelope.visible_at = retry.visible_at;
            let bytes = size_of(&envelope)?;
            retried.push((retry.slot, Stored { envelope, bytes }));
        }
        let mut unburied = BTreeSet::new();
        for place in &batch.unburied {
            if !self.dead.contains_key(place) || !unburied.insert(*place) {
                return Err(JournalError::gone(place.slot));
            }
        }
        self.judge_revisions(&batch.rests_on, &batch.incidents)?;
        self.judge_effects(&batch.effects)?;
        batch.incidents_decided()?;
        let letters =
            self.judge_letters(std::mem::take(&mut batch.letters), caps, Origin::Inside, &leaving)?;
        Ok(Judged { letters, retried })
    }

    fn judge_revisions(
        &self,
        rests_on: &[(IncidentId, u64)],
        writes: &[IncidentWrite],
    ) -> Result<(), JournalError> {
        for (id, expected) in rests_on {
            let found = self.incidents.get(id).map_or(0, |incident| incident.revision);
            if found != *expected {
                return Err(JournalError::Conflict { incident: id.clone(), expected: *expected, found });
            }
        }
        let mut within: BTreeMap<&IncidentId, u64> = BTreeMap::new();
        for write in writes {
            let stored = || self.incidents.get(&write.next.id).map(|incident| incident.revision);
            let found = within.get(&write.next.id).copied().or_else(stored);
            if found != write.expected_revision {
                return Err(JournalError::Conflict {
                    incident: write.next.id.clone(),
                    expected: write.expected_revision.unwrap_or(0),
                    found: found.unwrap_or(0),
                });
            }
            within.insert(&write.next.id, write.next.revision);
        }
        Ok(())
    }

    fn judge_effects(&self, records: &[EffectRecord]) -> Result<(), JournalError> {
        let mut within: BTreeMap<&EffectId, EffectState> = BTreeMap::new();
        for record in records {
            let stored = || self.effects.get(&record.id).map(|effect| effect.state);
            let before = within.get(&record.id).copied().or_else(stored);
            if !record.state.may_follow(before) {
                return Err(JournalError::illegal_effect(&record.id, before, record.state));
            }
            within.insert(&record.id, record.state);
        }
        Ok(())
    }

    fn judge_letters(
        &self,
        letters: Vec<Letter>,
        caps: Caps,
        origin: Origin,
        leaving: &BTreeSet<Slot>,
    ) -> Result<Vec<Fate>, JournalError> {
        let mut within: BTreeMap<(Address, Arc<str>), EnvelopeId> = BTreeMap::new();
        let mut loads: BTreeMap<Address, Load> = BTreeMap::new();
        let mut fates = Vec::with_capacity(letters.len());
        for letter in letters {
            let key: (Address, Arc<str>) = (letter.to, letter.dedup.as_str().into());
            if let Some(first) = within.get(&key).or_else(|| self.dedup.get(&key)) {
                fates.push(Fate::Known(first.clone()));
                continue;
            }
            within.insert(key, letter.id.clone());
            let bytes = size_of(&envelope(&letter, 0))?;
            let load = loads.entry(letter.to).or_insert_with(|| self.load_without(letter.to, leaving));
            *load = Load { envelopes: load.envelopes + 1, bytes: load.bytes + bytes };
            if !caps.admits(*load, origin, letter.lane) {
                return Err(JournalError::Full { to: letter.to, retry_after_ms: RETRY_AFTER_MS });
            }
            fates.push(Fate::New(Box::new(letter), bytes));
        }
        Ok(fates)
    }

    fn load_without(&self, to: Address, leaving: &BTreeSet<Slot>) -> Load {
        let load = self.loads.get(&to).copied().unwrap_or_default();
        let gone = leaving.iter().filter(|slot| slot.to == to).filter_map(|slot| self.mail.get(slot));
        gone.fold(load, |load, stored| Load {
            envelopes: load.envelopes.saturating_sub(1),
            bytes: load.bytes.saturating_sub(stored.bytes),
        })
    }

    /// Writes what was judged, in the order in which it may depend on each other: room is made before it is filled.
    /// Returns whether anything was written at all.
    pub fn apply(&mut self, batch: Batch, judged: Judged) -> (Vec<Accepted>, Vec<Change>, bool) {
        let empty = batch == Batch::default();
        let changes = batch.incidents.into_iter().map(|write| self.write_incident(write)).collect();
        for slot in batch.consumed {
            self.remove(slot);
        }
        for (slot, dead) in batch.dead {
            self.remove(slot);
            self.dead.insert(DeadPlace { at: dead.at, slot }, Arc::new(dead));
        }
        for place in batch.unburied {
            self.dead.remove(&place);
        }
        for (slot, stored) in judged.retried {
            self.remove(slot);
            self.insert(slot, stored);
        }
        for document in batch.documents {
            let key = (document.table, document.key);
            match document.value {
                Some(value) => self.documents.insert(key, value.into()),
                None => self.documents.remove(&key),
            };
        }
        for fired in batch.fired {
            self.remove_fired(fired);
        }
        for (incident, change) in batch.timers {
            match change {
                TimerChange::Set { kind, due } => self.set_timer(incident, kind, Some(due)),
                TimerChange::Cancel { kind } => self.set_timer(incident, kind, None),
            }
        }
        for effect in batch.effects {
            self.write_effect(effect);
        }
        for decided in batch.decided {
            if let Some(incident) = decided.decisions.first().map(|decision| decision.incident.clone()) {
                self.decided.insert((incident, self.commit_seq + 1), Arc::new(decided));
            }
        }
        for record in batch.audit {
            self.write_audit(record);
        }
        let mut written = !empty;
        let accepted = judged
            .letters
            .into_iter()
            .map(|fate| match fate {
                Fate::Known(id) => Accepted { id, duplicate: true },
                Fate::New(letter, bytes) => {
                    written = true;
                    self.deliver(*letter, bytes)
                }
            })
            .collect();
        if written {
            self.commit_seq += 1;
        }
        (accepted, changes, written)
    }

    fn deliver(&mut self, letter: Letter, bytes: u64) -> Accepted {
        let tail = self.tails.entry((letter.to, letter.lane)).or_insert(0);
        *tail += 1;
        let envelope = envelope(&letter, *tail);
        self.latest_at = self.latest_at.max(envelope.at);
        self.dedup.insert((letter.to, letter.dedup.into()), letter.id.clone());
        self.insert(Slot::of(&envelope), Stored { envelope, bytes });
        Accepted { id: letter.id, duplicate: false }
    }

    fn insert(&mut self, slot: Slot, stored: Stored) {
        let load = self.loads.entry(slot.to).or_default();
        *load = Load { envelopes: load.envelopes + 1, bytes: load.bytes + stored.bytes };
        self.mail.insert(slot, Arc::new(stored));
    }

    fn remove(&mut self, slot: Slot) {
        if let Some(stored) = self.mail.remove(&slot) {
            let load = self.loads.entry(slot.to).or_default();
            *load = Load { envelopes: load.envelopes - 1, bytes: load.bytes - stored.bytes };
        }
    }

    fn write_incident(&mut self, write: IncidentWrite) -> Change {
        let next = write.next;
        let (phase, before) = (next.phase.name(), self.incidents.get(&next.id).map(|i| i.phase.name()));
        if before != Some(phase) {
            if let Some(count) = before.and_then(|before| self.phases.get_mut(&before)) {
                *count -= 1;
            }
            *self.phases.entry(phase).or_insert(0) += 1;
            self.phases.retain(|_, count| *count > 0);
        }
        let change = Change {
            incident: next.id.clone(),
            revision: next.revision,
            phase,
            entered: before != Some(phase),
        };
        self.incidents.insert(next.id.clone(), Arc::new(next));
        change
    }

    /// A timer set anew since it came due is another one and stays.
    fn remove_fired(&mut self, fired: DueTimer) {
        if self.timers.get(&(fired.incident.clone(), fired.kind)) == Some(&fired.due) {
            self.set_timer(fired.incident, fired.kind, None);
        }
    }

    fn set_timer(&mut self, incident: IncidentId, kind: TimerKind, due: Option<TimestampMs>) {
        if let Some(before) = self.timers.remove(&(incident.clone(), kind)) {
            self.due.remove(&(before, incident.clone(), kind));
        }
        if let Some(due) = due {
            self.due.insert((due, incident.clone(), kind));
            self.timers.insert((incident, kind), due);
        }
    }

    fn write_effect(&mut self, effect: EffectRecord) {
        let before = self.effects.get(&effect.id).map(|effect| effect.state);
        self.effects_open += u64::from(effect.state.is_open());
        self.effects_open -= u64::from(before.is_some_and(EffectState::is_open));
        self.effects.insert(effect.id.clone(), Arc::new(effect));
    }

    fn write_audit(&mut self, record: AuditRecord) {
        let (chained, head) = self.audit_head.append(record);
        let chained = Arc::new(chained);
        self.latest_at = self.latest_at.max(chained.record.at);
        if let Some(incident) = &chained.record.incident {
            self.audit_of.entry(incident.clone()).or_default().push(chained.clone());
        }
        self.audit.push(chained);
        self.audit_head = head;
    }
}

fn envelope(letter: &Letter, seq: u64) -> Envelope {
    Envelope {
        id: letter.id.clone(),
        to: letter.to,
        lane: letter.lane,
        seq,
        cause: letter.cause.clone(),
        at: letter.at,
        attempts: 0,
        visible_at: letter.at,
        body: letter.body.clone(),
    }
}

fn size_of(envelope: &Envelope) -> Result<u64, JournalError> {
    let bytes = serde_json::to_vec(envelope).map_err(|error| JournalError::Storage(error.to_string()))?;
    Ok(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
}
