//! Sources: where documents come from. A source lists what it has now; what it no longer lists is gone from the next
//! version. One module a kind of source.

mod confluence;
mod directory;
mod notion;
pub(crate) mod read;
mod rest;

use std::collections::BTreeMap;

use async_trait::async_trait;

pub(crate) use confluence::Confluence;
pub(crate) use directory::Directory;
pub(crate) use notion::Notion;

use crate::error::Result;

/// A document larger than this is refused: runbooks have some KiB, and a dump is no runbook.
pub const DOCUMENT_BYTES_MAX: u64 = 5 * 1024 * 1024;

/// A document as its source has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Raw {
    /// Inside the source, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// What the source calls this state of the document, where it has a word for it.
    pub(crate) revision: Option<String>,
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
    pub(crate) documents: Vec<Raw>,
    /// Paths of documents whose revision is the known one; their text was not fetched.
    pub(crate) unchanged: Vec<String>,
    pub(crate) broken: Vec<Broken>,
    /// Files that are no documents.
    pub(crate) passed_over: usize,
}

/// The revisions of a source's documents in the version before.
#[derive(Debug, Default)]
pub(crate) struct Known(BTreeMap<String, String>);

impl Known {
    pub(crate) fn revision(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }
}

impl FromIterator<(String, String)> for Known {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(documents: T) -> Self {
        Self(documents.into_iter().collect())
    }
}

/// Is told the path of each document before it is read.
pub(crate) type Seen<'a> = dyn FnMut(&str) + Send + 'a;

#[async_trait]
pub(crate) trait Source: Send + Sync {
    /// Names the source among others; documents are replaced source by source.
    fn name(&self) -> &str;

    /// Reads all of it. `seen` is told each path before it is read. On an error nothing is replaced.
    async fn list(&self, known: &Known, seen: &mut Seen<'_>) -> Result<Listing>;
}
