//! Files that are read whole and replaced whole: a reader, or a restart, sees the old bytes or the new ones.

use anyhow::Context;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Replaces the file's content; durable once this returns. The file is readable by its owner alone, since some hold tokens.
pub fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let beside = beside(path);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .with_context(|| format!("cannot create {}", beside.display()))?;
    file.write_all(bytes).with_context(|| format!("cannot write {}", beside.display()))?;
    file.sync_all().with_context(|| format!("cannot sync {}", beside.display()))?;
    fs::rename(&beside, path).with_context(|| format!("cannot replace {}", path.display()))?;
    if let Some(directory) = path.parent() {
        // The rename itself is durable only when the directory is.
        fs::File::open(directory)
            .and_then(|directory| directory.sync_all())
            .with_context(|| format!("cannot sync {}", directory.display()))?;
    }
    Ok(())
}

/// Replaces the file with the value as indented JSON.
pub fn replace_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    replace(path, &serde_json::to_vec_pretty(value)?)
}

/// Reads a JSON file; `None` when there is none.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(
            serde_json::from_slice(&bytes)
                .with_context(|| format!("cannot understand {}", path.display()))?,
        )),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_whole_and_leaves_nothing_beside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        assert_eq!(read_json::<Vec<u32>>(&path).unwrap(), None);
        replace_json(&path, &vec![1, 2, 3]).unwrap();
        replace_json(&path, &vec![4]).unwrap();
        assert_eq!(read_json::<Vec<u32>>(&path).unwrap(), Some(vec![4]));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        fs::write(&path, "{").unwrap();
        assert!(read_json::<Vec<u32>>(&path).is_err(), "a broken file is an error, not an empty one");
    }
}
