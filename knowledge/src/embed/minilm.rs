//! The local sentence encoder: all-MiniLM-L6-v2, or any BERT of its shape, read from a directory and run on the CPU.
//!
//! Owns the files of the model and what they must say. A model is named by the digest of its weights: vectors of two
//! models are never compared, even when the directory is the same. Fetches nothing.

mod bert;
mod weights;
mod wordpiece;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;

use self::bert::Bert;
use self::weights::Weights;
use self::wordpiece::WordPiece;
use super::{Embedder, Passage, normalise};
use crate::digest;
use crate::error::{Error, Result, off_runtime};

/// Tokens read of a text, the two marks included: the model was trained on 256.
const TOKENS_MAX: usize = 256;

/// A file of weights beyond this is of another family of models.
const WEIGHTS_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// A vocabulary or a configuration beyond this is none.
const SMALL_FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// What of `config.json` decides how the weights are used.
#[derive(Debug, Deserialize)]
struct Shape {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    max_position_embeddings: usize,
    #[serde(default)]
    hidden_act: Option<String>,
    #[serde(default = "layer_norm_eps")]
    layer_norm_eps: f32,
}

fn layer_norm_eps() -> f32 {
    1e-12
}

/// Cheap to clone: the weights are shared.
#[derive(Clone)]
pub(crate) struct MiniLm(Arc<Inner>);

struct Inner {
    id: String,
    words: WordPiece,
    bert: Bert,
}

impl MiniLm {
    /// Reads `config.json`, `model.safetensors` and `vocab.txt` (or `tokenizer.json`) from `dir`. Blocks; some 90 MB.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let refuse = |reason: String| Error::Model { dir: dir.to_owned(), reason };
        let shape: Shape = serde_json::from_slice(&read(dir, "config.json", SMALL_FILE_BYTES_MAX)?)
            .map_err(|error| refuse(format!("config.json: {error}")))?;
        if shape.hidden_act.as_deref().is_some_and(|name| name != "gelu") {
            return Err(refuse(format!("its activation is {:?}, gelu is known", shape.hidden_act)));
        }
        if shape.num_attention_heads == 0 || !shape.hidden_size.is_multiple_of(shape.num_attention_heads) {
            return Err(refuse("config.json: the heads do not share out the hidden size".to_owned()));
        }
        let words = vocabulary(dir)?;
        let bytes = read(dir, "model.safetensors", WEIGHTS_BYTES_MAX)?;
        let id = format!("minilm-{}/{}", digest::of(&bytes).get(..12).unwrap_or_default(), shape.hidden_size);
        let weights =
            Weights::parse(&bytes).map_err(|reason| refuse(format!("model.safetensors: {reason}")))?;
        let bert =
            Bert::load(&shape, &weights).map_err(|reason| refuse(format!("model.safetensors: {reason}")))?;
        if bert.vocabulary() < words.len() {
            return Err(refuse(format!(
                "the vocabulary has {} words and the weights {}",
                words.len(),
                bert.vocabulary()
            )));
        }
        Ok(Self(Arc::new(Inner { id, words, bert })))
    }
}

impl Inner {
    fn vector(&self, text: &str) -> Vec<f32> {
        let tokens = self.words.encode(text, TOKENS_MAX.min(self.bert.positions()));
        let mut vector = self.bert.mean(&tokens);
        normalise(&mut vector);
        vector
    }

    /// As many at once as there are processors: each passage is one matrix, too small to be shared out.
    fn vectors(&self, texts: &[String]) -> Vec<Vec<f32>> {
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(texts.len().max(1));
        let share = texts.len().div_ceil(workers).max(1);
        std::thread::scope(|scope| {
            let running: Vec<_> = texts
                .chunks(share)
                .map(|own| scope.spawn(move || own.iter().map(|text| self.vector(text)).collect::<Vec<_>>()))
                .collect();
            running.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
        })
    }
}

fn vocabulary(dir: &Path) -> Result<WordPiece> {
    let refuse = |reason: String| Error::Model { dir: dir.to_owned(), reason };
    type Read = fn(&[u8]) -> std::result::Result<WordPiece, String>;
    let (name, read_words): (&str, Read) = match dir.join("vocab.txt").is_file() {
        true => ("vocab.txt", WordPiece::from_lines),
        false => ("tokenizer.json", WordPiece::from_tokenizer),
    };
    read_words(&read(dir, name, SMALL_FILE_BYTES_MAX)?).map_err(|reason| refuse(format!("{name}: {reason}")))
}

fn read(dir: &Path, name: &str, bytes_max: u64) -> Result<Vec<u8>> {
    let path: PathBuf = dir.join(name);
    let length = std::fs::metadata(&path).map_err(Error::io("find the embedding model's", &path))?.len();
    if length > bytes_max {
        let reason = format!("{name} has {length} bytes, at most {bytes_max} are read");
        return Err(Error::Model { dir: dir.to_owned(), reason });
    }
    std::fs::read(&path).map_err(Error::io("read the embedding model's", &path))
}

#[async_trait]
impl Embedder for MiniLm {
    fn id(&self) -> String {
        self.0.id.clone()
    }

    fn dimension(&self) -> usize {
        self.0.bert.hidden()
    }

    async fn embed(&self, passages: &[Passage]) -> Result<Vec<Vec<f32>>> {
        let inner = Arc::clone(&self.0);
        let texts: Vec<String> =
            passages.iter().map(|passage| format!("{}\n{}", passage.context, passage.text)).collect();
        off_runtime(move || Ok(inner.vectors(&texts))).await
    }

    async fn embed_query(&self, text: &str) -> Result<Vec<f32>> {
        let (inner, text) = (Arc::clone(&self.0), text.to_owned());
        off_runtime(move || Ok(inner.vector(&text))).await
    }
}

#[cfg(test)]
mod tests;
