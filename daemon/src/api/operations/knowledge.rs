//! What may be asked of the knowledge base. Whoever may look may search and read; only an admin changes what answers.

use super::{Operations, TITLE_CHARS_MAX, bounded};
use crate::api::auth::{Caller, Role};
use crate::api::librarian::{Librarian, Reread, Shelved};
use crate::api::problem::{Problem, ProblemKind};
use medic_knowledge::{Document, SearchAnswer, SearchQuery, Stats, VersionDiff, VersionInfo};
use std::sync::Arc;

/// Characters of a search text: the longest alert that people paste.
const SEARCH_CHARS_MAX: usize = 4_000;
const PASSAGES_DEFAULT: usize = 5;
const PASSAGES_MAX: usize = 50;
/// Bytes of one document: a long runbook is a tenth of it.
const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;
const DOCUMENT_NAME_BYTES_MAX: usize = 200;
/// Characters of a path, a source's name.
const PATH_CHARS_MAX: usize = 1_000;

impl Operations {
    fn librarian(&self) -> Result<&Arc<dyn Librarian>, Problem> {
        self.librarian.as_ref().ok_or_else(|| {
            Problem::new(ProblemKind::Conflict, "KNOWLEDGE_NOT_CONFIGURED", "no knowledge base is configured")
        })
    }

    pub async fn search(&self, caller: &Caller, query: SearchQuery) -> Result<SearchAnswer, Problem> {
        caller.needs(Role::Viewer)?;
        bounded("text", &query.text, 1, SEARCH_CHARS_MAX)?;
        bounded("service", query.service.as_deref().unwrap_or_default(), 0, TITLE_CHARS_MAX)?;
        bounded("source", query.source.as_deref().unwrap_or_default(), 0, PATH_CHARS_MAX)?;
        let limit = if query.limit == 0 { PASSAGES_DEFAULT } else { query.limit.min(PASSAGES_MAX) };
        Ok(self.librarian()?.search(&SearchQuery { limit, ..query }).await?)
    }

    pub async fn ingest(&self, caller: &Caller, name: &str, text: &str) -> Result<Shelved, Problem> {
        caller.needs(Role::Admin)?;
        let read_only = || {
            let message = "no folder is configured that documents are taken in to";
            Problem::new(ProblemKind::Conflict, "KNOWLEDGE_READ_ONLY", message)
        };
        let librarian =
            self.librarian.as_ref().filter(|librarian| librarian.takes_in()).ok_or_else(read_only)?;
        let part = |part: &str| {
            let sound = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | ' ');
            !part.is_empty() && !part.starts_with('.') && part.chars().all(sound)
        };
        if name.is_empty() || name.len() > DOCUMENT_NAME_BYTES_MAX || !name.split('/').all(part) {
            let message = "a document's name is a relative path of plain parts, such as payments/pool.md";
            return Err(Problem::invalid("INVALID_NAME", message).at("name"));
        }
        if text.trim().is_empty() {
            return Err(Problem::invalid("MISSING_FIELD", "the document is empty").at("text"));
        }
        if text.len() > DOCUMENT_BYTES_MAX {
            let message = format!("{} bytes, at most {DOCUMENT_BYTES_MAX} are taken", text.len());
            return Err(Problem::new(ProblemKind::TooLarge, "LIMIT_EXCEEDED", message).at("text"));
        }
        Ok(librarian.ingest(name, text).await?)
    }

    pub async fn reread_knowledge(&self, caller: &Caller) -> Result<Vec<Reread>, Problem> {
        caller.needs(Role::Admin)?;
        let librarian = self.librarian()?;
        tracing::info!(by = ?caller.principal, "knowledge is read again");
        Ok(librarian.reread().await)
    }

    pub async fn show_document(
        &self,
        caller: &Caller,
        path: &str,
        source: &str,
        version: Option<u64>,
    ) -> Result<Document, Problem> {
        caller.needs(Role::Viewer)?;
        bounded("document", path, 1, PATH_CHARS_MAX)?;
        bounded("source", source, 0, PATH_CHARS_MAX)?;
        let source = Some(source).filter(|source| !source.is_empty());
        self.librarian()?.show(path, source, version).await?.ok_or_else(|| {
            Problem::new(ProblemKind::NotFound, "NO_SUCH_DOCUMENT", format!("no document {path:?}"))
                .at("document")
        })
    }

    pub async fn knowledge_versions(&self, caller: &Caller) -> Result<Vec<VersionInfo>, Problem> {
        caller.needs(Role::Viewer)?;
        Ok(self.librarian()?.versions().await?)
    }

    pub async fn diff_knowledge(&self, caller: &Caller, from: u64, to: u64) -> Result<VersionDiff, Problem> {
        caller.needs(Role::Viewer)?;
        Ok(self.librarian()?.diff(from, to).await?)
    }

    pub fn knowledge_stats(&self, caller: &Caller) -> Result<Stats, Problem> {
        caller.needs(Role::Viewer)?;
        Ok(self.librarian()?.stats())
    }

    /// `None` takes the pin off.
    pub async fn pin_knowledge(&self, caller: &Caller, version: Option<u64>) -> Result<Stats, Problem> {
        caller.needs(Role::Admin)?;
        let librarian = self.librarian()?;
        librarian.pin(version).await?;
        tracing::info!(by = ?caller.principal, ?version, "knowledge is pinned");
        Ok(librarian.stats())
    }

    pub async fn roll_back_knowledge(&self, caller: &Caller, version: u64) -> Result<Stats, Problem> {
        caller.needs(Role::Admin)?;
        let librarian = self.librarian()?;
        librarian.roll_back(version).await?;
        tracing::info!(by = ?caller.principal, version, "knowledge is rolled back");
        Ok(librarian.stats())
    }
}

impl From<medic_knowledge::Error> for Problem {
    fn from(error: medic_knowledge::Error) -> Self {
        use medic_knowledge::Error;
        let kind = match &error {
            Error::VersionGone { .. } => ProblemKind::NotFound,
            Error::Busy { .. } => ProblemKind::Conflict,
            Error::Io { .. } | Error::Lexical { .. } | Error::Damaged { .. } => ProblemKind::Unavailable,
            Error::Task { .. } => ProblemKind::Internal,
            _ => ProblemKind::Upstream,
        };
        Self::new(kind, error.code(), error.to_string())
    }
}
