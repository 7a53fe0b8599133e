//! Medic's knowledge base: runbooks, incident reports and the like, found by an alert or by a symptom in plain words.
//!
//! Owns reading documents, cutting them into chunks, indexing them by words (BM25) and by vectors, versions on disk,
//! and the verdict whether what was found is an answer. Never knows an incident, an actor or gRPC; never reads the
//! clock or the environment.
//!
//! ```text
//! source → document → chunk ─┬→ lexical (tantivy)         ┐
//!                            └→ embed → vectors (2 engines) ┴→ fuse → verdict → answer
//! versions: all of it on disk, published in one step
//! ```
//!
//! A document is data. Nothing in it is run, followed or obeyed here; whoever shows a passage to a model must mark it
//! as quoted.

mod answer;
mod build;
mod chunk;
mod config;
mod digest;
mod document;
mod embed;
mod error;
mod front_matter;
mod fuse;
mod ingest;
mod knowledge;
mod lexical;
mod query;
mod report;
mod snapshot;
mod source;
mod thesaurus;
mod vectors;
mod verdict;
mod versions;
mod words;

pub use answer::{Citation, Hit, Insufficient, Ranked, SearchAnswer, Why};
pub use config::{
    ConfluenceConfig, EmbedderConfig, KnowledgeConfig, NotionConfig, OpenAiConfig, QdrantConfig, Secret,
    SourceConfig, VectorsConfig,
};
pub use document::{Document, DocumentId, Kind};
pub use embed::check_model;
pub use error::{Error, Result};
pub use front_matter::is_day;
pub use ingest::{IngestReport, Progress, Stage};
pub use knowledge::{DRAFTS, DocumentName, Knowledge, Stats, VersionDiff, VersionInfo};
pub use query::{Drafts, Mode, SearchQuery};
pub use report::{IncidentDraft, Report};
pub use source::{Broken, DOCUMENT_BYTES_MAX};
