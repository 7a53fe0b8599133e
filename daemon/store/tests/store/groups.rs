//! Many at once, and what a group owes each of its operations.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::type_complexity,
    reason = "a test may be blunt"
)]

use crate::support::{config, effect, everything, open, record, refusal};
use medic_core::mail::{Address, Lane};
use medic_core::{EnvelopeId, IncidentId, TimestampMs};
use medic_ports::fake::journal_contract::{incident, letter};
use medic_ports::journal::{
    Batch, DeadLetter, DocumentWrite, EffectState, IncidentFilter, IncidentWrite, Slot, Table,
};
use medic_ports::{Journal, JournalError};
use medic_store::{Store, StoreConfig, check};
use std::collections::BTreeMap;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn senders_side_by_side_keep_their_order_and_share_their_dedup_keys() {
    const SENDERS: usize = 32;
    const LETTERS: usize = 20;
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path()));
    let tasks: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut told = Vec::new();
                for n in 0..LETTERS {
                    let own = letter(&format!("{sender:02}-{n:02}"), Address::Monitor, Lane::Normal);
                    let mut common = letter(&format!("common-{n:02}"), Address::Monitor, Lane::Approval);
                    common.id = EnvelopeId::new(format!("common-{n:02} of {sender:02}"));
                    let accepted = store.enqueue(vec![own, common]).await.unwrap();
                    assert!(!accepted[0].duplicate);
                    told.push((accepted[1].id.clone(), accepted[1].duplicate));
                }
                told
            })
        })
        .collect();
    let mut winners: BTreeMap<usize, Vec<EnvelopeId>> = BTreeMap::new();
    let mut first_ones = 0;
    for task in tasks {
        for (n, (id, duplicate)) in task.await.unwrap().into_iter().enumerate() {
            winners.entry(n).or_default().push(id);
            first_ones += usize::from(!duplicate);
        }
    }
    assert_eq!(first_ones, LETTERS, "each common letter was new exactly once");
    assert!(
        winners.values().all(|ids| ids.iter().all(|id| *id == ids[0])),
        "all were told of the same first one"
    );
    let mail = store.mail(Address::Monitor, Lane::Normal, 0, 10_000).unwrap();
    assert_eq!(mail.len(), SENDERS * LETTERS);
    for sender in 0..SENDERS {
        let prefix = format!("{sender:02}-");
        let sent: Vec<_> = mail.iter().filter(|envelope| envelope.id.as_str().starts_with(&prefix)).collect();
        assert!(sent.is_sorted_by(|a, b| a.id < b.id && a.seq < b.seq), "order of sender {sender}");
    }
    assert_eq!(store.mail(Address::Monitor, Lane::Approval, 0, 10_000).unwrap().len(), LETTERS);
    store.shutdown();
    assert!(check(dir.path()).unwrap().is_whole());
}

#[tokio::test]
async fn one_refused_operation_of_a_group_takes_no_other_down() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path()));
    store.commit(everything("contested")).await.unwrap();
    let write = |n: usize| Batch {
        incidents: vec![IncidentWrite { next: incident("contested", 2), expected_revision: Some(1) }],
        audit: vec![record(&format!("contested {n}"))],
        letters: vec![letter(&format!("contested {n}"), Address::Notifier, Lane::Normal)],
        ..Batch::default()
    };
    // While this one is being written, all the others gather and become one group.
    let slow =
        DocumentWrite { table: Table::Snapshot, key: "large".to_owned(), value: Some(vec![7; 16 << 20]) };
    let mut batches = vec![Batch { documents: vec![slow], ..Batch::default() }];
    for n in 0..64 {
        batches.extend([everything(&format!("alone-{n:02}")), write(n)]);
    }
    let tasks: Vec<_> = batches
        .into_iter()
        .map(|batch| {
            let store = Arc::clone(&store);
            let contested = batch.incidents.iter().any(|write| write.expected_revision.is_some());
            (contested, tokio::spawn(async move { store.commit(batch).await }))
        })
        .collect();
    let mut won = 0;
    for (contested, task) in tasks {
        match task.await.unwrap() {
            Ok(_) => won += usize::from(contested),
            Err(JournalError::Conflict { expected: 1, found: 2, .. }) if contested => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(
        store.mail(Address::Notifier, Lane::Normal, 0, 100).unwrap().len(),
        1,
        "the losers left nothing"
    );
    let all = IncidentFilter { limit: 1_000, live_only: true, ..IncidentFilter::default() };
    assert_eq!(store.incidents(&all).unwrap().len(), 65);
    assert_eq!(store.health().audit_head.seq, 66);
    store.shutdown();
    assert!(check(dir.path()).unwrap().is_whole());
}

#[tokio::test]
async fn an_envelope_is_handled_once_whoever_tries_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.enqueue(vec![letter("in", Address::Monitor, Lane::Normal)]).await.unwrap();
    let envelope = store.mail(Address::Monitor, Lane::Normal, 0, 1).unwrap().remove(0);
    let slot = Slot::of(&envelope);
    let handling = |name: &str| Batch { consumed: vec![slot], ..everything(name) };
    store.commit(handling("once")).await.unwrap();
    let head = store.health().audit_head;
    let burial = Batch {
        dead: vec![(slot, DeadLetter { envelope, error: "late".to_owned(), at: TimestampMs(1) })],
        ..Batch::default()
    };
    for again in [handling("twice"), burial] {
        let refused = store.commit(again).await.unwrap_err();
        assert_eq!(refused.code(), "REVISION_CONFLICT");
        assert!(refused.to_string().contains("mailbox:monitor/normal/1"), "{refused}");
    }
    assert_eq!(store.incident(&IncidentId::from("twice")), Ok(None));
    assert_eq!((store.health().audit_head, store.health().dead_letters), (head, 0));
}

