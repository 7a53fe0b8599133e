//! A directory of runbooks, such as a checkout. Follows a symbolic link only to a place inside the directory, and enters
//! no directory twice.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::read::Reader;
use super::{Broken, Known, Listing, Raw, Seen, Source};
use crate::error::{Error, Result};

/// Directories inside one another. A checkout of documents has some five.
const DEPTH_MAX: usize = 32;

/// Paths waiting to be reported; a reader that is faster than its report waits.
const PROGRESS_DEPTH: usize = 64;

pub(crate) struct Directory {
    /// Canonical.
    root: PathBuf,
    name: String,
}

impl Directory {
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let root = fs::canonicalize(dir).map_err(Error::io("find the source", dir))?;
        if !root.is_dir() {
            let reason = std::io::Error::from(std::io::ErrorKind::NotADirectory);
            return Err(Error::Io { doing: "read the source", path: root, source: reason });
        }
        let name = root.to_string_lossy().into_owned();
        Ok(Self { root, name })
    }
}

#[async_trait]
impl Source for Directory {
    fn name(&self) -> &str {
        &self.name
    }

    /// Walks on a thread of its own. A file's own bytes say whether it changed: revisions are of no use here.
    async fn list(&self, _known: &Known, seen: &mut Seen<'_>) -> Result<Listing> {
        let (tell, mut paths) = tokio::sync::mpsc::channel::<String>(PROGRESS_DEPTH);
        let root = self.root.clone();
        let walking = tokio::task::spawn_blocking(move || {
            walk(&root, &mut |path| {
                // The receiver is gone when the ingest was dropped: then nobody wants to know.
                let _ = tell.blocking_send(path.to_owned());
            })
        });
        while let Some(path) = paths.recv().await {
            seen(&path);
        }
        walking.await.map_err(|stopped| Error::Task { reason: stopped.to_string() })?
    }
}

fn walk(root: &Path, seen: &mut dyn FnMut(&str)) -> Result<Listing> {
    let mut walk =
        Walk { root, entered: BTreeSet::new(), read: BTreeSet::new(), listing: Listing::default(), seen };
    walk.enter(root, 0)?;
    let mut listing = walk.listing;
    listing.documents.sort_by(|a, b| a.path.cmp(&b.path));
    listing.broken.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(listing)
}

struct Walk<'a> {
    root: &'a Path,
    /// Canonical directories that were entered.
    entered: BTreeSet<PathBuf>,
    /// Canonical files that were read through a link or by their own name.
    read: BTreeSet<PathBuf>,
    listing: Listing,
    seen: &'a mut dyn FnMut(&str),
}

impl Walk<'_> {
    fn enter(&mut self, dir: &Path, depth: usize) -> Result<()> {
        let canonical = match fs::canonicalize(dir) {
            Ok(canonical) => canonical,
            Err(error) => return self.unreadable_dir(dir, &error),
        };
        if depth > DEPTH_MAX {
            self.refuse(dir, format!("lies more than {DEPTH_MAX} directories deep"));
            return Ok(());
        }
        if !self.entered.insert(canonical) {
            self.refuse(dir, "is a loop: the directory was entered before".to_owned());
            return Ok(());
        }
        let listed: std::io::Result<Vec<PathBuf>> =
            fs::read_dir(dir).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
        let mut paths = match listed {
            Ok(paths) => paths,
            Err(error) => return self.unreadable_dir(dir, &error),
        };
        // Real entries before links, so that a document is listed under its own name.
        paths.sort_by_key(|path| (path.is_symlink(), path.clone()));
        for path in paths {
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if hidden {
                continue;
            }
            if path.is_symlink() && !self.leads_inside(&path) {
                continue;
            }
            if path.is_dir() {
                self.enter(&path, depth + 1)?;
            } else {
                self.take(&path);
            }
        }
        Ok(())
    }

    /// The source itself must be readable; a directory in it that is not is reported.
    fn unreadable_dir(&mut self, dir: &Path, error: &std::io::Error) -> Result<()> {
        if dir == self.root {
            let source = std::io::Error::from(error.kind());
            return Err(Error::Io { doing: "read the source", path: dir.to_owned(), source });
        }
        self.refuse(dir, format!("cannot be read: {error}"));
        Ok(())
    }

    fn leads_inside(&mut self, link: &Path) -> bool {
        match fs::canonicalize(link) {
            Ok(target) if target.starts_with(self.root) => true,
            Ok(_) => {
                self.refuse(link, "is a symbolic link that leads out of the source".to_owned());
                false
            }
            Err(error) => {
                self.refuse(link, format!("is a symbolic link that leads nowhere: {error}"));
                false
            }
        }
    }

    fn take(&mut self, path: &Path) {
        let name = self.relative(path);
        let Some(reader) = Reader::of(&name) else {
            self.listing.passed_over += 1;
            return;
        };
        if !fs::canonicalize(path).is_ok_and(|canonical| self.read.insert(canonical)) {
            self.listing.passed_over += 1;
            return;
        }
        (self.seen)(&name);
        match read(path, reader.bytes_max()).and_then(|bytes| reader.read(&name, bytes)) {
            Ok(Some(text)) => self.listing.documents.push(Raw { path: name, text, revision: None }),
            Ok(None) => self.listing.passed_over += 1,
            Err(reason) => self.refuse(path, reason),
        }
    }

    fn refuse(&mut self, path: &Path, reason: String) {
        let broken = Broken::new(self.relative(path), reason);
        self.listing.broken.push(broken);
    }

    fn relative(&self, path: &Path) -> String {
        let inside = path.strip_prefix(self.root).unwrap_or(path);
        inside.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
    }
}

