//! The knowledge base, as the diagnoser's port and as the place where documents are taken in.

use crate::api::librarian::{Librarian, Reread, Shelved};
use async_trait::async_trait;
use medic_core::{Digest, Fault, FaultKind};
use medic_knowledge::{
    Document, Hit, SearchAnswer, SearchQuery, SourceConfig, Stats, VersionDiff, VersionInfo,
};
use medic_ports::Knowledge;
use medic_ports::knowledge::{KnowledgeAnswer, KnowledgeQuery, Passage};
use std::io::Write;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Mutex;

/// Clones share one knowledge base.
#[derive(Clone)]
pub struct Library {
    base: Arc<medic_knowledge::Knowledge>,
    uploads_dir: Option<PathBuf>,
    sources: Vec<SourceConfig>,
    /// One document at a time: what is read back must be what was just written.
    taking_in: Arc<Mutex<()>>,
}

impl Library {
    /// `uploads_dir`: where documents that are taken in are kept; `None` takes none in. `sources`: what
    /// [`Librarian::reread`] reads, the uploads among them.
    pub fn new(
        base: Arc<medic_knowledge::Knowledge>,
        uploads_dir: Option<PathBuf>,
        sources: Vec<SourceConfig>,
    ) -> Self {
        Self { base, uploads_dir, sources, taking_in: Arc::default() }
    }
}

/// How a source is called where it is configured; never its token.
pub fn source_name(source: &SourceConfig) -> String {
    match source {
        SourceConfig::Directory { path } => path.display().to_string(),
        SourceConfig::Confluence(space) => format!("confluence:{}/{}", space.base_url, space.space),
        SourceConfig::Notion(pages) => {
            format!("notion:{}", pages.database.as_deref().unwrap_or("all that is shared"))
        }
    }
}

#[async_trait]
impl Librarian for Library {
    fn takes_in(&self) -> bool {
        self.uploads_dir.is_some()
    }

    async fn search(&self, query: &SearchQuery) -> Result<SearchAnswer, medic_knowledge::Error> {
        self.base.search(query).await
    }

    async fn reread(&self) -> Vec<Reread> {
        // A document that is being taken in is read by its own ingest.
        let _turn = self.taking_in.lock().await;
        let mut read = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            let name = source_name(source);
            let outcome = self.base.ingest(source, &mut |_| {}).await;
            match &outcome {
                Ok(report) => {
                    for broken in &report.broken {
                        tracing::warn!(path = broken.path, reason = broken.reason, "document not read");
                    }
                    let (documents, version) = (report.documents, report.version);
                    tracing::info!(source = name, documents, version, "knowledge read");
                }
                Err(error) => {
                    tracing::warn!(source = name, code = error.code(), %error, "knowledge not read");
                }
            }
            read.push(Reread { source: name, outcome });
        }
        read
    }

    async fn show(
        &self,
        path: &str,
        source: Option<&str>,
        version: Option<u64>,
    ) -> Result<Option<Document>, medic_knowledge::Error> {
        self.base.find(path, source, version).await
    }

    async fn versions(&self) -> Result<Vec<VersionInfo>, medic_knowledge::Error> {
        self.base.versions().await
    }

    async fn diff(&self, from: u64, to: u64) -> Result<VersionDiff, medic_knowledge::Error> {
        self.base.diff(from, to).await
    }

    async fn pin(&self, version: Option<u64>) -> Result<(), medic_knowledge::Error> {
        match version {
            Some(version) => self.base.pin(version).await,
            None => self.base.unpin().await,
        }
    }

    async fn roll_back(&self, to: u64) -> Result<(), medic_knowledge::Error> {
        self.base.roll_back(to, &mut |_| {}).await.map(|_| ())
    }

    fn stats(&self) -> Stats {
        self.base.stats()
    }

    async fn ingest(&self, name: &str, text: &str) -> Result<Shelved, Fault> {
        let invalid = |what: &str| {
            Fault::new(
                FaultKind::InvalidArguments,
                "KNOWLEDGE_NAME",
                format!("cannot take in {name:?}: {what}"),
            )
        };
        let dir = self.uploads_dir.as_ref().ok_or_else(|| invalid("no place for documents is configured"))?;
        if !is_plain(Path::new(name)) {
            return Err(invalid("the name must be a relative path without `.` and `..`"));
        }
        let _turn = self.taking_in.lock().await;
        let path = dir.join(name);
        let stored = |error: std::io::Error| {
            Fault::new(FaultKind::Storage, "KNOWLEDGE_IO", format!("cannot store {name:?}: {error}"))
        };
        let (to, new) = (path.clone(), text.to_owned());
        let before = off_runtime(move || replace(&to, new.as_bytes())).await.map_err(stored)?;
        let passages_before = self.base.stats().chunks;
        let failure = match self.base.ingest_dir(dir, &mut |_| {}).await {
            Ok(report) => match report.broken.iter().find(|broken| broken.path == name) {
                None => {
                    let passages = report.chunks.saturating_sub(passages_before);
                    let passages = u32::try_from(passages).unwrap_or(u32::MAX);
                    return Ok(Shelved { version: report.version.to_string(), passages });
                }
                Some(broken) => invalid(&broken.reason),
            },
            Err(error) => {
                Fault::new(FaultKind::Upstream, error.code(), format!("cannot take in {name:?}: {error}"))
            }
        };
        // What was not taken in does not stay, or every later start would stumble over it.
        let restored = off_runtime(move || match before {
            Some(before) => replace(&path, &before).map(|_| ()),
            None => std::fs::remove_file(&path),
        });
        restored.await.map_err(stored)?;
        Err(failure)
    }
}

