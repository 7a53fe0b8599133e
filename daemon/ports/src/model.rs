//! A language model: advice under a deadline, never authority.

use async_trait::async_trait;
use medic_core::Fault;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Instructions; ours.
    pub system: String,
    /// Redacted facts, fenced as data.
    pub user: String,
    /// JSON Schema the answer should follow.
    pub schema: serde_json::Value,
    pub deadline_ms: u64,
}

#[async_trait]
pub trait Model: Send + Sync + 'static {
    fn name(&self) -> String;
    /// The model's text, unvalidated.
    ///
    /// # Errors
    /// `MODEL_TIMEOUT`, `MODEL_UNREACHABLE`, `MODEL_RATE_LIMITED`, `MODEL_UPSTREAM`, `MODEL_MALFORMED`, `MODEL_REFUSED`, `MODEL_TRUNCATED`.
    async fn complete(&self, prompt: &Prompt) -> Result<String, Fault>;
}
