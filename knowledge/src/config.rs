//! What an operator may set. Reads no environment and no file: the caller passes values, secrets included.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use crate::error::{Error, Result};

/// Where the index lives and which engines answer. Unknown keys are an error.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KnowledgeConfig {
    /// Directory of the index; made if missing.
    pub index_dir: PathBuf,
    pub embedder: EmbedderConfig,
    pub vectors: VectorsConfig,
    /// Published versions kept on disk, the current one included. At least 1.
    pub versions_kept_max: usize,
    /// Documents over all sources. Beyond it an ingest fails whole.
    pub documents_max: usize,
}

impl Default for KnowledgeConfig {
    fn default() -> Self {
        Self {
            index_dir: PathBuf::from("knowledge-index"),
            embedder: EmbedderConfig::default(),
            vectors: VectorsConfig::default(),
            // Enough to look back over a week of daily ingests without keeping a year of copies.
            versions_kept_max: 7,
            // Document texts are held in memory; 100,000 runbooks of 5 KiB are some 500 MiB.
            documents_max: 100_000,
        }
    }
}

impl KnowledgeConfig {
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |reason: &str| Err(Error::Config { reason: reason.to_owned() });
        if self.versions_kept_max == 0 {
            return refuse("versions_kept_max must be at least 1: the current version is one of them");
        }
        match &self.embedder {
            EmbedderConfig::Builtin { dimension } if !(64..=4096).contains(dimension) => {
                return refuse("embedder.dimension must lie in 64..=4096");
            }
            EmbedderConfig::Openai(endpoint) => endpoint.check()?,
            _ => {}
        }
        if let (VectorsConfig::Qdrant(_), EmbedderConfig::None) = (&self.vectors, &self.embedder) {
            return refuse("vectors.engine = \"qdrant\" needs an embedder");
        }
        Ok(())
    }
}

/// Who turns text into vectors.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum EmbedderConfig {
    /// Hashed words, concepts and character n-grams; no weights, no network.
    Builtin {
        #[serde(default = "builtin_dimension")]
        dimension: usize,
    },
    /// No vectors: search is lexical only.
    None,
    /// A sentence encoder of the shape of all-MiniLM-L6-v2, run here: `config.json`, `model.safetensors`, `vocab.txt`.
    Minilm { model_dir: PathBuf },
    /// An endpoint that speaks OpenAI's embeddings API.
    Openai(OpenAiConfig),
}

impl Default for EmbedderConfig {
    fn default() -> Self {
        Self::Builtin { dimension: builtin_dimension() }
    }
}

/// 512 floats keep hashed features apart (noise of a random pair about 0.044) at 2 KiB a chunk.
fn builtin_dimension() -> usize {
    512
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenAiConfig {
    /// Up to and including the version, such as `http://127.0.0.1:8080/v1`.
    pub base_url: String,
    pub model: String,
    /// Floats a vector. An answer of another length is refused.
    pub dimension: usize,
    #[serde(default)]
    pub api_key: Option<Secret>,
    /// For one batch, retries included.
    #[serde(default = "deadline_ms")]
    pub deadline_ms: u64,
    /// Texts a request.
    #[serde(default = "batch_max")]
    pub batch_max: usize,
}

impl OpenAiConfig {
    fn check(&self) -> Result<()> {
        let refuse = |reason: String| Err(Error::Config { reason });
        match url::Url::parse(&self.base_url) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => {}
            Ok(url) => return refuse(format!("embedder.base_url has the scheme {}", url.scheme())),
            Err(error) => return refuse(format!("embedder.base_url: {error}")),
        }
        if self.dimension == 0 || self.batch_max == 0 || self.deadline_ms == 0 {
            return refuse("embedder.dimension, batch_max and deadline_ms must be above 0".to_owned());
        }
        Ok(())
    }
}

/// A local model embeds 64 passages on two cores within this.
fn deadline_ms() -> u64 {
    30_000
}

fn batch_max() -> usize {
    64
}

/// Where documents come from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum SourceConfig {
    Directory { path: PathBuf },
    Confluence(ConfluenceConfig),
    Notion(NotionConfig),
}

/// A space of Confluence.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfluenceConfig {
    /// Up to what stands before `/rest/api`: `https://wiki.example.com`, in the cloud `https://example.atlassian.net/wiki`.
    pub base_url: String,
    /// The space's key.
    pub space: String,
    /// With a user the token goes as a password (Cloud: the account's e-mail); without, as a bearer token.
    #[serde(default)]
    pub user: Option<String>,
    pub token: Secret,
    /// Least milliseconds between two requests.
    #[serde(default = "confluence_pace_ms")]
    pub pace_ms: u64,
}

fn confluence_pace_ms() -> u64 {
    50
}

/// Pages of Notion that are shared with an integration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotionConfig {
    #[serde(default = "notion_url")]
    pub base_url: String,
    /// Only the pages of this database; without it all that are shared.
    #[serde(default)]
    pub database: Option<String>,
    pub token: Secret,
    /// Least milliseconds between two requests.
    #[serde(default = "notion_pace_ms")]
    pub pace_ms: u64,
}

fn notion_url() -> String {
    "https://api.notion.com".to_owned()
}

/// Notion allows three requests a second on average.
fn notion_pace_ms() -> u64 {
    340
}

/// Who keeps and searches the vectors.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(tag = "engine", rename_all = "kebab-case", deny_unknown_fields)]
pub enum VectorsConfig {
    /// In this process: exact cosine over all vectors.
    #[default]
    Embedded,
    /// A Qdrant server. A collection belongs to one index directory.
    Qdrant(QdrantConfig),
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QdrantConfig {
    /// The gRPC address, such as `http://127.0.0.1:6334`.
    pub url: String,
    pub collection: String,
    #[serde(default)]
    pub api_key: Option<Secret>,
    #[serde(default = "connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// For one call. A search that exceeds it goes on without vectors and says so.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
}

fn connect_timeout_ms() -> u64 {
    2_000
}

fn timeout_ms() -> u64 {
    5_000
}

/// A value that its `Debug` never shows.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("[redacted]")
    }
}
