//! What is over leaves in its time, into the archive, and nothing that is still wanted goes with it.

use crate::support::{config, copy, effect, open, record};
use medic_core::audit::AuditRecord;
use medic_core::effect::{TimerChange, TimerKind};
use medic_core::grouping::{Episode, OpenGroup};
use medic_core::incident::TrackedAlert;
use medic_core::mail::{Address, Body, Lane, Letter};
use medic_core::phase::Resolution;
use medic_core::replay::export::Export;
use medic_core::{
    Alert, AlertStatus, Digest, Effect, EffectId, Incident, IncidentId, Labels, Phase, PhaseName, TimestampMs,
};
use medic_ports::Journal;
use medic_ports::fake::journal_contract::{decided, incident, letter};
use medic_ports::journal::{
    Batch, DeadLetter, DocumentWrite, EffectState, IncidentFilter, IncidentWrite, Slot, Table,
};
use medic_store::{RetentionConfig, Store, StoreConfig, check};
use std::path::Path;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const NOW: TimestampMs = TimestampMs(1_000 * DAY_MS);

fn days_ago(days: u64) -> TimestampMs {
    NOW.before_ms(days * DAY_MS)
}

fn alert(name: &str) -> Alert {
    let labels = Labels::from([("alertname", name)]);
    Alert {
        fingerprint: labels.fingerprint(),
        status: AlertStatus::Resolved,
        labels,
        annotations: Labels::default(),
        starts_at: TimestampMs(1),
        ends_at: None,
        expression: None,
    }
}

fn document(table: Table, key: &str, value: &impl serde::Serialize) -> DocumentWrite {
    DocumentWrite { table, key: key.to_owned(), value: Some(serde_json::to_vec(value).unwrap()) }
}

/// A whole incident that ended `days` ago, with a row in every table, all of it over.
fn finished(id: &str, days: u64) -> Batch {
    let at = days_ago(days);
    let alert = alert(id);
    let fingerprint = alert.fingerprint.clone();
    let tracked = TrackedAlert { alert, repeats: 0, first_at: at, last_at: at };
    let next = Incident {
        phase: Phase::Resolved { at, how: Resolution::ByItself },
        group: format!("group of {id}"),
        alerts: [(fingerprint.clone(), tracked)].into(),
        ..incident(id, 1)
    };
    let id = next.id.clone();
    let episode = Episode {
        fingerprint: fingerprint.clone(),
        starts_at: TimestampMs(1),
        status: AlertStatus::Resolved,
        incident: id.clone(),
        repeats: 0,
    };
    let open = OpenGroup { incident: id.clone(), last_joined_at: at };
    let of = |state| effect(id.as_str(), state);
    Batch {
        decided: vec![medic_core::replay::Decided { state: Digest::of(&next), ..decided(id.as_str(), 1) }],
        documents: vec![
            document(Table::Snapshot, &format!("{id}/one"), &1),
            document(Table::Snapshot, &format!("{id}/two"), &2),
            document(Table::Group, &next.group, &open),
            document(Table::Episode, fingerprint.as_str(), &episode),
        ],
        effects: vec![of(EffectState::Started), of(EffectState::Done)],
        audit: vec![AuditRecord { incident: Some(id.clone()), at, ..record(id.as_str()) }],
        incidents: vec![IncidentWrite { next, expected_revision: None }],
        ..Batch::default()
    }
}

fn ids(store: &Store) -> Vec<String> {
    let all = IncidentFilter { limit: 10_000, ..IncidentFilter::default() };
    let mut ids: Vec<_> =
        store.incidents(&all).unwrap().iter().map(|incident| incident.id.to_string()).collect();
    ids.sort();
    ids
}

fn whole(dir: &Path) {
    let report = check(dir).unwrap();
    assert!(report.is_whole(), "{:?}", report.faults);
}

