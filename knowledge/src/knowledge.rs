//! The knowledge base as its users see it: open, ingest, search. Owns which version answers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::Serialize;

use crate::answer::{Insufficient, SearchAnswer};
use crate::build::{Damage, WithVectors, Workshop};
use crate::config::{KnowledgeConfig, VectorsConfig};
use crate::document::{Document, DocumentId};
use crate::embed;
use crate::error::{Error, Result, off_runtime};
use crate::ingest::{self, IngestReport, Merged, Progress, Stage};
use crate::query::SearchQuery;
use crate::snapshot::Snapshot;
use crate::source::{Directory, Listing, Source};
use crate::vectors::{self, QdrantStore};
use crate::versions::{IngestLock, Shelf};

/// Paths waiting to be reported; a reader that is faster than its report waits.
const PROGRESS_DEPTH: usize = 64;

/// A knowledge base over one index directory. Cheap to share behind an `Arc`; searches never wait for an ingest.
pub struct Knowledge {
    workshop: Arc<Workshop>,
    current: RwLock<Option<Arc<Snapshot>>>,
    /// One ingest at a time in this process; the lock file holds off others.
    ingesting: tokio::sync::Mutex<()>,
    notices: Mutex<Vec<String>>,
}

/// What is in the knowledge base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// 0 before the first ingest.
    pub version: u64,
    /// Digest of all that the answers depend on.
    pub content: String,
    pub documents: usize,
    pub chunks: usize,
    pub embedder: String,
    pub engine: String,
    /// Source → its documents.
    pub sources: BTreeMap<String, usize>,
    /// What was found damaged or out of date since opening, and what was done about it.
    pub notices: Vec<String>,
}

impl Knowledge {
    /// Opens the index, making it if there is none. A damaged or outdated version is rebuilt from its stored documents;
    /// if those are damaged too, the newest older version that can be read answers. Either is told in
    /// [`Stats::notices`].
    ///
    /// # Errors
    /// `KNOWLEDGE_DAMAGED` when versions exist and none can be read; `KNOWLEDGE_CONFIG`; `KNOWLEDGE_IO`.
    pub async fn open(config: KnowledgeConfig) -> Result<Self> {
        config.check()?;
        let store = match &config.vectors {
            VectorsConfig::Embedded => None,
            VectorsConfig::Qdrant(qdrant) => Some(QdrantStore::new(qdrant)?),
        };
        let dir = config.index_dir.clone();
        let shelf = Arc::new(off_runtime(move || Shelf::open(&dir)).await?);
        let knowledge = Self {
            workshop: Arc::new(Workshop { config, shelf, store }),
            current: RwLock::new(None),
            ingesting: tokio::sync::Mutex::new(()),
            notices: Mutex::new(Vec::new()),
        };
        knowledge.load().await?;
        Ok(knowledge)
    }

    /// Reads the Markdown and plain text below `dir` and makes it the next version, together with the documents of
    /// other directories. What is new in the directory is added, what is gone is removed, what broke keeps its
    /// earlier text and is reported. The new version answers at once or, on any error, not at all.
    ///
    /// # Errors
    /// `KNOWLEDGE_BUSY` while another process ingests; errors of the disk, the embedder or Qdrant.
    pub async fn ingest_dir(
        &self,
        dir: impl AsRef<Path>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<IngestReport> {
        let _turn = self.ingesting.lock().await;
        let dir = dir.as_ref().to_owned();
        let source = off_runtime(move || Directory::open(&dir)).await?;
        let (name, listing) = read_source(source, progress).await?;
        self.replace(name, listing, progress).await
    }

    /// Removes all documents of a source, as named in [`Stats::sources`], as a version of its own.
    pub async fn forget_source(&self, source: &str) -> Result<IngestReport> {
        let _turn = self.ingesting.lock().await;
        self.replace(source.to_owned(), Listing::default(), &mut |_| {}).await
    }

    /// Answers a question from the current version. A failing embedder or Qdrant leaves the lexical half, and
    /// [`SearchAnswer::degraded`] says so.
    pub async fn search(&self, query: &SearchQuery) -> Result<SearchAnswer> {
        match self.snapshot() {
            Some(snapshot) => snapshot.search(query.clone()).await,
            None => Ok(SearchAnswer {
                hits: Vec::new(),
                insufficient: Some(Insufficient::EmptyIndex),
                version: 0,
                embedder: embed::configured_id(&self.workshop.config.embedder),
                degraded: None,
            }),
        }
    }

    /// The document as the current version has it.
    pub fn document(&self, id: &DocumentId) -> Option<Document> {
        self.snapshot()?.document(id).cloned()
    }

    pub fn stats(&self) -> Stats {
        let snapshot = self.snapshot();
        let mut sources = BTreeMap::new();
        for document in snapshot.iter().flat_map(|snapshot| &snapshot.corpus.documents) {
            *sources.entry(document.source.clone()).or_insert(0) += 1;
        }
        let config = &self.workshop.config;
        Stats {
            version: snapshot.as_ref().map_or(0, |snapshot| snapshot.manifest.version),
            content: snapshot.as_ref().map_or_else(String::new, |snapshot| snapshot.manifest.content.clone()),
            documents: snapshot.as_ref().map_or(0, |snapshot| snapshot.corpus.documents.len()),
            chunks: snapshot.as_ref().map_or(0, |snapshot| snapshot.corpus.chunks.len()),
            embedder: snapshot
                .as_ref()
                .map_or_else(|| embed::configured_id(&config.embedder), |s| s.manifest.embedder.clone()),
            engine: vectors::engine(&config.vectors),
            sources,
            notices: self.notices.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, snapshot: Snapshot) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(snapshot));
    }

