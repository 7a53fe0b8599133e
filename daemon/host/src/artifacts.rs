//! Large output of tools, kept beside the answer instead of in it.
//!
//! Owns a bounded store: the oldest go when room is needed. On disk where a folder is given, so that the evidence of an
//! incident outlives the process; in memory otherwise. The name a tool gives is a label, never a path: a file is named by
//! the digest of its bytes.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use medic_core::Digest;
use serde::{Deserialize, Serialize};

use crate::load::replace;

/// 128 MiB for all plugins in memory: two diagnostic calls at their own limit.
const BYTES_IN_MEMORY_MAX: u64 = 128 * 1024 * 1024;
/// 1 GiB on disk: the evidence of some dozens of incidents.
const BYTES_ON_DISK_MAX: u64 = 1024 * 1024 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// `artifact:<digest>`; same bytes, same id.
    pub id: String,
    pub plugin: String,
    /// The tool's words.
    pub name: String,
    pub media_type: String,
    pub data: Arc<Vec<u8>>,
}

/// Beside each file: whose it is.
#[derive(Serialize, Deserialize)]
struct Label {
    plugin: String,
    name: String,
    media_type: String,
}

pub struct Artifacts {
    folder: Option<PathBuf>,
    bytes_max: u64,
    kept: Mutex<VecDeque<Artifact>>,
}

impl Artifacts {
    pub fn in_memory() -> Self {
        Self { folder: None, bytes_max: BYTES_IN_MEMORY_MAX, kept: Mutex::default() }
    }

    /// # Errors
    /// The folder cannot be made.
    pub fn in_folder(folder: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        fs::create_dir_all(folder)?;
        // What tools collect may be anybody's business but everybody's.
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        Ok(Self { folder: Some(folder.to_owned()), bytes_max: BYTES_ON_DISK_MAX, kept: Mutex::default() })
    }

    /// Keeps `data` and answers its id. Blocks on the disk.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&self, plugin: &str, name: &str, media_type: &str, data: Vec<u8>) -> std::io::Result<String> {
        let digest = Digest::of_bytes(&data);
        let hex = digest.as_str().trim_start_matches("sha256:");
        let id = format!("artifact:{hex}");
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let label = Label {
            plugin: plugin.to_owned(),
            name: crate::text::line(name, 128),
            media_type: crate::text::line(media_type, 128),
        };
        let Some(folder) = &self.folder else {
            if kept.iter().any(|artifact| artifact.id == id) {
                return Ok(id);
            }
            let Label { plugin, name, media_type } = label;
            kept.push_back(Artifact { id: id.clone(), plugin, name, media_type, data: Arc::new(data) });
            let total = |kept: &VecDeque<Artifact>| {
                kept.iter().map(|artifact| artifact.data.len() as u64).sum::<u64>()
            };
            while kept.len() > 1 && total(&kept) > self.bytes_max {
                kept.pop_front();
            }
            return Ok(id);
        };
        let file = folder.join(hex);
        if !file.is_file() {
            replace(&label_of(&file), &serde_json::to_vec(&label)?)?;
            replace(&file, &data)?;
            self.make_room(folder, &file);
        }
        Ok(id)
    }

    pub fn get(&self, id: &str) -> Option<Artifact> {
        let Some(folder) = &self.folder else {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            return kept.iter().find(|artifact| artifact.id == id).cloned();
        };
        // Only a digest can name a file.
        let digest = Digest::parse(&format!("sha256:{}", id.strip_prefix("artifact:")?))?;
        let file = folder.join(digest.as_str().trim_start_matches("sha256:"));
        let label: Label = serde_json::from_slice(&fs::read(label_of(&file)).ok()?).ok()?;
        let data = fs::read(&file).ok().filter(|data| Digest::of_bytes(data) == digest)?;
        let Label { plugin, name, media_type } = label;
        Some(Artifact { id: id.to_owned(), plugin, name, media_type, data: Arc::new(data) })
    }

    fn make_room(&self, folder: &Path, newest: &Path) {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut files: Vec<_> = entries
            .filter(|entry| entry.path().extension().is_none())
            .filter_map(|entry| {
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, entry.path(), metadata.len()))
            })
            .collect();
        files.sort();
        let mut total: u64 = files.iter().map(|(_, _, bytes)| bytes).sum();
        for (_, path, bytes) in files.iter().filter(|(_, path, _)| path != newest) {
            if total <= self.bytes_max {
                return;
            }
            if fs::remove_file(path).is_ok() {
                let _ = fs::remove_file(label_of(path));
                total -= bytes;
            }
        }
    }
}

fn label_of(file: &Path) -> PathBuf {
    file.with_extension("json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_bytes_are_kept_once_and_the_oldest_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let on_disk = Artifacts { bytes_max: 100, ..Artifacts::in_folder(folder.path()).unwrap() };
        let in_memory = Artifacts { bytes_max: 100, ..Artifacts::in_memory() };
        for artifacts in [in_memory, on_disk] {
            let put = |name: &str, byte: u8, bytes: usize| {
                artifacts.put("p", name, "text/plain", vec![byte; bytes]).unwrap()
            };
            let first = put("a\u{1b}[1m", 1, 50);
            assert_eq!(put("b", 1, 50), first);
            assert_eq!(artifacts.get(&first).unwrap().name, "a");
            if let Some(folder) = &artifacts.folder {
                let file = folder.join(first.trim_start_matches("artifact:"));
                fs::File::options()
                    .write(true)
                    .open(file)
                    .unwrap()
                    .set_modified(std::time::UNIX_EPOCH)
                    .unwrap();
            }
            let second = put("c", 2, 51);
            assert!(artifacts.get(&first).is_none());
            assert_eq!(artifacts.get(&second).unwrap().data.len(), 51);
            for id in ["artifact:../../etc/passwd", "artifact:", "x"] {
                assert!(artifacts.get(id).is_none());
            }
        }
    }

    #[test]
    fn what_is_on_disk_outlives_the_process_and_no_edit_goes_unseen() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = |folder| Artifacts::in_folder(folder).unwrap();
        let id = artifacts(folder.path()).put("p", "trace", "text/plain", b"evidence".to_vec()).unwrap();
        assert_eq!(*artifacts(folder.path()).get(&id).unwrap().data, b"evidence");
        fs::write(folder.path().join(id.trim_start_matches("artifact:")), b"otherwise").unwrap();
        assert!(artifacts(folder.path()).get(&id).is_none());
    }
}
