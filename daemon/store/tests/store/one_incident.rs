//! One incident as a file, and anchors of the chain it stands in.

use crate::support::{config, open, record};
use medic_core::audit::{AuditRecord, ChainHead};
use medic_core::replay::Decided;
use medic_core::replay::export::Export;
use medic_core::{Digest, Incident, IncidentId};
use medic_ports::Journal;
use medic_ports::fake::FakeJournal;
use medic_ports::fake::journal_contract::{decided, incident};
use medic_ports::journal::{Batch, DocumentWrite, IncidentWrite, Table};
use medic_store::anchor::{self, Anchor};
use medic_store::{Reader, Store, StoreConfig, export_incident, verify_export_with};
use std::io::BufReader;
use std::sync::Arc;

const POLICY: &str = r#"{"confidence_min":0.5}"#;

fn revision(id: &str, revision: u64) -> Batch {
    let next = incident(id, revision);
    let told =
        |n: usize| AuditRecord { incident: Some(next.id.clone()), ..record(&format!("{id} {revision} {n}")) };
    let mut row = Decided { state: Digest::of(&next), ..decided(id, revision) };
    for decision in &mut row.decisions {
        decision.policy = Digest::of_bytes(POLICY.as_bytes());
    }
    let policy = DocumentWrite {
        table: Table::Policy,
        key: Digest::of_bytes(POLICY.as_bytes()).to_string(),
        value: Some(POLICY.as_bytes().to_vec()),
    };
    Batch {
        decided: vec![row],
        documents: vec![policy],
        audit: vec![told(0), record("another's"), told(1)],
        incidents: vec![IncidentWrite { next, expected_revision: (revision > 1).then(|| revision - 1) }],
        ..Batch::default()
    }
}

async fn story(journal: &dyn Journal, id: &str) {
    for n in 1..=5 {
        journal.commit(revision(id, n)).await.unwrap();
        journal.commit(Batch { audit: vec![record("between")], ..Batch::default() }).await.unwrap();
    }
}

fn exported(journal: &dyn Journal, id: &str) -> String {
    let mut bytes = Vec::new();
    export_incident(journal, &IncidentId::from(id), &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn an_export_is_the_same_from_a_running_store_a_closed_one_and_one_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (store, fake) = (open(dir.path()), FakeJournal::new());
    for journal in [&store as &dyn Journal, &fake] {
        story(journal, "i0").await;
        story(journal, "i1").await;
    }
    let online = exported(&store, "i1");
    let chain = store.audit(1, usize::MAX).unwrap();
    let missing = export_incident(&store, &IncidentId::from("i"), &mut Vec::new()).unwrap_err();
    assert_eq!(missing.code(), "NO_SUCH_INCIDENT");
    store.shutdown();
    let reader = Reader::open(dir.path()).unwrap();
    assert_eq!(exported(&reader, "i1"), online);
    assert_eq!(reader.commit(Batch::default()).await.map_err(|error| error.code()), Err("STORE_STOPPED"));
    drop(reader);

    let export = Export::read(&online).unwrap();
    let in_memory = Export::read(&exported(&fake, "i1")).unwrap();
    assert_eq!(in_memory.decided.len(), 5);
    let decided =
        |export: &Export| export.decided.iter().map(|line| line.decided.clone()).collect::<Vec<_>>();
    assert_eq!(decided(&export), decided(&in_memory));
    assert_eq!((export.audit.len(), export.footer.state.revision), (10, 5));
    assert_eq!(export.footer.digest, Digest::of(&incident("i1", 5)));
    assert_eq!(export.header.policies.values().collect::<Vec<_>>(), [POLICY]);
    assert!(export.decided.is_sorted_by(|a, b| a.commit < b.commit));
    // Each record stands in the chain where the file says, behind the record that it says.
    for line in &export.audit {
        let before = match line.audit.seq {
            1 => ChainHead::genesis().hash,
            seq => chain.iter().find(|record| record.seq == seq - 1).unwrap().hash.clone(),
        };
        assert_eq!(line.before, before);
        assert!(chain.contains(&line.audit));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_of_an_incident_that_goes_on_is_of_one_moment() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path()));
    store.commit(revision("i1", 1)).await.unwrap();
    let writer = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for n in 2..=400 {
                store.commit(revision("i1", n)).await.unwrap();
            }
        })
    };
    let (mut exports, mut revisions) = (0, std::collections::BTreeSet::new());
    while !writer.is_finished() || exports == 0 {
        let mut bytes = Vec::new();
        match export_incident(store.as_ref(), &IncidentId::from("i1"), &mut bytes) {
            Ok(report) => {
                let export = Export::read(std::str::from_utf8(&bytes).unwrap()).unwrap();
                assert_eq!(export.footer.state.revision, report.revision);
                assert_eq!(export.decided.len() as u64, report.revision, "rows lead to exactly that state");
                assert_eq!(export.audit.len() as u64, 2 * report.revision);
                assert_eq!(export.decided.last().unwrap().decided.state, export.footer.digest);
                revisions.insert(report.revision);
                exports += 1;
            }
            Err(error) => assert_eq!(error.code(), "EXPORT_INCIDENT_MOVING"),
        }
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
    assert!(revisions.len() > 1, "it went on meanwhile: {revisions:?}");
    let last: Incident = store.incident(&IncidentId::from("i1")).unwrap().unwrap();
    assert_eq!(last.revision, 400);
}

