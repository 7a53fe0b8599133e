//! Who takes new documents in. The agents only ever search, so this is no port of theirs.

use async_trait::async_trait;
use medic_core::Fault;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shelved {
    /// Of the knowledge base that holds the document.
    pub version: String,
    /// Passages it was cut into.
    pub passages: u32,
}

#[async_trait]
pub trait Librarian: Send + Sync + 'static {
    /// Adds the document, or replaces the one of the same name. `name` is relative and holds no `..`.
    async fn ingest(&self, name: &str, text: &str) -> Result<Shelved, Fault>;
}
