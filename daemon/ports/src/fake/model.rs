//! A language model that says what it was told to say.

use super::lock;
use super::script::Script;
use crate::Model;
use crate::model::Prompt;
use async_trait::async_trait;
use medic_core::{Fault, FaultKind};
use std::sync::Mutex;

/// What is not scripted fails as an unreachable endpoint does. A scripted hang ignores the prompt's deadline: whoever
/// asks must have one of its own.
#[derive(Default)]
pub struct FakeModel {
    /// Asked with the prompt's user part.
    pub script: Script<String>,
    prompts: Mutex<Vec<Prompt>>,
}

impl FakeModel {
    pub fn new() -> Self {
        Self::default()
    }

    /// Every prompt so far, so that a test can see what would have left the house.
    pub fn prompts(&self) -> Vec<Prompt> {
        lock(&self.prompts).clone()
    }
}

#[async_trait]
impl Model for FakeModel {
    fn name(&self) -> String {
        "fake".to_owned()
    }

    async fn complete(&self, prompt: &Prompt) -> Result<String, Fault> {
        lock(&self.prompts).push(prompt.clone());
        let answer = self.script.ask(&prompt.user).await?;
        answer.ok_or_else(|| Fault::new(FaultKind::Unreachable, "MODEL_UNREACHABLE", "no answer is scripted"))
    }
}
