//! A file that is either whole or not there.

use medic_core::IncidentId;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// What an incident's file is called: its id, where every byte that is not a letter, a digit, `-` or `_` is written `%` and
/// two hex digits, so that no id leaves the directory or meets another's file.
pub(super) fn file_name(id: &IncidentId) -> String {
    let mut name = String::with_capacity(id.as_str().len() + 6);
    for byte in id.as_str().bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            other => name.push_str(&format!("%{other:02x}")),
        }
    }
    name + ".jsonl"
}

/// Puts `bytes` in place of whatever was at `path`: written beside it, synced, renamed, and the directory synced.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir)?;
    let beside = path.with_extension("jsonl.part");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_leaves_the_directory_or_meets_another() {
        let names =
            ["01K7", "../01K7", "a/b", "a%2fb", "a.b", "", "."].map(|id| file_name(&IncidentId::from(id)));
        assert_eq!(names.first().map(String::as_str), Some("01K7.jsonl"));
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        assert!(names.iter().all(|name| !name.contains('/') && !name.starts_with("..")), "{names:?}");
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("archive/one.jsonl");
        for text in ["first", "second, longer"] {
            write(&path, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing is left beside it");
    }
}
