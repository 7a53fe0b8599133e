//! Who keeps the documents: takes new ones in, shows them, knows their versions. The agents only ever search, so this is
//! no port of theirs. Speaks in the knowledge base's own nouns.

use async_trait::async_trait;
use medic_core::Fault;
use medic_knowledge::{
    Document, Error, IngestReport, SearchAnswer, SearchQuery, Stats, VersionDiff, VersionInfo,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shelved {
    /// Of the knowledge base that holds the document.
    pub version: String,
    /// Passages it was cut into.
    pub passages: u32,
}

/// What reading one source came to.
#[derive(Debug)]
pub struct Reread {
    /// As it is configured.
    pub source: String,
    pub outcome: Result<IngestReport, Error>,
}

#[async_trait]
pub trait Librarian: Send + Sync + 'static {
    /// Whether there is a place for new documents.
    fn takes_in(&self) -> bool;

    /// Adds the document, or replaces the one of the same name. `name` is relative and holds no `..`.
    async fn ingest(&self, name: &str, text: &str) -> Result<Shelved, Fault>;

    async fn search(&self, query: &SearchQuery) -> Result<SearchAnswer, Error>;

    /// Reads every configured source again, one after the other; one that fails does not hold up the next.
    async fn reread(&self) -> Vec<Reread>;

    /// The document at `path`, of the first source that has it where none is named.
    async fn show(
        &self,
        path: &str,
        source: Option<&str>,
        version: Option<u64>,
    ) -> Result<Option<Document>, Error>;

    async fn versions(&self) -> Result<Vec<VersionInfo>, Error>;

    async fn diff(&self, from: u64, to: u64) -> Result<VersionDiff, Error>;

    /// `None` takes the pin off.
    async fn pin(&self, version: Option<u64>) -> Result<(), Error>;

    async fn roll_back(&self, to: u64) -> Result<(), Error>;

    fn stats(&self) -> Stats;
}
