//! A disk that fails a sync: the store stops writing at once and for good, and says so.
//!
//! This binary defines `fdatasync` itself; the engine, linked statically, syncs its log through it. That needs unsafe code
//! and a process of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may be blunt"
)]
#![allow(unsafe_code, reason = "a failing disk is played by defining the C function that syncs")]

use medic_core::IncidentId;
use medic_core::mail::{Address, Lane};
use medic_ports::fake::journal_contract::{incident, letter};
use medic_ports::journal::{Batch, IncidentWrite};
use medic_ports::{Journal, JournalError};
use medic_store::{Store, StoreConfig, check};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static BROKEN: AtomicBool = AtomicBool::new(false);
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// # Safety
/// As the C function of that name: any descriptor may be given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdatasync(descriptor: libc::c_int) -> libc::c_int {
    if BROKEN.load(Ordering::SeqCst) {
        REFUSED.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the address of this thread's errno is always valid.
        unsafe { *libc::__errno_location() = libc::EIO };
        return -1;
    }
    // SAFETY: a plain system call on an integer.
    unsafe { libc::syscall(libc::SYS_fdatasync, descriptor) as libc::c_int }
}

fn opened(name: &str) -> Batch {
    let write = IncidentWrite { next: incident(name, 1), expected_revision: None };
    Batch { incidents: vec![write], ..Batch::default() }
}

#[tokio::test]
async fn after_one_failed_sync_nothing_is_written_and_a_restart_reads_again() {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig { dir: dir.path().to_owned(), low_space_bytes: 0, ..StoreConfig::default() };
    let store = Store::open(&config).unwrap();
    store.commit(opened("before")).await.unwrap();
    let before = store.health();

    BROKEN.store(true, Ordering::SeqCst);
    let failed = store.commit(opened("during")).await;
    assert!(matches!(failed, Err(JournalError::Storage(_))), "{failed:?}");
    assert!(REFUSED.load(Ordering::SeqCst) > 0, "the engine synced through this binary");
    let refused = REFUSED.load(Ordering::SeqCst);
    BROKEN.store(false, Ordering::SeqCst);

    // The disk is well again; the store does not trust it before a restart has read what is there.
    let health = store.health();
    assert!(!health.writable);
    assert_eq!((health.commit_seq, health.audit_head), (before.commit_seq, before.audit_head));
    for _ in 0..3 {
        let enqueued = store.enqueue(vec![letter("in", Address::Monitor, Lane::Normal)]).await;
        assert_eq!(enqueued.map_err(|error| error.code()), Err("STORE_FAILED"));
        assert_eq!(store.commit(opened("after")).await.map_err(|error| error.code()), Err("STORE_FAILED"));
    }
    assert_eq!(REFUSED.load(Ordering::SeqCst), refused, "nothing was even tried");
    assert!(store.incident(&IncidentId::from("before")).unwrap().is_some(), "reading goes on");
    store.shutdown();

    let store = Store::open(&config).unwrap();
    assert!(store.health().writable);
    assert!(store.incident(&IncidentId::from("before")).unwrap().is_some());
    assert_eq!(store.incident(&IncidentId::from("after")), Ok(None));
    // "during" may be there or not: its writer was told that this is unknown. Either way it can be written now.
    let expected_revision =
        store.incident(&IncidentId::from("during")).unwrap().map(|incident| incident.revision);
    let again = IncidentWrite { next: incident("during", 2), expected_revision };
    store.commit(Batch { incidents: vec![again], ..Batch::default() }).await.unwrap();
    store.shutdown();
    assert!(check(dir.path()).unwrap().is_whole());
}
