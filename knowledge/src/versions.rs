//! Versions on disk. A version is a directory that is written aside, moved into place whole, and named by a pointer
//! file that is replaced in one step: whoever reads sees the old version or the new one, never a part.
//!
//! ```text
//! CURRENT                    "<number> <digest of its manifest>"
//! PINNED                     "<number>" while one version is held fast
//! INGEST                     locked while an ingest runs
//! VECTORS                    what an ingest under way, or a killed one, has embedded already
//! versions/v00000012/        manifest.json documents.jsonl model.json vectors.bin lexical/
//! versions/.staging-…        an ingest under way, or what a killed one left
//! ```
//! The pointer vouches for the manifest, and the manifest for every file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest;
use crate::error::{Error, Result};

const POINTER: &str = "CURRENT";
const PIN: &str = "PINNED";
const JOURNAL: &str = "VECTORS";
const LOCK: &str = "INGEST";
pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const DOCUMENTS: &str = "documents.jsonl";
pub(crate) const MODEL: &str = "model.json";
pub(crate) const VECTORS: &str = "vectors.bin";
pub(crate) const LEXICAL: &str = "lexical";

/// What a version is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// How the files are written and the text is cut into chunks and words.
    pub(crate) format: u32,
    pub(crate) version: u64,
    /// Digest of everything the answers depend on; two versions with the same one are the same.
    pub(crate) content: String,
    pub(crate) embedder: String,
    pub(crate) engine: String,
    pub(crate) documents: usize,
    pub(crate) chunks: usize,
    /// File name → SHA-256.
    pub(crate) files: BTreeMap<String, String>,
}

pub(crate) struct Shelf {
    root: PathBuf,
}

/// What the pointer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pointer {
    pub(crate) version: u64,
    pub(crate) manifest: String,
}

/// Held while an ingest runs, over processes.
pub(crate) struct IngestLock {
    _file: File,
}

impl Shelf {
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let versions = root.join("versions");
        fs::create_dir_all(&versions).map_err(Error::io("make", &versions))?;
        Ok(Self { root: root.to_owned() })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn versions(&self) -> PathBuf {
        self.root.join("versions")
    }

    pub(crate) fn dir(&self, version: u64) -> PathBuf {
        self.versions().join(format!("v{version:08}"))
    }

    pub(crate) fn staging(&self, version: u64) -> PathBuf {
        self.versions().join(format!(".staging-{version:08}"))
    }

    /// `None` where nothing was ever published. `Err(reason)` inside when the pointer cannot be understood.
    pub(crate) fn pointer(&self) -> Result<Option<std::result::Result<Pointer, String>>> {
        let path = self.root.join(POINTER);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        let text = String::from_utf8_lossy(&bytes);
        let mut words = text.split_whitespace();
        let parsed = match (words.next().and_then(|word| word.parse().ok()), words.next(), words.next()) {
            (Some(version), Some(manifest), None) => Ok(Pointer { version, manifest: manifest.to_owned() }),
            _ => Err(format!("the pointer {} cannot be understood", path.display())),
        };
        Ok(Some(parsed))
    }

    /// Where an ingest keeps the vectors it has already; see [`crate::embed::journal`].
    pub(crate) fn journal(&self) -> PathBuf {
        self.root.join(JOURNAL)
    }

    /// Versions on disk, newest first.
    pub(crate) fn list(&self) -> Result<Vec<u64>> {
        let dir = self.versions();
        let mut found = Vec::new();
        for entry in fs::read_dir(&dir).map_err(Error::io("list", &dir))? {
            let entry = entry.map_err(Error::io("list", &dir))?;
            let name = entry.file_name();
            if let Some(version) = name.to_str().and_then(|name| name.strip_prefix('v')?.parse().ok()) {
                found.push(version);
            }
        }
        found.sort_unstable_by(|a: &u64, b| b.cmp(a));
        Ok(found)
    }