#[tokio::test]
async fn an_approval_reaches_a_mailbox_that_a_storm_has_filled() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&StoreConfig { mailbox_envelopes_max: 100, ..config(dir.path()) }).unwrap();
    let mut inside = 0;
    for n in 0.. {
        let storm = vec![letter(&format!("storm {n}"), Address::Supervisor, Lane::Normal)];
        match store.commit(Batch { letters: storm, ..Batch::default() }).await {
            Ok(_) => inside += 1,
            Err(refused) => {
                assert_eq!(refused.code(), "MAILBOX_FULL");
                break;
            }
        }
    }
    assert_eq!(inside, 95);
    let outside = store.enqueue(vec![letter("alert", Address::Supervisor, Lane::Normal)]).await;
    assert!(matches!(outside, Err(JournalError::Full { to: Address::Supervisor, retry_after_ms: 1.. })));
    store.enqueue(vec![letter("approval", Address::Supervisor, Lane::Approval)]).await.unwrap();
}

#[tokio::test]
async fn a_nearly_full_disk_refuses_intake_and_lets_work_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&StoreConfig { low_space_bytes: u64::MAX, ..config(dir.path()) }).unwrap();
    let refused = store.enqueue(vec![letter("in", Address::Monitor, Lane::Normal)]).await;
    assert!(matches!(refused, Err(JournalError::LowSpace { retry_after_ms: 1.. })));
    assert!(store.health().low_space && store.health().writable);
    store.commit(everything("work")).await.unwrap();
    assert_eq!(store.mail(Address::Monitor, Lane::Normal, 0, 9).unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_under_load_loses_nothing_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path()));
    let tasks: Vec<_> = (0..16)
        .map(|sender| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for n in 0.. {
                    let name = format!("{sender}-{n}");
                    match store.enqueue(vec![letter(&name, Address::Monitor, Lane::Normal)]).await {
                        Ok(_) => acknowledged.push(name),
                        Err(JournalError::Stopped) => return acknowledged,
                        Err(JournalError::Full { .. }) => tokio::task::yield_now().await,
                        Err(other) => panic!("{other}"),
                    }
                }
                acknowledged
            })
        })
        .collect();
    while store.health().commit_seq < 200 {
        tokio::task::yield_now().await;
    }
    let closing = Arc::clone(&store);
    tokio::task::spawn_blocking(move || closing.shutdown()).await.unwrap();
    let mut acknowledged = Vec::new();
    for task in tasks {
        acknowledged.extend(task.await.unwrap());
    }
    assert!(acknowledged.len() > 100);
    assert_eq!(store.commit(everything("late")).await, Err(JournalError::Stopped));
    assert_eq!(store.incident(&IncidentId::from("late")), Err(JournalError::Stopped));
    assert!(!store.health().writable);
    let store = open(dir.path());
    let mail = store.mail(Address::Monitor, Lane::Normal, 0, usize::MAX).unwrap();
    let present: std::collections::BTreeSet<&str> =
        mail.iter().map(|envelope| envelope.id.as_str()).collect();
    assert!(acknowledged.iter().all(|name| present.contains(name.as_str())));
    store.shutdown();
    assert!(check(dir.path()).unwrap().is_whole());
}

#[tokio::test]
async fn a_directory_has_one_owner_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(check(dir.path()).unwrap_err().code(), "STORE_MISSING");
    let store = open(dir.path());
    assert_eq!(refusal(dir.path()), "STORE_IN_USE");
    assert_eq!(check(dir.path()).unwrap_err().code(), "STORE_IN_USE");
    store.commit(everything("kept")).await.unwrap();
    assert_eq!(store.boot_epoch(), 1);
    store.shutdown();
    store.shutdown();
    let store = open(dir.path());
    assert_eq!(store.boot_epoch(), 2);
    assert_eq!(
        store.effect(&effect("kept", EffectState::Intent).id),
        Ok(Some(effect("kept", EffectState::Intent)))
    );
}
