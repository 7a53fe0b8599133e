//! A disk that is full for a while: nothing acknowledged is lost, nobody is told a lie, and no restart is needed.
//!
//! This binary defines `write` itself; the engine, linked statically, appends to its files through it. That needs unsafe
//! code and a process of its own. One test: what it breaks is broken for the whole process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may be blunt"
)]
#![allow(unsafe_code, reason = "a full disk is played by defining the C function that appends to files")]

use medic_core::IncidentId;
use medic_core::mail::{Address, Lane};
use medic_ports::fake::journal_contract::{incident, letter};
use medic_ports::journal::{Batch, IncidentWrite};
use medic_ports::{Journal, JournalError};
use medic_store::{Store, StoreConfig, check};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

static FULL: AtomicBool = AtomicBool::new(false);
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// # Safety
/// As the C function of that name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(descriptor: libc::c_int, bytes: *const libc::c_void, count: usize) -> isize {
    if FULL.load(Ordering::SeqCst) && is_of_a_database(descriptor) {
        REFUSED.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the address of this thread's errno is always valid.
        unsafe { *libc::__errno_location() = libc::ENOSPC };
        return -1;
    }
    // SAFETY: the caller's own arguments, handed on to the system call.
    unsafe { libc::syscall(libc::SYS_write, descriptor, bytes, count) as isize }
}

fn is_of_a_database(descriptor: libc::c_int) -> bool {
    let path = std::fs::read_link(format!("/proc/self/fd/{descriptor}"));
    path.is_ok_and(|path| path.parent().is_some_and(|dir| dir.ends_with("db")))
}

fn opened(name: &str) -> Batch {
    let write = IncidentWrite { next: incident(name, 1), expected_revision: None };
    Batch { incidents: vec![write], ..Batch::default() }
}

/// Far above what any of this takes.
const LONG: Duration = Duration::from_secs(120);

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(LONG, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}");
}

fn commit(store: &Arc<Store>, name: &str) -> tokio::task::JoinHandle<Result<(), JournalError>> {
    let (store, batch) = (Arc::clone(store), opened(name));
    tokio::spawn(async move { store.commit(batch).await.map(|_| ()) })
}

fn there(dir: &Path, config: &StoreConfig, name: &str) -> bool {
    assert!(check(dir).unwrap().is_whole());
    let store = Store::open(config).unwrap();
    store.incident(&IncidentId::from(name)).unwrap().is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_wait_for_room_and_go_on_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig {
        dir: dir.path().to_owned(),
        low_space_bytes: 0,
        slow_sync_ms: 200,
        ..StoreConfig::default()
    };
    let store = Arc::new(Store::open(&config).unwrap());
    store.commit(opened("before")).await.unwrap();
    let ballast = dir.path().join("BALLAST");
    assert_eq!(std::fs::metadata(&ballast).unwrap().len(), config.ballast_bytes);

    FULL.store(true, Ordering::SeqCst);
    let during = commit(&store, "during");
    let behind = commit(&store, "behind");
    until("the store says that it is full", || store.health().low_space).await;
    assert!(REFUSED.load(Ordering::SeqCst) > 0, "the engine wrote through this binary");
    until("the ballast is given up", || !ballast.exists()).await;
    until("a write that waits is a slow one", || store.health().sync_slow).await;
    let refused = store.enqueue(vec![letter("in", Address::Monitor, Lane::Normal)]).await;
    assert_eq!(refused.map_err(|error| error.code()), Err("STORE_LOW_SPACE"));
    assert!(store.health().writable, "this heals");
    assert!(store.incident(&IncidentId::from("before")).unwrap().is_some(), "reading goes on");
    let tried = REFUSED.load(Ordering::SeqCst);
    until("it is tried again", || REFUSED.load(Ordering::SeqCst) > tried + 2).await;
    assert!(!during.is_finished() && !behind.is_finished(), "nobody is told what is not known");
    assert_eq!(store.incident(&IncidentId::from("during")), Ok(None));

    FULL.store(false, Ordering::SeqCst);
    tokio::time::timeout(LONG, during).await.unwrap().unwrap().unwrap();
    tokio::time::timeout(LONG, behind).await.unwrap().unwrap().unwrap();
    until("intake is open again", || !store.health().low_space).await;
    store.enqueue(vec![letter("in", Address::Monitor, Lane::Normal)]).await.unwrap();
    until("room is held back again", || ballast.exists()).await;
    for name in ["before", "during", "behind"] {
        assert_eq!(store.incident(&IncidentId::from(name)).unwrap().unwrap().revision, 1, "{name}");
    }
    assert_eq!(store.health().incidents.values().sum::<u64>(), 3, "written twice is written once");

    // Closed while it waits: the writer is told that the outcome is unknown, and a restart knows it.
    FULL.store(true, Ordering::SeqCst);
    let last = commit(&store, "last");
    until("it is full again", || store.health().low_space).await;
    let closing = Arc::clone(&store);
    tokio::time::timeout(LONG, tokio::task::spawn_blocking(move || closing.shutdown()))
        .await
        .unwrap()
        .unwrap();
    let told = tokio::time::timeout(LONG, last).await.unwrap().unwrap();
    assert_eq!(told.map_err(|error| error.code()), Err("STORE_FAILED"));
    drop(store);
    FULL.store(false, Ordering::SeqCst);
    there(dir.path(), &config, "last");
    for name in ["before", "during", "behind"] {
        assert!(there(dir.path(), &config, name), "{name}");
    }
}
