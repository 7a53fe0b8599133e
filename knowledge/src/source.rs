//! Sources: where documents come from. A source lists what it has now; what it no longer lists is gone from the next
//! version. One module a kind of source.

mod directory;

pub(crate) use directory::Directory;

use crate::error::Result;

/// A document larger than this is refused: runbooks have some KiB, and a dump is no runbook.
pub const DOCUMENT_BYTES_MAX: u64 = 5 * 1024 * 1024;

/// A document as its source has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Raw {
    /// Inside the source, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Something of a source that could not be read, and why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Broken {
    pub path: String,
    pub reason: String,
    /// Whether the text of an earlier ingest goes on to answer: a slip in a file must not lose its runbook.
    pub earlier_text_kept: bool,
}

impl Broken {
    pub(crate) fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into(), earlier_text_kept: false }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Sorted by path.
    pub(crate) documents: Vec<Raw>,
    pub(crate) broken: Vec<Broken>,
    /// Files that are no documents.
    pub(crate) passed_over: usize,
}

pub(crate) trait Source: Send {
    /// Names the source among others; documents are replaced source by source.
    fn name(&self) -> &str;

    /// Reads all of it. May block. `seen` is told each path before it is read.
    fn list(&self, seen: &mut dyn FnMut(&str)) -> Result<Listing>;
}