    /// Refuses while another process ingests.
    pub(crate) fn lock(&self) -> Result<IngestLock> {
        let path = self.root.join(LOCK);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(IngestLock { _file: file }),
            Err(fs::TryLockError::WouldBlock) => Err(Error::Busy { path: self.root.clone() }),
            Err(fs::TryLockError::Error(error)) => Err(Error::io("lock", path)(error)),
        }
    }

    /// Removes what killed ingests left. Only under the lock.
    pub(crate) fn sweep(&self, _lock: &IngestLock) -> Result<()> {
        let dir = self.versions();
        for entry in fs::read_dir(&dir).map_err(Error::io("list", &dir))? {
            let entry = entry.map_err(Error::io("list", &dir))?;
            if entry.file_name().to_string_lossy().starts_with(".staging-") {
                remove(&entry.path())?;
            }
        }
        // Moved into place and never named by the pointer: nobody has seen it.
        if let Some(Ok(pointer)) = self.pointer()? {
            for version in self.list()? {
                if version > pointer.version {
                    remove(&self.dir(version))?;
                }
            }
        }
        Ok(())
    }

    /// Moves a staged version into place and points at it. After this returns a crash cannot lose it.
    pub(crate) fn publish(&self, manifest: &Manifest, _lock: &IngestLock) -> Result<()> {
        let staging = self.staging(manifest.version);
        let place = self.dir(manifest.version);
        let bytes = serde_json::to_vec_pretty(manifest).unwrap_or_default();
        write_durably(&staging.join(MANIFEST), &bytes)?;
        sync_tree(&staging)?;
        if place.exists() {
            // A repair that was killed between the move and the pointer.
            remove(&place)?;
        }
        fs::rename(&staging, &place).map_err(Error::io("move into place", &staging))?;
        sync_dir(&self.versions())?;
        let next = self.root.join(format!("{POINTER}.next"));
        write_durably(&next, format!("{} {}\n", manifest.version, digest::of(&bytes)).as_bytes())?;
        fs::rename(&next, self.root.join(POINTER)).map_err(Error::io("replace the pointer with", &next))?;
        sync_dir(&self.root)
    }

    /// The version that is held fast, if one is. What cannot be understood pins nothing.
    pub(crate) fn pin(&self) -> Result<Option<u64>> {
        let path = self.root.join(PIN);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.trim().parse().ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }

    pub(crate) fn set_pin(&self, version: Option<u64>, _lock: &IngestLock) -> Result<()> {
        let path = self.root.join(PIN);
        match version {
            Some(version) => {
                let next = self.root.join(format!("{PIN}.next"));
                write_durably(&next, format!("{version}\n").as_bytes())?;
                fs::rename(&next, &path).map_err(Error::io("replace the pin with", &next))?;
            }
            None => match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", path)(error));
                }
                _ => {}
            },
        }
        sync_dir(&self.root)
    }

    /// When a version was published, in milliseconds since the epoch, by its manifest's own date.
    pub(crate) fn published_at_ms(&self, version: u64) -> Option<u64> {
        let modified = fs::metadata(self.dir(version).join(MANIFEST)).ok()?.modified().ok()?;
        u64::try_from(modified.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis()).ok()
    }

    /// Removes all but the newest `kept` and the pinned one; returns what went.
    pub(crate) fn prune(&self, kept: usize, _lock: &IngestLock) -> Result<Vec<u64>> {
        let pinned = self.pin()?;
        let gone: Vec<u64> =
            self.list()?.into_iter().skip(kept.max(1)).filter(|version| Some(*version) != pinned).collect();
        for version in &gone {
            remove(&self.dir(*version))?;
        }
        Ok(gone)
    }

    /// Reads a version's manifest; with a pointer, only the one it vouches for.
    pub(crate) fn manifest(
        &self,
        version: u64,
        pointer: Option<&Pointer>,
    ) -> std::result::Result<Manifest, String> {
        let path = self.dir(version).join(MANIFEST);
        let bytes = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        if pointer.is_some_and(|pointer| pointer.manifest != digest::of(&bytes)) {
            return Err(format!("{} is not the one the pointer names", path.display()));
        }
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| format!("{} cannot be understood: {error}", path.display()))?;
        if manifest.version != version {
            return Err(format!("{} is of version {}", path.display(), manifest.version));
        }
        Ok(manifest)
    }

    /// Reads a file of a version and checks its digest.
    pub(crate) fn read(&self, manifest: &Manifest, name: &str) -> std::result::Result<Vec<u8>, String> {
        let path = self.dir(manifest.version).join(name);
        let bytes = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        match manifest.files.get(name) {
            Some(wanted) if *wanted == digest::of(&bytes) => Ok(bytes),
            Some(_) => Err(format!("{} does not have its digest", path.display())),
            None => Err(format!("{} is not in the manifest", path.display())),
        }
    }
}

