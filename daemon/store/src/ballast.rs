//! Space held back for the worst day: a file that is given up when the disk is full, so that running work can still be
//! recorded and escalated. Never holds data; losing it is harmless.

use crate::shared::lock;
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

const FILE: &str = "BALLAST";
/// Written at a time where the file system cannot allocate without writing.
const CHUNK_BYTES: usize = 1 << 20;

pub(crate) struct Ballast {
    path: PathBuf,
    bytes: u64,
    held: Mutex<bool>,
}

impl Ballast {
    /// Takes over what an earlier run left.
    pub fn of(dir: &Path, bytes: u64) -> Self {
        let path = dir.join(FILE);
        let held = std::fs::metadata(&path).is_ok_and(|found| found.len() >= bytes && bytes > 0);
        Self { path, bytes, held: Mutex::new(held) }
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn is_held(&self) -> bool {
        *lock(&self.held)
    }

    /// Takes the space. A disk that is too full for it is no error: there is nothing to hold back then.
    pub fn take(&self) {
        let mut held = lock(&self.held);
        if *held || self.bytes == 0 {
            return;
        }
        match self.allocate() {
            Ok(()) => *held = true,
            Err(error) => {
                tracing::warn!(%error, bytes = self.bytes, "no space could be held back");
                // Half a ballast would only stand in the way.
                let _ = std::fs::remove_file(&self.path);
            }
        }
    }

    fn allocate(&self) -> io::Result<()> {
        let mut file = File::options().write(true).create(true).truncate(true).open(&self.path)?;
        match fallocate(&file, FallocateFlags::empty(), 0, self.bytes) {
            Ok(()) => {}
            Err(rustix::io::Errno::OPNOTSUPP) => {
                let chunk = vec![0xa5; CHUNK_BYTES];
                let mut left = self.bytes;
                while left > 0 {
                    let now = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
                    file.write_all(chunk.get(..now).unwrap_or_default())?;
                    left -= now as u64;
                }
            }
            Err(error) => return Err(error.into()),
        }
        file.sync_all()
    }

    /// Gives the space back. `true` when there was some.
    pub fn release(&self) -> bool {
        let mut held = lock(&self.held);
        let had = std::mem::take(&mut *held);
        if had {
            match std::fs::remove_file(&self.path) {
                Ok(()) => {
                    tracing::warn!(bytes = self.bytes, "the disk is full: space held back was released")
                }
                Err(error) => tracing::error!(%error, "the space held back cannot be released"),
            }
        }
        had
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn the_space_is_really_taken_given_back_and_taken_again() {
        let dir = tempfile::tempdir().unwrap();
        let ballast = Ballast::of(dir.path(), 1 << 20);
        assert!(!ballast.is_held());
        for _ in 0..2 {
            ballast.take();
            let blocks = std::fs::metadata(dir.path().join(FILE)).unwrap().blocks();
            assert!(blocks * 512 >= 1 << 20, "{blocks} blocks: a hole holds nothing back");
            assert!(Ballast::of(dir.path(), 1 << 20).is_held(), "an earlier run's is taken over");
            assert!(ballast.release());
            assert!(!dir.path().join(FILE).exists() && !ballast.release());
        }
        let none = Ballast::of(dir.path(), 0);
        none.take();
        assert!(!none.is_held() && !dir.path().join(FILE).exists());
    }
}
