//! Bytes a tool keeps between its calls.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use medic_core::TimestampMs;

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
#[error("state of this tool: {what} {used}, the limit is {limit}")]
pub struct QuotaExceeded {
    pub what: &'static str,
    pub used: usize,
    pub limit: usize,
}

/// Where the bytes are. In memory for now; what a restart loses a tool must be able to do without.
pub trait StateStore: Send + Sync {
    fn get(&self, owner: &Owner, key: &str, now: TimestampMs) -> Option<Vec<u8>>;
    /// # Errors
    /// [`QuotaExceeded`]; the old value stays.
    fn set(
        &self,
        owner: &Owner,
        key: &str,
        value: Vec<u8>,
        ttl_ms: u64,
        now: TimestampMs,
    ) -> Result<(), QuotaExceeded>;
}

#[derive(Default)]
pub struct MemoryState {
    tools: Mutex<HashMap<Owner, HashMap<String, Entry>>>,
}

struct Entry {
    value: Vec<u8>,
    until: TimestampMs,
}

impl StateStore for MemoryState {
    fn get(&self, owner: &Owner, key: &str, now: TimestampMs) -> Option<Vec<u8>> {
        let tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = tools.get(owner)?.get(key)?;
        (now < entry.until).then(|| entry.value.clone())
    }

    fn set(
        &self,
        owner: &Owner,
        key: &str,
        value: Vec<u8>,
        ttl_ms: u64,
        now: TimestampMs,
    ) -> Result<(), QuotaExceeded> {
        if key.len() > KEY_BYTES_MAX {
            return Err(QuotaExceeded { what: "key bytes", used: key.len(), limit: KEY_BYTES_MAX });
        }
        let mut tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = tools.entry(owner.clone()).or_default();
        entries.retain(|_, entry| now < entry.until);
        let others = || entries.iter().filter(|(name, _)| name.as_str() != key);
        let count = others().count() + 1;
        if count > ENTRIES_MAX {
            return Err(QuotaExceeded { what: "entries", used: count, limit: ENTRIES_MAX });
        }
        let bytes = others().map(|(name, entry)| name.len() + entry.value.len()).sum::<usize>()
            + key.len()
            + value.len();
        if bytes > BYTES_MAX {
            return Err(QuotaExceeded { what: "bytes", used: bytes, limit: BYTES_MAX });
        }
        entries.insert(key.to_owned(), Entry { value, until: now.after_ms(ttl_ms.min(TTL_MS_MAX)) });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(tool: &str) -> Owner {
        Owner { plugin: "p".into(), tool: tool.into() }
    }

    #[test]
    fn state_is_private_and_expires() {
        let state = MemoryState::default();
        state.set(&owner("a"), "k", b"v".to_vec(), 10, TimestampMs(0)).unwrap();
        assert_eq!(state.get(&owner("a"), "k", TimestampMs(9)), Some(b"v".to_vec()));
        assert_eq!(state.get(&owner("a"), "k", TimestampMs(10)), None);
        assert_eq!(state.get(&owner("b"), "k", TimestampMs(0)), None);
    }

    #[test]
    fn a_full_quota_refuses_and_keeps_what_was_there() {
        let state = MemoryState::default();
        let set = |key: &str, bytes: usize| state.set(&owner("a"), key, vec![7; bytes], 1000, TimestampMs(0));
        set("k", BYTES_MAX - 1).unwrap();
        assert_eq!(set("k", BYTES_MAX).unwrap_err().what, "bytes");
        assert_eq!(state.get(&owner("a"), "k", TimestampMs(1)).unwrap().len(), BYTES_MAX - 1);
        assert!(set("another", 1).is_err());
        set("k", 1).unwrap();
        for n in 1..ENTRIES_MAX {
            set(&format!("k{n}"), 1).unwrap();
        }
        assert_eq!(set("one-more", 1).unwrap_err().what, "entries");
    }
}
