//! What a reader is told, and what it tells of the source.

use super::{Encoding, FieldNames, Wrapper};
use crate::logs::format::{Broken, Format};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All may be left out: what is not told is detected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReaderOptions {
    /// For records that name no service: usually told by the file.
    pub service: Option<String>,
    /// For times written without a year: that of the first of them. It turns where December becomes January.
    pub year: i16,
    /// No line is younger: a time written without a year that would be is of the year before.
    pub not_after_ms: Option<u64>,
    /// Joins stack traces to the record above them.
    pub multiline: bool,
    /// Lines looked at before the format is decided.
    pub sample_lines: usize,
    /// Skips detection.
    pub format: Option<Format>,
    /// Names of columns and fields that mean time, level, service and message here.
    pub names: FieldNames,
}

impl Default for ReaderOptions {
    /// 512 lines show enough different messages to tell columns from words, and are below 100 kB.
    fn default() -> Self {
        Self {
            service: None,
            year: 1970,
            not_after_ms: None,
            multiline: true,
            sample_lines: 512,
            format: None,
            names: FieldNames::default(),
        }
    }
}

/// What was read so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ReadStats {
    pub bytes: u64,
    pub lines: u64,
    pub records: u64,
    /// Lines that their format promised more of, or that are no text. Each is a record all the same.
    pub broken: u64,
    /// Why they are, and how many each.
    pub reasons: BTreeMap<Broken, u64>,
    /// Lines longer than [`super::LINE_BYTES_MAX`], cut off there.
    pub truncated: u64,
    /// Lines that continued the record above.
    pub continued: u64,
    /// Lines without a word, and rows that only name the columns.
    pub blank: u64,
    /// Lines read as Latin-1, because they are no UTF-8.
    pub latin1: u64,
    pub encoding: Encoding,
    /// None until enough was seen to decide.
    pub format: Option<Format>,
    /// What most lines are wrapped in.
    pub wrapper: Option<Wrapper>,
}
