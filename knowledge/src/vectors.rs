//! Where vectors are kept and searched. One trait, two engines. A version's vectors are written before the version is
//! published and never changed after.

pub(crate) mod embedded;
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
    pub(crate) source: String,
    /// `20260301`.
    pub(crate) day: Option<u32>,
    pub(crate) reviewed: bool,
}

impl Facets {
    pub(crate) fn of(document: &Document) -> Self {
        Self {
            kind: document.kind,
            services: document.services.clone(),
            source: document.source.clone(),
            day: document.date.as_deref().and_then(day),
            reviewed: document.reviewed,
        }
    }
}

/// `2026-03-01` as 20260301: days in their order.
pub(crate) fn day(date: &str) -> Option<u32> {
    date.replace('-', "").parse().ok()
}

/// Which chunks may answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Filter {
    pub(crate) kind: Option<Kind>,
    /// Chunks of this service, and of documents that name none.
    pub(crate) service: Option<String>,
    pub(crate) source: Option<String>,
    /// Chunks of this day or later, and of documents that say no day.
    pub(crate) since: Option<u32>,
    pub(crate) reviewed_only: bool,
}

impl Filter {
    pub(crate) fn admits(&self, facets: &Facets) -> bool {
        self.kind.is_none_or(|kind| kind == facets.kind)
            && (facets.reviewed || !self.reviewed_only)
            && self.source.as_ref().is_none_or(|source| *source == facets.source)
            && self.since.is_none_or(|since| facets.day.is_none_or(|day| day >= since))
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
