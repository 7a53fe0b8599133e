//! One version, loaded: everything a search needs, never changed. Searches hold it while a newer one takes its place.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use crate::answer::{Citation, Hit, Ranked, SearchAnswer, Why};
use crate::chunk::{self, Chunk};
use crate::document::{Document, DocumentId};
use crate::embed::{Embedder, Passage};
use crate::error::{Result, off_runtime};
use crate::fuse::{Ranking, fuse};
use crate::lexical::{LexicalIndex, Scored};
use crate::query::{Mode, ParsedQuery, SearchQuery};
use crate::vectors::{Facets, Filter, Near, VectorIndex};
use crate::verdict::{self, Coverage, Declaring};
use crate::versions::Manifest;
use crate::words;

/// Places of a ranking that take part in the fusion; beyond them a place says nothing.
const DEPTH: usize = 100;
/// Hits at most; see [`SearchQuery::limit`].
const LIMIT_MAX: usize = 100;

/// Weights of the rankings. A declared alert name outweighs all the others together.
const DOCUMENT_WEIGHT: f32 = 1.0;
const PASSAGE_WEIGHT: f32 = 0.5;
const COSINE_WEIGHT: f32 = 0.7;
const ALERT_WEIGHT: f32 = 6.0;

/// The documents of a version cut into chunks, in one order that all its files share.
pub(crate) struct Corpus {
    pub(crate) documents: Vec<Document>,
    /// Owner (a place in `documents`) and chunk; those of a document stand together.
    pub(crate) chunks: Vec<(u32, Chunk)>,
}

impl Corpus {
    pub(crate) fn new(mut documents: Vec<Document>) -> Self {
        documents.sort_by(|a, b| (&a.source, &a.path).cmp(&(&b.source, &b.path)));
        let mut chunks = Vec::new();
        for (owner, document) in documents.iter().enumerate() {
            let owner = u32::try_from(owner).unwrap_or(u32::MAX);
            chunks.extend(chunk::chunks(document).into_iter().map(|chunk| (owner, chunk)));
        }
        Self { documents, chunks }
    }

    pub(crate) fn passages(&self) -> Vec<Passage> {
        let passage = |(owner, chunk): &(u32, Chunk)| {
            let document = self.documents.get(*owner as usize)?;
            let mut context = vec![document.title.as_str()];
            context.extend(chunk.heading_path.iter().map(String::as_str));
            context.extend(document.alerts.iter().map(String::as_str));
            context.dedup();
            let text = document.text.get(chunk.bytes.clone())?;
            Some(Passage { context: context.join("\n"), text: text.to_owned() })
        };
        self.chunks.iter().map(|chunk| passage(chunk).unwrap_or(Passage::empty())).collect()
    }

    pub(crate) fn facets(&self) -> Vec<Facets> {
        self.chunks
            .iter()
            .filter_map(|(owner, _)| self.documents.get(*owner as usize).map(Facets::of))
            .collect()
    }
}

pub(crate) struct Snapshot {
    pub(crate) manifest: Manifest,
    pub(crate) corpus: Corpus,
    pub(crate) lexical: LexicalIndex,
    pub(crate) embedder: Option<Arc<dyn Embedder>>,
    pub(crate) vectors: Option<Box<dyn VectorIndex>>,
    /// Alert name's key → documents that declare it.
    alerts: HashMap<String, Vec<u32>>,
    /// A document's chunks, as places in `corpus.chunks`.
    chunks_of: Vec<Range<usize>>,
    declaring: Declaring,
}

/// The rankings of one question, over documents.
#[derive(Default)]
struct Rankings {
    alerts: Vec<u32>,
    documents: Vec<Scored>,
    /// Best passage of each document, by BM25.
    passages: Vec<Scored>,
    /// Best passage of each document, by cosine.
    cosines: Vec<Scored>,
    /// Document → the chunk that both rankings of passages together like best.
    best: HashMap<u32, u32>,
}

impl Snapshot {
    pub(crate) fn new(
        manifest: Manifest,
        corpus: Corpus,
        lexical: LexicalIndex,
        embedder: Option<Arc<dyn Embedder>>,
        vectors: Option<Box<dyn VectorIndex>>,
    ) -> Self {
        let mut alerts: HashMap<String, Vec<u32>> = HashMap::new();
        let mut chunks_of = vec![0..0; corpus.documents.len()];
        for (ordinal, document) in (0_u32..).zip(&corpus.documents) {
            for alert in &document.alerts {
                let owners = alerts.entry(words::name_key(alert)).or_default();
                if !owners.contains(&ordinal) {
                    owners.push(ordinal);
                }
            }
        }
        for (place, (owner, _)) in corpus.chunks.iter().enumerate() {
            if let Some(range) = chunks_of.get_mut(*owner as usize) {
                *range = if range.start == range.end { place..place + 1 } else { range.start..place + 1 };
            }
        }
        let declaring = Declaring {
            documents: corpus.documents.len(),
            with_alert: corpus.documents.iter().filter(|document| !document.alerts.is_empty()).count(),
        };
        Self { manifest, corpus, lexical, embedder, vectors, alerts, chunks_of, declaring }
    }

