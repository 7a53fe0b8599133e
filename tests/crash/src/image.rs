//! The disk after a power loss, rebuilt from the tape.
//!
//! Two worlds side by side: what the running system saw, and what was on disk. A file's bytes are on disk from its sync
//! on; a name's creation, change or end from the sync of its directory on. What no sync covered may be there in part:
//! for each file some of the later operations in order, the next one torn at a random byte; for each directory some of
//! the later changes in order. Half of the time nothing of it is there.

use crate::seed::Seed;
use crate::tape::{Entry, Op};
use anyhow::{Context as _, Result};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Truncate { len: u64 },
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>, part: Option<usize>) {
        match self {
            Self::Truncate { len } => to.resize(usize::try_from(*len).unwrap_or(usize::MAX), 0),
            Self::Write { offset, bytes } => {
                let bytes = bytes.get(..part.unwrap_or(bytes.len())).unwrap_or(bytes);
                let from = usize::try_from(*offset).unwrap_or(usize::MAX);
                let until = from.saturating_add(bytes.len());
                if to.len() < until {
                    to.resize(until, 0);
                }
                if let Some(place) = to.get_mut(from..until) {
                    place.copy_from_slice(bytes);
                }
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

impl File {
    fn now(&self) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        self.pending.iter().for_each(|change| change.apply(&mut bytes, None));
        bytes
    }

    fn after_power_loss(&self, draws: &mut Seed) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        if self.pending.is_empty() || draws.one_in(2) {
            return bytes;
        }
        let whole = draws.index(self.pending.len() + 1);
        self.pending.iter().take(whole).for_each(|change| change.apply(&mut bytes, None));
        if let Some(torn @ Change::Write { bytes: data, .. }) = self.pending.get(whole) {
            torn.apply(&mut bytes, Some(draws.index(data.len())));
        }
        bytes
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entity {
    File(usize),
    Directory,
}

#[derive(Clone, Debug)]
enum NameChange {
    Put(String, Entity),
    Remove(String),
    Rename(String, String),
}

#[derive(Clone, Debug, Default)]
struct Directory {
    durable: BTreeMap<String, Entity>,
    now: BTreeMap<String, Entity>,
    pending: Vec<NameChange>,
}

fn rename_in(names: &mut BTreeMap<String, Entity>, change: &NameChange) {
    match change {
        NameChange::Put(name, entity) => {
            names.insert(name.clone(), entity.clone());
        }
        NameChange::Remove(name) => {
            names.remove(name);
        }
        NameChange::Rename(from, to) => {
            if let Some(entity) = names.remove(from) {
                names.insert(to.clone(), entity);
            }
        }
    }
}

impl Directory {
    fn change(&mut self, change: NameChange) {
        rename_in(&mut self.now, &change);
        self.pending.push(change);
    }

    fn after_power_loss(&self, draws: &mut Seed) -> BTreeMap<String, Entity> {
        let mut names = self.durable.clone();
        if !self.pending.is_empty() && !draws.one_in(2) {
            let kept = draws.index(self.pending.len() + 1);
            self.pending.iter().take(kept).for_each(|change| rename_in(&mut names, change));
        }
        names
    }
}

/// Both worlds of one store directory.
#[derive(Debug)]
pub struct Image {
    root: PathBuf,
    files: Vec<File>,
    directories: BTreeMap<PathBuf, Directory>,
    /// The tape's names for files, in ours.
    ids: HashMap<u64, usize>,
}

impl Image {
    /// Everything in `from` is on disk: a life begins with what the last one left. The names are those below `root`.
    pub fn of_directory(from: &Path, root: &Path) -> Result<Self> {
        let mut image = Self {
            root: root.to_owned(),
            files: Vec::new(),
            directories: BTreeMap::new(),
            ids: HashMap::new(),
        };
        image.load(from, root)?;
        Ok(image)
    }

    fn load(&mut self, from: &Path, at: &Path) -> Result<()> {
        let mut names = BTreeMap::new();
        for entry in std::fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() {
                self.load(&entry.path(), &at.join(&name))?;
                names.insert(name, Entity::Directory);
            } else {
                self.files.push(File { durable: std::fs::read(entry.path())?, pending: Vec::new() });
                names.insert(name, Entity::File(self.files.len() - 1));
            }
        }
        let directory = Directory { durable: names.clone(), now: names, pending: Vec::new() };
        self.directories.insert(at.to_owned(), directory);
        Ok(())
    }

    fn directory_of(&mut self, path: &Path) -> Option<(&mut Directory, String)> {
        let name = path.file_name()?.to_string_lossy().into_owned();
        Some((self.directories.get_mut(path.parent()?)?, name))
    }

    fn file(&mut self, id: u64) -> Option<&mut File> {
        self.files.get_mut(*self.ids.get(&id)?)
    }

    pub fn play(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.apply(&entry.op);
        }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Open { id, path, created } => {
                let fresh = self.files.len();
                let Some((directory, name)) = self.directory_of(path) else { return };
                let known = match directory.now.get(&name) {
                    Some(Entity::File(known)) if !created => Some(*known),
                    _ => None,
                };
                if known.is_none() {
                    directory.change(NameChange::Put(name, Entity::File(fresh)));
                    self.files.push(File::default());
                }
                self.ids.insert(*id, known.unwrap_or(fresh));
            }
            Op::Write { id, offset, bytes, .. } => {
                if let Some(file) = self.file(*id) {
                    file.pending.push(Change::Write { offset: *offset, bytes: bytes.clone() });
                }
            }
            Op::Truncate { id, len } => {
                if let Some(file) = self.file(*id) {
                    file.pending.push(Change::Truncate { len: *len });
                }
            }
            Op::Sync { id, honest: true } => {
                if let Some(file) = self.file(*id) {
                    file.durable = file.now();
                    file.pending.clear();
                }
            }
            Op::SyncDir { path } => {
                if let Some(directory) = self.directories.get_mut(path) {
                    directory.durable = directory.now.clone();
                    directory.pending.clear();
                }
            }
            Op::MakeDir { path } => {
                self.directories.insert(path.clone(), Directory::default());
                if let Some((directory, name)) = self.directory_of(path) {
                    directory.change(NameChange::Put(name, Entity::Directory));
                }
            }
            Op::Rename { from, to } => {
                // Within one directory: nothing here moves a file between two.
                let to = to.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                if let Some((directory, from)) = self.directory_of(from) {
                    directory.change(NameChange::Rename(from, to));
                }
            }
            Op::Unlink { path } => {
                if let Some((directory, name)) = self.directory_of(path) {
                    directory.change(NameChange::Remove(name));
                }
            }
            Op::Sync { honest: false, .. }
            | Op::Logic { .. }
            | Op::World { .. }
            | Op::Failed { .. }
            | Op::Death { .. } => {}
        }
    }

    /// Puts the directory into one of the states that a power loss at the end of the tape could have left.
    pub fn lose_power(&self, draws: &mut Seed) -> Result<()> {
        std::fs::remove_dir_all(&self.root)?;
        self.write_directory(&self.root, draws)
    }

    fn write_directory(&self, at: &Path, draws: &mut Seed) -> Result<()> {
        std::fs::create_dir_all(at)?;
        let Some(directory) = self.directories.get(at) else { return Ok(()) };
        for (name, entity) in directory.after_power_loss(draws) {
            match entity {
                Entity::Directory => self.write_directory(&at.join(name), draws)?,
                Entity::File(file) => {
                    let file = self.files.get(file).context("the image lost a file")?;
                    std::fs::write(at.join(name), file.after_power_loss(draws))?;
                }
            }
        }
        Ok(())
    }

    /// Files whose bytes, as the tape tells them, are not those in the directory: the tape missed something. Only files
    /// that the tape speaks of.
    pub fn differences(&self) -> Vec<String> {
        let mut different = Vec::new();
        for (path, directory) in &self.directories {
            for (name, entity) in &directory.now {
                let Entity::File(number) = entity else { continue };
                if !self.ids.values().any(|known| known == number) {
                    continue;
                }
                let file = self.files.get(*number).map(File::now);
                let found = std::fs::read(path.join(name)).ok();
                if file != found {
                    let len = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
                    different.push(format!("{name}: tape {} bytes, disk {}", len(&file), len(&found)));
                }
            }
        }
        different
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(op: Op) -> Entry {
        Entry { at: 1, op }
    }

    fn write(id: u64, offset: u64, bytes: &[u8]) -> Entry {
        at(Op::Write { id, offset, len: bytes.len() as u64, bytes: bytes.to_vec() })
    }

    /// Every state that fifty power losses leave, as (name, bytes) pairs.
    fn states(root: &Path, entries: &[Entry]) -> Vec<BTreeMap<String, Vec<u8>>> {
        let mut image = Image::of_directory(root, root).unwrap();
        image.play(entries);
        let mut draws = Seed::new(1);
        (0..50)
            .map(|_| {
                image.lose_power(&mut draws).unwrap();
                let files = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap());
                let read = |entry: std::fs::DirEntry| {
                    (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).unwrap())
                };
                files.map(read).collect()
            })
            .collect()
    }

    #[test]
    fn what_is_synced_stays_and_what_is_not_may_be_there_in_part() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        let made = [
            at(Op::Open { id: 1, path: file, created: true }),
            write(1, 0, b"kept"),
            at(Op::Sync { id: 1, honest: true }),
            at(Op::SyncDir { path: dir.path().to_owned() }),
            write(1, 4, b"-maybe"),
        ];
        let states = states(dir.path(), &made);
        let lengths: Vec<usize> = states.iter().map(|state| state["a"].len()).collect();
        assert!(states.iter().all(|state| state["a"].starts_with(b"kept")), "{states:?}");
        assert!(lengths.contains(&4) && lengths.contains(&10), "{lengths:?}");
        assert!(lengths.iter().any(|len| (5..10).contains(len)), "torn in the middle: {lengths:?}");
    }

    #[test]
    fn a_name_without_a_directory_sync_and_a_sync_that_lied_may_be_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let made = [
            at(Op::Open { id: 1, path: path("old"), created: true }),
            write(1, 0, b"x"),
            at(Op::Sync { id: 1, honest: true }),
            at(Op::SyncDir { path: dir.path().to_owned() }),
            write(1, 1, b"y"),
            at(Op::Sync { id: 1, honest: false }),
            at(Op::Rename { from: path("old"), to: path("new") }),
        ];
        let states = states(dir.path(), &made);
        let named = |name: &str| states.iter().filter(|state| state.contains_key(name)).count();
        assert!(named("old") > 0 && named("new") > 0 && named("old") + named("new") == 50, "{states:?}");
        assert!(states.iter().flat_map(BTreeMap::values).any(|bytes| bytes == b"x"), "{states:?}");
    }
}
