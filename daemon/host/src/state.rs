//! Bytes a tool keeps between its calls.
//!
//! Owns quota, expiry and privacy: a tool sees what it kept itself, and nothing of any other. Two stores: the daemon's
//! journal, which a restart does not forget, and memory, for calls without a daemon.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use medic_core::TimestampMs;
use medic_ports::Journal;
use medic_ports::journal::{Batch, DocumentWrite, Table};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

/// 256 entries and 256 KiB for one tool: a baseline or a cursor, not a database.
const ENTRIES_MAX: usize = 256;
const BYTES_MAX: usize = 256 * 1024;
const KEY_BYTES_MAX: usize = 256;
/// 30 days.
const TTL_MS_MAX: u64 = 30 * 24 * 3600 * 1000;

/// Private to one tool of one plugin; never shared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    pub plugin: String,
    pub tool: String,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    #[error("state of this tool: {what} {used}, the limit is {limit}")]
    Quota { what: &'static str, used: usize, limit: usize },
    #[error("state of this tool cannot be reached: {0}")]
    Storage(String),
}

/// Where the bytes are.
#[async_trait]
pub trait StateStore: Send + Sync + 'static {
    async fn get(&self, owner: &Owner, key: &str, now: TimestampMs) -> Result<Option<Vec<u8>>, StateError>;
    /// # Errors
    /// [`StateError`]; the old value stays.
    async fn set(
        &self,
        owner: &Owner,
        key: &str,
        value: Vec<u8>,
        ttl_ms: u64,
        now: TimestampMs,
    ) -> Result<(), StateError>;
    /// Everything of one tool, when its plugin is uninstalled.
    async fn forget(&self, owner: &Owner) -> Result<(), StateError>;
}

/// What one tool keeps, without the bytes: enough to hold it to its quota.
#[derive(Default, Serialize, Deserialize)]
struct Ledger {
    entries: BTreeMap<String, Kept>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Kept {
    bytes: usize,
    until: TimestampMs,
}

impl Ledger {
    fn is_there(&self, key: &str, now: TimestampMs) -> bool {
        self.entries.get(key).is_some_and(|kept| now < kept.until)
    }

    /// Takes a value in; answers the keys whose time was over.
    fn take_in(
        &mut self,
        key: &str,
        bytes: usize,
        ttl_ms: u64,
        now: TimestampMs,
    ) -> Result<Vec<String>, StateError> {
        let quota = |what, used, limit| Err(StateError::Quota { what, used, limit });
        if key.len() > KEY_BYTES_MAX {
            return quota("key bytes", key.len(), KEY_BYTES_MAX);
        }
        let over = |kept: &Kept| now >= kept.until;
        let live = || self.entries.iter().filter(|(name, kept)| name.as_str() != key && !over(kept));
        let count = live().count() + 1;
        if count > ENTRIES_MAX {
            return quota("entries", count, ENTRIES_MAX);
        }
        let total = live().map(|(name, kept)| name.len() + kept.bytes).sum::<usize>() + key.len() + bytes;
        if total > BYTES_MAX {
            return quota("bytes", total, BYTES_MAX);
        }
        let gone: Vec<String> = self
            .entries
            .iter()
            .filter(|(name, kept)| over(kept) && name.as_str() != key)
            .map(|(name, _)| name.clone())
            .collect();
        self.entries.retain(|name, _| !gone.contains(name));
        let until = now.after_ms(ttl_ms.min(TTL_MS_MAX));
        self.entries.insert(key.to_owned(), Kept { bytes, until });
        Ok(gone)
    }
}

type Values = HashMap<String, Vec<u8>>;

/// Forgets with the process.
#[derive(Default)]
pub struct MemoryState {
    tools: std::sync::Mutex<HashMap<Owner, (Ledger, Values)>>,
}

#[async_trait]
impl StateStore for MemoryState {
    async fn get(&self, owner: &Owner, key: &str, now: TimestampMs) -> Result<Option<Vec<u8>>, StateError> {
        let tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = tools.get(owner).filter(|(ledger, _)| ledger.is_there(key, now));
        Ok(kept.and_then(|(_, values)| values.get(key)).cloned())
    }

    async fn set(
        &self,
        owner: &Owner,
        key: &str,
        value: Vec<u8>,
        ttl_ms: u64,
        now: TimestampMs,
    ) -> Result<(), StateError> {
        let mut tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        let (ledger, values) = tools.entry(owner.clone()).or_default();
        for gone in ledger.take_in(key, value.len(), ttl_ms, now)? {
            values.remove(&gone);
        }
        values.insert(key.to_owned(), value);
        Ok(())
    }

    async fn forget(&self, owner: &Owner) -> Result<(), StateError> {
        self.tools.lock().unwrap_or_else(PoisonError::into_inner).remove(owner);
        Ok(())
    }
}

/// Rows of the journal's table of tool state: `<plugin>/<tool>` is the ledger, `<plugin>/<tool>/<key>` a value. Neither
/// name can hold a slash, so that no key reaches into another tool's rows.
pub struct JournalState {
    journal: Arc<dyn Journal>,
    /// A ledger is read, changed and written back as one.
    writing: Mutex<()>,
}

impl JournalState {
    pub fn new(journal: Arc<dyn Journal>) -> Self {
        Self { journal, writing: Mutex::new(()) }
    }

    fn ledger(&self, owner: &Owner) -> Result<Ledger, StateError> {
        let Some(bytes) = self.read(&ledger_key(owner))? else { return Ok(Ledger::default()) };
        serde_json::from_slice(&bytes).map_err(storage)
    }

