//! Versions of the knowledge base: list them, tell them apart, hold one fast, go back to one, ask an older one.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use serde::Serialize;

use super::Knowledge;
use crate::build::WithVectors;
use crate::document::Document;
use crate::error::{Error, Result, off_runtime};
use crate::ingest::Progress;
use crate::snapshot::Snapshot;

/// Older versions held in memory after they were asked. A report that is read again asks one, some twice.
const LOOKED_BACK_MAX: usize = 2;

/// One version, as it lies on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VersionInfo {
    pub version: u64,
    /// Milliseconds since the epoch.
    pub published_at_ms: Option<u64>,
    pub documents: usize,
    pub chunks: usize,
    pub embedder: String,
    /// Whether it answers now.
    pub answers: bool,
    pub pinned: bool,
    /// Why it cannot be read.
    pub damaged: Option<String>,
}

/// What one version has that another has not, by source and path, sorted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VersionDiff {
    pub from: u64,
    pub to: u64,
    pub added: Vec<DocumentName>,
    pub updated: Vec<DocumentName>,
    pub removed: Vec<DocumentName>,
    pub unchanged: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DocumentName {
    pub source: String,
    pub path: String,
    pub title: String,
}

impl Knowledge {
    /// The versions that are kept, newest first.
    pub async fn versions(&self) -> Result<Vec<VersionInfo>> {
        let shelf = Arc::clone(&self.workshop.shelf);
        let answering = self.answering().map_or(0, |snapshot| snapshot.manifest.version);
        off_runtime(move || {
            let pinned = shelf.pin()?;
            let info = |version: u64| {
                let manifest = shelf.manifest(version, None);
                let damaged = manifest.as_ref().err().cloned();
                let manifest = manifest.ok();
                VersionInfo {
                    version,
                    published_at_ms: shelf.published_at_ms(version),
                    documents: manifest.as_ref().map_or(0, |manifest| manifest.documents),
                    chunks: manifest.as_ref().map_or(0, |manifest| manifest.chunks),
                    embedder: manifest.map_or_else(String::new, |manifest| manifest.embedder),
                    answers: version == answering,
                    pinned: pinned == Some(version),
                    damaged,
                }
            };
            Ok(shelf.list()?.into_iter().map(info).collect())
        })
        .await
    }

    /// # Errors
    /// `KNOWLEDGE_VERSION_GONE`, `KNOWLEDGE_DAMAGED`.
    pub async fn diff(&self, from: u64, to: u64) -> Result<VersionDiff> {
        let (before, after) = (self.documents_of(from).await?, self.documents_of(to).await?);
        let name = |document: &Document| DocumentName {
            source: document.source.clone(),
            path: document.path.clone(),
            title: document.title.clone(),
        };
        let key = |document: &Document| (document.source.clone(), document.path.clone());
        let mut left: BTreeMap<(String, String), &Document> =
            before.iter().map(|document| (key(document), document)).collect();
        let mut diff = VersionDiff {
            from,
            to,
            added: Vec::new(),
            updated: Vec::new(),
            removed: Vec::new(),
            unchanged: 0,
        };
        for document in &after {
            match left.remove(&key(document)) {
                None => diff.added.push(name(document)),
                Some(earlier) if earlier.digest == document.digest => diff.unchanged += 1,
                Some(_) => diff.updated.push(name(document)),
            }
        }
        diff.removed = left.into_values().map(name).collect();
        for names in [&mut diff.added, &mut diff.updated, &mut diff.removed] {
            names.sort();
        }
        Ok(diff)
    }

    /// Holds a version fast: it answers, and is kept, whatever is ingested, until [`Self::unpin`].
    ///
    /// # Errors
    /// `KNOWLEDGE_VERSION_GONE`, `KNOWLEDGE_DAMAGED`; `KNOWLEDGE_BUSY` while another process ingests.
    pub async fn pin(&self, version: u64) -> Result<()> {
        let _turn = self.ingesting.lock().await;
        let snapshot = self.at(version).await?;
        self.write_pin(Some(version)).await?;
        *self.pinned.write().unwrap_or_else(PoisonError::into_inner) = Some(snapshot);
        Ok(())
    }

