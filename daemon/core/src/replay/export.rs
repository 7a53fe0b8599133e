//! One incident as a file that needs nothing else to be replayed.
//!
//! JSON lines. First the [`Header`], then one [`DecidedLine`] a commit, then one [`AuditLine`] a record of the incident, last
//! the [`Footer`]. The footer seals the text: `text(n) = SHA-256(text(n-1) ‖ line(n))` over every line before it, line ends
//! included, with `SHA-256("")` before the first. Never reads or writes a file: lines come in and go out as text.

use super::{Decided, Divergence, Replay, Replayed};
use crate::audit::{ChainHead, ChainedRecord};
use crate::{Digest, Incident, IncidentId, Policy};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use thiserror::Error;

pub const FORMAT: &str = "medic-incident";
pub const VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    pub incident: IncidentId,
    /// Each policy that a decision names, as the very text that was digested.
    pub policies: BTreeMap<Digest, String>,
    /// Where the audit chain ended when this was written.
    pub chain_head: ChainHead,
}

impl Header {
    pub fn new(incident: IncidentId, policies: BTreeMap<Digest, String>, chain_head: ChainHead) -> Self {
        Self { format: FORMAT.to_owned(), version: VERSION, incident, policies, chain_head }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecidedLine {
    /// Place among the store's commits.
    pub commit: u64,
    pub decided: Decided,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditLine {
    pub audit: ChainedRecord,
    /// Hash of the record before it in the chain, whichever incident that one is of.
    pub before: Digest,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Footer {
    pub state: Incident,
    /// Of `state`.
    pub digest: Digest,
    /// Lines before this one.
    pub lines: u64,
    /// Of those lines.
    pub text: Digest,
}

/// Runs along with the lines of an export and seals them.
#[derive(Clone, Debug)]
pub struct Seal {
    lines: u64,
    text: Digest,
}

impl Default for Seal {
    fn default() -> Self {
        Self { lines: 0, text: Digest::of_bytes(b"") }
    }
}

impl Seal {
    /// The next line of the file, with its end.
    ///
    /// # Errors
    /// When `value` does not serialise; core's nouns do.
    pub fn line(&mut self, value: &impl Serialize) -> serde_json::Result<String> {
        let mut line = serde_json::to_string(value)?;
        line.push('\n');
        self.pass(&line);
        Ok(line)
    }

    /// The last line of the file, with its end.
    ///
    /// # Errors
    /// As [`line`](Self::line).
    pub fn close(self, state: &Incident) -> serde_json::Result<String> {
        let digest = Digest::of(state);
        let footer = Footer { state: state.clone(), digest, lines: self.lines, text: self.text };
        Ok(serde_json::to_string(&footer)? + "\n")
    }

    /// `line`: with its end.
    fn pass(&mut self, line: &str) {
        let mut bytes = self.text.as_str().as_bytes().to_vec();
        bytes.extend_from_slice(line.as_bytes());
        self.text = Digest::of_bytes(&bytes);
        self.lines += 1;
    }
}

/// Why a file is no export, or not the one that was written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ExportFault {
    #[error("the file is no export of an incident: {0}")]
    Format(String),
    #[error("line {line} is not a line of an export: {reason}")]
    Line { line: u64, reason: String },
    #[error("the last line is missing: the file was cut off")]
    Cut,
    #[error("policy {digest} is not the text of that digest")]
    Policy { digest: Digest },
    #[error("policy {digest} cannot be read by this build: {reason}")]
    PolicyUnreadable { digest: Digest, reason: String },
    #[error("what the file says is sound, but its text is not what was sealed: {0}")]
    Seal(&'static str),
}

impl ExportFault {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Format(_) | Self::Line { .. } | Self::Cut => "REPLAY_FILE",
            Self::Policy { .. } => "REPLAY_DIVERGED",
            Self::PolicyUnreadable { .. } => "REPLAY_POLICY",
            Self::Seal(_) => "REPLAY_SEAL",
        }
    }
}

/// Why a file did not replay.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReplayFault {
    #[error(transparent)]
    Export(#[from] ExportFault),
    #[error(transparent)]
    Diverged(#[from] Divergence),
}

impl ReplayFault {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Export(fault) => fault.code(),
            Self::Diverged(divergence) => divergence.code(),
        }
    }
}

/// A whole export, read and not yet believed.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    pub header: Header,
    pub decided: Vec<DecidedLine>,
    pub audit: Vec<AuditLine>,
    pub footer: Footer,
    /// What is wrong with the seal. Told last: what a decision shows is more use to whoever looks for the edit.
    seal: Option<&'static str>,
}

