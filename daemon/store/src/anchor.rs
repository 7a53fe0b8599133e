//! Anchors: what the audit chain's head was, said where a hand that can rewrite the store cannot reach.
//!
//! An anchor is one JSON line. Signed, it is bound to a key by Ed25519 over these bytes:
//!
//! ```text
//! medic-anchor-v1 LF  store LF  at, ms, decimal LF  head.seq, decimal LF  head.hash LF
//! ```
//!
//! Whoever keeps the lines (and trusts the key) finds a chain that was cut, or forged anew as a whole, from an export
//! alone. Keys are files of 64 hex digits; a private one that others may read is refused.

use crate::config::StoreConfig;
use crate::records::StoreHead;
use crate::shared::lock;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use medic_core::TimestampMs;
use medic_core::audit::ChainHead;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use thiserror::Error;

/// Of a key file: nobody but its owner.
const PRIVATE_MODE: u32 = 0o600;

#[derive(Debug, Error)]
pub enum AnchorError {
    #[error("cannot use {path}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} is no key: 64 hex digits are wanted")]
    Key { path: PathBuf },
    #[error("{path} is a private key that others may read (mode {mode:o}): chmod 600 it")]
    Exposed { path: PathBuf, mode: u32 },
    #[error("line {line} is no anchor: {reason}")]
    Line { line: u64, reason: String },
    #[error("the anchor at record {seq} is not signed")]
    Unsigned { seq: u64 },
    #[error("the anchor at record {seq} is signed by a key that is not trusted")]
    Untrusted { seq: u64 },
    #[error("the signature of the anchor at record {seq} does not hold")]
    Forged { seq: u64 },
    #[error("an anchor of store {found} lies among those of store {expected}")]
    OtherStore { expected: String, found: String },
}

impl AnchorError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "ANCHOR_IO",
            Self::Key { .. } => "ANCHOR_KEY",
            Self::Exposed { .. } => "ANCHOR_KEY_EXPOSED",
            Self::Line { .. } => "ANCHOR_LINE",
            Self::Unsigned { .. } => "ANCHOR_UNSIGNED",
            Self::Untrusted { .. } => "ANCHOR_UNTRUSTED",
            Self::Forged { .. } => "ANCHOR_FORGED",
            Self::OtherStore { .. } => "ANCHOR_OTHER_STORE",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// The store's id: see [`crate::Store::id`].
    pub store: String,
    /// The latest time in the chain up to its head.
    pub at: TimestampMs,
    pub head: ChainHead,
    /// The public key, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// In hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

impl Anchor {
    pub fn unsigned(store: &str, head: ChainHead, at: TimestampMs) -> Self {
        Self { store: store.to_owned(), at, head, key: None, signature: None }
    }

    pub fn sign(store: &str, head: ChainHead, at: TimestampMs, key: &SigningKey) -> Self {
        let mut anchor = Self::unsigned(store, head, at);
        anchor.key = Some(hex(key.verifying_key().as_bytes()));
        anchor.signature = Some(hex(&key.sign(&anchor.signed_bytes()).to_bytes()));
        anchor
    }

    /// What is signed; see the module.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let Self { store, at, head, .. } = self;
        format!("medic-anchor-v1\n{store}\n{}\n{}\n{}\n", at.0, head.seq, head.hash).into_bytes()
    }

    /// Whether one of `trusted` signed exactly this.
    ///
    /// # Errors
    /// [`AnchorError::Unsigned`], [`AnchorError::Untrusted`], [`AnchorError::Forged`].
    pub fn verify(&self, trusted: &[VerifyingKey]) -> Result<(), AnchorError> {
        let seq = self.head.seq;
        let (Some(key), Some(signature)) = (&self.key, &self.signature) else {
            return Err(AnchorError::Unsigned { seq });
        };
        let key = trusted.iter().find(|trusted| hex(trusted.as_bytes()) == *key);
        let key = key.ok_or(AnchorError::Untrusted { seq })?;
        let bytes: [u8; 64] = unhex(signature).ok_or(AnchorError::Forged { seq })?;
        key.verify_strict(&self.signed_bytes(), &Signature::from_bytes(&bytes))
            .map_err(|_| AnchorError::Forged { seq })
    }

    /// The anchor as it is kept, without the end of its line.
    pub fn line(&self) -> String {
        // Strings, integers and a digest: it always serialises.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Reads a file of anchors.
///
/// # Errors
/// [`AnchorError::Line`] for the first line that is none.
pub fn read_anchors(from: impl BufRead) -> Result<Vec<Anchor>, AnchorError> {
    let mut anchors = Vec::new();
    for (text, line) in from.lines().zip(1_u64..) {
        let fault = |reason: String| AnchorError::Line { line, reason };
        let text = text.map_err(|error| fault(error.to_string()))?;
        if !text.trim().is_empty() {
            anchors.push(serde_json::from_str(&text).map_err(|error| fault(error.to_string()))?);
        }
    }
    Ok(anchors)
}

/// Makes a new key: the private one at `path` (for its owner alone), the public one at `path` with `.pub` added.
///
/// # Errors
/// [`AnchorError::Io`], also when either is there already.
pub fn generate(path: &Path) -> Result<VerifyingKey, AnchorError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| AnchorError::Io { path, source }
    };
    let source = Path::new("/dev/urandom");
    let mut seed = [0; 32];
    File::open(source).and_then(|mut random| random.read_exact(&mut seed)).map_err(failed(source))?;
    let key = SigningKey::from_bytes(&seed);
    let write = |path: &Path, mode: u32, bytes: &[u8; 32]| {
        let file = File::options().write(true).create_new(true).mode(mode).open(path);
        file.and_then(|mut file| {
            file.write_all(format!("{}\n", hex(bytes)).as_bytes())?;
            file.sync_all()
        })
        .map_err(failed(path))
    };
    let mut public = path.as_os_str().to_owned();
    public.push(".pub");
    write(path, PRIVATE_MODE, &seed)?;
    write(Path::new(&public), 0o644, key.verifying_key().as_bytes())?;
    Ok(key.verifying_key())
}

