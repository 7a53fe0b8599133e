//! The last look: a slice that is out of date deletes nothing.

use super::*;
use medic_core::phase::Resolution;
use medic_core::{EnvelopeId, Phase};
use medic_ports::fake::journal_contract::{incident, letter};
use medic_ports::journal::{Batch, DocumentWrite, IncidentWrite};

fn retirement(store: &Store, id: &str) -> Retirement {
    let id = IncidentId::from(id);
    let (rows, memory) = store.read(|engine| rows_of(engine, &id)).unwrap();
    Retirement {
        record: AuditRecord {
            at: TimestampMs(9),
            incident: Some(id.clone()),
            actor: "store".to_owned(),
            kind: "retired".to_owned(),
            subject: id.to_string(),
            rule: None,
            detail: serde_json::Value::Null,
        },
        id,
        revision: 1,
        tails: store.lanes().into_iter().map(|(lane, span)| (lane, span.tail)).collect(),
        rows,
        memory,
    }
}

fn retire(store: &Store, retirement: Retirement) -> u64 {
    store.ask_sweep(Slice::Retire(Box::new(retirement))).unwrap()
}

#[tokio::test]
async fn what_moved_since_it_was_looked_at_is_not_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig { dir: dir.path().join("store"), low_space_bytes: 0, ..StoreConfig::default() };
    let store = Store::open(&config).unwrap();
    let group = |id: &str| {
        let open = OpenGroup { incident: IncidentId::from(id), last_joined_at: TimestampMs(1) };
        let key = incident("i1", 1).group;
        DocumentWrite { table: Table::Group, key, value: Some(serde_json::to_vec(&open).unwrap()) }
    };
    let resolved = Phase::Resolved { at: TimestampMs(5), how: Resolution::Remedied };
    let write = |phase: Phase, revision: u64| IncidentWrite {
        next: Incident { phase, ..incident("i1", revision) },
        expected_revision: (revision > 1).then(|| revision - 1),
    };
    let first = Batch {
        incidents: vec![write(resolved.clone(), 1)],
        documents: vec![group("i1")],
        ..Batch::default()
    };
    store.commit(first).await.unwrap();
    let head = store.health().audit_head;

    let before_a_letter = retirement(&store, "i1");
    store.enqueue(vec![letter("late", Address::Notifier, Lane::Control)]).await.unwrap();
    assert_eq!(retire(&store, before_a_letter), 0, "nobody looked whether that letter concerns it");
    let other_revision = Retirement { revision: 2, ..retirement(&store, "i1") };
    assert_eq!(retire(&store, other_revision), 0);
    assert_eq!(retire(&store, retirement(&store, "unknown")), 0);
    assert_eq!(store.health().audit_head, head, "and nothing is told");
    assert!(store.incident(&IncidentId::from("i1")).unwrap().is_some());

    let with_old_memory = retirement(&store, "i1");
    assert_eq!(with_old_memory.memory.len(), 1);
    store.commit(Batch { documents: vec![group("i2")], ..Batch::default() }).await.unwrap();
    assert!(retire(&store, with_old_memory) > 0);
    assert_eq!(store.incident(&IncidentId::from("i1")), Ok(None));
    let kept = store.document(Table::Group, &incident("i1", 1).group).unwrap();
    assert_eq!(kept, group("i2").value, "a group that was opened anew is not forgotten");

    // What expires is looked at again too.
    let old = medic_core::mail::Letter {
        id: EnvelopeId::from("kept"),
        at: TimestampMs(50),
        ..letter("kept", Address::Notifier, Lane::Normal)
    };
    store.enqueue(vec![old.clone()]).await.unwrap();
    let keys = vec![keys::dedup(old.to, &old.dedup), b"not there".to_vec()];
    let expire = |cutoff| {
        let cutoff = TimestampMs(cutoff);
        store.ask_sweep(Slice::Expire(Expiry {
            family: Family::Dedup,
            keys: keys.clone(),
            cutoff,
            record: None,
        }))
    };
    assert_eq!((expire(50), expire(51), expire(51)), (Ok(0), Ok(1), Ok(0)));
    store.shutdown();
    assert_eq!(expire(60), Err(JournalError::Stopped));
    let report = crate::check(&config.dir).unwrap();
    assert!(report.is_whole(), "{:?}", report.faults);
}