impl Export {
    /// # Errors
    /// [`ExportFault`] with the line that is none.
    pub fn read(text: &str) -> Result<Self, ExportFault> {
        let mut seal = Seal::default();
        let mut lines = text.split_inclusive('\n').zip(1u64..);
        let (first, _) = lines.next().ok_or_else(|| ExportFault::Format("it is empty".to_owned()))?;
        let header: Header =
            serde_json::from_str(first).map_err(|error| ExportFault::Format(error.to_string()))?;
        if header.format != FORMAT || header.version != VERSION {
            let found = format!("it says {:?} version {}", header.format, header.version);
            return Err(ExportFault::Format(found));
        }
        seal.pass(first);
        let (mut decided, mut audit, mut footer) = (Vec::new(), Vec::new(), None);
        for (text, line) in lines {
            let fault = |reason: &str| ExportFault::Line { line, reason: reason.to_owned() };
            if footer.is_some() {
                return Err(fault("it stands after the last one"));
            }
            // Told by its first key, which the writer always puts first.
            if text.starts_with("{\"commit\"") {
                if !audit.is_empty() {
                    return Err(fault("a decision stands among the audit records"));
                }
                decided.push(parse::<DecidedLine>(text, line)?);
            } else if text.starts_with("{\"audit\"") {
                audit.push(parse::<AuditLine>(text, line)?);
            } else {
                footer = Some(parse::<Footer>(text, line)?);
                continue;
            }
            seal.pass(text);
        }
        let footer = footer.ok_or(ExportFault::Cut)?;
        let written = text.ends_with('\n')
            && seal.clone().close(&footer.state).is_ok_and(|line| text.ends_with(line.as_str()));
        let fault = if footer.lines != seal.lines {
            Some("the number of its lines is another")
        } else if footer.text != seal.text {
            Some("its bytes were changed")
        } else if !written {
            Some("its last line was changed")
        } else {
            None
        };
        Ok(Self { header, decided, audit, footer, seal: fault })
    }

    /// # Errors
    /// A policy whose text is not that of its digest, or that this build cannot read.
    pub fn begin(&self) -> Result<Replay, ExportFault> {
        let mut policies = BTreeMap::new();
        for (digest, text) in &self.header.policies {
            if Digest::of_bytes(text.as_bytes()) != *digest {
                return Err(ExportFault::Policy { digest: digest.clone() });
            }
            let policy: Policy = serde_json::from_str(text).map_err(|error| {
                ExportFault::PolicyUnreadable { digest: digest.clone(), reason: error.to_string() }
            })?;
            policies.insert(digest.clone(), policy);
        }
        Ok(Replay::of(self.header.incident.clone(), policies))
    }

    /// Holds what `replay` has come to, after every decision, against the audit records, the last state and the seal.
    ///
    /// # Errors
    /// The first thing that is not the same.
    pub fn finish(&self, mut replay: Replay) -> Result<Replayed, ReplayFault> {
        for line in &self.audit {
            replay.chained(&line.before, &line.audit)?;
        }
        let replayed = replay.finish(&self.footer.state, &self.footer.digest, &self.header.chain_head)?;
        match self.seal {
            None => Ok(replayed),
            Some(fault) => Err(ExportFault::Seal(fault).into()),
        }
    }

    /// Makes every decision again.
    ///
    /// # Errors
    /// The first thing that is not the same.
    pub fn replay(&self) -> Result<Replayed, ReplayFault> {
        let mut replay = self.begin()?;
        for line in &self.decided {
            replay.feed(line.commit, &line.decided)?;
        }
        self.finish(replay)
    }
}

fn parse<T: DeserializeOwned>(text: &str, line: u64) -> Result<T, ExportFault> {
    serde_json::from_str(text).map_err(|error| ExportFault::Line { line, reason: error.to_string() })
}
