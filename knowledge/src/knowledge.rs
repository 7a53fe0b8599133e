//! The knowledge base as its users see it: open, ingest, search. Owns which version answers.

mod history;

pub use history::{DocumentName, VersionDiff, VersionInfo};

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::Serialize;

use crate::answer::{Insufficient, SearchAnswer};
use crate::build::{Damage, WithVectors, Workshop};
use crate::config::{KnowledgeConfig, SourceConfig, VectorsConfig};
use crate::document::{Document, DocumentId};
use crate::embed::EmbedderPlan;
use crate::error::{Error, Result, off_runtime};
use crate::ingest::{self, IngestReport, Merged, Progress, Stage};
use crate::query::SearchQuery;
use crate::report::IncidentDraft;
use crate::snapshot::Snapshot;
use crate::source::{Confluence, Directory, Known, Listing, Notion, Raw, Source};
use crate::vectors::{self, QdrantStore};
use crate::versions::{IngestLock, Shelf};

/// The source of what is kept by [`Knowledge::keep_draft`].
pub const DRAFTS: &str = "medic:resolved-incidents";

/// A knowledge base over one index directory. Cheap to share behind an `Arc`; searches never wait for an ingest.
pub struct Knowledge {
    workshop: Arc<Workshop>,
    newest: RwLock<Option<Arc<Snapshot>>>,
    /// Answers in place of the newest while it is set.
    pinned: RwLock<Option<Arc<Snapshot>>>,
    /// Older versions that were asked lately, the latest last.
    looked_back: Mutex<VecDeque<Arc<Snapshot>>>,
    /// One ingest at a time in this process; the lock file holds off others.
    ingesting: tokio::sync::Mutex<()>,
    notices: Mutex<Vec<String>>,
}

