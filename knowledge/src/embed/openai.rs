//! Embeddings from an endpoint that speaks OpenAI's API. Owns deadline, retries and the check of what comes back.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};

use super::{Embedder, Passage, normalise};
use crate::config::OpenAiConfig;
use crate::error::{Error, Result};

/// Tries of one batch. The deadline bounds them all together.
const TRIES_MAX: u32 = 3;
/// First pause between tries; doubled each time.
const PAUSE_MS: u64 = 250;
/// What of an error's body is quoted.
const EXCERPT_CHARS_MAX: usize = 200;
/// A JSON float has some 20 bytes; twice that, and room for the frame.
const ANSWER_BYTES_PER_FLOAT: usize = 40;
const ANSWER_BYTES_FRAME: usize = 64 * 1024;

pub(crate) struct OpenAiEmbedder {
    config: OpenAiConfig,
    client: reqwest::Client,
    url: String,
}

pub(super) fn id(config: &OpenAiConfig) -> String {
    format!("openai/{}/{}", config.model, config.dimension)
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    input: &'a [String],
    encoding_format: &'static str,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    index: usize,
    embedding: Vec<f32>,
}

enum Failure {
    /// Worth another try.
    Passing(String),
    Final(Error),
}

impl OpenAiEmbedder {
    pub(crate) fn new(config: &OpenAiConfig) -> Result<Self> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // reqwest panics without one. Losing the race to another installer is as good as winning it.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let base = url::Url::parse(&config.base_url)
            .map_err(|error| Error::Config { reason: format!("embedder.base_url: {error}") })?;
        let mut client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        if matches!(base.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
            client = client.no_proxy();
        }
        let client = client
            .build()
            .map_err(|error| Error::Config { reason: format!("cannot make an HTTP client: {error}") })?;
        let url = format!("{}/embeddings", config.base_url.trim_end_matches('/'));
        Ok(Self { config: config.clone(), client, url })
    }

    fn failed(&self, reason: impl Into<String>) -> Error {
        Error::Embedder { embedder: self.id(), reason: reason.into() }
    }

    async fn batch(&self, input: &[String]) -> Result<Vec<Vec<f32>>> {
        let deadline = Duration::from_millis(self.config.deadline_ms);
        let tries = async {
            let mut pause = Duration::from_millis(PAUSE_MS);
            for tried in 1.. {
                match self.ask(input).await {
                    Ok(vectors) => return Ok(vectors),
                    Err(Failure::Final(error)) => return Err(error),
                    Err(Failure::Passing(reason)) if tried >= TRIES_MAX => {
                        return Err(self.failed(format!("{reason} ({tried} tries)")));
                    }
                    Err(Failure::Passing(_)) => {
                        tokio::time::sleep(pause).await;
                        pause *= 2;
                    }
                }
            }
            Err(self.failed("no tries left"))
        };
        match tokio::time::timeout(deadline, tries).await {
            Ok(done) => done,
            Err(_) => Err(self.failed(format!("no answer within {} ms", self.config.deadline_ms))),
        }
    }

    async fn ask(&self, input: &[String]) -> std::result::Result<Vec<Vec<f32>>, Failure> {
        let request = Request { model: &self.config.model, input, encoding_format: "float" };
        let mut call = self.client.post(&self.url).json(&request);
        if let Some(key) = &self.config.api_key {
            call = call.bearer_auth(key.reveal());
        }
        // An error of reqwest names the URL; the key is in a header and never in it.
        let mut answer = call.send().await.map_err(|error| Failure::Passing(error.to_string()))?;
        let status = answer.status();
        let bytes_max = ANSWER_BYTES_FRAME + input.len() * self.config.dimension * ANSWER_BYTES_PER_FLOAT;
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| Failure::Passing(error.to_string()))? {
            if body.len() + piece.len() > bytes_max {
                return Err(Failure::Final(self.failed(format!("its answer exceeds {bytes_max} bytes"))));
            }
            body.extend_from_slice(&piece);
        }
        if !status.is_success() {
            let excerpt: String = String::from_utf8_lossy(&body).chars().take(EXCERPT_CHARS_MAX).collect();
            let reason = format!("HTTP {}: {}", status.as_u16(), excerpt.trim());
            return Err(if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
                Failure::Passing(reason)
            } else {
                Failure::Final(self.failed(reason))
            });
        }
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|error| Failure::Final(self.failed(format!("its answer is not the API's: {error}"))))?;
        self.check(answer, input.len()).map_err(Failure::Final)
    }

    /// One vector a text, each of the right length and finite, put in the order asked.
    fn check(&self, answer: Answer, wanted: usize) -> Result<Vec<Vec<f32>>> {
        let mut vectors: Vec<Option<Vec<f32>>> = vec![None; wanted];
        for mut row in answer.data {
            if row.embedding.len() != self.config.dimension {
                return Err(Error::EmbedderDimension {
                    embedder: self.id(),
                    got: row.embedding.len(),
                    wanted: self.config.dimension,
                });
            }
            if row.embedding.iter().any(|x| !x.is_finite()) {
                return Err(self.failed("a vector holds a value that is not finite"));
            }
            normalise(&mut row.embedding);
            match vectors.get_mut(row.index) {
                Some(place @ None) => *place = Some(row.embedding),
                _ => return Err(self.failed(format!("index {} was not asked or came twice", row.index))),
            }
        }
        let got = vectors.iter().flatten().count();
        if got != wanted {
            return Err(self.failed(format!("{got} vectors for {wanted} texts")));
        }
        Ok(vectors.into_iter().flatten().collect())
    }
}

#[async_trait]
impl Embedder for OpenAiEmbedder {
    fn id(&self) -> String {
        id(&self.config)
    }

    fn dimension(&self) -> usize {
        self.config.dimension
    }

    async fn embed(&self, passages: &[Passage]) -> Result<Vec<Vec<f32>>> {
        let mut vectors = Vec::with_capacity(passages.len());
        for batch in passages.chunks(self.config.batch_max) {
            let input: Vec<String> =
                batch.iter().map(|passage| format!("{}\n\n{}", passage.context, passage.text)).collect();
            vectors.extend(self.batch(&input).await?);
        }
        Ok(vectors)
    }

    async fn embed_query(&self, text: &str) -> Result<Vec<f32>> {
        let vectors = self.batch(&[text.to_owned()]).await?;
        vectors.into_iter().next().ok_or_else(|| self.failed("no vector for the question"))
    }
}
