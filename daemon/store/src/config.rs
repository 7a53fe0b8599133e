//! What an operator may set of the store.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// Holds the database, the head witness and the lock. One process at a time.
    pub dir: PathBuf,
    /// Envelopes one mailbox may hold, all lanes together. 10,000: a night's storm of grouped alerts, and some 20 MB.
    pub mailbox_envelopes_max: u64,
    /// Bytes one mailbox may hold as stored. 64 MiB: sixteen webhook bodies of the largest accepted size.
    pub mailbox_bytes_max: u64,
    /// Intake from outside is refused while the file system has less than this free. 256 MiB: the write-ahead log may
    /// grow to 256 MiB before it is cut, and running work must still be able to record and escalate.
    pub low_space_bytes: u64,
    /// Memory for blocks read from disk. 32 MiB: the hot set (mailboxes, live incidents) is in the memtables anyway.
    pub block_cache_bytes: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("/var/lib/medic/store"),
            mailbox_envelopes_max: 10_000,
            mailbox_bytes_max: 64 << 20,
            low_space_bytes: 256 << 20,
            block_cache_bytes: 32 << 20,
        }
    }
}