/// # Errors
/// [`AnchorError::Exposed`] when anybody but its owner may read or change the file.
pub fn read_signing_key(path: &Path) -> Result<SigningKey, AnchorError> {
    let failed = |source| AnchorError::Io { path: path.to_owned(), source };
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
    if mode & !PRIVATE_MODE != 0 {
        return Err(AnchorError::Exposed { path: path.to_owned(), mode });
    }
    read_key(path).map(|bytes| SigningKey::from_bytes(&bytes))
}

/// # Errors
/// [`AnchorError::Key`] when the file holds no public key.
pub fn read_verifying_key(path: &Path) -> Result<VerifyingKey, AnchorError> {
    VerifyingKey::from_bytes(&read_key(path)?).map_err(|_| AnchorError::Key { path: path.to_owned() })
}

fn read_key(path: &Path) -> Result<[u8; 32], AnchorError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| AnchorError::Io { path: path.to_owned(), source })?;
    unhex(text.trim_end()).ok_or_else(|| AnchorError::Key { path: path.to_owned() })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lower-case hex of exactly `N` bytes.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let bytes = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    bytes.collect::<Option<Vec<u8>>>()?.try_into().ok()
}

/// Appends anchors to the configured file.
pub(crate) struct Anchors {
    store: String,
    path: PathBuf,
    key: Option<SigningKey>,
    every_ms: u64,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    seq: u64,
    /// By the pace of the store; 0: none in this run.
    at_ms: u64,
}

impl Anchors {
    /// `None` when none are wanted.
    ///
    /// # Errors
    /// A key that cannot be used: anchors that nobody would believe are not begun.
    pub fn of(config: &StoreConfig, store: &str) -> Result<Option<Self>, AnchorError> {
        let Some(path) = config.anchor_path.clone() else { return Ok(None) };
        let key = config.anchor_key.as_deref().map(read_signing_key).transpose()?;
        let (store, every_ms) = (store.to_owned(), config.anchor_every_ms);
        Ok(Some(Self { store, path, key, every_ms, last: Mutex::default() }))
    }

    /// `now_ms`: of the store's own pace, from 1.
    pub fn append_when_due(&self, head: &StoreHead, now_ms: u64) {
        let due = now_ms.saturating_sub(lock(&self.last).at_ms) >= self.every_ms;
        if due {
            self.append(head);
            lock(&self.last).at_ms = now_ms;
        }
    }

    /// Appends one, unless the chain has not grown since the last. A failure is told of and tried again next time: the
    /// journal itself is as sound as before.
    pub fn append(&self, head: &StoreHead) {
        let mut last = lock(&self.last);
        if head.audit.seq == 0 || head.audit.seq == last.seq {
            return;
        }
        let anchor = match &self.key {
            Some(key) => Anchor::sign(&self.store, head.audit.clone(), head.latest_at, key),
            None => Anchor::unsigned(&self.store, head.audit.clone(), head.latest_at),
        };
        match append_line(&self.path, &anchor.line()) {
            Ok(()) => last.seq = head.audit.seq,
            Err(error) => tracing::warn!(%error, path = %self.path.display(), "anchor not written"),
        }
    }
}

/// A line that a crash cut off is ended first, so that it spoils no later one.
fn append_line(path: &Path, line: &str) -> io::Result<()> {
    let mut file = File::options().read(true).append(true).create(true).open(path)?;
    let mut text = String::new();
    if file.seek(SeekFrom::End(0))? > 0 {
        let mut end = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut end)?;
        if end != *b"\n" {
            text.push('\n');
        }
    }
    text.push_str(line);
    text.push('\n');
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