/// For tools that ask a daemon without a knowledge base.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoKnowledge;

#[async_trait]
impl Knowledge for NoKnowledge {
    async fn search(&self, _: &KnowledgeQuery) -> Result<KnowledgeAnswer, Fault> {
        let insufficient = Some("no knowledge base is configured".to_owned());
        Ok(KnowledgeAnswer { insufficient, ..KnowledgeAnswer::default() })
    }
}

fn is_plain(name: &Path) -> bool {
    name.components().next().is_some() && name.components().all(|part| matches!(part, Component::Normal(_)))
}

/// Writes a file whole or not at all; what it held before.
fn replace(path: &Path, content: &[u8]) -> std::io::Result<Option<Vec<u8>>> {
    let before = match std::fs::read(path) {
        Ok(before) => Some(before),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let dir = path.parent().ok_or_else(|| std::io::Error::other("the path has no directory"))?;
    std::fs::create_dir_all(dir)?;
    // Neither Markdown nor plain text by its name: a reader passes it over.
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let mut file = std::fs::File::create(&part)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&part, path)?;
    Ok(before)
}

async fn off_runtime<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}

#[async_trait]
impl Knowledge for Library {
    async fn search(&self, query: &KnowledgeQuery) -> Result<KnowledgeAnswer, Fault> {
        let asked = SearchQuery {
            text: query.text.clone(),
            limit: query.limit,
            service: query.service.clone(),
            ..SearchQuery::default()
        };
        let answer = self.base.search(&asked).await.map_err(|error| {
            Fault::new(
                FaultKind::Upstream,
                error.code(),
                format!("cannot search the knowledge base: {error}"),
            )
        })?;
        if let Some(degraded) = &answer.degraded {
            tracing::warn!(degraded, "knowledge search answered in part");
        }
        Ok(KnowledgeAnswer {
            passages: answer.hits.into_iter().map(passage).collect(),
            insufficient: answer.insufficient.map(|reason| reason.to_string()),
            version: answer.version.to_string(),
        })
    }
}