#[tokio::test]
async fn a_finished_incident_is_archived_and_then_gone_and_no_other() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let store = open(&dir);
    for (id, days) in [("old", 91), ("older", 400), ("young", 89), ("ol", 91)] {
        store.commit(finished(id, days)).await.unwrap();
    }
    let live = IncidentWrite { next: incident("live", 1), expected_revision: None };
    store.commit(Batch { incidents: vec![live], ..Batch::default() }).await.unwrap();
    // Its group was opened anew by a younger incident: that memory stays.
    let reopened = OpenGroup { incident: IncidentId::from("young"), last_joined_at: NOW };
    let documents = vec![document(Table::Group, "group of older", &reopened)];
    store.commit(Batch { documents, ..Batch::default() }).await.unwrap();
    let before = store.health();
    let wanted = store.audit_of(&IncidentId::from("old"), 0, 9).unwrap();

    let report = store.sweep(NOW);
    assert_eq!((report.incidents, report.incidents_held, report.more), (3, 0, false), "{report:?}");
    assert_eq!(ids(&store), ["live", "young"]);
    let old = IncidentId::from("old");
    assert_eq!(store.incident(&old), Ok(None));
    assert_eq!(store.effect(&effect("old", EffectState::Done).id), Ok(None));
    assert_eq!(store.decided(&old, 0, 9), Ok(Vec::new()));
    for key in ["old/one", "old/two"] {
        assert_eq!(store.document(Table::Snapshot, key), Ok(None));
        assert!(store.document(Table::Snapshot, &key.replace("old", "young")).unwrap().is_some());
    }
    let fingerprint = |id: &str| alert(id).fingerprint.to_string();
    assert_eq!(
        store.document(Table::Episode, &fingerprint("old")),
        Ok(None),
        "no alert is sent to it any more"
    );
    assert_eq!(store.document(Table::Group, "group of old"), Ok(None));
    assert!(store.document(Table::Group, "group of older").unwrap().is_some());
    assert!(store.document(Table::Episode, &fingerprint("young")).unwrap().is_some());

    // The chain only grew, and says where the incident went.
    assert_eq!(store.health().audit_head.seq, before.audit_head.seq + 3);
    assert!(store.audit(1, 99).unwrap().starts_with(&wanted));
    let left = store.audit_of(&old, 0, 9).unwrap();
    let [retired] = left.as_slice() else { panic!("{left:?}") };
    assert_eq!((retired.record.kind.as_str(), retired.record.at), ("retired", NOW));
    let file = root.path().join("archive").join(retired.record.detail["archive"].as_str().unwrap());
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(retired.record.detail["digest"], serde_json::json!(Digest::of_bytes(text.as_bytes())));
    let export = Export::read(&text).unwrap();
    assert_eq!((export.footer.state.id.clone(), export.decided.len()), (old, 1));
    assert_eq!(export.audit.iter().map(|line| line.audit.clone()).collect::<Vec<_>>(), wanted);
    let counted = store.health().incidents;
    assert_eq!(
        (counted.get(&PhaseName::Resolved), counted.get(&PhaseName::AlertReceived)),
        (Some(&1), Some(&1))
    );

    let again = store.sweep(NOW);
    assert_eq!((again.incidents, again.incidents_held), (0, 0));
    assert_eq!(store.sweep(NOW.after_ms(2 * DAY_MS)).incidents, 1, "the young one's time comes");
    store.shutdown();
    whole(&dir);
    assert_eq!(ids(&open(&dir)), ["live"]);
}

#[tokio::test]
async fn nothing_that_is_still_to_come_is_let_go() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let store = open(&dir);
    for id in ["effect", "timer", "order", "event", "free"] {
        store.commit(finished(id, 100)).await.unwrap();
    }
    let order = |id: &str| Letter {
        body: Body::Order {
            id: EffectId { incident: IncidentId::from(id), revision: 1, index: 9 },
            effect: Effect::Gather { not_before: NOW },
        },
        ..letter(id, Address::Notifier, Lane::Normal)
    };
    let kind = TimerKind::PhaseDeadline;
    let id = EffectId { index: 9, ..effect("effect", EffectState::Started).id };
    let open_effect = medic_ports::journal::EffectRecord { id, ..effect("effect", EffectState::Started) };
    let held = Batch {
        effects: vec![open_effect.clone()],
        timers: vec![(IncidentId::from("timer"), TimerChange::Set { kind, due: NOW })],
        letters: vec![order("order"), Letter { lane: Lane::Control, ..order("event") }],
        ..Batch::default()
    };
    store.commit(held).await.unwrap();
    let report = store.sweep(NOW);
    assert_eq!((report.incidents, report.incidents_held), (1, 4), "{report:?}");
    assert_eq!(ids(&store), ["effect", "event", "order", "timer"]);
    let archived = std::fs::read_dir(root.path().join("archive")).unwrap().count();
    assert_eq!(archived, 1, "what stays is not archived either");

    let mail = store.mail(Address::Notifier, Lane::Normal, 0, 9).unwrap();
    let control = store.mail(Address::Notifier, Lane::Control, 0, 9).unwrap();
    let over = Batch {
        consumed: mail.iter().chain(&control).map(Slot::of).collect(),
        timers: vec![(IncidentId::from("timer"), TimerChange::Cancel { kind })],
        effects: vec![medic_ports::journal::EffectRecord { state: EffectState::Unknown, ..open_effect }],
        ..Batch::default()
    };
    store.commit(over).await.unwrap();
    assert_eq!(store.sweep(NOW).incidents, 4);
    assert_eq!(ids(&store), [] as [&str; 0]);
    store.shutdown();
    whole(&dir);
}

#[tokio::test]
async fn one_call_does_a_bounded_piece_and_the_next_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let store = open(&dir);
    for n in 0..75 {
        store.commit(finished(&format!("{n:03}"), 100)).await.unwrap();
    }
    let told: Vec<_> =
        (0..4).map(|_| store.sweep(NOW)).map(|report| (report.incidents, report.more)).collect();
    assert_eq!(told, [(32, true), (32, true), (11, false), (0, false)]);
    assert_eq!(std::fs::read_dir(root.path().join("archive")).unwrap().count(), 75);
    store.shutdown();
    whole(&dir);
}