    fn read(&self, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.journal.document(Table::ToolState, key).map_err(storage)
    }

    async fn write(&self, documents: Vec<DocumentWrite>) -> Result<(), StateError> {
        self.journal.commit(Batch { documents, ..Batch::default() }).await.map(drop).map_err(storage)
    }
}

fn ledger_key(owner: &Owner) -> String {
    format!("{}/{}", owner.plugin, owner.tool)
}

fn row(key: String, value: Option<Vec<u8>>) -> DocumentWrite {
    DocumentWrite { table: Table::ToolState, key, value }
}

fn storage(error: impl std::fmt::Display) -> StateError {
    StateError::Storage(error.to_string())
}

#[async_trait]
impl StateStore for JournalState {
    async fn get(&self, owner: &Owner, key: &str, now: TimestampMs) -> Result<Option<Vec<u8>>, StateError> {
        if !self.ledger(owner)?.is_there(key, now) {
            return Ok(None);
        }
        self.read(&format!("{}/{key}", ledger_key(owner)))
    }

    async fn set(
        &self,
        owner: &Owner,
        key: &str,
        value: Vec<u8>,
        ttl_ms: u64,
        now: TimestampMs,
    ) -> Result<(), StateError> {
        let _one_at_a_time = self.writing.lock().await;
        let mut ledger = self.ledger(owner)?;
        let gone = ledger.take_in(key, value.len(), ttl_ms, now)?;
        let prefix = ledger_key(owner);
        let mut rows: Vec<_> = gone.into_iter().map(|key| row(format!("{prefix}/{key}"), None)).collect();
        rows.push(row(format!("{prefix}/{key}"), Some(value)));
        rows.push(row(prefix, Some(serde_json::to_vec(&ledger).map_err(storage)?)));
        self.write(rows).await
    }

    async fn forget(&self, owner: &Owner) -> Result<(), StateError> {
        let _one_at_a_time = self.writing.lock().await;
        let (ledger, prefix) = (self.ledger(owner)?, ledger_key(owner));
        if ledger.entries.is_empty() {
            return Ok(());
        }
        let mut rows: Vec<_> =
            ledger.entries.keys().map(|key| row(format!("{prefix}/{key}"), None)).collect();
        rows.push(row(prefix, None));
        self.write(rows).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use medic_ports::fake::FakeJournal;

    fn owner(tool: &str) -> Owner {
        Owner { plugin: "p".into(), tool: tool.into() }
    }

    fn stores() -> [Box<dyn StateStore>; 2] {
        let journal = Arc::new(FakeJournal::new());
        [Box::new(MemoryState::default()), Box::new(JournalState::new(journal))]
    }

    #[tokio::test]
    async fn state_is_private_expires_and_can_be_forgotten() {
        for state in stores() {
            let get = async |tool: &str, key: &str, at| {
                state.get(&owner(tool), key, TimestampMs(at)).await.unwrap()
            };
            state.set(&owner("a"), "k", b"v".to_vec(), 10, TimestampMs(0)).await.unwrap();
            assert_eq!(get("a", "k", 9).await, Some(b"v".to_vec()));
            assert_eq!(get("a", "k", 10).await, None);
            assert_eq!(get("b", "k", 0).await, None);
            state.set(&owner("a"), "later", b"x".to_vec(), 10, TimestampMs(20)).await.unwrap();
            state.forget(&owner("a")).await.unwrap();
            assert_eq!(get("a", "later", 21).await, None);
        }
    }

    #[tokio::test]
    async fn a_full_quota_refuses_and_keeps_what_was_there() {
        for state in stores() {
            let set = async |key: &str, bytes: usize| {
                state.set(&owner("a"), key, vec![7; bytes], 1000, TimestampMs(0)).await
            };
            let quota = |refused: Result<(), StateError>| match refused {
                Err(StateError::Quota { what, .. }) => what,
                other => panic!("{other:?}"),
            };
            set("k", BYTES_MAX - 1).await.unwrap();
            assert_eq!(quota(set("k", BYTES_MAX).await), "bytes");
            let kept = state.get(&owner("a"), "k", TimestampMs(1)).await.unwrap().unwrap();
            assert_eq!(kept.len(), BYTES_MAX - 1);
            assert_eq!(quota(set("another", 1).await), "bytes");
            set("k", 1).await.unwrap();
            for n in 1..ENTRIES_MAX {
                set(&format!("k{n}"), 1).await.unwrap();
            }
            assert_eq!(quota(set("one-more", 1).await), "entries");
            assert_eq!(quota(set(&"k".repeat(KEY_BYTES_MAX + 1), 1).await), "key bytes");
        }
    }

    #[tokio::test]
    async fn what_the_journal_holds_outlives_the_store_that_wrote_it() {
        let journal: Arc<dyn Journal> = Arc::new(FakeJournal::new());
        let before = JournalState::new(journal.clone());
        before.set(&owner("a"), "k", b"v".to_vec(), 10, TimestampMs(0)).await.unwrap();
        before.set(&owner("a"), "l", b"v".to_vec(), 100, TimestampMs(20)).await.unwrap();
        let after = JournalState::new(journal.clone());
        assert_eq!(after.get(&owner("a"), "l", TimestampMs(21)).await.unwrap(), Some(b"v".to_vec()));
        assert_eq!(journal.document(Table::ToolState, "p/a/k").unwrap(), None, "what ran out was taken away");
    }
}
