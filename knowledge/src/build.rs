//! Making and loading a version. Building writes aside and publishes at the end; loading believes nothing that a
//! digest does not vouch for, and hands back the stored documents when they are all that can still be read.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::{KnowledgeConfig, VectorsConfig};
use crate::digest;
use crate::document::Document;
use crate::embed::journal::{self, Embedded, VectorJournal};
use crate::embed::{Embedder, EmbedderPlan, Passage};
use crate::error::{Error, Result, off_runtime};
use crate::lexical::LexicalIndex;
use crate::snapshot::{Corpus, Snapshot};
use crate::vectors::{self, EmbeddedVectors, QdrantStore, VectorIndex, embedded};
use crate::versions::{self, DOCUMENTS, IngestLock, LEXICAL, MODEL, Manifest, Pointer, Shelf, VECTORS};
use crate::{Progress, Stage};

/// Raised whenever files are written, text is cut or words are made in another way: older versions are then rebuilt
/// from their documents.
const FORMAT: u32 = 2;

/// Passages embedded between two reports of progress.
const PASSAGES_PER_STEP: usize = 256;

/// Of `texts` added up; they are held in memory.
const TEXT_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// A document as a version keeps it. All else follows from these.
#[derive(Serialize, Deserialize)]
struct Stored {
    source: String,
    path: String,
    text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
}

/// Why a version cannot answer, and its documents if they are whole.
pub(crate) struct Damage {
    pub(crate) reason: String,
    pub(crate) documents: Option<Vec<Document>>,
}

/// Whether a version gets vectors. One without answers by words alone, and is made only when the embedder or Qdrant
/// fails while a damaged version must be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WithVectors {
    Yes,
    No,
}

/// Everything that making a version needs beside its documents.
pub(crate) struct Workshop {
    pub(crate) config: KnowledgeConfig,
    pub(crate) embedder: EmbedderPlan,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) store: Option<QdrantStore>,
}

impl Workshop {
    /// What a version of `documents` is called by its content.
    pub(crate) fn content(&self, documents: &[Document]) -> String {
        self.content_with(&self.embedder.id(), documents)
    }

    fn content_with(&self, embedder: &str, documents: &[Document]) -> String {
        let format = FORMAT.to_string();
        let engine = vectors::engine(&self.config.vectors);
        let mut rows: Vec<[&str; 4]> = documents
            .iter()
            .map(|document| {
                let revision = document.revision.as_deref().unwrap_or_default();
                [document.source.as_str(), document.path.as_str(), document.digest.as_str(), revision]
            })
            .collect();
        rows.sort_unstable();
        digest::of_parts(
            [format.as_str(), embedder, &engine].into_iter().chain(rows.iter().flatten().copied()),
        )
    }