#[tokio::test]
async fn anchors_of_a_store_are_signed_and_hold_its_export() {
    let root = tempfile::tempdir().unwrap();
    let (key, path) = (root.path().join("key"), root.path().join("anchors.jsonl"));
    let public = anchor::generate(&key).unwrap();
    let config = StoreConfig {
        anchor_path: Some(path.clone()),
        anchor_key: Some(key.clone()),
        anchor_every_ms: 1,
        ..config(&root.path().join("store"))
    };
    let mut id = String::new();
    for round in 0..3 {
        let store = Store::open(&config).unwrap();
        store
            .commit(Batch { audit: vec![record(&format!("round {round}"))], ..Batch::default() })
            .await
            .unwrap();
        store.id().clone_into(&mut id);
        store.shutdown();
    }
    let read = || anchor::read_anchors(BufReader::new(std::fs::File::open(&path).unwrap())).unwrap();
    let anchors = read();
    assert!(anchors.len() >= 3, "at least one at each end");
    assert_eq!(anchors.last().map(|anchor| anchor.head.seq), Some(3));
    assert!(anchors.iter().all(|anchor| anchor.store == id));

    let mut export = Vec::new();
    let head = medic_store::export_audit(&config.dir, &mut export).unwrap();
    let verify = |anchors: Vec<Anchor>, trusted: &[_]| {
        verify_export_with(export.as_slice(), anchors, trusted).map_err(|error| error.code())
    };
    assert_eq!(verify(anchors.clone(), &[public]), Ok(head.clone()));
    let other = anchor::generate(&root.path().join("other")).unwrap();
    assert_eq!(verify(anchors.clone(), &[other]), Err("ANCHOR_UNTRUSTED"));
    let unsigned = Anchor::unsigned(&id, head.clone(), anchors[0].at);
    assert_eq!(verify(vec![unsigned.clone()], &[public]), Err("ANCHOR_UNSIGNED"));
    assert_eq!(verify(vec![unsigned], &[]), Ok(head.clone()), "nobody asked for a signature");
    let mut forged = anchors.clone();
    forged[0].head.hash = Digest::of_bytes(b"another story");
    assert_eq!(verify(forged.clone(), &[public]), Err("ANCHOR_FORGED"));
    assert_eq!(verify(forged, &[]), Err("AUDIT_CHAIN"));
    let signing = anchor::read_signing_key(&key).unwrap();
    let elsewhere = Anchor::sign("elsewhere", head.clone(), anchors[0].at, &signing);
    assert_eq!(verify([anchors, vec![elsewhere]].concat(), &[public]), Err("ANCHOR_OTHER_STORE"));

    // A key that others may read makes no anchors, and the store says so instead of making worthless ones.
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(Store::open(&config).map_err(|error| error.code()).err(), Some("ANCHOR_KEY_EXPOSED"));
}
