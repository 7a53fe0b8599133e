//! The whole store looked through, offline. Lists every fault it finds; changes nothing.

use crate::engine::{END, Engine, Family};
use crate::error::OpenError;
use crate::inspect::{Inspection, lane_fault};
use crate::keys::{self, LANES};
use crate::open::{database_dir, lock_dir};
use crate::records::{DedupRow, IncidentHead, Record, StoreHead, StoredEnvelope, TimerDue};
use crate::witness::Witness;
use medic_core::Incident;
use medic_core::audit::{ChainHead, ChainedRecord};
use medic_core::mail::Address;
use medic_core::replay::Decided;
use medic_ports::JournalError;
use medic_ports::boot::Run;
use medic_ports::journal::{DeadLetter, DueTimer, EffectRecord};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Memory for a look from outside; it is read once, from end to end.
const BLOCK_CACHE_BYTES: usize = 8 << 20;
/// A store with more faults than this is damaged throughout; the list stops there.
const FAULTS_MAX: usize = 1_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    pub code: &'static str,
    pub detail: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    pub schema_version: u32,
    /// Names the history; empty when an older build wrote it last.
    pub store_id: String,
    pub boot_epoch: u64,
    pub commit_seq: u64,
    pub audit_head: ChainHead,
    /// The last commit that the head witness knows.
    pub witnessed_commit_seq: u64,
    /// Rows by table.
    pub rows: BTreeMap<&'static str, u64>,
    /// Empty when the store is whole.
    pub faults: Vec<Fault>,
}

impl CheckReport {
    pub fn is_whole(&self) -> bool {
        self.faults.is_empty()
    }
}

/// A store opened to be looked at, while no other process has it.
pub(crate) struct Offline {
    pub engine: Engine,
    dir: PathBuf,
    _lock: File,
}

impl Offline {
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let database = database_dir(dir);
        if !database.join("CURRENT").exists() {
            return Err(OpenError::Missing { dir: dir.to_owned() });
        }
        let lock = lock_dir(dir)?;
        Ok(Self {
            engine: Engine::open(&database, BLOCK_CACHE_BYTES, true)?,
            dir: dir.to_owned(),
            _lock: lock,
        })
    }

    pub fn inspection(&self) -> Inspection<'_> {
        Inspection { dir: &self.dir, engine: &self.engine }
    }
}

/// Looks through the store in `dir`, which no process may have open.
///
/// # Errors
/// [`OpenError`] when it cannot be looked at: missing, in use, unreadable by the engine, or newer than this build.
pub fn check(dir: &Path) -> Result<CheckReport, OpenError> {
    let offline = Offline::open(dir)?;
    let inspection = offline.inspection();
    let Some(format) = inspection.format()? else { return Err(OpenError::Missing { dir: dir.to_owned() }) };
    let head = inspection.head()?;
    let mut faults = Faults { engine: &offline.engine, found: Vec::new() };

    let witnessed_commit_seq = match Witness::load(dir) {
        Ok(Some(witness)) => {
            faults.note(inspection.held_against(&head, witness.written()));
            witness.written().commit_seq
        }
        Ok(None) => {
            faults.note(Err(OpenError::WitnessMissing { dir: dir.to_owned() }));
            0
        }
        Err(error) => {
            faults.note(Err(error));
            0
        }
    };
    faults.note(inspection.audit_chain(0, &head.audit));
    for to in Address::ALL {
        for lane in LANES {
            let span = inspection.span(to, lane)?;
            // From the very beginning: an envelope before the head would never be handled.
            if let Some(fault) = lane_fault(to, lane, span, &inspection.places(to, lane, 0)?) {
                faults.add("STORE_INCONSISTENT", fault);
            }
        }
    }
    faults.records();
    if inspection.head_counts()? {
        faults.counts(&head);
        faults.note(match inspection.row::<Run>(Family::Meta, keys::RUN)? {
            Some(_) => Ok(()),
            None => Err(inspection.inconsistent("its run row is missing".to_owned())),
        });
    }
    let mut rows = BTreeMap::new();
    for family in Family::ALL {
        rows.insert(family.name(), inspection.count(family)?);
    }
    if rows.get(Family::Dead.name()) != Some(&head.dead_letters) {
        faults.add("STORE_INCONSISTENT", format!("the head counts {} dead letters", head.dead_letters));
    }
    Ok(CheckReport {
        schema_version: format.schema_version,
        store_id: format.store_id,
        boot_epoch: format.boot_epoch,
        commit_seq: head.commit_seq,
        audit_head: head.audit,
        witnessed_commit_seq,
        rows,
        faults: faults.found,
    })
}

