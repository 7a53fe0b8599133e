//! A log file and what rotation made of its predecessors.
//!
//! Owns the names that rotation gives (`a.log.1`, `a.log.2.gz`, `a.log-20260102`, `a-20260102.log.zst`) and what may happen
//! while one looks: a file is renamed and made anew, or copied and cut. All are opened before any is read, so that a name
//! that moves on changes nothing; what is the same file, or a copy of it, is read once.

use medic_core::TimestampMs;
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Predecessors of one file. 64: two months of days, and as many open files.
const PREDECESSORS_MAX: usize = 64;
/// Bytes by which a copy is told, at either end. 4 KiB: some twenty lines with their times.
const COMPARED_BYTES: u64 = 4 << 10;

pub(super) struct Generation {
    pub path: PathBuf,
    pub file: File,
    /// gzip or zstd by its name; read from its beginning.
    pub packed: bool,
}

/// Where a predecessor stands in the order: numbers count up from the youngest, days down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    Nth(u32),
    Day(std::cmp::Reverse<String>),
}

/// The file first, then its predecessors, youngest first, as far as they may reach into a window that begins at `since`.
///
/// # Errors
/// When nothing can be opened, or the file is no regular one.
pub(super) fn open(path: &Path, since: TimestampMs) -> io::Result<Vec<Generation>> {
    let mut opened: Vec<(Generation, Metadata)> = Vec::new();
    let own = match File::open(path) {
        // Renamed, and not made anew yet: its predecessors are all there is.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        Err(error) => return Err(error),
        Ok(file) => {
            let metadata = file.metadata()?;
            // A pipe would block, a directory is no log.
            if !metadata.is_file() {
                return Err(io::Error::other("not a regular file"));
            }
            opened.push((Generation { path: path.to_owned(), file, packed: false }, metadata));
            Ok(())
        }
    };
    for (path, packed) in predecessors(path)? {
        // One that rotation removed meanwhile is gone.
        let Ok(file) = File::open(&path) else { continue };
        let Ok(metadata) = file.metadata() else { continue };
        let written = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let too_old = written.is_some_and(|at| at.as_millis() < u128::from(since.0));
        let known =
            opened.iter().any(|(_, other)| other.dev() == metadata.dev() && other.ino() == metadata.ino());
        if !metadata.is_file() || too_old || known {
            continue;
        }
        opened.push((Generation { path, file, packed }, metadata));
    }
    if opened.is_empty() {
        own?;
    }
    let copied = match opened.as_mut_slice() {
        [(young, large), (old, small), ..] if own_is_first(path, &young.path) && !old.packed => {
            is_copy(&mut old.file, small.len(), &mut young.file, large.len()).unwrap_or(false)
        }
        _ => false,
    };
    if copied {
        opened.remove(1);
    }
    Ok(opened.into_iter().map(|(generation, _)| generation).collect())
}

fn own_is_first(own: &Path, first: &Path) -> bool {
    own == first
}

fn predecessors(path: &Path) -> io::Result<Vec<(PathBuf, bool)>> {
    let (Some(folder), Some(own)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Ok(Vec::new());
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut found: Vec<(Age, PathBuf, bool)> = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(rotated) = path.file_name().and_then(|name| name.to_str()).and_then(rotated) else {
            continue;
        };
        if rotated.of == own {
            found.push((rotated.age, path.clone(), rotated.packed));
        }
    }
    found.sort();
    // One that is being packed stands there twice: the whole one counts.
    found.dedup_by(|later, kept| later.0 == kept.0 && later.2 && !kept.2);
    found.truncate(PREDECESSORS_MAX);
    Ok(found.into_iter().map(|(_, path, packed)| (path, packed)).collect())
}

/// The file that a name of rotation belongs to; `None` for a name that rotation did not give.
pub(super) fn base_of(name: &str) -> Option<String> {
    rotated(name).map(|rotated| rotated.of)
}

struct Rotated {
    of: String,
    age: Age,
    packed: bool,
}

fn rotated(name: &str) -> Option<Rotated> {
    let bare = [".gz", ".zst"].iter().find_map(|ending| name.strip_suffix(ending));
    let (rest, packed) = (bare.unwrap_or(name), bare.is_some());
    // `a.log.1`
    if let Some((of, number)) = rest.rsplit_once('.')
        && (1..=4).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && !of.is_empty()
    {
        return Some(Rotated { of: of.to_owned(), age: Age::Nth(number.parse().ok()?), packed });
    }
    // `a.log-20260102`, `a.log.2026-01-02`, and `a-20260102.log`.
    if let Some((of, day)) = dated(rest) {
        return Some(Rotated { of: of.to_owned(), age: Age::Day(std::cmp::Reverse(day)), packed });
    }
    let (stem, extension) = rest.rsplit_once('.')?;
    let (of, day) = dated(stem)?;
    Some(Rotated { of: format!("{of}.{extension}"), age: Age::Day(std::cmp::Reverse(day)), packed })
}