    pub(crate) fn document(&self, id: &DocumentId) -> Option<&Document> {
        self.corpus.documents.iter().find(|document| document.id == *id)
    }

    pub(crate) async fn search(self: Arc<Self>, query: SearchQuery) -> Result<SearchAnswer> {
        let parsed = ParsedQuery::parse(&query.text);
        let (near, degraded) = match self.near(&query, &parsed).await {
            Ok(near) => (near, None),
            Err(error) => {
                tracing::warn!(code = error.code(), %error, "search goes on without vectors");
                (Vec::new(), Some(error.to_string()))
            }
        };
        off_runtime(move || {
            let mut answer = self.answer(&query, &parsed, &near)?;
            answer.degraded = degraded;
            Ok(answer)
        })
        .await
    }

    async fn near(&self, query: &SearchQuery, parsed: &ParsedQuery) -> Result<Vec<Near>> {
        let (Some(embedder), Some(vectors)) = (&self.embedder, &self.vectors) else { return Ok(Vec::new()) };
        if query.mode == Mode::Lexical {
            return Ok(Vec::new());
        }
        let text = if parsed.plain.is_empty() { &query.text } else { &parsed.plain };
        let vector = embedder.embed_query(text).await?;
        let filter = Filter { kind: query.kind, service: query.service.clone() };
        // Several chunks of one document may come first.
        vectors.search(&vector, &filter, DEPTH * 3).await
    }

    fn answer(&self, query: &SearchQuery, parsed: &ParsedQuery, near: &[Near]) -> Result<SearchAnswer> {
        let rankings = self.rankings(query, parsed, near)?;
        let order = |scored: &[Scored]| scored.iter().map(|(item, _)| *item).collect::<Vec<u32>>();
        let (documents, passages, cosines) =
            (order(&rankings.documents), order(&rankings.passages), order(&rankings.cosines));
        let fused = fuse(&[
            Ranking { items: &rankings.alerts, weight: ALERT_WEIGHT },
            Ranking { items: &documents, weight: DOCUMENT_WEIGHT },
            Ranking { items: &passages, weight: PASSAGE_WEIGHT },
            Ranking { items: &cosines, weight: COSINE_WEIGHT },
        ]);
        let coverage = Coverage::of(parsed, &self.lexical)?;
        let mut hits: Vec<Hit> = Vec::new();
        let limit = query.limit.clamp(1, LIMIT_MAX);
        // The verdict looks at the first few even when the caller wants one.
        let looked_at = limit.max(verdict::LOOKED_AT);
        for (ordinal, score) in fused {
            let Some(document) = self.corpus.documents.get(ordinal as usize) else { continue };
            // One text under two paths is one answer.
            if hits.iter().any(|hit| hit.passage.digest == document.digest) {
                continue;
            }
            hits.push(self.hit(ordinal, document, score, parsed, &rankings, &coverage));
            if hits.len() == looked_at {
                break;
            }
        }
        let insufficient = verdict::judge(parsed, &coverage, &hits, self.declaring);
        hits.truncate(limit);
        Ok(SearchAnswer {
            hits,
            insufficient,
            version: self.manifest.version,
            embedder: self.manifest.embedder.clone(),
            degraded: None,
        })
    }

