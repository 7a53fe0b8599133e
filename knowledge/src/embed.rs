//! Embedders: text to vectors of unit length. One trait; a built-in one that needs no weights, and an endpoint that
//! speaks OpenAI's API. Knows nothing of where vectors are kept.

mod builtin;
mod openai;

use std::sync::Arc;

use async_trait::async_trait;

pub(crate) use builtin::BuiltinEmbedder;
pub(crate) use openai::OpenAiEmbedder;

use crate::config::EmbedderConfig;
use crate::error::Result;

/// A passage to embed: `context` (title and headings) says what `text` is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Passage {
    pub context: String,
    pub text: String,
}

#[async_trait]
pub trait Embedder: Send + Sync {
    /// Names the embedder and everything its vectors depend on but the corpus; vectors of another are never compared.
    fn id(&self) -> String;

    /// Floats a vector.
    fn dimension(&self) -> usize;

    /// One vector a passage, in order, of unit length (or all zero for a passage without words).
    async fn embed(&self, passages: &[Passage]) -> Result<Vec<Vec<f32>>>;

    async fn embed_query(&self, text: &str) -> Result<Vec<f32>>;

    /// What must be kept so that this embedder can be opened again over the same vectors.
    fn model(&self) -> Option<Vec<u8>> {
        None
    }
}

/// The id of the embedder that `config` asks for, known before it is fitted; `none` without one.
pub(crate) fn configured_id(config: &EmbedderConfig) -> String {
    match config {
        EmbedderConfig::Builtin { dimension } => builtin::id(*dimension),
        EmbedderConfig::None => "none".to_owned(),
        EmbedderConfig::Openai(endpoint) => openai::id(endpoint),
    }
}

/// Makes the embedder for a new version of the corpus.
pub(crate) fn fit(config: &EmbedderConfig, passages: &[Passage]) -> Result<Option<Arc<dyn Embedder>>> {
    Ok(match config {
        EmbedderConfig::Builtin { dimension } => Some(Arc::new(BuiltinEmbedder::fit(*dimension, passages))),
        EmbedderConfig::None => None,
        EmbedderConfig::Openai(endpoint) => Some(Arc::new(OpenAiEmbedder::new(endpoint)?)),
    })
}

/// Makes the embedder of a version that exists, from what [`Embedder::model`] gave.
pub(crate) fn reopen(config: &EmbedderConfig, model: Option<&[u8]>) -> Result<Option<Arc<dyn Embedder>>> {
    Ok(match config {
        EmbedderConfig::Builtin { .. } => {
            Some(Arc::new(BuiltinEmbedder::from_model(model.unwrap_or_default())?))
        }
        EmbedderConfig::None => None,
        EmbedderConfig::Openai(endpoint) => Some(Arc::new(OpenAiEmbedder::new(endpoint)?)),
    })
}

/// Scales to unit length; a zero vector stays as it is.
pub(crate) fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt() as f32;
    if length > 0.0 && length.is_finite() {
        vector.iter_mut().for_each(|x| *x /= length);
    }
}

impl Passage {
    pub(crate) fn empty() -> Self {
        Self { context: String::new(), text: String::new() }
    }
}