    /// Lets the newest version answer again.
    pub async fn unpin(&self) -> Result<()> {
        let _turn = self.ingesting.lock().await;
        self.write_pin(None).await?;
        *self.pinned.write().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    async fn write_pin(&self, version: Option<u64>) -> Result<()> {
        let lock = self.lock().await?;
        let shelf = Arc::clone(&self.workshop.shelf);
        off_runtime(move || shelf.set_pin(version, &lock)).await
    }

    /// Publishes the documents of an older version as the newest one, and lets it answer: a pin is taken off. The next
    /// ingest of a source replaces that source's documents again; to keep that from happening, pin.
    ///
    /// # Errors
    /// `KNOWLEDGE_VERSION_GONE`, `KNOWLEDGE_DAMAGED`; those of an ingest.
    pub async fn roll_back(&self, to: u64, progress: &mut (dyn FnMut(Progress) + Send)) -> Result<u64> {
        let _turn = self.ingesting.lock().await;
        let lock = self.lock().await?;
        let documents = self.documents_of(to).await?;
        let number = self.next_number()?;
        let older = self.at(to).await.ok();
        let built = self
            .workshop
            .build(number, documents, WithVectors::Yes, older.as_deref(), Arc::clone(&lock), progress)
            .await?;
        self.put(built);
        let shelf = Arc::clone(&self.workshop.shelf);
        let held = Arc::clone(&lock);
        off_runtime(move || shelf.set_pin(None, &held)).await?;
        *self.pinned.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.prune(&lock).await;
        Ok(number)
    }

    async fn documents_of(&self, version: u64) -> Result<Vec<Document>> {
        self.check_kept(version).await?;
        let workshop = Arc::clone(&self.workshop);
        off_runtime(move || {
            let damaged = |reason| Error::Damaged { path: workshop.shelf.dir(version), reason };
            workshop.documents(version).map_err(damaged)
        })
        .await
    }

    /// A version, loaded.
    pub(super) async fn at(&self, version: u64) -> Result<Arc<Snapshot>> {
        let same = |snapshot: &Arc<Snapshot>| snapshot.manifest.version == version;
        if let Some(found) = self.answering().filter(same).or_else(|| self.newest().filter(same)) {
            return Ok(found);
        }
        let found = {
            let looked_back = self.looked_back.lock().unwrap_or_else(PoisonError::into_inner);
            looked_back.iter().find(|snapshot| same(snapshot)).cloned()
        };
        if let Some(found) = found {
            return Ok(found);
        }
        self.check_kept(version).await?;
        let workshop = Arc::clone(&self.workshop);
        let loaded = off_runtime(move || {
            let damaged = |reason| Error::Damaged { path: workshop.shelf.dir(version), reason };
            workshop.load_older(version).map_err(damaged)
        })
        .await?;
        let loaded = Arc::new(loaded);
        let mut looked_back = self.looked_back.lock().unwrap_or_else(PoisonError::into_inner);
        if looked_back.len() == LOOKED_BACK_MAX {
            looked_back.pop_front();
        }
        looked_back.push_back(Arc::clone(&loaded));
        Ok(loaded)
    }

    async fn check_kept(&self, version: u64) -> Result<()> {
        let shelf = Arc::clone(&self.workshop.shelf);
        let kept = off_runtime(move || shelf.list()).await?;
        if kept.contains(&version) {
            return Ok(());
        }
        let kept: Vec<String> = kept.iter().map(u64::to_string).collect();
        let kept = if kept.is_empty() { "none".to_owned() } else { kept.join(", ") };
        Err(Error::VersionGone { version, kept })
    }

    /// Takes up the pin that an earlier process set. One that cannot be read any more pins nothing, and that is said.
    pub(super) async fn load_pinned(&self) -> Result<()> {
        let Some(version) = self.workshop.shelf.pin()? else { return Ok(()) };
        match self.at(version).await {
            Ok(snapshot) => {
                *self.pinned.write().unwrap_or_else(PoisonError::into_inner) = Some(snapshot);
            }
            Err(error) => {
                self.notice(format!(
                    "version {version} is pinned and cannot answer, the newest does: {error}"
                ));
            }
        }
        Ok(())
    }
}
