//! Store's segment files: appended to, rolled over, thrown away after their time, never past the quota.

use anyhow::Context;
use std::{
    collections::VecDeque,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

/// All segment files together, bytes.
pub const QUOTA_BYTES: u64 = 16 * 1024 * 1024;
/// A live segment is closed at this size, bytes.
const SEGMENT_BYTES: u64 = 256 * 1024;
/// Live segments kept; with the one being written they stay below a seventh of the quota.
const SEGMENTS_MAX: usize = 8;
const EXPIRED: &str = "expired-";
const LIVE: &str = "live-";

/// The segment directory and its account.
pub struct Storage {
    directory: PathBuf,
    /// Closed segments (number, bytes), oldest first.
    closed: VecDeque<(u64, u64)>,
    number: u64,
    file: fs::File,
    file_bytes: u64,
    expired_bytes: u64,
}

/// Why a record was not written.
#[derive(Debug)]
pub enum NotWritten {
    QuotaExceeded { used_bytes: u64, quota_bytes: u64 },
    Disk(anyhow::Error),
}

impl From<anyhow::Error> for NotWritten {
    fn from(error: anyhow::Error) -> Self {
        Self::Disk(error)
    }
}

impl Storage {
    /// Opens the directory and counts what is in it; writing goes on in a new segment.
    pub fn open(directory: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let mut closed = Vec::new();
        let mut expired_bytes = 0;
        for entry in
            fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?
        {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let bytes = entry.metadata()?.len();
            if name.starts_with(EXPIRED) {
                expired_bytes += bytes;
            } else if let Some(number) = name.strip_prefix(LIVE).and_then(|number| number.parse().ok()) {
                closed.push((number, bytes));
            }
        }
        closed.sort_unstable();
        let number = closed.last().map_or(0, |(number, _)| number + 1);
        Ok(Self {
            file: create(&live(directory, number))?,
            directory: directory.to_owned(),
            closed: closed.into(),
            number,
            file_bytes: 0,
            expired_bytes,
        })
    }

    pub fn used_bytes(&self) -> u64 {
        self.closed.iter().map(|(_, bytes)| bytes).sum::<u64>() + self.file_bytes + self.expired_bytes
    }

    pub fn expired_bytes(&self) -> u64 {
        self.expired_bytes
    }

    /// Appends a record.
    pub fn append(&mut self, record: &[u8]) -> Result<(), NotWritten> {
        let bytes = record.len() as u64;
        let used_bytes = self.used_bytes();
        if used_bytes + bytes > QUOTA_BYTES {
            return Err(NotWritten::QuotaExceeded { used_bytes, quota_bytes: QUOTA_BYTES });
        }
        self.file.write_all(record).context("cannot append to the segment")?;
        self.file_bytes += bytes;
        if self.file_bytes >= SEGMENT_BYTES {
            self.roll_over()?;
        }
        Ok(())
    }

    /// Deletes the expired segments for good. Returns the bytes freed.
    pub fn delete_expired(&mut self) -> anyhow::Result<u64> {
        let freed_bytes = self.expired_bytes;
        for path in self.expired()? {
            fs::remove_file(&path).with_context(|| format!("cannot delete {}", path.display()))?;
        }
        self.expired_bytes = 0;
        Ok(freed_bytes)
    }

    /// Leaves expired segments behind until the quota is reached, as when the nightly deletion has not run for long.
    pub fn fill_with_expired(&mut self) -> anyhow::Result<()> {
        let mut number = self.expired()?.len();
        let block = vec![b'.'; 1024 * 1024];
        while self.used_bytes() < QUOTA_BYTES {
            let room =
                usize::try_from(QUOTA_BYTES - self.used_bytes()).unwrap_or(block.len()).min(block.len());
            let path = self.directory.join(format!("{EXPIRED}{number:06}"));
            let part = block.get(..room).unwrap_or(&block);
            fs::write(&path, part).with_context(|| format!("cannot write {}", path.display()))?;
            self.expired_bytes += room as u64;
            number += 1;
        }
        Ok(())
    }

    fn expired(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.directory).context("cannot list the segments")? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(EXPIRED) {
                paths.push(entry.path());
            }
        }
        Ok(paths)
    }

    fn roll_over(&mut self) -> anyhow::Result<()> {
        self.file = create(&live(&self.directory, self.number + 1))?;
        self.closed.push_back((self.number, self.file_bytes));
        self.number += 1;
        self.file_bytes = 0;
        while self.closed.len() > SEGMENTS_MAX {
            if let Some((number, _)) = self.closed.pop_front() {
                let path = live(&self.directory, number);
                fs::remove_file(&path).with_context(|| format!("cannot delete {}", path.display()))?;
            }
        }
        Ok(())
    }
}

fn live(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{LIVE}{number:06}"))
}

fn create(path: &Path) -> anyhow::Result<fs::File> {
    fs::File::create(path).with_context(|| format!("cannot create {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_disk(directory: &Path) -> u64 {
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    }

    #[test]
    fn ordinary_writing_never_nears_the_quota() {
        let directory = tempfile::tempdir().unwrap();
        let mut storage = Storage::open(directory.path()).unwrap();
        let record = vec![b'r'; 4096];
        for _ in 0..2_000 {
            storage.append(&record).unwrap();
        }
        assert!(storage.used_bytes() < QUOTA_BYTES / 6, "{} bytes", storage.used_bytes());
        assert_eq!(storage.used_bytes(), on_disk(directory.path()));
    }

    #[test]
    fn a_full_quota_refuses_across_restarts_until_the_expired_are_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let mut storage = Storage::open(directory.path()).unwrap();
        storage.append(b"before").unwrap();
        storage.fill_with_expired().unwrap();
        assert_eq!(storage.used_bytes(), QUOTA_BYTES);
        assert_eq!(on_disk(directory.path()), QUOTA_BYTES);

        let mut storage = Storage::open(directory.path()).unwrap();
        assert!(matches!(
            storage.append(b"x"),
            Err(NotWritten::QuotaExceeded { used_bytes: QUOTA_BYTES, .. })
        ));
        let freed_bytes = storage.delete_expired().unwrap();
        assert_eq!(freed_bytes, QUOTA_BYTES - 6);
        assert_eq!(on_disk(directory.path()), 6, "what was not expired is still there");
        storage.append(b"x").unwrap();
        assert_eq!(storage.delete_expired().unwrap(), 0);
    }
}
