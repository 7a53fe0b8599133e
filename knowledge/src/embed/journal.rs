//! Vectors of an ingest under way, so that one that is killed goes on where it was: embedding is what costs minutes or
//! money. Owns one file, which is believed row by row and thrown away once the version is published.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::Passage;
use crate::digest;
use crate::error::{Error, Result};

const MAGIC: &[u8; 8] = b"MEDJRN01";
/// Hex digits of a digest.
const DIGEST_BYTES: usize = 64;
/// Hex digits of a row's own digest: a torn row does not pass for a whole one.
const CHECK_BYTES: usize = 8;

pub(crate) struct VectorJournal {
    path: PathBuf,
    file: File,
}

/// Passage's digest → its vector.
pub(crate) type Embedded = HashMap<String, Vec<f32>>;

pub(crate) fn key(passage: &Passage) -> String {
    digest::of_parts([passage.context.as_str(), passage.text.as_str()])
}

impl VectorJournal {
    /// Opens the journal at `path` for vectors of `embedder`, and gives what it holds. One of another embedder, or one
    /// that is torn, is begun anew from where it stops making sense.
    pub(crate) fn open(path: &Path, embedder: &str, dimension: usize) -> Result<(Self, Embedded)> {
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(Error::io("open", path))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(Error::io("read", path))?;
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(digest::of_parts([embedder, &dimension.to_string()]).as_bytes());
        let mut embedded = Embedded::new();
        let whole = match bytes.strip_prefix(head.as_slice()) {
            Some(rows) => {
                let length = DIGEST_BYTES + dimension * 4 + CHECK_BYTES;
                let good = rows.chunks_exact(length).map_while(read_row);
                embedded.extend(good);
                head.len() + embedded.len() * length
            }
            None => 0,
        };
        let mut keep = |length: usize| {
            file.set_len(length as u64)?;
            file.seek(SeekFrom::Start(length as u64))
        };
        keep(whole).map_err(Error::io("write", path))?;
        if whole == 0 {
            file.write_all(&head).map_err(Error::io("write", path))?;
        }
        Ok((Self { path: path.to_owned(), file }, embedded))
    }

    /// Rows of one batch; on disk when this returns.
    pub(crate) fn append<'a>(
        &mut self,
        rows: impl Iterator<Item = (&'a Passage, &'a Vec<f32>)>,
    ) -> Result<()> {
        let mut bytes = Vec::new();
        for (passage, vector) in rows {
            let mut row = key(passage).into_bytes();
            row.extend(vector.iter().flat_map(|value| value.to_le_bytes()));
            let check = digest::of(&row);
            row.extend_from_slice(check.as_bytes().get(..CHECK_BYTES).unwrap_or_default());
            bytes.extend_from_slice(&row);
        }
        self.file
            .write_all(&bytes)
            .and_then(|()| self.file.sync_data())
            .map_err(Error::io("write", &self.path))
    }

    /// The version is published: the vectors are in it.
    pub(crate) fn forget(path: &Path) -> Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", path)(error))
            }
            _ => Ok(()),
        }
    }
}

fn read_row(row: &[u8]) -> Option<(String, Vec<f32>)> {
    let (row, check) = row.split_at_checked(row.len().checked_sub(CHECK_BYTES)?)?;
    if digest::of(row).as_bytes().get(..CHECK_BYTES) != Some(check) {
        return None;
    }
    let (name, values) = row.split_at_checked(DIGEST_BYTES)?;
    let values = values.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
    Some((String::from_utf8(name.to_vec()).ok()?, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage(text: &str) -> Passage {
        Passage { context: "c".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn what_was_written_is_known_again_and_a_torn_or_foreign_journal_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, nothing) = VectorJournal::open(&path, "m", 2).unwrap();
        assert!(nothing.is_empty());
        let (one, two) = (passage("one"), passage("two"));
        journal.append([(&one, &vec![1.0, 2.0]), (&two, &vec![3.0, 4.0])].into_iter()).unwrap();
        drop(journal);
        let known = VectorJournal::open(&path, "m", 2).unwrap().1;
        assert_eq!(known[&key(&two)], [3.0, 4.0]);
        let length = fs::metadata(&path).unwrap().len();
        File::options().write(true).open(&path).unwrap().set_len(length - 3).unwrap();
        let (mut journal, known) = VectorJournal::open(&path, "m", 2).unwrap();
        assert_eq!((known.len(), known.contains_key(&key(&one))), (1, true));
        journal.append([(&two, &vec![5.0, 6.0])].into_iter()).unwrap();
        assert_eq!(VectorJournal::open(&path, "m", 2).unwrap().1[&key(&two)], [5.0, 6.0]);
        assert!(VectorJournal::open(&path, "other", 2).unwrap().1.is_empty());
        assert!(VectorJournal::open(&path, "m", 2).unwrap().1.is_empty());
        VectorJournal::forget(&path).unwrap();
        VectorJournal::forget(&path).unwrap();
    }
}
