//! The store keeps what every journal owes.

use crate::support::{config, copy};
use async_trait::async_trait;
use medic_ports::fake::journal_contract::{self, JournalMaker};
use medic_store::{Store, StoreConfig, check, restore};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

struct Maker {
    root: tempfile::TempDir,
    made: Mutex<Vec<StoreConfig>>,
}

#[async_trait]
impl JournalMaker for Maker {
    type Journal = Store;

    async fn make(&self, envelopes_max: u64) -> Store {
        let mut made = self.made.lock().unwrap();
        let dir = self.root.path().join(made.len().to_string());
        made.push(StoreConfig { mailbox_envelopes_max: envelopes_max, ..config(&dir) });
        Store::open(made.last().unwrap()).unwrap()
    }

    async fn reopen(&self, journal: Store) -> Store {
        journal.shutdown();
        let made = self.made.lock().unwrap();
        Store::open(made.last().unwrap()).unwrap()
    }

    /// The directory as a kill would leave it: copied while the store is open.
    async fn crash(&self, journal: Store) -> Store {
        let (from, next) = self.next();
        copy(&from, &next.dir);
        journal.shutdown();
        Store::open(&next).unwrap()
    }

    async fn restore(&self, journal: Store) -> Store {
        let (_, next) = self.next();
        let backup = next.dir.with_extension("backup");
        journal.backup(&backup).unwrap();
        journal.shutdown();
        restore(&backup, &next.dir).unwrap();
        Store::open(&next).unwrap()
    }
}

impl Maker {
    /// Where the last store is, and the configuration of one that takes its place.
    fn next(&self) -> (PathBuf, StoreConfig) {
        let mut made = self.made.lock().unwrap();
        let last = made.last().unwrap().clone();
        let next = StoreConfig { dir: self.root.path().join(made.len().to_string()), ..last.clone() };
        made.push(next.clone());
        (last.dir, next)
    }
}

#[tokio::test]
async fn the_store_keeps_what_every_journal_owes() {
    let maker = Maker { root: tempfile::tempdir().unwrap(), made: Mutex::new(Vec::new()) };
    journal_contract::all(&maker).await;
    // What the contract left behind is whole from end to end.
    let dirs: Vec<PathBuf> = maker.made.lock().unwrap().iter().map(|config| config.dir.clone()).collect();
    assert!(dirs.len() > 15);
    for dir in dirs {
        whole(&dir);
    }
}

fn whole(dir: &Path) {
    let report = check(dir).unwrap();
    assert!(report.is_whole(), "{:?}", report.faults);
    assert!(report.witnessed_commit_seq == report.commit_seq, "an orderly end leaves the witness up to date");
}