/// What is in the knowledge base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// The one that answers; 0 before the first ingest.
    pub version: u64,
    /// The newest one; another than `version` while a version is pinned.
    pub newest: u64,
    /// Versions that can be asked.
    pub versions: usize,
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
        let (dir, wanted) = (config.index_dir.clone(), config.embedder.clone());
        let (shelf, embedder) =
            off_runtime(move || Ok((Arc::new(Shelf::open(&dir)?), EmbedderPlan::open(&wanted)?))).await?;
        let knowledge = Self {
            workshop: Arc::new(Workshop { config, embedder, shelf, store }),
            newest: RwLock::new(None),
            pinned: RwLock::new(None),
            looked_back: Mutex::new(VecDeque::new()),
            ingesting: tokio::sync::Mutex::new(()),
            notices: Mutex::new(Vec::new()),
        };
        knowledge.load().await?;
        knowledge.load_pinned().await?;
        Ok(knowledge)
    }

    /// Reads a source and makes it the next version, as [`Self::ingest_dir`] does a directory.
    ///
    /// # Errors
    /// `KNOWLEDGE_SOURCE` when a wiki cannot be read; those of [`Self::ingest_dir`].
    pub async fn ingest(
        &self,
        source: &SourceConfig,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<IngestReport> {
        match source {
            SourceConfig::Directory { path } => self.ingest_dir(path, progress).await,
            SourceConfig::Confluence(space) => self.ingest_from(&Confluence::new(space)?, progress).await,
            SourceConfig::Notion(pages) => self.ingest_from(&Notion::new(pages)?, progress).await,
        }
    }

    /// Reads the runbooks below `dir` (Markdown, plain text, HTML, PDF, tables of error codes) and makes them the next
    /// version, together with the documents of other sources. What is new in the directory is added, what is gone is removed, what broke keeps its
    /// earlier text and is reported. The new version answers at once or, on any error, not at all.
    ///
    /// # Errors
    /// `KNOWLEDGE_BUSY` while another process ingests; errors of the disk, the embedder or Qdrant.
    pub async fn ingest_dir(
        &self,
        dir: impl AsRef<Path>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<IngestReport> {
        let dir = dir.as_ref().to_owned();
        let source = off_runtime(move || Directory::open(&dir)).await?;
        self.ingest_from(&source, progress).await
    }

    async fn ingest_from(
        &self,
        source: &dyn Source,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<IngestReport> {
        let _turn = self.ingesting.lock().await;
        let known = self.known(source.name());
        let mut done = 0;
        let listing = source
            .list(&known, &mut |path| {
                done += 1;
                progress(Progress { stage: Stage::Reading, done, total: 0, path: Some(path.to_owned()) });
            })
            .await?;
        self.replace(source.name().to_owned(), listing, progress).await
    }

    /// Keeps a draft made of a resolved incident, in place of an earlier one of the same id. It is marked as not
    /// reviewed: see [`crate::Drafts`].
    ///
    /// # Errors
    /// `KNOWLEDGE_DRAFT` when it does not make a document; those of [`Self::ingest_dir`].
    pub async fn keep_draft(&self, draft: &IncidentDraft) -> Result<IngestReport> {
        let _turn = self.ingesting.lock().await;
        let refuse = |reason: String| Error::Draft { id: draft.id.clone(), reason };
        let path = draft.path().map_err(refuse)?;
        let kept = self.newest().map_or_else(Vec::new, |snapshot| {
            let own = snapshot.corpus.documents.iter().filter(|document| document.source == DRAFTS);
            own.map(|document| document.path.clone()).filter(|kept| *kept != path).collect()
        });
        let raw = Raw { path: path.clone(), text: draft.to_markdown(), revision: None };
        let listing = Listing { documents: vec![raw], unchanged: kept, ..Listing::default() };
        let report = self.replace(DRAFTS.to_owned(), listing, &mut |_| {}).await?;
        match report.broken.iter().find(|broken| broken.path == path) {
            Some(broken) => Err(refuse(broken.reason.clone())),
            None => Ok(report),
        }
    }

    /// The revisions that the newest version has of a source's documents.
    fn known(&self, source: &str) -> Known {
        let newest = self.newest();
        let documents = newest.iter().flat_map(|snapshot| &snapshot.corpus.documents);
        documents
            .filter(|document| document.source == source)
            .filter_map(|document| Some((document.path.clone(), document.revision.clone()?)))
            .collect()
    }

    /// Removes all documents of a source, as named in [`Stats::sources`], as a version of its own.
    pub async fn forget_source(&self, source: &str) -> Result<IngestReport> {
        let _turn = self.ingesting.lock().await;
        self.replace(source.to_owned(), Listing::default(), &mut |_| {}).await
    }

    /// Answers a question from the version that answers, or from the one it names. A failing embedder or Qdrant leaves the lexical half, and
    /// [`SearchAnswer::degraded`] says so.
    ///
    /// # Errors
    /// `KNOWLEDGE_VERSION_GONE` when the version it names is not kept.
    pub async fn search(&self, query: &SearchQuery) -> Result<SearchAnswer> {
        let snapshot = match query.version {
            Some(version) => Some(self.at(version).await?),
            None => self.answering(),
        };
        match snapshot {
            Some(snapshot) => snapshot.search(query.clone()).await,
            None => Ok(SearchAnswer {
                hits: Vec::new(),
                insufficient: Some(Insufficient::EmptyIndex),
                version: 0,
                embedder: self.workshop.embedder.id(),
                degraded: None,
            }),
        }
    }

    /// The document as the version that answers has it.
    pub fn document(&self, id: &DocumentId) -> Option<Document> {
        self.answering()?.document(id).cloned()
    }

    /// The document at `path`, of the first source in their order that has it where none is named, as a version has it.
    ///
    /// # Errors
    /// `KNOWLEDGE_VERSION_GONE`, `KNOWLEDGE_DAMAGED`.
    pub async fn find(
        &self,
        path: &str,
        source: Option<&str>,
        version: Option<u64>,
    ) -> Result<Option<Document>> {
        let snapshot = match version {
            Some(version) => Some(self.at(version).await?),
            None => self.answering(),
        };
        Ok(snapshot.and_then(|snapshot| {
            let mut documents = snapshot.corpus.documents.iter();
            let wanted = |document: &&Document| {
                document.path == path && source.is_none_or(|source| document.source == source)
            };
            documents.find(wanted).cloned()
        }))
    }

    pub fn stats(&self) -> Stats {
        let snapshot = self.answering();
        let mut sources = BTreeMap::new();
        for document in snapshot.iter().flat_map(|snapshot| &snapshot.corpus.documents) {
            *sources.entry(document.source.clone()).or_insert(0) += 1;
        }
        let config = &self.workshop.config;
        Stats {
            version: snapshot.as_ref().map_or(0, |snapshot| snapshot.manifest.version),
            newest: self.newest().map_or(0, |snapshot| snapshot.manifest.version),
            versions: self.workshop.shelf.list().map_or(0, |versions| versions.len()),
            content: snapshot.as_ref().map_or_else(String::new, |snapshot| snapshot.manifest.content.clone()),
            documents: snapshot.as_ref().map_or(0, |snapshot| snapshot.corpus.documents.len()),
            chunks: snapshot.as_ref().map_or(0, |snapshot| snapshot.corpus.chunks.len()),
            embedder: snapshot
                .as_ref()
                .map_or_else(|| self.workshop.embedder.id(), |s| s.manifest.embedder.clone()),
            engine: vectors::engine(&config.vectors),
            sources,
            notices: self.notices.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    fn newest(&self) -> Option<Arc<Snapshot>> {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn answering(&self) -> Option<Arc<Snapshot>> {
        self.pinned.read().unwrap_or_else(PoisonError::into_inner).clone().or_else(|| self.newest())
    }

    fn put(&self, snapshot: Snapshot) {
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(snapshot));
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
        let previous = self.newest();
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
        let (stats, newest) = (self.stats(), self.newest());
        Ok(IngestReport {
            source,
            version: stats.newest,
            published,
            added,
            updated,
            removed,
            unchanged,
            broken,
            passed_over,
            documents: newest.as_ref().map_or(0, |newest| newest.corpus.documents.len()),
            chunks: newest.as_ref().map_or(0, |newest| newest.corpus.chunks.len()),
            embedder: newest.map_or(stats.embedder, |newest| newest.manifest.embedder.clone()),
        })
    }

    /// Above every number on disk and the one in use: a number is never given to two contents.
    fn next_number(&self) -> Result<u64> {
        let newest = self.workshop.shelf.list()?.first().copied().unwrap_or(0);
        let current = self.newest().map_or(0, |snapshot| snapshot.manifest.version);
        let pointed = match self.workshop.shelf.pointer()? {
            Some(Ok(pointer)) => pointer.version,
            _ => 0,
        };
        Ok(newest.max(current).max(pointed) + 1)
    }

    /// Loads what another process published, if anything.
    async fn refresh(&self) -> Result<()> {
        let current = self.newest().map_or(0, |snapshot| snapshot.manifest.version);
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
