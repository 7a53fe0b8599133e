//! Once a second: the head witness, a look at the free space and the ballast; at intervals an anchor.

use crate::anchor::Anchors;
use crate::ballast::Ballast;
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

    /// Waits that long, or until the store ends; `false` when it does.
    pub fn wait(&self, period: Duration) -> bool {
        let waited = self.told.wait_timeout_while(lock(&self.ended), period, |ended| !*ended);
        let (ended, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !*ended
    }
}

pub(crate) struct Keeper {
    pub shared: Arc<Shared>,
    pub ending: Arc<Ending>,
    pub space: Arc<Space>,
    pub anchors: Option<Arc<Anchors>>,
}

impl Keeper {
    pub fn run(self) {
        while self.ending.wait(PERIOD) {
            // Not the end of the store: the next commit is as durable as ever. An effect that starts writes it anew,
            // and is refused when that fails.
            if let Err(error) = self.shared.witness_published() {
                tracing::warn!(%error, "head witness not written");
            }
            self.space.look(&self.shared);
            if let Some(anchors) = &self.anchors {
                anchors.append_when_due(&self.shared.published().head.clone(), self.shared.pace.now_ms());
            }
        }
    }
}

/// The room on the file system, and what is held back of it.
pub(crate) struct Space {
    pub dir: PathBuf,
    pub low_bytes: u64,
    pub ballast: Ballast,
}

impl Space {
    /// Below this the ballast is given up: as much as it holds, or the low-water mark when that is lower.
    fn floor_bytes(&self) -> u64 {
        self.ballast.bytes().min(self.low_bytes)
    }

    /// Sets or clears the low-space mark, and gives up or takes back the ballast.
    pub fn look(&self, shared: &Shared) {
        let free_bytes = free_bytes(&self.dir);
        let (low, ballast) = self.weigh(shared.disk_full.load(Ordering::SeqCst), free_bytes);
        if shared.low_space.swap(low, Ordering::SeqCst) != low {
            tracing::warn!(low, free_bytes, "free space crossed the low-water mark");
        }
        match ballast {
            Hold::Release => {
                self.ballast.release();
            }
            Hold::Take => self.ballast.take(),
            Hold::Leave => {}
        }
    }

    /// Whether intake is to be refused, and what becomes of the ballast. A file system that does not tell has room.
    fn weigh(&self, full: bool, free_bytes: Option<u64>) -> (bool, Hold) {
        let below = |mark: u64| free_bytes.is_some_and(|free| free < mark);
        let ballast = if full || below(self.floor_bytes()) {
            Hold::Release
        } else if !self.ballast.is_held() && !below(self.room_bytes()) {
            Hold::Take
        } else {
            Hold::Leave
        };
        (full || below(self.low_bytes), ballast)
    }

    /// From here on the ballast can be taken back with room to spare: taking it must not cross the low-water mark.
    fn room_bytes(&self) -> u64 {
        self.low_bytes.saturating_add(self.ballast.bytes().saturating_mul(2))
    }

    pub fn has_room(&self) -> bool {
        free_bytes(&self.dir).is_none_or(|free| free >= self.room_bytes())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    Release,
    Take,
    Leave,
}

/// `None` when the file system does not tell.
fn free_bytes(dir: &Path) -> Option<u64> {
    match rustix::fs::statvfs(dir) {
        Ok(space) => Some(space.f_bavail.saturating_mul(space.f_frsize)),
        Err(error) => {
            tracing::warn!(%error, "free space unknown");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ballast_goes_last_and_comes_back_with_room_to_spare() {
        const MIB: u64 = 1 << 20;
        let dir = tempfile::tempdir().unwrap();
        let ballast = Ballast::of(dir.path(), MIB);
        let space = Space { dir: dir.path().to_owned(), low_bytes: 10 * MIB, ballast };
        let weigh = |full, free_mib: u64| space.weigh(full, Some(free_mib * MIB));
        space.ballast.take();
        assert_eq!(weigh(false, 10), (false, Hold::Leave));
        assert_eq!(weigh(false, 9), (true, Hold::Leave), "intake is refused long before");
        assert_eq!(weigh(false, 1), (true, Hold::Leave));
        assert_eq!(weigh(false, 0), (true, Hold::Release));
        assert_eq!(
            weigh(true, 50),
            (true, Hold::Release),
            "a refused write counts, whatever the file system says"
        );
        space.ballast.release();
        assert_eq!(weigh(false, 11), (false, Hold::Leave), "taking it would cross the mark again");
        assert_eq!(weigh(false, 12), (false, Hold::Take));
        assert_eq!(space.weigh(false, None), (false, Hold::Take));
    }
}