    fn rankings(&self, query: &SearchQuery, parsed: &ParsedQuery, near: &[Near]) -> Result<Rankings> {
        let admitted = |ordinal: u32| {
            self.corpus.documents.get(ordinal as usize).is_some_and(|document| {
                query.kind.is_none_or(|kind| kind == document.kind)
                    && query.service.as_ref().is_none_or(|service| document.concerns(service))
            })
        };
        let filtered = query.kind.is_some() || query.service.is_some();
        let mut rankings = Rankings::default();
        let mut chunk_bm25: Vec<Scored> = Vec::new();
        if query.mode != Mode::Dense {
            // A filter may strike out any number of first places.
            let (documents, chunks) = match filtered {
                true => (self.corpus.documents.len(), self.corpus.chunks.len()),
                false => (DEPTH, DEPTH * 3),
            };
            rankings.documents = self.lexical.rank_documents(&parsed.terms, documents)?;
            rankings.documents.retain(|(ordinal, _)| admitted(*ordinal));
            rankings.documents.truncate(DEPTH);
            chunk_bm25 = self.lexical.rank_chunks(&parsed.terms, chunks)?;
            chunk_bm25.retain(|(chunk, _)| self.owner(*chunk).is_some_and(admitted));
            chunk_bm25.truncate(DEPTH * 3);
            rankings.passages = self.by_document(&chunk_bm25);
            let mut declared: Vec<u32> =
                parsed.names.iter().filter_map(|name| self.alerts.get(name)).flatten().copied().collect();
            declared.retain(|ordinal| admitted(*ordinal));
            let place = |ordinal: &u32| {
                rankings.documents.iter().position(|(found, _)| found == ordinal).unwrap_or(usize::MAX)
            };
            declared.sort_by_key(|ordinal| (place(ordinal), *ordinal));
            declared.dedup();
            rankings.alerts = declared;
        }
        // A word of the question that no document has makes no direction; its cosines are noise.
        let cosines: Vec<Scored> =
            near.iter().filter(|near| near.cosine > 0.0).map(|near| (near.chunk, near.cosine)).collect();
        rankings.cosines = self.by_document(&cosines);
        rankings.cosines.truncate(DEPTH);
        let order = |scored: &[Scored]| scored.iter().map(|(item, _)| *item).collect::<Vec<u32>>();
        let (by_words, by_cosine) = (order(&chunk_bm25), order(&cosines));
        let liked = fuse(&[
            Ranking { items: &by_words, weight: DOCUMENT_WEIGHT },
            Ranking { items: &by_cosine, weight: COSINE_WEIGHT },
        ]);
        for (chunk, _) in liked {
            if let Some(owner) = self.owner(chunk) {
                rankings.best.entry(owner).or_insert(chunk);
            }
        }
        Ok(rankings)
    }

    fn owner(&self, chunk: u32) -> Option<u32> {
        self.corpus.chunks.get(chunk as usize).map(|(owner, _)| *owner)
    }

    /// Chunks in order to documents in order, each with the score of its best.
    fn by_document(&self, chunks: &[Scored]) -> Vec<Scored> {
        let mut seen: BTreeMap<u32, ()> = BTreeMap::new();
        chunks
            .iter()
            .filter_map(|(chunk, score)| {
                let owner = self.owner(*chunk)?;
                seen.insert(owner, ()).is_none().then_some((owner, *score))
            })
            .collect()
    }

    fn hit(
        &self,
        ordinal: u32,
        document: &Document,
        score: f32,
        parsed: &ParsedQuery,
        rankings: &Rankings,
        coverage: &Coverage,
    ) -> Hit {
        let first = self.chunks_of.get(ordinal as usize).map_or(0, |range| range.start);
        let place = rankings.best.get(&ordinal).map_or(first, |chunk| *chunk as usize);
        let passage = self.corpus.chunks.get(place).map(|(_, chunk)| chunk);
        let ranked = |scored: &[Scored]| {
            let (place, (_, score)) = scored.iter().enumerate().find(|(_, (found, _))| *found == ordinal)?;
            Some(Ranked { rank: u32::try_from(place + 1).unwrap_or(u32::MAX), score: *score })
        };
        let covered = coverage.by(document, &document.text);
        let passage_text =
            passage.and_then(|chunk| document.text.get(chunk.bytes.clone())).unwrap_or_default();
        let declares = |name: &&String| {
            document.alerts.iter().any(|alert| words::name_key(alert) == ***name)
                && rankings.alerts.contains(&ordinal)
        };
        Hit {
            document: document.id.clone(),
            source: document.source.clone(),
            path: document.path.clone(),
            title: document.title.clone(),
            kind: document.kind,
            category: document.category.clone(),
            services: document.services.clone(),
            alerts: document.alerts.clone(),
            passage: cite(document, passage),
            score,
            why: Why {
                terms: covered.terms,
                missing: covered.missing,
                alert: parsed.names.iter().find(declares).and_then(|name| {
                    document.alerts.iter().find(|alert| words::name_key(alert) == *name).cloned()
                }),
                document_bm25: ranked(&rankings.documents),
                passage_bm25: ranked(&rankings.passages),
                cosine: ranked(&rankings.cosines),
                coverage: covered.share,
                passage_coverage: coverage.by(document, passage_text).share,
            },
        }
    }
}

fn cite(document: &Document, passage: Option<&Chunk>) -> Citation {
    let (ordinal, heading_path, bytes) = match passage {
        Some(chunk) => (chunk.ordinal, chunk.heading_path.clone(), chunk.bytes.clone()),
        None => (0, Vec::new(), 0..0),
    };
    let text = document.text.get(bytes.clone()).unwrap_or_default().to_owned();
    Citation { ordinal, heading_path, bytes, digest: document.digest.clone(), text }
}
