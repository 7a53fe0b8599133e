//! What a shell needs of the one who knows what its letters mean.

use async_trait::async_trait;
use medic_core::mail::{Address, Envelope};
use medic_ports::journal::JournalError;

/// Why handling did not come to its commit.
#[derive(Debug)]
pub(crate) enum WorkError {
    /// Another commit came between; decide again on what is there now.
    Conflict,
    /// No room for what would be written, or nobody there to hear it. Not the letter's fault: it waits and is not counted.
    Busy { retry_after_ms: u64, why: String },
    /// Storage failed: nothing more may be started.
    Storage(JournalError),
    /// Counted against the letter.
    Failed(String),
}

impl From<JournalError> for WorkError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Conflict { .. } => Self::Conflict,
            JournalError::Full { retry_after_ms, .. } | JournalError::LowSpace { retry_after_ms } => {
                Self::Busy { retry_after_ms, why: error.to_string() }
            }
            JournalError::Illegal(_) => Self::Failed(format!("{}: {error}", error.code())),
            other => Self::Storage(other),
        }
    }
}

/// What a mailbox's letters mean.
#[async_trait]
pub(crate) trait Worker: Send + Sync + 'static {
    fn address(&self) -> Address;
    /// Handlings side by side.
    fn concurrency(&self) -> usize;
    /// Letters with the same key are handled one after the other; letters that may be handled in one commit share it too.
    fn key(&self, envelope: &Envelope) -> String {
        envelope.body.incident().map(|incident| incident.to_string()).unwrap_or_default()
    }
    /// Whether several letters of one key may go into one commit.
    fn drains(&self) -> bool {
        false
    }
    /// Keys that may share a commit. More than one only where handling is deciding and nothing else.
    fn keys_per_commit(&self) -> usize {
        1
    }
    /// How much work a letter is, beside one of weight 1.
    fn weight(&self, _envelope: &Envelope) -> usize {
        1
    }
    /// Whether this letter may be worked on now; one held back stays where it is.
    fn may_start(&self, _envelope: &Envelope) -> bool {
        true
    }
    /// How long handling it may take without being taken for hung. Waiting for the disk does not count.
    fn patience_ms(&self, envelope: &Envelope) -> u64;
    /// Handles letters wholly, their commit included: in order, those of one key one behind the other.
    async fn handle(&self, envelopes: &[Envelope]) -> Result<(), WorkError>;
}