#[tokio::test]
async fn ended_between_archive_and_deletion_it_is_archived_again_into_the_same_file() {
    let root = tempfile::tempdir().unwrap();
    let (dir, image) = (root.path().join("store"), root.path().join("image"));
    let store = open(&dir);
    store.commit(finished("one", 100)).await.unwrap();
    // As a kill between the two leaves it: the file is there, maybe torn, and nothing is deleted.
    copy(&dir, &image);
    assert_eq!(store.sweep(NOW).incidents, 1);
    let archive = root.path().join("archive");
    let first = std::fs::read(archive.join("one.jsonl")).unwrap();
    std::fs::write(archive.join("one.jsonl"), &first[..40]).unwrap();
    std::fs::write(archive.join("one.jsonl.part"), "torn").unwrap();
    store.shutdown();
    let store = open(&image);
    assert_eq!(store.sweep(NOW).incidents, 1);
    assert_eq!(std::fs::read(archive.join("one.jsonl")).unwrap(), first);
    assert_eq!(std::fs::read_dir(&archive).unwrap().count(), 1);
}

#[tokio::test]
async fn an_archive_that_cannot_be_written_lets_nothing_go() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    std::fs::write(root.path().join("archive"), "a file where the directory should be").unwrap();
    let store = open(&dir);
    store.commit(finished("one", 100)).await.unwrap();
    let report = store.sweep(NOW);
    assert_eq!(report.stopped.map(|error| error.code()), Some("ARCHIVE_FAILED"));
    assert_eq!((report.incidents, ids(&store)), (0, vec!["one".to_owned()]));
}

#[tokio::test]
async fn keys_answers_and_dead_letters_go_by_age_and_a_waiting_letter_keeps_its_key() {
    let root = tempfile::tempdir().unwrap();
    let retention =
        RetentionConfig { archive_dir: Some(root.path().join("elsewhere")), ..RetentionConfig::default() };
    let store = Store::open(&StoreConfig { retention, ..config(&root.path().join("store")) }).unwrap();
    let at = |name: &str, days| Letter { at: days_ago(days), ..letter(name, Address::Monitor, Lane::Normal) };
    let consume = || {
        let mail = store.mail(Address::Monitor, Lane::Normal, 0, 9).unwrap();
        Batch { consumed: mail.iter().map(Slot::of).collect(), ..Batch::default() }
    };
    // Before the letters: an answer is as old as the latest time the journal knew.
    for (key, days) in [("first", 8), ("second", 6)] {
        let audit = vec![AuditRecord { at: days_ago(days), ..record(key) }];
        let documents = vec![document(Table::Answer, key, &key)];
        store.commit(Batch { audit, documents, ..Batch::default() }).await.unwrap();
    }
    store.enqueue(vec![at("old", 8), at("young", 6)]).await.unwrap();
    store.commit(consume()).await.unwrap();
    store.enqueue(vec![at("waiting", 9), at("handled", 10)]).await.unwrap();
    let mail = store.mail(Address::Monitor, Lane::Normal, 0, 9).unwrap();
    store.commit(Batch { consumed: vec![Slot::of(&mail[1])], ..Batch::default() }).await.unwrap();
    let is_known = async |name: &str| store.enqueue(vec![at(name, 0)]).await.unwrap()[0].duplicate;

    let report = store.sweep(NOW);
    // "old" is older than its time, and younger than a letter that still waits: it stays to be on the safe side.
    assert_eq!((report.dedup_keys, report.answers), (1, 1), "{report:?}");
    assert!(!is_known("handled").await);
    assert!(is_known("waiting").await && is_known("young").await && is_known("old").await);
    assert_eq!(store.document(Table::Answer, "first"), Ok(None));
    assert_eq!(store.document(Table::Answer, "second"), Ok(Some(b"\"second\"".to_vec())));
    store.commit(consume()).await.unwrap();
    assert_eq!(store.sweep(NOW).dedup_keys, 2);
    assert!(is_known("young").await && !is_known("waiting").await && !is_known("old").await);

    let mail = store.mail(Address::Monitor, Lane::Normal, 0, 9).unwrap();
    let bury = |n: usize, days| {
        let envelope = mail[n].clone();
        (Slot::of(&envelope), DeadLetter { envelope, error: "late".to_owned(), at: days_ago(days) })
    };
    store.commit(Batch { dead: vec![bury(0, 91), bury(1, 89)], ..Batch::default() }).await.unwrap();
    let head = store.health().audit_head.seq;
    assert_eq!(store.sweep(NOW).dead_letters, 1);
    assert_eq!((store.health().dead_letters, store.dead_letters(9).unwrap().len()), (1, 1));
    let told = store.audit(head + 1, 9).unwrap();
    assert_eq!(told.iter().map(|c| c.record.subject.as_str()).collect::<Vec<_>>(), ["dead letters"]);
    store.shutdown();
    whole(&root.path().join("store"));
}