    /// Builds version `number` of `documents` and publishes it. Nothing is visible before the end.
    pub(crate) async fn build(
        &self,
        number: u64,
        documents: Vec<Document>,
        vectors: WithVectors,
        previous: Option<&Snapshot>,
        lock: Arc<IngestLock>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Snapshot> {
        let bytes: u64 = documents.iter().map(|document| document.text.len() as u64).sum();
        if documents.len() > self.config.documents_max {
            return Err(Error::Limit {
                what: "the number of documents",
                limit: self.config.documents_max as u64,
            });
        }
        if bytes > TEXT_BYTES_MAX {
            return Err(Error::Limit { what: "the text of all documents in bytes", limit: TEXT_BYTES_MAX });
        }
        let wanted = match vectors {
            WithVectors::Yes => self.embedder.clone(),
            WithVectors::No => EmbedderPlan::None,
        };
        let content = self.content_with(&wanted.id(), &documents);
        let (shelf, staging) = (Arc::clone(&self.shelf), self.shelf.staging(number));
        let (corpus, documents_digest) = off_runtime({
            let staging = staging.clone();
            move || {
                std::fs::create_dir_all(&staging).map_err(Error::io("make", &staging))?;
                let corpus = Corpus::new(documents);
                let digest = versions::write_durably(&staging.join(DOCUMENTS), &encode(&corpus)?)?;
                Ok((Arc::new(corpus), digest))
            }
        })
        .await?;
        let mut files = BTreeMap::from([(DOCUMENTS.to_owned(), documents_digest)]);

        let (embedder, vectors) = self.embed(&corpus, wanted, previous, progress).await?;
        if let Some(embedder) = &embedder {
            let encoded = EmbeddedVectors::encode(embedder.dimension(), &vectors)?;
            files.insert(VECTORS.to_owned(), versions::write_durably(&staging.join(VECTORS), &encoded)?);
            if let Some(model) = embedder.model() {
                files.insert(MODEL.to_owned(), versions::write_durably(&staging.join(MODEL), &model)?);
            }
            if let Some(store) = &self.store {
                let total = vectors.len();
                store.prepare(embedder.dimension()).await?;
                let mut written =
                    |done| progress(Progress { stage: Stage::Uploading, done, total, path: None });
                store.put(number, &vectors, &corpus.facets(), &mut written).await?;
            }
        }

        let total = corpus.documents.len();
        progress(Progress { stage: Stage::Indexing, done: 0, total, path: None });
        let manifest = Manifest {
            format: FORMAT,
            version: number,
            content,
            embedder: embedder.as_ref().map_or_else(|| "none".to_owned(), |embedder| embedder.id()),
            engine: vectors::engine(&self.config.vectors),
            documents: corpus.documents.len(),
            chunks: corpus.chunks.len(),
            files,
        };
        let (manifest, lexical) = off_runtime({
            let (corpus, mut manifest) = (Arc::clone(&corpus), manifest);
            move || {
                LexicalIndex::build(&staging.join(LEXICAL), &corpus.documents, &corpus.chunks)?;
                manifest.files.extend(versions::digests(&staging, &staging.join(LEXICAL))?);
                shelf.publish(&manifest, &lock)?;
                VectorJournal::forget(&shelf.journal())?;
                let lexical = LexicalIndex::open(&shelf.dir(number).join(LEXICAL))?;
                Ok((manifest, lexical))
            }
        })
        .await?;
        progress(Progress { stage: Stage::Published, done: total, total, path: None });

        let index: Option<Box<dyn VectorIndex>> = match (&embedder, &self.store) {
            (None, _) => None,
            (Some(_), Some(store)) => Some(Box::new(store.version(number))),
            (Some(embedder), None) => {
                let encoded = EmbeddedVectors::encode(embedder.dimension(), &vectors)?;
                let path = self.shelf.dir(number).join(VECTORS);
                let opened = EmbeddedVectors::open(&path, &encoded, corpus.facets());
                Some(Box::new(opened.map_err(|reason| Error::Embedder { embedder: embedder.id(), reason })?))
            }
        };
        let corpus =
            Arc::try_unwrap(corpus).map_err(|_| Error::Task { reason: "corpus is still in use".into() })?;
        Ok(Snapshot::new(manifest, corpus, lexical, embedder, index))
    }

    async fn embed(
        &self,
        corpus: &Arc<Corpus>,
        plan: EmbedderPlan,
        previous: Option<&Snapshot>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(Option<Arc<dyn Embedder>>, Vec<Vec<f32>>)> {
        let shared = Arc::clone(corpus);
        let (embedder, passages) = off_runtime(move || {
            let passages = shared.passages();
            Ok((plan.fit(&passages)?, passages))
        })
        .await?;
        let Some(embedder) = embedder else { return Ok((None, Vec::new())) };
        // Where a vector depends on the passage alone, one that was paid for is not paid for again.
        let reusable = embedder.model().is_none();
        let mut known = match previous {
            Some(previous) if reusable => self.known_vectors(previous, &embedder.id()).await,
            _ => Embedded::new(),
        };
        let mut journal = None;
        if reusable {
            let (opened, embedded) =
                VectorJournal::open(&self.shelf.journal(), &embedder.id(), embedder.dimension())?;
            known.extend(embedded);
            journal = Some(opened);
        }
        let total = passages.len();
        // Two passages may be the same; the vector is then the same too.
        let mut vectors: Vec<Option<Vec<f32>>> =
            passages.iter().map(|passage| known.get(&journal::key(passage)).cloned()).collect();
        drop(known);
        let wanted: Vec<usize> =
            (0..total).filter(|at| vectors.get(*at).is_some_and(Option::is_none)).collect();
        let mut done = total - wanted.len();
        for step in wanted.chunks(PASSAGES_PER_STEP) {
            progress(Progress { stage: Stage::Embedding, done, total, path: None });
            let batch: Vec<Passage> = step.iter().filter_map(|at| passages.get(*at).cloned()).collect();
            let made = embedder.embed(&batch).await?;
            if made.len() != batch.len() {
                let reason = format!("{} vectors for {} passages", made.len(), batch.len());
                return Err(Error::Embedder { embedder: embedder.id(), reason });
            }
            if let Some(journal) = &mut journal {
                journal.append(batch.iter().zip(&made))?;
            }
            for (at, vector) in step.iter().zip(made) {
                if let Some(place) = vectors.get_mut(*at) {
                    *place = Some(vector);
                }
            }
            done += step.len();
        }
        Ok((Some(embedder), vectors.into_iter().flatten().collect()))
    }

    /// The vectors of the previous version by their passages; none if another embedder made them or they are damaged.
    async fn known_vectors(&self, previous: &Snapshot, embedder: &str) -> Embedded {
        if previous.manifest.embedder != embedder {
            return Embedded::new();
        }
        let (shelf, manifest) = (Arc::clone(&self.shelf), previous.manifest.clone());
        let bytes = off_runtime(move || Ok(shelf.read(&manifest, VECTORS))).await;
        let Ok(Ok(bytes)) = bytes else { return Embedded::new() };
        let passages = previous.corpus.passages();
        match embedded::rows(&bytes, passages.len()) {
            Ok(rows) => passages.iter().map(journal::key).zip(rows).collect(),
            Err(_) => Embedded::new(),
        }
    }

    /// The documents of a version, nothing else of it; blocks.
    pub(crate) fn documents(&self, version: u64) -> std::result::Result<Vec<Document>, String> {
        let manifest = self.shelf.manifest(version, None)?;
        decode(&self.shelf.read(&manifest, DOCUMENTS)?)
    }

    /// Loads an older version to look something up in it. One whose vectors another embedder or engine made, or whose
    /// vectors are damaged, answers by words alone; `Err` says why it cannot answer at all. Blocks.
    pub(crate) fn load_older(&self, version: u64) -> std::result::Result<Snapshot, String> {
        let manifest = self.shelf.manifest(version, None)?;
        let stored = self.shelf.read(&manifest, DOCUMENTS)?;
        match self.open_parts(&manifest, decode(&stored)?) {
            Ok(snapshot) => Ok(snapshot),
            Err(_) if manifest.format == FORMAT => {
                let (corpus, lexical) = self.open_words(&manifest, decode(&stored)?)?;
                let manifest = Manifest { embedder: "none".to_owned(), ..manifest };
                Ok(Snapshot::new(manifest, corpus, lexical, None, None))
            }
            Err(reason) => Err(reason),
        }
    }

    /// Loads a version; blocks.
    pub(crate) fn load(
        &self,
        version: u64,
        pointer: Option<&Pointer>,
    ) -> std::result::Result<Snapshot, Damage> {
        let lost = |reason: String| Damage { reason, documents: None };
        let manifest = self.shelf.manifest(version, pointer).map_err(lost)?;
        let stored = self.shelf.read(&manifest, DOCUMENTS).map_err(lost)?;
        let documents = decode(&stored).map_err(lost)?;
        match self.open_parts(&manifest, documents) {
            Ok(snapshot) => Ok(snapshot),
            Err(reason) => Err(Damage { reason, documents: decode(&stored).ok() }),
        }
    }

    fn open_parts(
        &self,
        manifest: &Manifest,
        documents: Vec<Document>,
    ) -> std::result::Result<Snapshot, String> {
        if manifest.format != FORMAT {
            return Err(format!("its format is {}, this build writes {FORMAT}", manifest.format));
        }
        let configured = self.embedder.id();
        if manifest.embedder != configured {
            return Err(format!("its embedder was {}, now {configured} is configured", manifest.embedder));
        }
        let engine = vectors::engine(&self.config.vectors);
        if manifest.engine != engine {
            return Err(format!("its vectors were kept by {}, now {engine} is configured", manifest.engine));
        }
        let (corpus, lexical) = self.open_words(manifest, documents)?;
        let model = match manifest.files.contains_key(MODEL) {
            true => Some(self.shelf.read(manifest, MODEL)?),
            false => None,
        };
        let embedder = self.embedder.reopen(model.as_deref()).map_err(|error| error.to_string())?;
        let index: Option<Box<dyn VectorIndex>> = match (&embedder, &self.store) {
            (None, _) => None,
            (Some(_), Some(store)) => Some(Box::new(store.version(manifest.version))),
            (Some(_), None) => {
                let bytes = self.shelf.read(manifest, VECTORS)?;
                let path = self.shelf.dir(manifest.version).join(VECTORS);
                Some(Box::new(EmbeddedVectors::open(&path, &bytes, corpus.facets())?))
            }
        };
        Ok(Snapshot::new(manifest.clone(), corpus, lexical, embedder, index))
    }

    fn open_words(
        &self,
        manifest: &Manifest,
        documents: Vec<Document>,
    ) -> std::result::Result<(Corpus, LexicalIndex), String> {
        let corpus = Corpus::new(documents);
        if (corpus.documents.len(), corpus.chunks.len()) != (manifest.documents, manifest.chunks) {
            return Err("its documents are not those of its manifest".to_owned());
        }
        for name in manifest.files.keys().filter(|name| name.starts_with(LEXICAL)) {
            self.shelf.read(manifest, name)?;
        }
        let lexical = LexicalIndex::open(&self.shelf.dir(manifest.version).join(LEXICAL))
            .map_err(|error| error.to_string())?;
        Ok((corpus, lexical))
    }

    /// Whether Qdrant still has the points of a version. One that cannot be reached is given the benefit of the doubt:
    /// each search will say that it goes on without vectors.
    pub(crate) async fn vectors_lost(&self, snapshot: &Snapshot) -> Option<String> {
        let (store, VectorsConfig::Qdrant(_)) = (self.store.as_ref()?, &self.config.vectors) else {
            return None;
        };
        let wanted = snapshot.corpus.chunks.len() as u64;
        match store.count(snapshot.manifest.version).await {
            Ok(count) if count == wanted => None,
            Ok(count) => Some(format!("Qdrant has {count} of its {wanted} vectors")),
            Err(error) => {
                tracing::warn!(code = error.code(), %error, "vectors cannot be checked");
                None
            }
        }
    }
}

fn encode(corpus: &Corpus) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for document in &corpus.documents {
        let stored = Stored {
            source: document.source.clone(),
            path: document.path.clone(),
            text: document.text.clone(),
            revision: document.revision.clone(),
        };
        serde_json::to_writer(&mut bytes, &stored)
            .map_err(|error| Error::Task { reason: format!("cannot encode a document: {error}") })?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

fn decode(bytes: &[u8]) -> std::result::Result<Vec<Document>, String> {
    serde_json::Deserializer::from_slice(bytes)
        .into_iter::<Stored>()
        .map(|stored| {
            let stored = stored.map_err(|error| format!("a stored document cannot be read: {error}"))?;
            let mut document = Document::parse(&stored.source, &stored.path, stored.text)
                .map_err(|reason| format!("the stored document {}: {reason}", stored.path))?;
            document.revision = stored.revision;
            Ok(document)
        })
        .collect()
}
