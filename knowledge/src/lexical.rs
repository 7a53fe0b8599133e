//! The text index: BM25 over whole documents and over chunks, through tantivy. Owns its files inside a version's
//! directory; is written once and never changed. Holds no text: documents are stored beside it.
//!
//! Two indexes of one schema: evidence for a runbook is spread over its sections, so documents are ranked whole;
//! chunks are ranked to say which passage to show, and to find one good section in a long page.

use std::collections::BTreeMap;
use std::path::Path;

use tantivy::collector::TopDocs;
use tantivy::directory::MmapDirectory;
use tantivy::query::{BooleanQuery, BoostQuery, DisjunctionMaxQuery, Query, TermQuery};
use tantivy::schema::{FAST, Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::TokenizerManager;
use tantivy::{Index, IndexReader, IndexSettings, IndexWriter, ReloadPolicy, TantivyDocument, Term};

use crate::chunk::Chunk;
use crate::document::Document;
use crate::error::{Error, Result};
use crate::query::QueryTerm;
use crate::words;

/// How much a match in a field counts. A runbook's name is the best summary of it; its alerts name it outright.
const WEIGHTS: [(&str, f32); 4] = [("title", 2.0), ("alerts", 2.5), ("headings", 0.6), ("body", 1.0)];

/// Share of the weaker fields added to the strongest: a word in both title and body says little more than in one.
const FIELD_TIE_BREAKER: f32 = 0.35;

/// Weight of a synonym beside the word that was used.
const SYNONYM_WEIGHT: f32 = 0.35;

/// Memory of the writer. tantivy's least is 15 MB a thread; with this much a corpus of runbooks is one segment.
const WRITER_BYTES: usize = 64 * 1024 * 1024;

/// One entry found: its ordinal and its BM25 score.
pub(crate) type Scored = (u32, f32);

pub(crate) struct LexicalIndex {
    documents: Unit,
    chunks: Unit,
}

struct Unit {
    reader: IndexReader,
    fields: Fields,
}

#[derive(Clone, Copy)]
struct Fields {
    title: Field,
    alerts: Field,
    headings: Field,
    body: Field,
    ordinal: Field,
}

impl LexicalIndex {
    /// Writes the index of `documents` and their `chunks` below `dir`.
    pub(crate) fn build(dir: &Path, documents: &[Document], chunks: &[(u32, Chunk)]) -> Result<()> {
        let headings = all_headings(chunks);
        let whole = documents.iter().enumerate().map(|(ordinal, document)| Entry {
            ordinal,
            document,
            headings: headings.get(&ordinal).cloned().unwrap_or_default(),
            body: document.text.get(document.body_from..).unwrap_or_default(),
        });
        Unit::build(&dir.join("documents"), whole)?;
        let pieces = chunks.iter().enumerate().filter_map(|(ordinal, (owner, chunk))| {
            let document = documents.get(*owner as usize)?;
            let body = document.text.get(chunk.bytes.clone()).unwrap_or_default();
            Some(Entry { ordinal, document, headings: chunk.heading_path.join("\n"), body })
        });
        Unit::build(&dir.join("chunks"), pieces)
    }

    /// Opens the index below `dir`, whose files the caller has checked.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        Ok(Self { documents: Unit::open(&dir.join("documents"))?, chunks: Unit::open(&dir.join("chunks"))? })
    }

    pub(crate) fn rank_documents(&self, terms: &[QueryTerm], limit: usize) -> Result<Vec<Scored>> {
        self.documents.rank(terms, limit)
    }

    pub(crate) fn rank_chunks(&self, terms: &[QueryTerm], limit: usize) -> Result<Vec<Scored>> {
        self.chunks.rank(terms, limit)
    }

    /// How rare a term is over documents: ln(1 + (N − n + ½)/(n + ½)), BM25's idf. Highest for one never seen.
    pub(crate) fn idf(&self, term: &str) -> Result<f32> {
        let searcher = self.documents.reader.searcher();
        let mut holding = 0;
        for field in self.documents.fields.text() {
            let count = searcher
                .doc_freq(&Term::from_field_text(field, term))
                .map_err(Error::lexical("count a term in"))?;
            holding = holding.max(count);
        }
        let (all, holding) = (searcher.num_docs() as f32, holding as f32);
        Ok((1.0 + (all - holding + 0.5).max(0.0) / (holding + 0.5)).ln())
    }
}

/// Each document's headings once, in order.
fn all_headings(chunks: &[(u32, Chunk)]) -> BTreeMap<usize, String> {
    let mut headings: BTreeMap<usize, String> = BTreeMap::new();
    for (owner, chunk) in chunks {
        let known = headings.entry(*owner as usize).or_default();
        if let Some(own) = chunk.heading_path.last()
            && !known.lines().any(|line| line == own)
        {
            known.push_str(own);
            known.push('\n');
        }
    }
    headings
}