fn read(path: &Path, bytes_max: u64) -> std::result::Result<Vec<u8>, String> {
    // A pipe or a device would block or never end.
    if !path.is_file() {
        return Err("is no regular file".to_owned());
    }
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    let mut bytes = Vec::new();
    // One byte more than allowed: a file that grows while it is read cannot pass.
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn list(dir: &Path) -> Listing {
        walk(&Directory::open(dir).unwrap().root, &mut |_| {}).unwrap()
    }

    #[test]
    fn loops_escapes_and_dead_links_are_reported_and_the_rest_is_read() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret.md"), "# S\nx").unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/one.md"), "# One\nx").unwrap();
        fs::write(dir.path().join("a/b/two.txt"), "two").unwrap();
        symlink(dir.path().join("a"), dir.path().join("a/b/loop")).unwrap();
        symlink(outside.path(), dir.path().join("escape")).unwrap();
        symlink(outside.path().join("secret.md"), dir.path().join("escape.md")).unwrap();
        symlink("nowhere", dir.path().join("dead.md")).unwrap();
        symlink("self.md", dir.path().join("self.md")).unwrap();
        symlink(dir.path().join("a/one.md"), dir.path().join("zz.md")).unwrap();
        let listing = list(dir.path());
        let paths: Vec<&str> = listing.documents.iter().map(|raw| raw.path.as_str()).collect();
        assert_eq!(paths, ["a/b/two.txt", "a/one.md"]);
        let broken: Vec<&str> = listing.broken.iter().map(|broken| broken.path.as_str()).collect();
        assert_eq!(broken, ["a/b/loop", "dead.md", "escape", "escape.md", "self.md"]);
    }

    #[test]
    fn broken_text_huge_files_and_hidden_ones_stay_out() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("latin.md"), b"caf\xe9").unwrap();
        fs::write(dir.path().join("huge.md"), vec![b'a'; 5 * 1024 * 1024 + 1]).unwrap();
        fs::write(dir.path().join("just.md"), vec![b'a'; 5 * 1024 * 1024]).unwrap();
        fs::write(dir.path().join(".hidden.md"), "x").unwrap();
        fs::write(dir.path().join("tool.sh"), "x").unwrap();
        fs::write(dir.path().join("pod.yaml"), "kind: Pod\n").unwrap();
        // Sparse: it takes no place, and no more of it is read than may be kept.
        File::create(dir.path().join("dump.md")).unwrap().set_len(50 * 1024 * 1024).unwrap();
        let listing = list(dir.path());
        assert_eq!(listing.documents.len(), 1);
        assert_eq!(listing.passed_over, 2);
        assert!(listing.broken[0].reason.contains("larger"), "{:?}", listing.broken);
        assert!(listing.broken[1].reason.contains("larger"), "{:?}", listing.broken);
        assert!(listing.broken[2].reason.contains("UTF-8 at byte 3"));
    }

    #[test]
    fn a_source_that_is_missing_or_a_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Directory::open(&dir.path().join("none")).is_err());
        fs::write(dir.path().join("file"), "x").unwrap();
        assert!(Directory::open(&dir.path().join("file")).is_err());
    }
}
