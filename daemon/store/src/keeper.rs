//! Once a second: the head witness, and a look at the free space.

use crate::shared::{Shared, lock};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How far the witness may lag behind what was acknowledged, when no effect starts.
const PERIOD: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Ending {
    ended: Mutex<bool>,
    told: Condvar,
}

impl Ending {
    pub fn tell(&self) {
        *lock(&self.ended) = true;
        self.told.notify_all();
    }

    /// Waits a period; `false` when it is over.
    fn wait(&self) -> bool {
        let waited = self.told.wait_timeout_while(lock(&self.ended), PERIOD, |ended| !*ended);
        let (ended, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !*ended
    }
}

pub(crate) struct Keeper {
    pub shared: Arc<Shared>,
    pub ending: Arc<Ending>,
    pub dir: PathBuf,
    pub low_space_bytes: u64,
}

impl Keeper {
    pub fn run(self) {
        while self.ending.wait() {
            // Not the end of the store: the next commit is as durable as ever. An effect that starts writes it anew,
            // and is refused when that fails.
            if let Err(error) = self.shared.witness_published() {
                tracing::warn!(%error, "head witness not written");
            }
            look_at_space(&self.shared, &self.dir, self.low_space_bytes);
        }
    }
}

/// Sets or clears the low-space mark. A file system that does not tell is taken to have room.
pub(crate) fn look_at_space(shared: &Shared, dir: &Path, low_space_bytes: u64) {
    let low = match rustix::fs::statvfs(dir) {
        Ok(space) => space.f_bavail.saturating_mul(space.f_frsize) < low_space_bytes,
        Err(error) => {
            tracing::warn!(%error, "free space unknown");
            false
        }
    };
    if shared.low_space.swap(low, Ordering::SeqCst) != low {
        tracing::warn!(low, "free space crossed the low-water mark");
    }
}