struct Entry<'a> {
    ordinal: usize,
    document: &'a Document,
    headings: String,
    body: &'a str,
}

impl Fields {
    fn schema() -> (Schema, Self) {
        let indexed = TextOptions::default().set_indexing_options(
            TextFieldIndexing::default()
                .set_tokenizer(words::ANALYZER)
                .set_index_option(IndexRecordOption::WithFreqs),
        );
        let mut schema = Schema::builder();
        let fields = Self {
            title: schema.add_text_field("title", indexed.clone()),
            alerts: schema.add_text_field("alerts", indexed.clone()),
            headings: schema.add_text_field("headings", indexed.clone()),
            body: schema.add_text_field("body", indexed),
            ordinal: schema.add_u64_field("ordinal", FAST),
        };
        (schema.build(), fields)
    }

    fn text(self) -> [Field; 4] {
        [self.title, self.alerts, self.headings, self.body]
    }
}

impl Unit {
    fn build<'a>(dir: &Path, entries: impl Iterator<Item = Entry<'a>>) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(Error::io("make", dir))?;
        let (schema, fields) = Fields::schema();
        let index = Index::create(
            MmapDirectory::open(dir).map_err(Error::lexical("make"))?,
            schema,
            IndexSettings::default(),
        )
        .map_err(Error::lexical("make"))?;
        let index = with_analyzer(index);
        let mut writer: IndexWriter<TantivyDocument> =
            index.writer_with_num_threads(1, WRITER_BYTES).map_err(Error::lexical("open"))?;
        for entry in entries {
            let mut row = TantivyDocument::default();
            row.add_text(fields.title, &entry.document.title);
            for alert in &entry.document.alerts {
                row.add_text(fields.alerts, alert);
            }
            row.add_text(fields.headings, &entry.headings);
            row.add_text(fields.body, entry.body);
            row.add_u64(fields.ordinal, entry.ordinal as u64);
            writer.add_document(row).map_err(Error::lexical("write"))?;
        }
        writer.commit().map_err(Error::lexical("commit"))?;
        writer.wait_merging_threads().map_err(Error::lexical("finish"))
    }

    fn open(dir: &Path) -> Result<Self> {
        let index = with_analyzer(Index::open_in_dir(dir).map_err(Error::lexical("open"))?);
        let (_, fields) = Fields::schema();
        if index.schema() != Fields::schema().0 {
            let reason = "its schema is not ours".to_owned();
            return Err(Error::Damaged { path: dir.to_owned(), reason });
        }
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()
            .map_err(Error::lexical("read"))?;
        Ok(Self { reader, fields })
    }

    fn rank(&self, terms: &[QueryTerm], limit: usize) -> Result<Vec<Scored>> {
        let clauses: Vec<Box<dyn Query>> = terms.iter().map(|term| self.term_query(term)).collect();
        if clauses.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let searcher = self.reader.searcher();
        let found = searcher
            .search(&BooleanQuery::union(clauses), &TopDocs::with_limit(limit).order_by_score())
            .map_err(Error::lexical("search"))?;
        let mut scored = Vec::with_capacity(found.len());
        for (score, address) in found {
            let ordinals = searcher
                .segment_reader(address.segment_ord)
                .fast_fields()
                .u64("ordinal")
                .map_err(Error::lexical("read"))?;
            if let Some(ordinal) = ordinals.first(address.doc_id) {
                scored.push((u32::try_from(ordinal).unwrap_or(u32::MAX), score));
            }
        }
        // Equal scores in the order of the documents: the same question has the same answer, for ever.
        scored.sort_by(|(a, x), (b, y)| y.total_cmp(x).then(a.cmp(b)));
        Ok(scored)
    }

    /// The best of: the word itself, one of its synonyms.
    fn term_query(&self, term: &QueryTerm) -> Box<dyn Query> {
        let mut readings = vec![self.word_query(&term.term, term.weight)];
        for (synonym, share) in &term.synonyms {
            readings.push(self.word_query(synonym, term.weight * share * SYNONYM_WEIGHT));
        }
        Box::new(DisjunctionMaxQuery::new(readings))
    }

    fn word_query(&self, word: &str, weight: f32) -> Box<dyn Query> {
        let fields = self.fields.text().into_iter().zip(WEIGHTS).map(|(field, (_, boost))| {
            let term = TermQuery::new(Term::from_field_text(field, word), IndexRecordOption::WithFreqs);
            Box::new(BoostQuery::new(Box::new(term), boost * weight)) as Box<dyn Query>
        });
        Box::new(DisjunctionMaxQuery::with_tie_breaker(fields.collect(), FIELD_TIE_BREAKER))
    }
}

fn with_analyzer(mut index: Index) -> Index {
    let tokenizers = TokenizerManager::default();
    tokenizers.register(words::ANALYZER, words::analyzer());
    index.set_tokenizers(tokenizers);
    index
}
