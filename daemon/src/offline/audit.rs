//! The audit log outside a daemon: exports verified, anchors taken, keys made.

use super::{FAILED, StoreDir, coded};
use anyhow::Context;
use clap::{Args, Subcommand};
use medic_core::audit::ChainHead;
use medic_core::{Digest, TimestampMs};
use medic_ports::Journal as _;
use medic_store::anchor::{self, Anchor};
use medic_store::{AnchorError, ExportError, Reader};
use medicd::Config;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Subcommand)]
pub enum Command {
    /// Recomputes the hash chain of an export: finds any edit, deletion, reordering or cut.
    #[command(
        after_help = "A chain that somebody forged anew from its beginning is sound in itself; only a head that was kept \
                      elsewhere tells. Example:\n  medicd audit verify audit.jsonl --anchors anchors.jsonl --trust auditor.key.pub"
    )]
    Verify(Verify),
    /// Writes down where a chain stands, as one JSON line to be kept elsewhere.
    Anchor(Take),
    /// Makes a key pair for anchors: FILE, which only its owner can read, and FILE.pub. Prints the public key.
    Keygen { file: PathBuf },
}

#[derive(Args)]
pub struct Verify {
    file: PathBuf,
    /// A head kept elsewhere, as `SEQ:sha256:…`, that must be met on the way. May be given more than once.
    #[arg(long = "anchor", value_name = "HEAD", value_parser = head, conflicts_with = "anchors")]
    heads: Vec<ChainHead>,
    /// A file of anchors, each of which must be met on the way. May be given more than once.
    #[arg(long, value_name = "FILE")]
    anchors: Vec<PathBuf>,
    /// File of a public key: each anchor must be signed by one of those given.
    #[arg(long, value_name = "KEY", requires = "anchors")]
    trust: Vec<PathBuf>,
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Take {
    #[command(flatten)]
    store: StoreDir,
    /// The head of a chain that was read elsewhere, as `SEQ:sha256:…`, in place of a store's own.
    #[arg(long, value_name = "HEAD", value_parser = head, requires_all = ["store_id", "at"], conflicts_with = "dir")]
    head: Option<ChainHead>,
    /// Of which store that head is.
    #[arg(long = "store", id = "store_id", value_name = "ID", requires = "head")]
    store_id: Option<String>,
    /// The latest time in that chain, ms since the epoch.
    #[arg(long, value_name = "MS", requires = "head")]
    at: Option<u64>,
    /// Private key to sign with; unsigned without one.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Appended to. Default: stdout.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub fn run(command: Command, config: &dyn Fn() -> anyhow::Result<Config>) -> anyhow::Result<ExitCode> {
    match command {
        Command::Verify(asked) => verify(&asked),
        Command::Anchor(asked) => take(asked, config),
        Command::Keygen { file } => {
            let key = anchor::generate(&file).map_err(refused)?;
            let hex: String = key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(io::stdout(), "{hex}")?;
            let shown = file.display();
            writeln!(io::stderr(), "{shown} signs; {shown}.pub is to be given to whoever verifies")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn head(text: &str) -> Result<ChainHead, String> {
    let parsed = text
        .split_once(':')
        .and_then(|(seq, hash)| Some(ChainHead { seq: seq.parse().ok()?, hash: Digest::parse(hash)? }));
    parsed.ok_or_else(|| "a head is written SEQ:sha256:<64 hex digits>".to_owned())
}

fn refused(error: AnchorError) -> anyhow::Error {
    coded(error.code(), error)
}

fn take(asked: Take, config: &dyn Fn() -> anyhow::Result<Config>) -> anyhow::Result<ExitCode> {
    let Take { store, head, store_id, at, key, out } = asked;
    let (store, head, at) = match (head, store_id, at) {
        (Some(head), Some(store), Some(at)) => (store, head, TimestampMs(at)),
        _ => {
            let dir = store.config(config)?.dir;
            let reader = Reader::open(&dir).map_err(|error| coded(error.code(), error))?;
            let health = reader.health();
            (reader.id().to_owned(), health.audit_head, health.latest_at)
        }
    };
    let anchor = match key {
        Some(key) => Anchor::sign(&store, head, at, &anchor::read_signing_key(&key).map_err(refused)?),
        None => Anchor::unsigned(&store, head, at),
    };
    match out {
        Some(path) => append(&path, &anchor.line())
            .with_context(|| format!("cannot append to {}", path.display()))
            .context("ANCHOR_IO")?,
        None => writeln!(io::stdout(), "{}", anchor.line())?,
    }
    let (seq, hash) = (anchor.head.seq, &anchor.head.hash);
    let signed = if anchor.signature.is_some() { "signed" } else { "not signed" };
    writeln!(io::stderr(), "record {seq}, {hash}, {signed}")?;
    Ok(ExitCode::SUCCESS)
}

/// A line, on disk when this returns.
fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_all()
}

fn verify(asked: &Verify) -> anyhow::Result<ExitCode> {
    let open = |path: &Path| {
        File::open(path).map(BufReader::new).with_context(|| format!("cannot open {}", path.display()))
    };
    let mut anchors = Vec::new();
    for path in &asked.anchors {
        anchors.extend(anchor::read_anchors(open(path)?).map_err(refused)?);
    }
    let trusted = asked.trust.iter().map(|path| anchor::read_verifying_key(path).map_err(refused));
    let trusted = trusted.collect::<anyhow::Result<Vec<_>>>()?;
    let from = open(&asked.file)?;
    let met = anchors.len() + asked.heads.len();
    let verified = if asked.anchors.is_empty() {
        medic_store::verify_export_against(from, asked.heads.clone())
    } else {
        medic_store::verify_export_with(from, anchors, &trusted)
    };
    told(verified, met, asked.json)
}

fn told(verified: Result<ChainHead, ExportError>, met: usize, json: bool) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match (verified, json) {
        (Ok(head), true) => {
            writeln!(out, "{}", serde_json::json!({ "whole": true, "head": head, "anchors_met": met }))?;
        }
        (Ok(head), false) => {
            let anchors = if met > 0 { format!(", {met} anchors met") } else { String::new() };
            writeln!(out, "whole: {} records, head {}{anchors}", head.seq, head.hash)?;
        }
        (Err(error), true) => {
            let report =
                serde_json::json!({ "whole": false, "code": error.code(), "message": error.to_string() });
            writeln!(out, "{report}")?;
            return Ok(ExitCode::from(FAILED));
        }
        (Err(error), false) => return Err(coded(error.code(), error)),
    }
    Ok(ExitCode::SUCCESS)
}
