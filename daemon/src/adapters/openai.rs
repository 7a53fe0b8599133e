//! A language model behind any endpoint that speaks OpenAI's chat completions, through async-openai.
//!
//! Owns the request, the deadline around everything and the reading of the answer; the structs are its own, because the
//! library's refuse what compatible servers leave out. Never validates what the model says, and never puts a prompt or an
//! answer into a message or a log.

mod transport;

use super::http::{self, ClientError};
use crate::config::{Secret, SecretRef};
use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use async_trait::async_trait;
use medic_core::{Fault, FaultKind};
use medic_ports::model::Prompt;
use medic_ports::{Clock, Model};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use transport::Transport;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Up to and including the version: `http://127.0.0.1:11434/v1`.
    pub base_url: String,
    pub model: String,
    /// Sent as `Authorization: Bearer`.
    #[serde(default)]
    pub api_key: Option<SecretRef>,
    /// PEM certificates trusted besides the system's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// For one prompt, retries included; a prompt's own shorter deadline counts. 60 s: half of what a diagnosis has, so
    /// that there is time left to go on without.
    #[serde(default = "deadline_ms")]
    pub deadline_ms: u64,
    /// Attempts after the first, for answers that say "later" (429, 5xx) and broken connections. 2.
    #[serde(default = "retries_max")]
    pub retries_max: u32,
    /// Tokens of an answer. 2,000: three hypotheses with their reasons fit in half of it.
    #[serde(default = "answer_tokens_max")]
    pub answer_tokens_max: u32,
    /// How the answer's form is asked for.
    #[serde(default)]
    pub form: Form,
}

fn deadline_ms() -> u64 {
    60_000
}
fn retries_max() -> u32 {
    2
}
fn answer_tokens_max() -> u32 {
    2_000
}

/// What an endpoint understands of `response_format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// The prompt's schema is sent along.
    #[default]
    JsonSchema,
    /// Only "some JSON object".
    JsonObject,
    /// Nothing: the prompt's words must do.
    None,
}

pub struct OpenAi {
    client: Client<OpenAIConfig>,
    config: ModelConfig,
    key: Option<Secret>,
}

impl OpenAi {
    /// # Errors
    /// A URL, certificate file or key that cannot be used. Nothing is asked yet.
    pub fn new(
        config: &ModelConfig,
        key: Option<Secret>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let deadline = Duration::from_millis(config.deadline_ms);
        // The library writes the bearer header itself, an empty one without a key, and panics on a key that is none.
        let http = http::client(&config.base_url, deadline, None, config.ca.as_deref())?;
        let settings = OpenAIConfig::new()
            .with_org_id("")
            .with_project_id("")
            .with_api_base(config.base_url.trim_end_matches('/'))
            .with_api_key("");
        let transport =
            Transport::new(http.clone(), config.retries_max, key.as_ref(), &config.base_url, clock)?;
        let client = Client::build(http.clone(), settings).with_http_service(transport);
        Ok(Self { client, config: config.clone(), key })
    }

    fn fault(&self, kind: FaultKind, code: &str, what: &str) -> Fault {
        let mut what = what.to_owned();
        if let Some(key) = &self.key {
            // Some servers repeat the key they refuse.
            what = what.replace(key.reveal(), "[redacted]");
        }
        Fault::new(kind, code, format!("cannot ask the model {}: {what}", self.config.model))
    }