/// Writes and syncs a file; returns its digest.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> Result<String> {
    let mut file = File::create(path).map_err(Error::io("make", path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Error::io("write", path))?;
    Ok(digest::of(bytes))
}

/// The digests of all files below `dir`, by their paths below `root`. Lock files hold nothing and are passed over.
pub(crate) fn digests(root: &Path, dir: &Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let path = entry.map_err(Error::io("list", dir))?.path();
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(digests(root, &path)?);
        } else if !name.ends_with(".lock") {
            let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
            found.insert(name, digest::of(&bytes));
        }
    }
    Ok(found)
}

fn sync_tree(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let path = entry.map_err(Error::io("list", dir))?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            File::open(&path).and_then(|file| file.sync_all()).map_err(Error::io("sync", &path))?;
        }
    }
    sync_dir(dir)
}

fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", dir))
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", dir)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(version: u64) -> Manifest {
        Manifest {
            format: 1,
            version,
            content: String::new(),
            embedder: String::new(),
            engine: String::new(),
            documents: 0,
            chunks: 0,
            files: BTreeMap::new(),
        }
    }

    fn publish(shelf: &Shelf, version: u64) {
        fs::create_dir(shelf.staging(version)).unwrap();
        shelf.publish(&manifest(version), &shelf.lock().unwrap()).unwrap();
    }

    #[test]
    fn the_pointer_moves_only_when_the_version_is_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path()).unwrap();
        assert_eq!(shelf.pointer().unwrap(), None);
        publish(&shelf, 1);
        let pointer = shelf.pointer().unwrap().unwrap().unwrap();
        assert_eq!(pointer.version, 1);
        assert!(shelf.manifest(1, Some(&pointer)).is_ok());
        fs::write(shelf.dir(1).join(MANIFEST), "{}").unwrap();
        assert!(shelf.manifest(1, Some(&pointer)).is_err());
    }

    #[test]
    fn sweeping_removes_what_was_never_published_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path()).unwrap();
        publish(&shelf, 1);
        publish(&shelf, 2);
        fs::create_dir(shelf.staging(3)).unwrap();
        fs::create_dir(shelf.dir(4)).unwrap();
        shelf.sweep(&shelf.lock().unwrap()).unwrap();
        assert_eq!(shelf.list().unwrap(), [2, 1]);
        assert!(!shelf.staging(3).exists());
    }

    #[test]
    fn a_second_ingest_is_refused_while_one_runs() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path()).unwrap();
        let held = shelf.lock().unwrap();
        assert_eq!(shelf.lock().err().map(|error| error.code()), Some("KNOWLEDGE_BUSY"));
        drop(held);
        assert!(shelf.lock().is_ok());
    }

    #[test]
    fn pruning_keeps_the_newest_and_the_pinned() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path()).unwrap();
        (1..=4).for_each(|version| publish(&shelf, version));
        assert_eq!(shelf.prune(3, &shelf.lock().unwrap()).unwrap(), [1]);
        shelf.set_pin(Some(2), &shelf.lock().unwrap()).unwrap();
        assert_eq!(shelf.prune(1, &shelf.lock().unwrap()).unwrap(), [3]);
        assert_eq!((shelf.list().unwrap(), shelf.pin().unwrap()), (vec![4, 2], Some(2)));
        shelf.set_pin(None, &shelf.lock().unwrap()).unwrap();
        assert_eq!(shelf.pin().unwrap(), None);
    }
}
