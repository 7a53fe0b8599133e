//! The head witness: what was acknowledged last, kept outside the database.
//!
//! RocksDB opens without a word when its live log was deleted, cleanly cut, or an old copy was put back. `HEAD` tells:
//! it is written at least every second and before an effect that turned Started is acknowledged, and is never ahead of
//! what is synced. A database behind it has lost acknowledged writes.
//!
//! Two slots of 4 KiB, written in turn and in place: a torn write spoils one and leaves the other, and a full disk cannot
//! refuse it. Each slot is a line of JSON with a checksum, padded with spaces. It finds loss and mix-ups, not forgery: a
//! hand that can write both files can make them agree. Anchors kept elsewhere find that.

use crate::error::OpenError;
use medic_core::Digest;
use medic_core::audit::ChainHead;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const FILE: &str = "HEAD";
/// As it is called until it is whole.
const UNFINISHED: &str = "HEAD.new";
/// A page of its own for each slot: they never share a sector.
const SLOT_BYTES: usize = 4_096;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witnessed {
    pub commit_seq: u64,
    pub audit: ChainHead,
    /// Set in a backup and by nothing else: the world has moved on since, so open effects are unknown.
    pub copied: bool,
}

#[derive(Serialize, Deserialize)]
struct Line {
    version: u32,
    #[serde(flatten)]
    witnessed: Witnessed,
    check: Digest,
}

const VERSION: u32 = 1;

pub(crate) struct Witness {
    file: File,
    next_slot: u64,
    written: Witnessed,
}

impl Witness {
    /// `None` when there is no such file.
    ///
    /// # Errors
    /// [`OpenError::WitnessDamaged`] when neither slot can be read.
    pub fn load(dir: &Path) -> Result<Option<Self>, OpenError> {
        let path = dir.join(FILE);
        let failed = |source| OpenError::Io { path: path.clone(), source };
        let mut file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let slots =
            bytes.chunks(SLOT_BYTES).map(parse).zip(0u64..).filter_map(|(line, slot)| Some((line?, slot)));
        match slots.max_by_key(|(witnessed, _)| witnessed.commit_seq) {
            Some((written, slot)) => Ok(Some(Self { file, next_slot: 1 - slot.min(1), written })),
            None => Err(OpenError::WitnessDamaged { dir: dir.to_owned() }),
        }
    }

    /// Makes the file with both slots filled, so that later writes need no space. It gets its name when it is whole: a
    /// store that dies here on its first day must open on its second.
    pub fn create(dir: &Path, witnessed: Witnessed) -> io::Result<Self> {
        let unnamed = dir.join(UNFINISHED);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&unnamed)?;
        let slot = render(&witnessed)?;
        file.write_all_at(&slot, 0)?;
        file.write_all_at(&slot, SLOT_BYTES as u64)?;
        file.sync_all()?;
        std::fs::rename(&unnamed, dir.join(FILE))?;
        File::open(dir)?.sync_all()?;
        Ok(Self { file, next_slot: 0, written: witnessed })
    }

    pub fn written(&self) -> &Witnessed {
        &self.written
    }

    /// Returns once `witnessed` is on disk. An older one than the last is passed over.
    pub fn write(&mut self, witnessed: Witnessed) -> io::Result<()> {
        if witnessed.commit_seq < self.written.commit_seq || witnessed == self.written {
            return Ok(());
        }
        self.file.write_all_at(&render(&witnessed)?, self.next_slot * SLOT_BYTES as u64)?;
        self.file.sync_data()?;
        self.next_slot = 1 - self.next_slot;
        self.written = witnessed;
        Ok(())
    }
}

fn check_of(witnessed: &Witnessed) -> Digest {
    Digest::of(&(VERSION, witnessed))
}

fn render(witnessed: &Witnessed) -> io::Result<Vec<u8>> {
    let line = Line { version: VERSION, witnessed: witnessed.clone(), check: check_of(witnessed) };
    let mut bytes = serde_json::to_vec(&line)?;
    bytes.resize(SLOT_BYTES - 1, b' ');
    bytes.push(b'\n');
    Ok(bytes)
}

fn parse(slot: &[u8]) -> Option<Witnessed> {
    let line: Line = serde_json::from_slice(slot).ok()?;
    (line.version == VERSION && line.check == check_of(&line.witnessed)).then_some(line.witnessed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(commit_seq: u64) -> Witnessed {
        Witnessed { commit_seq, audit: ChainHead::genesis(), copied: false }
    }

    fn reload(dir: &Path) -> Witnessed {
        Witness::load(dir).unwrap().unwrap().written().clone()
    }

    #[test]
    fn the_last_written_is_read_back_and_an_older_one_never_replaces_it() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Witness::load(dir.path()).unwrap().is_none());
        let mut witness = Witness::create(dir.path(), at(0)).unwrap();
        for seq in [1, 5, 3] {
            witness.write(at(seq)).unwrap();
        }
        assert_eq!(reload(dir.path()), at(5));
        let mut again = Witness::load(dir.path()).unwrap().unwrap();
        again.write(at(6)).unwrap();
        assert_eq!(reload(dir.path()), at(6));
        assert_eq!(std::fs::metadata(dir.path().join(FILE)).unwrap().len(), 2 * SLOT_BYTES as u64);
    }

    #[test]
    fn one_that_was_not_finished_is_none_and_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(UNFINISHED), "{\"half").unwrap();
        assert!(Witness::load(dir.path()).unwrap().is_none());
        Witness::create(dir.path(), at(0)).unwrap();
        assert_eq!(reload(dir.path()), at(0));
        assert!(!dir.path().join(UNFINISHED).exists());
    }

    #[test]
    fn a_write_torn_anywhere_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let mut witness = Witness::create(dir.path(), at(0)).unwrap();
        witness.write(at(1)).unwrap();
        let before = std::fs::read(dir.path().join(FILE)).unwrap();
        witness.write(at(2)).unwrap();
        let after = std::fs::read(dir.path().join(FILE)).unwrap();
        let changed: Vec<usize> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
        assert!(changed.len() > 3);
        for cut in &changed[1..] {
            let torn: Vec<u8> =
                (0..after.len()).map(|at| if at < *cut { after[at] } else { before[at] }).collect();
            std::fs::write(dir.path().join(FILE), torn).unwrap();
            let found = reload(dir.path()).commit_seq;
            assert!(found == 1 || found == 2, "a cut at {cut} gave {found}");
        }
    }

    #[test]
    fn a_file_with_no_whole_slot_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "{}").unwrap();
        assert_eq!(Witness::load(dir.path()).err().map(|error| error.code()), Some("STORE_WITNESS_DAMAGED"));
    }
}
