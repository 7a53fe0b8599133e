//! One version, loaded: everything a search needs, never changed. Searches hold it while a newer one takes its place.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::answer::{Citation, Hit, Ranked, SearchAnswer, Why};
use crate::chunk::{self, Chunk};
use crate::document::{Document, DocumentId};
use crate::embed::{Embedder, Passage};
use crate::error::{Result, off_runtime};
use crate::fuse::{Ranking, best_first, fuse};
use crate::lexical::{LexicalIndex, Scored};
use crate::query::{Drafts, Mode, ParsedQuery, SearchQuery};
use crate::report;
use crate::vectors::{self, Facets, Filter, Near, VectorIndex};
use crate::verdict::{self, Coverage, Declaring, Held};
use crate::versions::Manifest;
use crate::words;

/// Places of a ranking that take part in the fusion; beyond them a place says nothing.
const DEPTH: usize = 100;
/// Hits at most; see [`SearchQuery::limit`].
const LIMIT_MAX: usize = 100;

/// Weights of the rankings. A declared alert name outweighs all the others together.
const DOCUMENT_WEIGHT: f32 = 1.0;
const PASSAGE_WEIGHT: f32 = 0.3;
const COSINE_WEIGHT: f32 = 0.8;
const ALERT_WEIGHT: f32 = 6.0;
/// An exact error code names one entry; an alert's name may be shared.
const CODE_WEIGHT: f32 = 12.0;

/// First places that are weighed again by what share of the question they hold: BM25 lets one rare word said often
/// outweigh three that are missing.
const WEIGHED_AGAIN: usize = 50;
const COVERAGE_WEIGHT: f32 = 1.0;
const PASSAGE_COVERAGE_WEIGHT: f32 = 0.5;

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

    /// One a chunk; those of a document share theirs.
    pub(crate) fn facets(&self) -> Vec<Arc<Facets>> {
        let of_documents = self.facets_of_documents();
        self.chunks.iter().filter_map(|(owner, _)| of_documents.get(*owner as usize).cloned()).collect()
    }

    fn facets_of_documents(&self) -> Vec<Arc<Facets>> {
        self.documents.iter().map(|document| Arc::new(Facets::of(document))).collect()
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
    /// Error code, lower case → the chunks that are its entries.
    codes: HashMap<String, Vec<u32>>,
    /// One a document.
    facets: Vec<Arc<Facets>>,
    /// One a document, made when it is first looked at.
    held: Vec<OnceLock<Held>>,
    /// One a chunk, likewise.
    held_by_chunks: Vec<OnceLock<Held>>,
    /// A document's chunks, as places in `corpus.chunks`.
    chunks_of: Vec<Range<usize>>,
    declaring: Declaring,
}

