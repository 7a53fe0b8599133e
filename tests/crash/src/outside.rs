//! What the people and machines outside know: the memory that no crash of the daemon takes from them.
//!
//! One JSON line a fact, appended with one system call to a file beside the store. It is what promises are held against:
//! a line is there only when the daemon had given its word.

use medic_core::audit::ChainHead;
use medic_core::mail::Address;
use medic_core::{Digest, EnvelopeId, IncidentId, TimestampMs};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::faultfs::Counts;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Note {
    Begun,
    /// Alertmanager has its answer and will not send this again.
    Delivered {
        delivery: String,
    },
    /// A letter was acknowledged.
    Acknowledged {
        id: EnvelopeId,
        to: Address,
        dedup: String,
        duplicate: bool,
    },
    /// A commit was answered: the chain had this head then.
    Committed {
        commit_seq: u64,
        audit: ChainHead,
    },
    /// Somebody is about to say a word. `expires_at`: of the proposal it is about.
    Asked(Word),
    /// And this was the answer: `told`, or the refusal's code.
    Answered {
        word: Word,
        answer: String,
    },
    /// The store said that it failed; the daemon may do nothing more.
    StorageFailed {
        deeds: usize,
    },
    /// Everything has come to its end and is written.
    Quiet,
    /// The store was closed in order.
    Closed {
        counts: Counts,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Word {
    pub incident: IncidentId,
    pub by: String,
    /// Makes saying it again harmless.
    pub request: String,
    pub approves: bool,
    pub plan: Digest,
    pub expires_at: TimestampMs,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    pub life: u32,
    pub at: u64,
    #[serde(flatten)]
    pub note: Note,
}

/// Where a life writes its lines.
pub struct Outside {
    file: File,
    life: u32,
    at: AtomicU64,
}

impl Outside {
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path, life: u32, now_ms: u64) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self { file, life, at: AtomicU64::new(now_ms) })
    }

    /// The moment of the lines to come.
    pub fn set_time(&self, now: TimestampMs) {
        self.at.fetch_max(now.0, Ordering::SeqCst);
    }

    pub fn note(&self, note: Note) {
        let line = Line { life: self.life, at: self.at.load(Ordering::SeqCst), note };
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        bytes.push(b'\n');
        // A line that cannot be written is a promise that is not checked: better no life at all.
        if (&self.file).write_all(&bytes).is_err() {
            std::process::abort();
        }
    }
}

/// Every whole line.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn read(path: &Path) -> anyhow::Result<Vec<Line>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .map(|line| serde_json::from_str(line).map_err(|error| anyhow::anyhow!("{error} in {line:?}")))
        .collect()
}
