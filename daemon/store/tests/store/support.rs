//! A store in a directory of its own, and small things to put into it.

use medic_core::audit::AuditRecord;
use medic_core::effect::{TimerChange, TimerKind};
use medic_core::mail::{Address, Lane};
use medic_core::{EffectId, IncidentId, TimestampMs};
use medic_ports::fake::journal_contract::{incident, letter};
use medic_ports::journal::{Batch, EffectRecord, EffectState, IncidentWrite};
use medic_store::{Store, StoreConfig};
use std::path::Path;

pub fn config(dir: &Path) -> StoreConfig {
    StoreConfig { dir: dir.to_owned(), low_space_bytes: 0, ..StoreConfig::default() }
}

pub fn open(dir: &Path) -> Store {
    Store::open(&config(dir)).unwrap()
}

/// The code of a refused opening.
pub fn refusal(dir: &Path) -> &'static str {
    Store::open(&config(dir)).map(|_| "opened").unwrap_or_else(|error| error.code())
}

pub fn record(subject: &str) -> AuditRecord {
    AuditRecord {
        at: TimestampMs(1_000),
        incident: None,
        actor: "supervisor".to_owned(),
        kind: "phase".to_owned(),
        subject: subject.to_owned(),
        rule: None,
        detail: serde_json::json!({ "confidence": 0.1 + 0.2, "n": subject.len() }),
    }
}

pub fn effect(incident: &str, state: EffectState) -> EffectRecord {
    let id = EffectId { incident: IncidentId::from(incident), revision: 1, index: 0 };
    EffectRecord { id, state, at: TimestampMs(5), calls: Vec::new(), detail: "as ordered".to_owned() }
}

/// A batch that leaves a trace in every table, all named `name`.
pub fn everything(name: &str) -> Batch {
    let id = IncidentId::from(name);
    Batch {
        incidents: vec![IncidentWrite { next: incident(name, 1), expected_revision: None }],
        letters: vec![letter(name, Address::Executor, Lane::Normal)],
        timers: vec![(id, TimerChange::Set { kind: TimerKind::PhaseDeadline, due: TimestampMs(9_000) })],
        effects: vec![effect(name, EffectState::Intent)],
        audit: vec![record(name)],
        ..Batch::default()
    }
}

/// Copies a directory as it is now.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
