//! Runbooks and reports, as the diagnoser asks for them.

use async_trait::async_trait;
use medic_core::{Digest, Fault};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct KnowledgeQuery {
    pub text: String,
    pub service: Option<String>,
    pub limit: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Passage {
    pub document: String,
    pub title: String,
    pub heading: String,
    pub text: String,
    /// Category of the taxonomy that the document claims to treat.
    pub category: Option<String>,
    pub score: f64,
    /// Why it matched, for people.
    pub matched: String,
    pub digest: Digest,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KnowledgeAnswer {
    pub passages: Vec<Passage>,
    /// Why nothing that was found should be trusted; passages are then the nearest misses.
    pub insufficient: Option<String>,
    pub version: String,
}

#[async_trait]
pub trait Knowledge: Send + Sync + 'static {
    async fn search(&self, query: &KnowledgeQuery) -> Result<KnowledgeAnswer, Fault>;
}
