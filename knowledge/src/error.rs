//! What can go wrong, each with a stable code. Never holds a secret or a document's text.

use std::io;
use std::path::PathBuf;

pub type Result<T> = std::result::Result<T, Error>;

/// A failure of the knowledge base. An answer without hits is no failure: see [`crate::Insufficient`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("cannot {doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot {doing} the text index: {source}")]
    Lexical { doing: &'static str, source: Box<tantivy::TantivyError> },
    #[error("no stored version under {} can be read: {reason}", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("another process is ingesting into {}", path.display())]
    Busy { path: PathBuf },
    #[error("{what} exceeds its limit of {limit}")]
    Limit { what: &'static str, limit: u64 },
    #[error("invalid knowledge configuration: {reason}")]
    Config { reason: String },
    #[error("cannot embed with {embedder}: {reason}")]
    Embedder { embedder: String, reason: String },
    #[error("the embedding model in {} cannot be used: {reason}", dir.display())]
    Model { dir: PathBuf, reason: String },
    #[error("{embedder} answered vectors of {got} dimensions where {wanted} are configured")]
    EmbedderDimension { embedder: String, got: usize, wanted: usize },
    #[error("cannot {doing} in Qdrant at {url}: {reason}")]
    Qdrant { doing: &'static str, url: String, reason: String },
    #[error(
        "the Qdrant collection {collection} holds vectors of {got} dimensions and the embedder makes {wanted}; \
         name another collection, or delete this one and ingest again"
    )]
    CollectionDimension { collection: String, got: u64, wanted: u64 },
    #[error("the Qdrant collection {collection} is not one of ours: {reason}")]
    CollectionShape { collection: String, reason: String },
    #[error("cannot read {source_name}: {reason}")]
    Source { source_name: String, reason: String },
    #[error("the draft {id} cannot be kept: {reason}")]
    Draft { id: String, reason: String },
    #[error("version {version} is not kept any more; kept are {kept}")]
    VersionGone { version: u64, kept: String },
    #[error("a background task of the knowledge base stopped: {reason}")]
    Task { reason: String },
}

impl Error {
    /// A stable name for operators and documentation.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "KNOWLEDGE_IO",
            Self::Lexical { .. } => "KNOWLEDGE_TEXT_INDEX",
            Self::Damaged { .. } => "KNOWLEDGE_DAMAGED",
            Self::Busy { .. } => "KNOWLEDGE_BUSY",
            Self::Limit { .. } => "KNOWLEDGE_LIMIT",
            Self::Config { .. } => "KNOWLEDGE_CONFIG",
            Self::Embedder { .. } => "KNOWLEDGE_EMBEDDER",
            Self::Model { .. } => "KNOWLEDGE_MODEL",
            Self::EmbedderDimension { .. } => "KNOWLEDGE_EMBEDDER_DIMENSION",
            Self::Qdrant { .. } => "KNOWLEDGE_QDRANT",
            Self::CollectionDimension { .. } => "KNOWLEDGE_COLLECTION_DIMENSION",
            Self::CollectionShape { .. } => "KNOWLEDGE_COLLECTION_SHAPE",
            Self::Source { .. } => "KNOWLEDGE_SOURCE",
            Self::Draft { .. } => "KNOWLEDGE_DRAFT",
            Self::VersionGone { .. } => "KNOWLEDGE_VERSION_GONE",
            Self::Task { .. } => "KNOWLEDGE_TASK",
        }
    }

    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }

    pub(crate) fn lexical<E: Into<tantivy::TantivyError>>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Lexical { doing, source: Box::new(source.into()) }
    }
}

/// Runs blocking work off the runtime's own threads.
pub(crate) async fn off_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(stopped) => Err(Error::Task { reason: stopped.to_string() }),
    }
}
