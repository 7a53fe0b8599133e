//! What an operator may set of the store.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// Holds the database, the head witness and the lock. One process at a time.
    pub dir: PathBuf,
    /// Envelopes one mailbox may hold, all lanes together. 10,000: a night's storm of grouped alerts, and some 20 MB.
    pub mailbox_envelopes_max: u64,
    /// Bytes one mailbox may hold as stored. 64 MiB: sixteen webhook bodies of the largest accepted size.
    pub mailbox_bytes_max: u64,
    /// Intake from outside is refused while the file system has less than this free. 256 MiB: log and tables may hold
    /// some 150 MiB of the same rows for a while, and running work must still be able to record and escalate.
    pub low_space_bytes: u64,
    /// Held back in a file that is given up when the disk is full, so that running work can still be recorded and
    /// escalated. 16 MiB: some thousand commits. 0: none.
    pub ballast_bytes: u64,
    /// A write that takes longer is told of in health. 1 s: a thousand times what a quiet disk takes.
    pub slow_sync_ms: u64,
    pub retention: RetentionConfig,
    /// Where anchors of the audit chain are appended, one JSON line each: best on another disk. None: none are.
    pub anchor_path: Option<PathBuf>,
    /// Between two anchors, when the chain has grown. 10 min; one more is written at an orderly end.
    pub anchor_every_ms: u64,
    /// The key that anchors are signed with: see `anchor::generate`. Without one they are unsigned.
    pub anchor_key: Option<PathBuf>,
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
            ballast_bytes: 16 << 20,
            slow_sync_ms: 1_000,
            retention: RetentionConfig::default(),
            anchor_path: None,
            anchor_every_ms: 10 * 60 * 1000,
            anchor_key: None,
            block_cache_bytes: 32 << 20,
        }
    }
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// How long what is over is kept. The audit chain is never cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// From the end of an incident to the day it leaves the store for the archive. 90 days: a quarter of post-mortems.
    pub finished_ms: u64,
    /// How long a letter sent twice is known. 7 days: longer than any sender repeats.
    pub dedup_ms: u64,
    /// How long an answer to an outside request is kept for whoever asks again. 7 days, as the dedup keys.
    pub answers_ms: u64,
    /// How long a dead letter waits for an operator. 90 days.
    pub dead_letters_ms: u64,
    /// Where finished incidents go, a file each. Default: `archive` beside the store.
    pub archive_dir: Option<PathBuf>,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            finished_ms: 90 * DAY_MS,
            dedup_ms: 7 * DAY_MS,
            answers_ms: 7 * DAY_MS,
            dead_letters_ms: 90 * DAY_MS,
            archive_dir: None,
        }
    }
}

impl StoreConfig {
    pub fn archive_dir(&self) -> PathBuf {
        let beside = || self.dir.parent().unwrap_or(Path::new(".")).join("archive");
        self.retention.archive_dir.clone().unwrap_or_else(beside)
    }
}
