//! The tape: what a life did to its files, in order, as the fault file system saw it.
//!
//! A header line an operation, and for a write the bytes behind it. Written with plain system calls, so that it survives
//! the death of its writer; it lies outside the store and is no part of what is tested.

use anyhow::{Context as _, Result, bail};
use std::fmt;
use std::io::BufRead;
use std::path::PathBuf;

/// One operation on a file or directory below the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Open {
        id: u64,
        path: PathBuf,
        created: bool,
    },
    /// `bytes` is empty on a tape that was made without data.
    Write {
        id: u64,
        offset: u64,
        len: u64,
        bytes: Vec<u8>,
    },
    Truncate {
        id: u64,
        len: u64,
    },
    /// What was written to the file before is on disk from here on. `honest: false`: the disk only said so.
    Sync {
        id: u64,
        honest: bool,
    },
    SyncDir {
        path: PathBuf,
    },
    MakeDir {
        path: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Unlink {
        path: PathBuf,
    },
    /// A place between the files: after a commit, before a call.
    Logic {
        label: String,
    },
    /// A request to the world outside.
    World {
        len: u64,
    },
    /// The operation failed on purpose.
    Failed {
        what: String,
    },
    /// The life ended here on purpose.
    Death {
        what: String,
    },
}

/// An operation and its place: boundaries count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub at: u64,
    pub op: Op,
}

impl Entry {
    pub fn encode(&self) -> Vec<u8> {
        let mut line = format!("{} ", self.at);
        let mut data: Option<&[u8]> = None;
        match &self.op {
            Op::Open { id, path, created } => {
                line += &format!("F {id} {} {}", u8::from(*created), path.display());
            }
            Op::Write { id, offset, len, bytes } => {
                line += &format!("W {id} {offset} {len} {}", bytes.len());
                data = Some(bytes);
            }
            Op::Truncate { id, len } => line += &format!("T {id} {len}"),
            Op::Sync { id, honest } => line += &format!("S {id} {}", u8::from(*honest)),
            Op::SyncDir { path } => line += &format!("D {}", path.display()),
            Op::MakeDir { path } => line += &format!("M {}", path.display()),
            Op::Rename { from, to } => line += &format!("R {}\t{}", from.display(), to.display()),
            Op::Unlink { path } => line += &format!("U {}", path.display()),
            Op::Logic { label } => line += &format!("L {label}"),
            Op::World { len } => line += &format!("O {len}"),
            Op::Failed { what } => line += &format!("E {what}"),
            Op::Death { what } => line += &format!("K {what}"),
        }
        let mut encoded = line.into_bytes();
        encoded.push(b'\n');
        if let Some(data) = data {
            encoded.extend_from_slice(data);
            encoded.push(b'\n');
        }
        encoded
    }

    fn decode(line: &str, from: &mut impl BufRead) -> Result<Self> {
        let mut fields = line.splitn(3, ' ');
        let at = fields.next().context("no place")?.parse()?;
        let (kind, rest) = (fields.next().context("no kind")?, fields.next().unwrap_or_default());
        let mut words = rest.splitn(4, ' ');
        let mut number = || -> Result<u64> { Ok(words.next().context("a number is missing")?.parse()?) };
        let op = match kind {
            "F" => {
                let (id, created) = (number()?, number()? == 1);
                let path = rest.splitn(3, ' ').nth(2).context("no path")?;
                Op::Open { id, path: path.into(), created }
            }
            "W" => {
                let (id, offset, len, kept) = (number()?, number()?, number()?, number()?);
                let mut bytes = vec![0; usize::try_from(kept)? + 1];
                from.read_exact(&mut bytes)?;
                bytes.pop();
                Op::Write { id, offset, len, bytes }
            }
            "T" => Op::Truncate { id: number()?, len: number()? },
            "S" => Op::Sync { id: number()?, honest: number()? == 1 },
            "D" => Op::SyncDir { path: rest.into() },
            "M" => Op::MakeDir { path: rest.into() },
            "R" => {
                let (from, to) = rest.split_once('\t').context("a rename needs two names")?;
                Op::Rename { from: from.into(), to: to.into() }
            }
            "U" => Op::Unlink { path: rest.into() },
            "L" => Op::Logic { label: rest.to_owned() },
            "O" => Op::World { len: rest.parse()? },
            "E" => Op::Failed { what: rest.to_owned() },
            "K" => Op::Death { what: rest.to_owned() },
            other => bail!("unknown operation {other}"),
        };
        Ok(Self { at, op })
    }
}

/// Reads a whole tape. A last entry that its writer's death cut off is left out.
pub fn read(mut from: impl BufRead) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 || !line.ends_with('\n') {
            return Ok(entries);
        }
        match Entry::decode(line.trim_end_matches('\n'), &mut from) {
            Ok(entry) => entries.push(entry),
            Err(error) if from.fill_buf()?.is_empty() => {
                let _cut_off = error;
                return Ok(entries);
            }
            Err(error) => return Err(error.context(format!("tape line {line:?}"))),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = |path| name(path).unwrap_or_default();
        write!(f, "{:>5}  ", self.at)?;
        match &self.op {
            Op::Open { id, path, created } => {
                write!(f, "{} #{id} {}", if *created { "create" } else { "open" }, name(path))
            }
            Op::Write { id, offset, len, .. } => write!(f, "write #{id} {len} bytes at {offset}"),
            Op::Truncate { id, len } => write!(f, "truncate #{id} to {len}"),
            Op::Sync { id, honest: true } => write!(f, "sync #{id}"),
            Op::Sync { id, honest: false } => write!(f, "sync #{id} claimed and not done"),
            Op::SyncDir { path } => write!(f, "sync directory {}", name(path)),
            Op::MakeDir { path } => write!(f, "make directory {}", name(path)),
            Op::Rename { from, to } => write!(f, "rename {} to {}", name(from), name(to)),
            Op::Unlink { path } => write!(f, "unlink {}", name(path)),
            Op::Logic { label } => write!(f, "-- {label}"),
            Op::World { len } => write!(f, "call to the world, {len} bytes"),
            Op::Failed { what } => write!(f, "FAILED {what}"),
            Op::Death { what } => write!(f, "DIED {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tape_reads_back_and_a_torn_end_is_left_out() {
        let ops = [
            Op::Open { id: 1, path: "/s/db/a b.log".into(), created: true },
            Op::Write { id: 1, offset: 9, len: 4, bytes: b"a\nb\n".to_vec() },
            Op::Sync { id: 1, honest: false },
            Op::Rename { from: "/s/x".into(), to: "/s/y".into() },
            Op::Logic { label: "commit: after".into() },
            Op::Write { id: 1, offset: 13, len: 300, bytes: Vec::new() },
        ];
        let entries: Vec<Entry> = ops.into_iter().zip(1..).map(|(op, at)| Entry { at, op }).collect();
        let mut bytes: Vec<u8> = entries.iter().flat_map(Entry::encode).collect();
        assert_eq!(read(&bytes[..]).unwrap(), entries);
        bytes.extend_from_slice(b"7 W 1 313 50 50\nonly a part");
        assert_eq!(read(&bytes[..]).unwrap(), entries);
    }
}
