//! The audit log as a file, and its proof without a database.
//!
//! JSON lines. First a header: `{"medic_audit":1,"count":N,"head":{"seq":N,"hash":"sha256:…"}}`; then each record, from 1
//! to N. Every line is exactly what the writer of this build would write, so that no byte can be changed unseen. The
//! chain finds what was edited, cut out, reordered or spliced in; a file whose chain and header were both forged anew is
//! found by an anchor: a head that was kept elsewhere.

use crate::anchor::{Anchor, AnchorError};
use crate::engine::{Engine, Family};
use crate::error::OpenError;
use ed25519_dalek::VerifyingKey;
use medic_core::audit::{ChainFault, ChainHead, ChainVerifier, ChainedRecord};
use medic_ports::JournalError;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Write};
use std::ops::ControlFlow;
use std::path::Path;
use thiserror::Error;

const VERSION: u32 = 1;
/// A line beyond this is refused rather than read. 16 MiB: four times the largest thing an audit detail may quote.
const LINE_BYTES_MAX: u64 = 16 << 20;

#[derive(Debug, Error)]
pub enum ExportError {
    #[error("cannot read the store: {0}")]
    Journal(#[from] JournalError),
    #[error("cannot open the store")]
    Open(#[from] OpenError),
    #[error("cannot read or write the export")]
    Io(#[from] io::Error),
    #[error("the file is no audit export: {0}")]
    Header(String),
    #[error("line {line} is not a record as it was written: {reason}")]
    Line { line: u64, reason: String },
    #[error(transparent)]
    Chain(#[from] ChainFault),
    #[error(transparent)]
    Anchor(#[from] AnchorError),
}

impl ExportError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Journal(error) => error.code(),
            Self::Open(error) => error.code(),
            Self::Io(_) => "EXPORT_IO",
            Self::Header(_) => "AUDIT_HEADER",
            Self::Line { .. } => "AUDIT_LINE",
            Self::Chain(_) => "AUDIT_CHAIN",
            Self::Anchor(error) => error.code(),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    medic_audit: u32,
    count: u64,
    head: ChainHead,
}

/// Exports the audit log of a store that no process has open.
///
/// # Errors
/// [`ExportError`]; what was written until then is not a whole export and does not verify.
pub fn export_audit(dir: &Path, to: &mut dyn Write) -> Result<ChainHead, ExportError> {
    let offline = crate::check::Offline::open(dir)?;
    let head = offline.inspection().head()?.audit;
    export(&offline.engine, &head, to)?;
    Ok(head)
}

pub(crate) fn export(engine: &Engine, head: &ChainHead, to: &mut dyn Write) -> Result<(), ExportError> {
    let mut to = io::BufWriter::new(to);
    let header = Header { medic_audit: VERSION, count: head.seq, head: head.clone() };
    write_line(&mut to, &header)?;
    let mut failed = None;
    // Records behind the head belong to commits made since it was read.
    let until = head.seq.saturating_add(1).to_be_bytes();
    engine.scan(Family::Audit, &1_u64.to_be_bytes(), &until, false, |_, value| {
        use crate::records::Record as _;
        Ok(match write_line(&mut to, &ChainedRecord::decode(value)?) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        })
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    to.flush()?;
    Ok(())
}

fn write_line(to: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *to, value)?;
    to.write_all(b"\n")
}

/// Recomputes a whole export.
///
/// # Errors
/// [`ExportError`] for the first line that is not as it was written.
pub fn verify_export(from: impl BufRead) -> Result<ChainHead, ExportError> {
    verify_export_against(from, Vec::new())
}

/// As [`verify_export`], and each anchor (a head kept elsewhere) must be met on the way.
///
/// # Errors
/// As [`verify_export`], and [`ChainFault::Anchor`] or [`ChainFault::Head`] when an anchor is not met.
pub fn verify_export_against(
    mut from: impl BufRead,
    anchors: Vec<ChainHead>,
) -> Result<ChainHead, ExportError> {
    let first = read_line(&mut from, 1)?.ok_or_else(|| ExportError::Header("it is empty".to_owned()))?;
    let header: Header =
        serde_json::from_str(&first).map_err(|error| ExportError::Header(error.to_string()))?;
    if header.medic_audit != VERSION {
        return Err(ExportError::Header(format!("version {} is not known", header.medic_audit)));
    }
    if header.count != header.head.seq || as_written(&header, &first).is_err() {
        return Err(ExportError::Header("its first line is not as it was written".to_owned()));
    }
    if let Some(beyond) = anchors.iter().find(|anchor| anchor.seq > header.head.seq) {
        return Err(ChainFault::Head { expected: beyond.seq, found: header.head.seq }.into());
    }
    let mut verifier = ChainVerifier::new(anchors);
    let mut line = 1;
    while let Some(text) = read_line(&mut from, line + 1)? {
        line += 1;
        let reason = |reason: String| ExportError::Line { line, reason };
        let record: ChainedRecord = serde_json::from_str(&text).map_err(|error| reason(error.to_string()))?;
        as_written(&record, &text).map_err(reason)?;
        verifier.push(&record)?;
    }
    Ok(verifier.finish(Some(&header.head))?)
}

/// As [`verify_export_against`], with anchors as they are kept. All of them must be of one store; when any key is trusted,
/// each must be signed by one of those.
///
/// # Errors
/// As [`verify_export_against`], and [`AnchorError`] for an anchor that is not to be believed.
pub fn verify_export_with(
    from: impl BufRead,
    anchors: Vec<Anchor>,
    trusted: &[VerifyingKey],
) -> Result<ChainHead, ExportError> {
    if let Some(first) = anchors.first()
        && let Some(other) = anchors.iter().find(|anchor| anchor.store != first.store)
    {
        let (expected, found) = (first.store.clone(), other.store.clone());
        return Err(AnchorError::OtherStore { expected, found }.into());
    }
    if !trusted.is_empty() {
        anchors.iter().try_for_each(|anchor| anchor.verify(trusted))?;
    }
    verify_export_against(from, anchors.into_iter().map(|anchor| anchor.head).collect())
}

/// One line without its end; `None` at the end of the file.
fn read_line(from: &mut impl BufRead, line: u64) -> Result<Option<String>, ExportError> {
    let mut bytes = Vec::new();
    io::Read::take(&mut *from, LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let fault = |reason: &str| ExportError::Line { line, reason: reason.to_owned() };
    if bytes.pop() != Some(b'\n') {
        return Err(fault("it has no end"));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| fault("it is not text"))
}

fn as_written(value: &impl Serialize, text: &str) -> Result<(), String> {
    let written = serde_json::to_string(value).map_err(|error| error.to_string())?;
    if written == text { Ok(()) } else { Err("its bytes were changed".to_owned()) }
}