struct Faults<'e> {
    engine: &'e Engine,
    found: Vec<Fault>,
}

impl Faults<'_> {
    fn add(&mut self, code: &'static str, detail: String) {
        if self.found.len() < FAULTS_MAX {
            self.found.push(Fault { code, detail });
        }
    }

    fn note(&mut self, result: Result<(), OpenError>) {
        if let Err(error) = result {
            self.add(error.code(), error.to_string());
        }
    }

    /// Every record is read, and every index held against what it points to, from both sides.
    fn records(&mut self) {
        self.each::<StoredEnvelope>(Family::Inbox, |_, _, _| None);
        self.each::<DedupRow>(Family::Dedup, |_, _, _| None);
        self.each::<DeadLetter>(Family::Dead, |_, key, letter| {
            (key != keys::dead(letter.place())).then(|| "a dead letter lies in another's place".to_owned())
        });
        self.each::<ChainedRecord>(Family::Audit, |_, _, _| None);
        self.each::<Incident>(Family::Incidents, |engine, key, incident| {
            let head = found::<IncidentHead>(engine, Family::IncidentHeads, key);
            let listed =
                has(engine, Family::IncidentPhases, &keys::phase(incident.phase.name(), &incident.id));
            let agrees = head.is_some_and(|head| {
                head.revision == incident.revision && head.phase == incident.phase.name()
            });
            (!agrees || !listed).then(|| format!("incident {} is not indexed as it stands", incident.id))
        });
        self.each::<IncidentHead>(Family::IncidentHeads, |engine, key, _| {
            (!has(engine, Family::Incidents, key)).then(|| "an incident head has no incident".to_owned())
        });
        self.each_key(Family::IncidentPhases, |engine, key| {
            let (phase, id) = key.split_first()?;
            let head = found::<IncidentHead>(engine, Family::IncidentHeads, id);
            let agrees = head.is_some_and(|head| Some(head.phase) == keys::phase_of(*phase));
            (!agrees).then(|| "an incident is listed under a phase it is not in".to_owned())
        });
        self.each::<DueTimer>(Family::Timers, |engine, key, timer| {
            let index =
                found::<TimerDue>(engine, Family::TimerIx, &keys::timer_ix(&timer.incident, timer.kind));
            let agrees = index == Some(TimerDue { due: timer.due })
                && key == keys::timer(timer.due, &timer.incident, timer.kind).as_slice();
            (!agrees).then(|| format!("a timer of incident {} is not indexed as it stands", timer.incident))
        });
        self.each::<EffectRecord>(Family::Effects, |engine, key, effect| {
            let agrees = has(engine, Family::EffectsOpen, key) == effect.state.is_open();
            (!agrees).then(|| {
                format!("effect {} is {:?}, the index of open ones says otherwise", effect.id, effect.state)
            })
        });
        self.each_key(Family::EffectsOpen, |engine, key| {
            (!has(engine, Family::Effects, key)).then(|| "an open effect has no record".to_owned())
        });
        self.each::<Decided>(Family::Decided, |_, key, decided| {
            let incident = keys::numbered_parts(key).map(|(incident, _)| incident);
            let agrees = decided.decisions.first().map(|decision| &decision.incident) == incident.as_ref();
            (!agrees).then(|| "a row of decisions lies under another incident".to_owned())
        });
        self.each_key(Family::AuditIx, |engine, key| {
            let Some((incident, seq)) = keys::numbered_parts(key) else {
                return Some("a key of the audit index is malformed".to_owned());
            };
            let record = found::<ChainedRecord>(engine, Family::Audit, &seq.to_be_bytes());
            let agrees = record.is_some_and(|record| record.record.incident == Some(incident));
            (!agrees).then(|| format!("audit record {seq} is listed under an incident that is not its own"))
        });
        let (timers, index) = (self.keys(Family::Timers), self.keys(Family::TimerIx));
        if timers != index {
            self.add("STORE_INCONSISTENT", format!("there are {timers} timers and {index} index rows"));
        }
    }

    /// What the head counts, counted again; and the records of incidents, which must all be listed.
    fn counts(&mut self, head: &StoreHead) {
        let mut counted = StoreHead::genesis();
        self.each::<IncidentHead>(Family::IncidentHeads, |_, _, incident| {
            counted.count_phase(None, Some(incident.phase));
            None
        });
        counted.effects_open = self.keys(Family::EffectsOpen);
        self.each::<ChainedRecord>(Family::Audit, |engine, _, chained| {
            counted.latest_at = counted.latest_at.max(chained.record.at);
            // Of an incident that was retired nothing is listed but that.
            let incident = chained.record.incident.as_ref()?;
            let unlisted = has(engine, Family::Incidents, &keys::incident(incident))
                && !has(engine, Family::AuditIx, &keys::numbered(incident, chained.seq));
            unlisted.then(|| format!("audit record {} is not listed under its incident", chained.seq))
        });
        let told = (&head.incidents, head.effects_open, head.latest_at);
        let found = (&counted.incidents, counted.effects_open, counted.latest_at);
        // A letter that is gone by now may have been later than any record.
        if (told.0, told.1) != (found.0, found.1) || told.2 < found.2 {
            self.add("STORE_INCONSISTENT", format!("the head counts {told:?}, there are {found:?}"));
        }
    }

    fn keys(&mut self, family: Family) -> u64 {
        let mut keys = 0;
        self.each_key(family, |_, _| {
            keys += 1;
            None
        });
        keys
    }

    fn each<T: Record>(
        &mut self,
        family: Family,
        mut judge: impl FnMut(&Engine, &[u8], &T) -> Option<String>,
    ) {
        self.visit(family, |engine, key, value| match T::decode(value) {
            Ok(record) => judge(engine, key, &record).map(|detail| ("STORE_INCONSISTENT", detail)),
            Err(error) => Some((error.code(), error.to_string())),
        });
    }

    fn each_key(&mut self, family: Family, mut judge: impl FnMut(&Engine, &[u8]) -> Option<String>) {
        self.visit(family, |engine, key, _| judge(engine, key).map(|detail| ("STORE_INCONSISTENT", detail)));
    }

    fn visit(
        &mut self,
        family: Family,
        mut judge: impl FnMut(&Engine, &[u8], &[u8]) -> Option<(&'static str, String)>,
    ) {
        let engine = self.engine;
        let walked = engine.scan(family, &[], END, false, |key, value| {
            if let Some((code, detail)) = judge(engine, key, value) {
                self.add(code, detail);
            }
            Ok::<_, JournalError>(ControlFlow::Continue(()))
        });
        if let Err(error) = walked {
            self.add(error.code(), error.to_string());
        }
    }
}

fn has(engine: &Engine, family: Family, key: &[u8]) -> bool {
    matches!(engine.get(family, key), Ok(Some(_)))
}

/// A row that is there and readable; one that is not is told of where its own table is read.
fn found<T: Record>(engine: &Engine, family: Family, key: &[u8]) -> Option<T> {
    engine.get(family, key).ok().flatten().and_then(|row| T::decode(&row).ok())
}
