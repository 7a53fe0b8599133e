//! Owns what a read-only tool answers.

use crate::error::ToolResult;
use crate::types::{Output, ToolError};

impl Output {
    /// One or two sentences for the reader, human or model. The host cuts summaries beyond a few KiB: details go to
    /// [`Output::data`], large text to an artifact.
    pub fn text(summary: impl Into<String>) -> Self {
        Self { summary: summary.into(), data_json: None, artifacts: Vec::new() }
    }

    /// Attaches the answer in a form that programs read.
    ///
    /// # Errors
    /// `DATA_NOT_JSON` when `data` cannot be written as JSON (a map whose keys are not strings).
    pub fn data<T: serde::Serialize + ?Sized>(mut self, data: &T) -> ToolResult<Self> {
        let json = serde_json::to_string(data).map_err(|error| {
            ToolError::internal("DATA_NOT_JSON", format!("cannot write the data as JSON: {error}"))
        })?;
        self.data_json = Some(json);
        Ok(self)
    }

    /// Names an artifact stored with `host.artifacts().put(…)`.
    #[must_use]
    pub fn artifact(mut self, reference: impl Into<String>) -> Self {
        self.artifacts.push(reference.into());
        self
    }
}
