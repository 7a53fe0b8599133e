//! A file system that fails on purpose.
//!
//! This program defines `write`, `fdatasync`, `rename` and their kin itself, as plain system calls. RocksDB and Rust's
//! standard library are linked in statically and bind to these, so that every change of a file below the store passes
//! through here, in the order in which it happens: no root, no FUSE, no preloaded library. Until [`arm`] is called it
//! only passes on. Armed, it counts boundaries, keeps the tape, and at the chosen boundary dies or fails.
//!
//! A sync is noted and not carried out: whether it was is asked only of the tape (`image`), and a killed process loses
//! nothing of the page cache. That makes a life fast and leaves the disk to others.

use crate::seed::Seed;
use crate::tape::{Entry, Op};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

mod calls;

/// What happens at the chosen boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// SIGKILL before the operation.
    Kill,
    /// SIGKILL in the middle of a write: a random part of it is there.
    Torn,
    /// SIGKILL, and what no sync covered is gone (the parent rebuilds the files).
    Power,
    /// This sync and all later ones fail.
    Eio,
    /// Writes fail for a while, then there is room again.
    Enospc,
    /// SIGKILL between the files: before a call, after a commit.
    Logic,
}

impl Mode {
    pub const ALL: [Self; 6] = [Self::Kill, Self::Torn, Self::Power, Self::Eio, Self::Enospc, Self::Logic];

    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Torn => "torn",
            Self::Power => "power",
            Self::Eio => "eio",
            Self::Enospc => "enospc",
            Self::Logic => "logic",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub mode: Mode,
    /// Counts from 1: boundaries for kill, torn and power; syncs for eio; writes for enospc; logic points for logic.
    pub at: u64,
    pub seed: u64,
}

/// A disk that claims what it did not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lie {
    /// Syncs of the write-ahead log.
    LogSync,
    /// Syncs of directories.
    DirectorySync,
    /// A failing sync of the log is answered with success.
    ErrorSwallowed,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Arms {
    /// Files below it are watched.
    pub root: PathBuf,
    /// The log of the world outside: a write to it is a boundary too.
    pub world: PathBuf,
    pub tape: PathBuf,
    /// Whether the tape keeps what was written: needed to rebuild the files after a power loss.
    pub keeps_data: bool,
    pub fault: Option<Fault>,
    pub lie: Option<Lie>,
    /// How long each sync takes, for a slow disk; ms.
    pub sync_delay_ms: u64,
}

/// What a life passed through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub boundaries: u64,
    pub syncs: u64,
    pub writes: u64,
    pub logic: u64,
}

static ARMED: AtomicBool = AtomicBool::new(false);
static SYNC_DELAY_MS: AtomicU64 = AtomicU64::new(0);
static STATE: Mutex<Option<State>> = Mutex::new(None);

#[derive(Clone, Debug)]
enum Node {
    File { id: u64, path: PathBuf, append: bool },
    Directory { path: PathBuf },
    World,
}

struct State {
    arms: Arms,
    tape: i32,
    draws: Seed,
    counts: Counts,
    open: HashMap<i32, Node>,
    ids: HashMap<PathBuf, u64>,
    next_id: u64,
    /// The disk has failed: no sync succeeds any more.
    failing: bool,
    /// Writes still to be refused.
    full_for: u64,
    full_until: Option<Instant>,
}

/// A full disk refuses so many writes at most, and for so long at most: somebody frees space. The engine tries again
/// by itself only every few seconds, and must find room when it does.
const FULL_WRITES_MAX: u64 = 40;
const FULL_MAX: Duration = Duration::from_millis(300);

/// Begins to watch and, when there is a fault to come, to count towards it.
///
/// # Errors
/// When the tape cannot be made.
pub fn arm(arms: Arms) -> std::io::Result<()> {
    let tape = calls::create_for_append(&arms.tape)?;
    let draws = Seed::new(arms.fault.map_or(0, |fault| fault.seed)).fork("faultfs");
    SYNC_DELAY_MS.store(arms.sync_delay_ms, Ordering::SeqCst);
    *lock() = Some(State {
        arms,
        tape,
        draws,
        counts: Counts::default(),
        open: HashMap::new(),
        ids: HashMap::new(),
        next_id: 1,
        failing: false,
        full_for: 0,
        full_until: None,
    });
    ARMED.store(true, Ordering::SeqCst);
    Ok(())
}

pub fn counts() -> Counts {
    lock().as_ref().map(|state| state.counts).unwrap_or_default()
}

/// A place between the files. May not return.
pub fn point(label: &str) {
    if let Some(state) = lock().as_mut() {
        state.counts.logic += 1;
        let at = state.counts.logic;
        state.note(at, Op::Logic { label: label.to_owned() });
        if state.is_due(Mode::Logic, at) {
            state.die(label);
        }
    }
}