    fn notice(&self, text: String) {
        tracing::warn!(notice = %text, "knowledge index");
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    async fn lock(&self) -> Result<Arc<IngestLock>> {
        let shelf = Arc::clone(&self.workshop.shelf);
        off_runtime(move || {
            let lock = shelf.lock()?;
            shelf.sweep(&lock)?;
            Ok(Arc::new(lock))
        })
        .await
    }

    async fn replace(
        &self,
        source: String,
        listing: Listing,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<IngestReport> {
        let lock = self.lock().await?;
        // Another process may have published since; its documents must not be lost.
        self.refresh().await?;
        let previous = self.snapshot();
        let merged = {
            let (previous, source) = (previous.clone(), source.clone());
            off_runtime(move || {
                let documents = previous.as_ref().map_or(&[][..], |snapshot| &snapshot.corpus.documents);
                Ok(ingest::merge(documents, &source, listing))
            })
            .await?
        };
        let Merged { documents, added, updated, removed, unchanged, broken, passed_over } = merged;
        let same = previous
            .as_ref()
            .is_some_and(|snapshot| snapshot.manifest.content == self.workshop.content(&documents));
        let nothing_yet = previous.is_none() && documents.is_empty();
        let published = !(same || nothing_yet);
        if published {
            let number = self.next_number()?;
            let built = self
                .workshop
                .build(number, documents, WithVectors::Yes, previous.as_deref(), Arc::clone(&lock), progress)
                .await?;
            self.put(built);
            self.prune(&lock).await;
        }
        let stats = self.stats();
        Ok(IngestReport {
            source,
            version: stats.version,
            published,
            added,
            updated,
            removed,
            unchanged,
            broken,
            passed_over,
            documents: stats.documents,
            chunks: stats.chunks,
            embedder: stats.embedder,
        })
    }

    /// Above every number on disk and the one in use: a number is never given to two contents.
    fn next_number(&self) -> Result<u64> {
        let newest = self.workshop.shelf.list()?.first().copied().unwrap_or(0);
        let current = self.snapshot().map_or(0, |snapshot| snapshot.manifest.version);
        let pointed = match self.workshop.shelf.pointer()? {
            Some(Ok(pointer)) => pointer.version,
            _ => 0,
        };
        Ok(newest.max(current).max(pointed) + 1)
    }

    /// Loads what another process published, if anything.
    async fn refresh(&self) -> Result<()> {
        let current = self.snapshot().map_or(0, |snapshot| snapshot.manifest.version);
        match self.workshop.shelf.pointer()? {
            Some(Ok(pointer)) if pointer.version > current => {
                let (workshop, version) = (Arc::clone(&self.workshop), pointer.version);
                let loaded = off_runtime(move || Ok(workshop.load(version, Some(&pointer)))).await?;
                match loaded {
                    Ok(snapshot) => self.put(snapshot),
                    Err(damage) => {
                        self.notice(format!("version {version} was passed over: {}", damage.reason))
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Removes versions beyond the configured number. The new version is out already: a failure here is a notice.
    async fn prune(&self, lock: &Arc<IngestLock>) {
        let (workshop, held) = (Arc::clone(&self.workshop), Arc::clone(lock));
        let kept = workshop.config.versions_kept_max;
        let gone = off_runtime(move || workshop.shelf.prune(kept, &held)).await;
        match (gone, &self.workshop.store) {
            (Err(error), _) => self.notice(format!("old versions stay on disk: {error}")),
            (Ok(gone), Some(store)) => {
                for version in gone {
                    if let Err(error) = store.forget(version).await {
                        self.notice(format!("vectors of version {version} stay in Qdrant: {error}"));
                    }
                }
            }
            (Ok(_), None) => {}
        }
    }

    async fn load(&self) -> Result<()> {
        // Leftovers of a killed ingest go now, unless one is running elsewhere.
        match self.lock().await {
            Ok(_) | Err(Error::Busy { .. }) => {}
            Err(error) => return Err(error),
        }
        let shelf = &self.workshop.shelf;
        let pointer = match shelf.pointer()? {
            Some(Ok(pointer)) => Some(pointer),
            Some(Err(reason)) => {
                self.notice(reason);
                None
            }
            None => None,
        };
        // The one pointed at first; then whatever else is there, newest first.
        let mut candidates = shelf.list()?;
        if let Some(pointer) = &pointer {
            candidates.retain(|version| *version < pointer.version);
            candidates.insert(0, pointer.version);
        }
        let mut reasons = Vec::new();
        for version in candidates {
            let vouched = pointer.clone().filter(|pointer| pointer.version == version);
            let workshop = Arc::clone(&self.workshop);
            let loaded = off_runtime(move || Ok(workshop.load(version, vouched.as_ref()))).await?;
            let damage = match loaded {
                Ok(snapshot) => match self.workshop.vectors_lost(&snapshot).await {
                    None => {
                        self.put(snapshot);
                        if !reasons.is_empty() {
                            self.notice(format!(
                                "version {version} answers until the next ingest, because {}",
                                reasons.join("; ")
                            ));
                        }
                        return Ok(());
                    }
                    Some(reason) => Damage { reason, documents: Some(snapshot.corpus.documents) },
                },
                Err(damage) => damage,
            };
            if let Some(documents) = damage.documents {
                return self.rebuild(version, &damage.reason, documents).await;
            }
            reasons.push(format!("version {version} cannot be read ({})", damage.reason));
        }
        if reasons.is_empty() {
            return Ok(());
        }
        Err(Error::Damaged { path: shelf.root().to_owned(), reason: reasons.join("; ") })
    }

    async fn rebuild(&self, version: u64, reason: &str, documents: Vec<Document>) -> Result<()> {
        let lock = self.lock().await?;
        let number = self.next_number()?;
        let count = documents.len();
        let build = |documents, vectors| {
            let (workshop, lock) = (Arc::clone(&self.workshop), Arc::clone(&lock));
            async move { workshop.build(number, documents, vectors, None, lock, &mut |_| {}).await }
        };
        let built = match build(documents.clone(), WithVectors::Yes).await {
            Err(
                error @ (Error::Embedder { .. } | Error::EmbedderDimension { .. } | Error::Qdrant { .. }),
            ) => {
                self.notice(format!(
                    "version {number} answers without vectors until the next ingest: {error}"
                ));
                build(documents, WithVectors::No).await?
            }
            built => built?,
        };
        self.put(built);
        self.notice(format!(
            "version {version} was rebuilt as version {number} from its {count} stored documents, because {reason}"
        ));
        self.prune(&lock).await;
        Ok(())
    }
}

/// Reads a source on a thread of its own and reports each path as it comes.
async fn read_source(
    source: impl Source + 'static,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<(String, Listing)> {
    let (seen, mut paths) = tokio::sync::mpsc::channel::<String>(PROGRESS_DEPTH);
    let reading = tokio::task::spawn_blocking(move || {
        let listing = source.list(&mut |path| {
            // The receiver is gone when the ingest was dropped: then nobody wants to know.
            let _ = seen.blocking_send(path.to_owned());
        });
        listing.map(|listing| (source.name().to_owned(), listing))
    });
    let mut done = 0;
    while let Some(path) = paths.recv().await {
        done += 1;
        progress(Progress { stage: Stage::Reading, done, total: 0, path: Some(path) });
    }
    reading.await.map_err(|stopped| Error::Task { reason: stopped.to_string() })?
}