/// The rankings of one question, over documents.
#[derive(Default)]
struct Rankings {
    /// Documents with the entry of a code in the question, and which chunk it is.
    codes: Vec<(u32, u32)>,
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
        let mut codes: HashMap<String, Vec<u32>> = HashMap::new();
        let mut chunks_of = vec![0..0; corpus.documents.len()];
        for (ordinal, document) in (0_u32..).zip(&corpus.documents) {
            for alert in &document.alerts {
                let owners = alerts.entry(words::name_key(alert)).or_default();
                if !owners.contains(&ordinal) {
                    owners.push(ordinal);
                }
            }
        }
        for (place, (owner, chunk)) in corpus.chunks.iter().enumerate() {
            if let Some(code) = &chunk.code {
                codes.entry(code.to_lowercase()).or_default().push(u32::try_from(place).unwrap_or(u32::MAX));
            }
            if let Some(range) = chunks_of.get_mut(*owner as usize) {
                *range = if range.start == range.end { place..place + 1 } else { range.start..place + 1 };
            }
        }
        let declaring = Declaring {
            documents: corpus.documents.len(),
            with_alert: corpus.documents.iter().filter(|document| !document.alerts.is_empty()).count(),
        };
        let facets = corpus.facets_of_documents();
        let held = corpus.documents.iter().map(|_| OnceLock::new()).collect();
        let held_by_chunks = corpus.chunks.iter().map(|_| OnceLock::new()).collect();
        Self {
            manifest,
            corpus,
            lexical,
            embedder,
            vectors,
            alerts,
            codes,
            facets,
            held,
            held_by_chunks,
            chunks_of,
            declaring,
        }
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
        let filter = filter(query);
        // Several chunks of one document may come first.
        vectors.search(&vector, &filter, DEPTH * 3).await
    }

    fn answer(&self, query: &SearchQuery, parsed: &ParsedQuery, near: &[Near]) -> Result<SearchAnswer> {
        let rankings = self.rankings(query, parsed, near)?;
        let coded: Vec<Scored> = rankings.codes.iter().map(|(owner, _)| (*owner, 1.0)).collect();
        let declared: Vec<Scored> = rankings.alerts.iter().map(|owner| (*owner, 1.0)).collect();
        let mut fused = fuse(&[
            Ranking { items: &coded, weight: CODE_WEIGHT },
            Ranking { items: &declared, weight: ALERT_WEIGHT },
            Ranking { items: &rankings.documents, weight: DOCUMENT_WEIGHT },
            Ranking { items: &rankings.passages, weight: PASSAGE_WEIGHT },
            Ranking { items: &rankings.cosines, weight: COSINE_WEIGHT },
        ]);
        let coverage = Coverage::of(parsed, &self.lexical)?;
        if query.mode == Mode::Hybrid {
            for (ordinal, score) in fused.iter_mut().take(WEIGHED_AGAIN) {
                let passage = self.passage(*ordinal, &rankings);
                let share = |held: Option<&Held>| held.map_or(0.0, |held| coverage.share(held));
                *score += COVERAGE_WEIGHT * share(self.held(*ordinal))
                    + PASSAGE_COVERAGE_WEIGHT * share(self.held_by_chunk(passage));
            }
            let weighed = WEIGHED_AGAIN.min(fused.len());
            best_first(fused.get_mut(..weighed).unwrap_or_default());
        }
        let reviewed = |ordinal: u32| self.facets.get(ordinal as usize).is_some_and(|facets| facets.reviewed);
        if query.drafts == Drafts::Below {
            // Stable: among themselves they keep their order.
            fused.sort_by_key(|(ordinal, _)| !reviewed(*ordinal));
        }
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
        let relied_on: Vec<&Hit> =
            hits.iter().filter(|hit| hit.reviewed || query.drafts == Drafts::Among).collect();
        let insufficient = verdict::judge(parsed, &coverage, &relied_on, self.declaring);
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
        let filter = filter(query);
        let admitted =
            |ordinal: u32| self.facets.get(ordinal as usize).is_some_and(|facets| filter.admits(facets));
        let filtered = filter != Filter::default();
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
            for code in &parsed.codes {
                for chunk in self.codes.get(code).into_iter().flatten() {
                    if let Some(owner) = self.owner(*chunk).filter(|owner| admitted(*owner)) {
                        rankings.codes.push((owner, *chunk));
                    }
                }
            }
        }
        // A word of the question that no document has makes no direction; its cosines are noise.
        let cosines: Vec<Scored> =
            near.iter().filter(|near| near.cosine > 0.0).map(|near| (near.chunk, near.cosine)).collect();
        rankings.cosines = self.by_document(&cosines);
        rankings.cosines.truncate(DEPTH);
        let liked = fuse(&[
            Ranking { items: &chunk_bm25, weight: DOCUMENT_WEIGHT },
            Ranking { items: &cosines, weight: COSINE_WEIGHT },
        ]);
        // The entry of a code is the passage to show, whatever else the document says.
        for (owner, chunk) in &rankings.codes {
            rankings.best.entry(*owner).or_insert(*chunk);
        }
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

    fn held(&self, ordinal: u32) -> Option<&Held> {
        let document = self.corpus.documents.get(ordinal as usize)?;
        let held = self.held.get(ordinal as usize)?;
        Some(held.get_or_init(|| Held::of(document, &document.text)))
    }

    fn held_by_chunk(&self, chunk: usize) -> Option<&Held> {
        let (owner, place) = self.corpus.chunks.get(chunk)?;
        let document = self.corpus.documents.get(*owner as usize)?;
        let text = document.text.get(place.bytes.clone())?;
        Some(self.held_by_chunks.get(chunk)?.get_or_init(|| Held::of(document, text)))
    }

    /// The chunk to show of a document, as a place in `corpus.chunks`.
    fn passage(&self, ordinal: u32, rankings: &Rankings) -> usize {
        let first = self.chunks_of.get(ordinal as usize).map_or(0, |range| range.start);
        rankings.best.get(&ordinal).map_or(first, |chunk| *chunk as usize)
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
        let place = self.passage(ordinal, rankings);
        let passage = self.corpus.chunks.get(place).map(|(_, chunk)| chunk);
        let ranked = |scored: &[Scored]| {
            let (place, (_, score)) = scored.iter().enumerate().find(|(_, (found, _))| *found == ordinal)?;
            Some(Ranked { rank: u32::try_from(place + 1).unwrap_or(u32::MAX), score: *score })
        };
        let covered = self.held(ordinal).map(|held| coverage.by(held)).unwrap_or_default();
        Hit {
            document: document.id.clone(),
            source: document.source.clone(),
            path: document.path.clone(),
            title: document.title.clone(),
            kind: document.kind,
            category: document.category.clone(),
            services: document.services.clone(),
            alerts: document.alerts.clone(),
            date: document.date.clone(),
            reviewed: document.reviewed,
            url: document.url.clone(),
            report: report::of(document),
            passage: cite(document, passage),
            score,
            why: Why {
                terms: covered.terms,
                missing: covered.missing,
                alert: parsed.names.iter().find_map(|name| {
                    document.alerts.iter().find(|alert| words::name_key(alert) == *name).cloned()
                }),
                code: passage
                    .and_then(|chunk| chunk.code.clone())
                    .filter(|code| parsed.codes.contains(&code.to_lowercase())),
                document_bm25: ranked(&rankings.documents),
                passage_bm25: ranked(&rankings.passages),
                cosine: ranked(&rankings.cosines),
                coverage: covered.share,
                passage_coverage: self.held_by_chunk(place).map_or(0.0, |held| coverage.share(held)),
            },
        }
    }
}

fn filter(query: &SearchQuery) -> Filter {
    Filter {
        kind: query.kind,
        service: query.service.clone(),
        source: query.source.clone(),
        since: query.since.as_deref().and_then(vectors::day),
        reviewed_only: query.drafts == Drafts::None,
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