fn lock() -> MutexGuard<'static, Option<State>> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is to become of an operation.
enum Verdict {
    Go,
    /// Only so many bytes of it, then the end.
    Part(usize),
    Fail(i32),
}

impl State {
    fn note(&self, at: u64, op: Op) {
        calls::append(self.tape, &Entry { at, op }.encode());
    }

    fn is_due(&self, mode: Mode, at: u64) -> bool {
        self.arms.fault.is_some_and(|fault| fault.mode == mode && fault.at == at)
    }

    fn die(&self, what: &str) -> ! {
        self.note(self.counts.boundaries, Op::Death { what: what.to_owned() });
        calls::kill_self()
    }

    fn boundary(&mut self, what: &str) {
        self.counts.boundaries += 1;
        let at = self.counts.boundaries;
        if self.is_due(Mode::Kill, at) || self.is_due(Mode::Power, at) {
            self.die(what);
        }
    }

    /// `len` bytes are about to be written to a file of the store, or sent to the world.
    fn before_write(&mut self, what: &str, len: usize, to_world: bool) -> Verdict {
        self.boundary(what);
        if self.is_due(Mode::Torn, self.counts.boundaries) {
            return Verdict::Part(self.draws.index(len));
        }
        if to_world {
            return Verdict::Go;
        }
        self.counts.writes += 1;
        if self.is_due(Mode::Enospc, self.counts.writes) {
            self.full_for = 1 + self.draws.below(FULL_WRITES_MAX);
            self.full_until = Some(Instant::now() + FULL_MAX);
        }
        if self.full_for > 0 && self.full_until.is_some_and(|until| Instant::now() < until) {
            self.full_for -= 1;
            self.note(self.counts.boundaries, Op::Failed { what: format!("{what}: no space left") });
            return Verdict::Fail(libc::ENOSPC);
        }
        Verdict::Go
    }

    fn before_sync(&mut self, what: &str) -> Verdict {
        self.boundary(what);
        if self.is_due(Mode::Torn, self.counts.boundaries) {
            self.die(what);
        }
        self.counts.syncs += 1;
        self.failing |= self.is_due(Mode::Eio, self.counts.syncs);
        if self.failing {
            self.note(self.counts.boundaries, Op::Failed { what: format!("{what}: input/output error") });
            if self.arms.lie == Some(Lie::ErrorSwallowed) {
                return Verdict::Part(0);
            }
            return Verdict::Fail(libc::EIO);
        }
        Verdict::Go
    }

    fn before_change(&mut self, what: &str) {
        self.boundary(what);
        if self.is_due(Mode::Torn, self.counts.boundaries) {
            self.die(what);
        }
    }

    /// Files that matter: below the store, and not the engine's own chatter.
    fn watches(&self, path: &Path) -> bool {
        let chatter = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"LOG"));
        path.starts_with(&self.arms.root) && !chatter
    }

    fn id_of(&mut self, path: &Path) -> u64 {
        if let Some(id) = self.ids.get(path) {
            return *id;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.ids.insert(path.to_owned(), id);
        id
    }

    fn opened(&mut self, fd: i32, path: PathBuf, created: bool, append: bool, emptied: bool) {
        if path == self.arms.world {
            self.open.insert(fd, Node::World);
            return;
        }
        if path.is_dir() {
            self.open.insert(fd, Node::Directory { path });
            return;
        }
        let id = self.id_of(&path);
        let at = self.counts.boundaries;
        self.note(at, Op::Open { id, path: path.clone(), created });
        if emptied && !created {
            self.note(at, Op::Truncate { id, len: 0 });
        }
        self.open.insert(fd, Node::File { id, path, append });
    }

    fn node(&self, fd: i32) -> Option<Node> {
        self.open.get(&fd).cloned()
    }

    fn wrote(&self, id: u64, offset: u64, data: &[u8]) {
        let bytes = if self.arms.keeps_data { data.to_vec() } else { Vec::new() };
        self.note(self.counts.boundaries, Op::Write { id, offset, len: data.len() as u64, bytes });
    }

    fn is_honest_about(&self, path: &Path) -> bool {
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        !(self.arms.lie == Some(Lie::LogSync) && is_log)
    }

    fn renamed(&mut self, from: PathBuf, to: PathBuf) {
        if let Some(id) = self.ids.remove(&from) {
            self.ids.insert(to.clone(), id);
        }
        self.note(self.counts.boundaries, Op::Rename { from, to });
    }

    fn unlinked(&mut self, path: PathBuf) {
        self.ids.remove(&path);
        self.note(self.counts.boundaries, Op::Unlink { path });
    }
}

/// A slow disk takes its time while nobody else is kept from working.
fn take_time() {
    let ms = SYNC_DELAY_MS.load(Ordering::SeqCst);
    if ms > 0 {
        std::thread::sleep(Duration::from_millis(ms));
    }
}

fn short(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
