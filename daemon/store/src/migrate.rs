//! What an older build did not keep, made from what it did.
//!
//! Runs before the first batch of a run, whose head then says that it was done; ended half-way it is simply done again.

use crate::engine::{END, Engine, Family, Staging};
use crate::keys;
use crate::records::{Record as _, StoreHead, StoredAnswer};
use medic_core::audit::ChainedRecord;
use medic_ports::JournalError;
use medic_ports::journal::Table;
use std::ops::ControlFlow;

/// Rows in one batch. 4,096: a few hundred KiB.
const SLICE_ROWS: usize = 4_096;

/// Schema 1: the counts of the head, the index of audit records by incident, the age of answers.
pub(crate) fn count_anew(engine: &Engine, head: &mut StoreHead) -> Result<(), JournalError> {
    tracing::info!("the store was written by an older build: counting and indexing once");
    engine.scan(Family::IncidentPhases, &[], END, false, |key, _| {
        let phase = key.first().and_then(|code| keys::phase_of(*code));
        head.count_phase(
            None,
            Some(phase.ok_or_else(|| JournalError::Corrupt("an unknown phase".to_owned()))?),
        );
        Ok(ControlFlow::Continue(()))
    })?;
    engine.scan(Family::EffectsOpen, &[], END, false, |_, _| {
        head.effects_open += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    let mut staging = engine.stage();
    engine.scan(Family::Audit, &[], END, false, |_, value| {
        let chained = ChainedRecord::decode(value)?;
        head.latest_at = head.latest_at.max(chained.record.at);
        if let Some(incident) = &chained.record.incident {
            staging.put(Family::AuditIx, &keys::numbered(incident, chained.seq), &[])?;
            write_when_large(engine, &mut staging)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let (from, until) = keys::table(Table::Answer);
    let at = head.latest_at;
    engine.scan(Family::Documents, &from, &until, false, |key, value| {
        let row = StoredAnswer::decode(value);
        if row.at.0 == 0 {
            staging.put(Family::Documents, key, &StoredAnswer { at, ..row }.encode())?;
            write_when_large(engine, &mut staging)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    staging.write()
}

fn write_when_large<'e>(engine: &'e Engine, staging: &mut Staging<'e>) -> Result<(), JournalError> {
    if staging.len() < SLICE_ROWS {
        return Ok(());
    }
    std::mem::replace(staging, engine.stage()).write()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open::database_dir;
    use crate::{Store, StoreConfig, check};
    use medic_core::audit::AuditRecord;
    use medic_core::{EffectId, IncidentId, PhaseName, TimestampMs};
    use medic_ports::Journal as _;
    use medic_ports::fake::journal_contract::incident;
    use medic_ports::journal::{Batch, DocumentWrite, EffectRecord, EffectState, IncidentWrite};

    fn record(incident: Option<&str>, at: u64) -> AuditRecord {
        AuditRecord {
            at: TimestampMs(at),
            incident: incident.map(IncidentId::from),
            actor: "supervisor".to_owned(),
            kind: "phase".to_owned(),
            subject: String::new(),
            rule: None,
            detail: serde_json::Value::Null,
        }
    }

    /// Takes a store back to what schema 1 wrote.
    fn age(config: &StoreConfig) {
        let engine = Engine::open(&database_dir(&config.dir), 1 << 20, false).unwrap();
        let head = StoreHead::decode(&engine.get(Family::Meta, keys::HEAD).unwrap().unwrap()).unwrap();
        let old = |value: serde_json::Value| [b"\x01".to_vec(), serde_json::to_vec(&value).unwrap()].concat();
        let (commit_seq, audit, dead) = (head.commit_seq, &head.audit, head.dead_letters);
        let head = serde_json::json!({ "commit_seq": commit_seq, "audit": audit, "dead_letters": dead });
        let format = serde_json::json!({ "schema_version": 1, "min_reader_version": 1, "boot_epoch": 4 });
        let mut staging = engine.stage();
        staging.put(Family::Meta, keys::HEAD, &old(head)).unwrap();
        staging.put(Family::Meta, keys::FORMAT, &old(format)).unwrap();
        staging.delete(Family::Meta, keys::RUN).unwrap();
        let (from, until) = keys::table(Table::Answer);
        engine
            .scan(Family::Documents, &from, &until, false, |key, value| {
                staging.put(Family::Documents, key, StoredAnswer::decode(value).answer)?;
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        for family in [Family::AuditIx, Family::IncidentHeads] {
            engine
                .scan(family, &[], END, false, |key, value| {
                    if family == Family::AuditIx {
                        staging.delete(family, key)?;
                    } else {
                        let head = crate::records::IncidentHead::decode(value)?;
                        let head = serde_json::json!({ "revision": head.revision, "phase": head.phase });
                        staging.put(family, key, &old(head))?;
                    }
                    Ok(ControlFlow::Continue(()))
                })
                .unwrap();
        }
        staging.write().unwrap();
    }

    #[tokio::test]
    async fn a_store_of_the_first_schema_is_counted_indexed_and_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let config = StoreConfig { dir: dir.path().to_owned(), low_space_bytes: 0, ..StoreConfig::default() };
        let store = Store::open(&config).unwrap();
        for (n, id) in ["i1", "i2", "i3"].into_iter().zip(1_u64..).map(|(id, n)| (n, id)) {
            let effect = EffectRecord {
                id: EffectId { incident: IncidentId::from(id), revision: 1, index: 0 },
                state: EffectState::Intent,
                at: TimestampMs(1),
                calls: Vec::new(),
                detail: String::new(),
            };
            let batch = Batch {
                incidents: vec![IncidentWrite { next: incident(id, 1), expected_revision: None }],
                effects: vec![effect],
                documents: vec![DocumentWrite {
                    table: Table::Answer,
                    key: id.to_owned(),
                    value: Some(b"{}".to_vec()),
                }],
                audit: vec![record(Some(id), 9_000 - n), record(None, n)],
                ..Batch::default()
            };
            store.commit(batch).await.unwrap();
        }
        let before = store.health();
        store.shutdown();
        age(&config);
        let report = check(dir.path()).unwrap();
        assert!(report.is_whole(), "an old store is no damaged one: {:?}", report.faults);

        let store = Store::open(&config).unwrap();
        assert_eq!((store.boot().epoch, store.boot().unclean_in_a_row), (5, 0));
        assert_eq!(store.id().len(), 32, "it has a name now");
        let after = store.health();
        assert_eq!(after.incidents, before.incidents);
        assert_eq!(after.incidents.get(&PhaseName::AlertReceived), Some(&3));
        assert_eq!((after.open_effects, after.latest_at), (3, TimestampMs(8_999)));
        let seqs: Vec<u64> =
            store.audit_of(&IncidentId::from("i2"), 0, 9).unwrap().iter().map(|record| record.seq).collect();
        assert_eq!(seqs, [3]);
        assert_eq!(store.document(Table::Answer, "i2"), Ok(Some(b"{}".to_vec())));
        let id = store.id().to_owned();
        store.shutdown();
        let report = check(dir.path()).unwrap();
        assert!(report.is_whole(), "{:?}", report.faults);
        assert_eq!((report.schema_version, report.store_id.as_str()), (2, id.as_str()));
    }
}
