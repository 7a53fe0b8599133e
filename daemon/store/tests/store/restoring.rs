//! A backup taken while the store serves, and put back.

use crate::support::{copy, everything, open};
use medic_core::mail::{Address, Lane};
use medic_ports::Journal;
use medic_ports::fake::journal_contract::letter;
use medic_store::{Store, check, restore};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_taken_under_load_are_whole_and_hold_what_was_acknowledged_before() {
    const WRITERS: usize = 6;
    let root = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&root.path().join("store")));
    let ended = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(std::sync::Mutex::new(Vec::new()));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (store, ended) = (Arc::clone(&store), Arc::clone(&ended));
            let acknowledged = Arc::clone(&acknowledged);
            tokio::spawn(async move {
                for n in 0.. {
                    let name = format!("{writer}-{n}");
                    if writer % 2 == 0 {
                        store.commit(everything(&name)).await.unwrap();
                    } else {
                        store.enqueue(vec![letter(&name, Address::Monitor, Lane::Normal)]).await.unwrap();
                    }
                    acknowledged.lock().unwrap().push(name);
                    if ended.load(Ordering::SeqCst) {
                        return;
                    }
                }
            })
        })
        .collect();
    let mut seen = Vec::new();
    for n in 0..4 {
        while acknowledged.lock().unwrap().len() < (n + 1) * 50 {
            tokio::task::yield_now().await;
        }
        let before = acknowledged.lock().unwrap().clone();
        let (store, to) = (Arc::clone(&store), root.path().join(format!("copy-{n}")));
        let copied = to.clone();
        tokio::task::spawn_blocking(move || store.backup(&copied).unwrap()).await.unwrap();
        seen.push((before, to));
    }
    ended.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    for (before, copy) in seen {
        let report = check(&copy).unwrap();
        assert!(report.is_whole(), "{:?}", report.faults);
        let target = copy.with_extension("restored");
        let restored = restore(&copy, &target).unwrap();
        assert_eq!((restored.commit_seq, &restored.audit_head), (report.commit_seq, &report.audit_head));
        let store = open(&target);
        let names: BTreeSet<String> = [Address::Monitor, Address::Executor]
            .into_iter()
            .flat_map(|to| store.mail(to, Lane::Normal, 0, usize::MAX).unwrap())
            .map(|envelope| envelope.id.to_string())
            .collect();
        for name in before {
            assert!(names.contains(&name), "{name} was acknowledged before the backup began");
        }
    }
}

#[tokio::test]
async fn what_is_not_a_whole_backup_is_not_put_back() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    let code = |from: &Path, to: &Path| restore(from, to).map(|_| "restored").unwrap_or_else(|e| e.code());
    let store = open(&path("store"));
    for n in 0..50 {
        store.commit(everything(&format!("{n:02}"))).await.unwrap();
    }
    store.backup(&path("backup")).unwrap();
    assert_eq!(code(&path("store"), &path("to")), "STORE_IN_USE", "a running store is no backup");
    assert_eq!(code(&path("nothing"), &path("to")), "STORE_MISSING");
    assert!(!path("to").exists(), "nothing was made for what cannot be restored");

    copy(&path("backup"), &path("headless"));
    std::fs::remove_file(path("headless").join("HEAD")).unwrap();
    assert_eq!(code(&path("headless"), &path("to")), "RESTORE_BACKUP_DAMAGED");
    copy(&path("backup"), &path("flipped"));
    let tables = std::fs::read_dir(path("flipped").join("db")).unwrap().map(|entry| entry.unwrap().path());
    let table = tables
        .filter(|path| path.extension().is_some_and(|ext| ext == "sst"))
        .max_by_key(|path| std::fs::metadata(path).unwrap().len());
    let table = table.unwrap();
    let mut bytes = std::fs::read(&table).unwrap();
    let middle = bytes.len() / 4;
    bytes[middle] ^= 1;
    std::fs::write(&table, bytes).unwrap();
    let refused = code(&path("flipped"), &path("to"));
    assert!(["RESTORE_BACKUP_DAMAGED", "STORE_CORRUPT"].contains(&refused), "{refused}");

    std::fs::create_dir(path("taken")).unwrap();
    std::fs::write(path("taken").join("precious"), "mine").unwrap();
    assert_eq!(code(&path("backup"), &path("taken")), "RESTORE_NOT_EMPTY");
    assert_eq!(std::fs::read_to_string(path("taken").join("precious")).unwrap(), "mine");
    assert_eq!(code(&path("backup"), &path("store")), "STORE_IN_USE");
    store.shutdown();
    assert_eq!(code(&path("backup"), &path("store")), "RESTORE_NOT_EMPTY", "a store is never written over");

    assert_eq!(code(&path("backup"), &path("to")), "restored");
    let report = restore(&path("backup"), &path("again")).unwrap();
    assert_eq!((report.next_epoch, report.open_effects), (2, 50));
    let again: Store = open(&path("again"));
    assert_eq!((again.boot().epoch, again.boot().restored), (2, true));
    assert_eq!(again.health().open_effects, 0);
    assert_eq!(again.health().audit_head.seq, report.audit_head.seq + 51);
}
