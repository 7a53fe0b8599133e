//! Where vectors are kept and searched. One trait, two engines. A version's vectors are written before the version is
//! published and never changed after.

mod embedded;
mod qdrant;

use async_trait::async_trait;

pub(crate) use embedded::EmbeddedVectors;
pub(crate) use qdrant::QdrantStore;

use crate::config::VectorsConfig;
use crate::document::{Document, Kind};
use crate::error::Result;

/// What a chunk can be filtered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facets {
    pub(crate) kind: Kind,
    pub(crate) services: Vec<String>,
}

impl Facets {
    pub(crate) fn of(document: &Document) -> Self {
        Self { kind: document.kind, services: document.services.clone() }
    }
}

/// Which chunks may answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Filter {
    pub(crate) kind: Option<Kind>,
    /// Chunks of this service, and of documents that name none.
    pub(crate) service: Option<String>,
}

impl Filter {
    pub(crate) fn admits(&self, facets: &Facets) -> bool {
        self.kind.is_none_or(|kind| kind == facets.kind)
            && self
                .service
                .as_ref()
                .is_none_or(|service| facets.services.is_empty() || facets.services.contains(service))
    }
}

/// A chunk by its ordinal in its version, and its cosine to the question, in [-1,1].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Near {
    pub(crate) chunk: u32,
    pub(crate) cosine: f32,
}

/// The vectors of one version, ready to be searched.
#[async_trait]
pub(crate) trait VectorIndex: Send + Sync {
    /// The nearest first; equal cosines in the order of the chunks.
    async fn search(&self, query: &[f32], filter: &Filter, limit: usize) -> Result<Vec<Near>>;
}

pub(crate) fn engine(config: &VectorsConfig) -> String {
    match config {
        VectorsConfig::Embedded => "embedded".to_owned(),
        VectorsConfig::Qdrant(qdrant) => format!("qdrant/{}/{}", qdrant.url, qdrant.collection),
    }
}