fn passage(hit: Hit) -> Passage {
    let digest = Digest::parse(&format!("sha256:{}", hit.passage.digest))
        .unwrap_or_else(|| Digest::of_bytes(hit.passage.text.as_bytes()));
    Passage {
        document: hit.path,
        title: hit.title,
        heading: hit.passage.heading_path.join(" › "),
        text: hit.passage.text,
        category: hit.category,
        score: f64::from(hit.score),
        matched: hit.why.to_string(),
        digest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use medic_knowledge::KnowledgeConfig;

    async fn library(dir: &Path) -> Library {
        let config = KnowledgeConfig { index_dir: dir.join("index"), ..KnowledgeConfig::default() };
        let base = medic_knowledge::Knowledge::open(config).await.unwrap();
        let uploads = dir.join("uploads");
        Library::new(Arc::new(base), Some(uploads.clone()), vec![SourceConfig::Directory { path: uploads }])
    }

    fn query(text: &str) -> KnowledgeQuery {
        KnowledgeQuery { text: text.to_owned(), service: None, limit: 3 }
    }

    #[tokio::test]
    async fn document_taken_in_is_found_and_cited() {
        let dir = tempfile::tempdir().unwrap();
        let library = library(dir.path()).await;
        let empty = medic_ports::Knowledge::search(&library, &query("certificate expired")).await.unwrap();
        assert!(empty.passages.is_empty() && empty.insufficient.is_some());

        let text = "---\ntitle: Certificate expiry\nkind: runbook\ncategory: certificate-expiry\n---\n\n\
                    # Certificate expiry\n\n## Remedy\n\nRenew the expired certificate and reload the gateway.\n";
        let shelved = library.ingest("ours/certificates.md", text).await.unwrap();
        assert!(shelved.passages > 0);
        let answer = medic_ports::Knowledge::search(&library, &query("expired certificate on the gateway"))
            .await
            .unwrap();
        assert_eq!((answer.insufficient, answer.version), (None, shelved.version));
        let passage = &answer.passages[0];
        assert_eq!(
            (passage.title.as_str(), passage.category.as_deref()),
            ("Certificate expiry", Some("certificate-expiry"))
        );
        assert_eq!(passage.digest, Digest::of_bytes(text.as_bytes()), "the digest is the document's");
        assert!(passage.matched.contains("terms"), "{}", passage.matched);
    }

    #[tokio::test]
    async fn sources_are_read_again_and_one_that_fails_holds_up_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let config = KnowledgeConfig { index_dir: dir.path().join("index"), ..KnowledgeConfig::default() };
        let base = Arc::new(medic_knowledge::Knowledge::open(config).await.unwrap());
        let here = dir.path().join("runbooks");
        std::fs::create_dir(&here).unwrap();
        std::fs::write(here.join("disk.md"), "# Disk full\n\nDelete rotated logs.\n").unwrap();
        let source = |path: &Path| SourceConfig::Directory { path: path.to_owned() };
        let library = Library::new(base, None, vec![source(&dir.path().join("gone")), source(&here)]);
        let read = library.reread().await;
        assert_eq!(read[0].outcome.as_ref().unwrap_err().code(), "KNOWLEDGE_IO");
        assert_eq!(read[1].outcome.as_ref().unwrap().added, ["disk.md"]);
        let shown = library.show("disk.md", None, None).await.unwrap().unwrap();
        assert_eq!((shown.title.as_str(), shown.reviewed), ("Disk full", true));
        assert!(library.show("disk.md", Some("elsewhere"), None).await.unwrap().is_none());
        assert!(library.show("none.md", None, Some(1)).await.unwrap().is_none());
        assert_eq!(library.pin(Some(7)).await.unwrap_err().code(), "KNOWLEDGE_VERSION_GONE");
        library.pin(Some(1)).await.unwrap();
        assert!(library.versions().await.unwrap()[0].pinned);
    }

    #[tokio::test]
    async fn name_that_leads_elsewhere_is_refused_and_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let library = library(dir.path()).await;
        for name in ["../escape.md", "/etc/escape.md", "a/../../escape.md", "", "."] {
            assert_eq!(library.ingest(name, "# text").await.unwrap_err().code, "KNOWLEDGE_NAME", "{name:?}");
        }
        assert!(!dir.path().join("escape.md").exists() && !dir.path().join("uploads").exists());
    }
}
