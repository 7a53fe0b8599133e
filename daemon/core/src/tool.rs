//! Tools as the rest of the daemon knows them: by descriptor, never by bytes.

use crate::{Digest, ToolName};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Ordered by what it may do to a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolCategory {
    /// Reads.
    Query,
    /// Reads, and probes actively.
    Diagnostic,
    /// Changes what the host can put back.
    Remediation,
    /// Changes what nobody can put back.
    Destructive,
}

impl ToolCategory {
    pub fn changes_systems(self) -> bool {
        self >= Self::Remediation
    }
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Diagnostic => "diagnostic",
            Self::Remediation => "remediation",
            Self::Destructive => "destructive",
        }
    }
}

impl fmt::Display for ToolCategory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolDescriptor {
    pub name: ToolName,
    /// The plugin that holds it, as the grant file names it.
    pub plugin: String,
    /// Of the component's exact bytes.
    pub digest: Digest,
    pub category: ToolCategory,
    pub title: String,
    pub description: String,
    /// JSON Schema 2020-12, strict subset, canonical text.
    pub input_schema: String,
    /// Host functions the bytes import: `http-change.send`.
    pub imports: Vec<String>,
    /// Of those, what the operator granted.
    pub granted: Vec<String>,
}

/// A tool and the arguments to call it with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    pub tool: ToolName,
    /// A JSON object as text: canonical, so that a digest over it means something.
    pub args_json: String,
}