/// A name that ends with a mark and a day, perhaps with an hour or a count behind it.
fn dated(name: &str) -> Option<(&str, String)> {
    let is_part = |c: char| c.is_ascii_digit() || c == '-' || c == '_';
    let start = name.rfind(|c: char| !is_part(c)).map_or(0, |at| at + 1);
    let (head, tail) = name.split_at_checked(start)?;
    let tail_bare = tail.trim_start_matches(['-', '_']);
    let digits: String = tail_bare.chars().filter(char::is_ascii_digit).collect();
    let marked = tail_bare.len() < tail.len() || head.ends_with('.');
    let month = digits.get(4..6)?.parse::<u32>().ok()?;
    let day = digits.get(6..8)?.parse::<u32>().ok()?;
    let is_day = (8..=16).contains(&digits.len())
        && (digits.starts_with("19") || digits.starts_with("20"))
        && (1..=12).contains(&month)
        && (1..=31).contains(&day);
    let of = head.trim_end_matches('.');
    (marked && is_day && !of.is_empty()).then_some((of, digits))
}

/// Whether `old` is the beginning of `young`: copied, and `young` not cut yet.
fn is_copy(old: &mut File, old_bytes: u64, young: &mut File, young_bytes: u64) -> io::Result<bool> {
    if old_bytes == 0 || old_bytes > young_bytes {
        return Ok(false);
    }
    let compared = COMPARED_BYTES.min(old_bytes);
    for from in [0, old_bytes - compared] {
        if part(old, from, compared)? != part(young, from, compared)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn part(file: &mut File, from: u64, bytes: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(from))?;
    let mut part = Vec::new();
    file.take(bytes).read_to_end(&mut part)?;
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn names_of_rotation_are_known_and_others_are_not() {
        for (name, of, packed) in [
            ("a.log.1", "a.log", false),
            ("a.log.12.gz", "a.log", true),
            ("a.log-20260102", "a.log", false),
            ("a.log-20260102.gz", "a.log", true),
            ("a.log.2026-01-02", "a.log", false),
            ("a.log-20260102-1530.zst", "a.log", true),
            ("a-20260102.log", "a.log", false),
            ("a-20260102.log.gz", "a.log", true),
        ] {
            let found = rotated(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!((found.of.as_str(), found.packed), (of, packed), "{name}");
        }
        for name in ["a.log", "a-7.log", "a.log.gz", "shop-2.log", "20260102", "a.log.bak", ".1", "v1.20.log"]
        {
            assert_eq!(base_of(name), None, "{name}");
        }
    }

    fn opened(dir: &Path, since: u64) -> Vec<String> {
        let found = open(&dir.join("a.log"), TimestampMs(since)).unwrap();
        let name = |one: &Generation| one.path.file_name().unwrap().to_string_lossy().into_owned();
        found.iter().map(name).collect()
    }

    #[test]
    fn predecessors_come_youngest_first_and_each_once() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.log", "a.log.1", "a.log.10.gz", "a.log.2", "b.log.1", "a.log.2.gz"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        assert_eq!(opened(dir.path(), 0), ["a.log", "a.log.1", "a.log.2", "a.log.10.gz"]);
        assert_eq!(opened(dir.path(), u64::MAX), ["a.log"], "written before the window");
        fs::hard_link(dir.path().join("a.log"), dir.path().join("a.log.3")).unwrap();
        assert_eq!(opened(dir.path(), 0).len(), 4, "the same file under another name");
        fs::remove_file(dir.path().join("a.log")).unwrap();
        assert_eq!(opened(dir.path(), 0)[0], "a.log.1", "renamed and not made anew yet");
        assert!(open(&dir.path().join("nothing.log"), TimestampMs(0)).is_err());
    }

    #[test]
    fn a_copy_that_was_not_cut_yet_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let lines = |from: u32, to: u32| {
            (from..to).map(|n| format!("2026-01-02T03:04:05Z {n}\n")).collect::<String>()
        };
        fs::write(dir.path().join("a.log.1"), lines(0, 500)).unwrap();
        fs::write(dir.path().join("a.log"), lines(0, 510)).unwrap();
        assert_eq!(opened(dir.path(), 0), ["a.log"]);
        fs::write(dir.path().join("a.log"), lines(500, 510)).unwrap();
        assert_eq!(opened(dir.path(), 0), ["a.log", "a.log.1"], "cut");
        fs::write(dir.path().join("a.log"), lines(500, 1_100)).unwrap();
        assert_eq!(opened(dir.path(), 0), ["a.log", "a.log.1"], "longer, and another");
    }
}
