//! Embedders: text to vectors of unit length. One trait; a built-in one that needs no weights, a local sentence
//! encoder, and an endpoint that speaks OpenAI's API. Knows nothing of where vectors are kept.

mod builtin;
pub(crate) mod journal;
mod minilm;
mod openai;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use builtin::BuiltinEmbedder;
use minilm::MiniLm;
use openai::OpenAiEmbedder;

use crate::config::{EmbedderConfig, OpenAiConfig};
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

/// What the configuration asks for, ready to make embedders: a model of its own is read once.
#[derive(Clone)]
pub(crate) enum EmbedderPlan {
    Builtin { dimension: usize },
    None,
    MiniLm(MiniLm),
    Openai(OpenAiConfig),
}

impl EmbedderPlan {
    /// Blocks while a model is read.
    pub(crate) fn open(config: &EmbedderConfig) -> Result<Self> {
        Ok(match config {
            EmbedderConfig::Builtin { dimension } => Self::Builtin { dimension: *dimension },
            EmbedderConfig::None => Self::None,
            EmbedderConfig::Minilm { model_dir } => Self::MiniLm(MiniLm::open(model_dir)?),
            EmbedderConfig::Openai(endpoint) => Self::Openai(endpoint.clone()),
        })
    }

    /// The id of the embedder, known before it is fitted; `none` without one.
    pub(crate) fn id(&self) -> String {
        match self {
            Self::Builtin { dimension } => builtin::id(*dimension),
            Self::None => "none".to_owned(),
            Self::MiniLm(model) => model.id(),
            Self::Openai(endpoint) => openai::id(endpoint),
        }
    }

    /// Makes the embedder for a new version of the corpus.
    pub(crate) fn fit(&self, passages: &[Passage]) -> Result<Option<Arc<dyn Embedder>>> {
        Ok(match self {
            Self::Builtin { dimension } => Some(Arc::new(BuiltinEmbedder::fit(*dimension, passages))),
            Self::None => None,
            Self::MiniLm(model) => Some(Arc::new(model.clone())),
            Self::Openai(endpoint) => Some(Arc::new(OpenAiEmbedder::new(endpoint)?)),
        })
    }

    /// Makes the embedder of a version that exists, from what [`Embedder::model`] gave.
    pub(crate) fn reopen(&self, model: Option<&[u8]>) -> Result<Option<Arc<dyn Embedder>>> {
        Ok(match self {
            Self::Builtin { .. } => Some(Arc::new(BuiltinEmbedder::from_model(model.unwrap_or_default())?)),
            Self::None => None,
            Self::MiniLm(model) => Some(Arc::new(model.clone())),
            Self::Openai(endpoint) => Some(Arc::new(OpenAiEmbedder::new(endpoint)?)),
        })
    }
}

/// Reads the model in `dir`, embeds a sentence, and says what it is: `(id, floats a vector)`. Blocks.
///
/// # Errors
/// `KNOWLEDGE_MODEL` when a file is missing or is not what it should be.
pub fn check_model(dir: &Path) -> Result<(String, usize)> {
    let model = MiniLm::open(dir)?;
    Ok((model.id(), model.dimension()))
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