    fn translate(&self, error: OpenAIError) -> Fault {
        match error {
            OpenAIError::ApiError(answer) => {
                let what = format!("{}: {}", answer.status_code, http::excerpt(&answer.api_error.message));
                match answer.status_code.as_u16() {
                    429 => self.fault(FaultKind::Upstream, "MODEL_RATE_LIMITED", &what),
                    408 | 504 => self.fault(FaultKind::Timeout, "MODEL_TIMEOUT", &what),
                    _ => self.fault(FaultKind::Upstream, "MODEL_UPSTREAM", &what),
                }
            }
            OpenAIError::Reqwest(error) if error.is_timeout() => {
                self.fault(FaultKind::Timeout, "MODEL_TIMEOUT", "no answer in time")
            }
            OpenAIError::Reqwest(error) if error.is_decode() || error.is_body() => {
                self.fault(FaultKind::Upstream, "MODEL_UPSTREAM", "the answer broke off")
            }
            OpenAIError::Reqwest(error) => {
                self.fault(FaultKind::Unreachable, "MODEL_UNREACHABLE", &http::cause(&error))
            }
            // Both hold the answer's text, which is not repeated.
            OpenAIError::JSONDeserialize(error, _) => {
                let what = format!(
                    "the answer is not a chat completion (line {}, {:?})",
                    error.line(),
                    error.classify()
                );
                self.fault(FaultKind::Malformed, "MODEL_MALFORMED", &what)
            }
            OpenAIError::InvalidArgument(what) => {
                self.fault(FaultKind::Malformed, "MODEL_MALFORMED", &http::excerpt(&what))
            }
            OpenAIError::Boxed(error) => {
                self.fault(FaultKind::Unreachable, "MODEL_UNREACHABLE", &http::excerpt(&error.to_string()))
            }
            _ => self.fault(FaultKind::Malformed, "MODEL_MALFORMED", "the answer cannot be read"),
        }
    }

    fn read(&self, completion: Completion) -> Result<String, Fault> {
        let malformed = |what: &str| self.fault(FaultKind::Malformed, "MODEL_MALFORMED", what);
        let choice = completion.choices.unwrap_or_default().into_iter().next();
        let choice = choice.ok_or_else(|| malformed("the answer holds no choice"))?;
        let message = choice.message.unwrap_or_default();
        let refused = message.refusal.is_some_and(|refusal| !refusal.is_empty());
        let text = message.content.map(Content::text).unwrap_or_default();
        match choice.finish_reason.as_deref() {
            Some("content_filter") => {
                Err(self.fault(FaultKind::Upstream, "MODEL_REFUSED", "its filter held the answer back"))
            }
            _ if refused => Err(self.fault(FaultKind::Upstream, "MODEL_REFUSED", "it declined to answer")),
            // Half an answer is none: what is cut off may be the "not".
            Some("length") => {
                let what = format!("the answer exceeds {} tokens", self.config.answer_tokens_max);
                Err(self.fault(FaultKind::Malformed, "MODEL_TRUNCATED", &what))
            }
            _ if text.trim().is_empty() => Err(malformed("the answer is empty")),
            _ => Ok(text),
        }
    }
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: [Message<'a>; 2],
    /// The same facts should give the same advice.
    temperature: f32,
    max_tokens: u32,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<serde_json::Value>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

fn response_format(form: Form, schema: &serde_json::Value) -> Option<serde_json::Value> {
    match form {
        Form::JsonSchema => Some(serde_json::json!({
            "type": "json_schema",
            "json_schema": { "name": "answer", "schema": schema, "strict": false },
        })),
        Form::JsonObject => Some(serde_json::json!({ "type": "json_object" })),
        Form::None => None,
    }
}

/// What is read of an answer. Everything may be missing and anything may stand beside it.
#[derive(Deserialize)]
struct Completion {
    choices: Option<Vec<Choice>>,
}

#[derive(Deserialize)]
struct Choice {
    message: Option<Said>,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Said {
    content: Option<Content>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
}

impl Content {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Parts(parts) => parts.into_iter().filter_map(|part| part.text).collect(),
        }
    }
}

#[async_trait]
impl Model for OpenAi {
    fn name(&self) -> String {
        self.config.model.clone()
    }

    async fn complete(&self, prompt: &Prompt) -> Result<String, Fault> {
        let request = Request {
            model: &self.config.model,
            messages: [
                Message { role: "system", content: &prompt.system },
                Message { role: "user", content: &prompt.user },
            ],
            temperature: 0.0,
            max_tokens: self.config.answer_tokens_max,
            stream: false,
            response_format: response_format(self.config.form, &prompt.schema),
        };
        let deadline_ms = prompt.deadline_ms.min(self.config.deadline_ms);
        let chat = self.client.chat();
        let asking = chat.create_byot::<_, Completion>(request);
        match tokio::time::timeout(Duration::from_millis(deadline_ms), asking).await {
            Ok(Ok(completion)) => self.read(completion),
            Ok(Err(error)) => Err(self.translate(error)),
            Err(_) => {
                let what = format!("no answer within {deadline_ms} ms");
                Err(self.fault(FaultKind::Timeout, "MODEL_TIMEOUT", &what))
            }
        }
    }
}

#[cfg(test)]
mod tests;
