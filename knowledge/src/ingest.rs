//! What an ingest reports, while it runs and at its end; and how a listing of a source becomes the documents of the
//! next version.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::document::Document;
use crate::source::{Broken, Listing};

/// How far an ingest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub stage: Stage,
    pub done: usize,
    /// 0 while it is not known.
    pub total: usize,
    /// The document at hand, where there is one.
    pub path: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Reading documents from their source.
    Reading,
    Embedding,
    /// Writing vectors to Qdrant.
    Uploading,
    Indexing,
    /// The new version answers.
    Published,
}

/// What an ingest did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IngestReport {
    pub source: String,
    /// The version that answers now.
    pub version: u64,
    /// Whether that version is new; false when nothing differed.
    pub published: bool,
    /// Paths, sorted.
    pub added: Vec<String>,
    pub updated: Vec<String>,
    pub removed: Vec<String>,
    pub unchanged: usize,
    pub broken: Vec<Broken>,
    /// Files that are no documents, and second names of documents.
    pub passed_over: usize,
    /// Of all sources.
    pub documents: usize,
    pub chunks: usize,
    pub embedder: String,
}

/// Documents of the next version, and what differs from the last.
#[derive(Default)]
pub(crate) struct Merged {
    pub(crate) documents: Vec<Document>,
    pub(crate) added: Vec<String>,
    pub(crate) updated: Vec<String>,
    pub(crate) removed: Vec<String>,
    pub(crate) unchanged: usize,
    pub(crate) broken: Vec<Broken>,
    pub(crate) passed_over: usize,
}

/// Replaces the documents of `source` by what it lists; those of other sources stay.
pub(crate) fn merge(previous: &[Document], source: &str, listing: Listing) -> Merged {
    let (own, others): (Vec<&Document>, Vec<&Document>) =
        previous.iter().partition(|document| document.source == source);
    let mut own: BTreeMap<&str, &Document> =
        own.into_iter().map(|document| (document.path.as_str(), document)).collect();
    let mut merged = Merged { passed_over: listing.passed_over, ..Merged::default() };
    merged.documents.extend(others.into_iter().cloned());
    let mut broken = listing.broken;
    for path in listing.unchanged {
        if let Some(known) = own.remove(path.as_str()) {
            merged.documents.push(known.clone());
            merged.unchanged += 1;
        }
    }
    for raw in listing.documents {
        if let Some(known) = own.get(raw.path.as_str()).filter(|known| known.text == raw.text) {
            let mut known = (*known).clone();
            known.revision = raw.revision;
            merged.documents.push(known);
            merged.unchanged += 1;
            own.remove(raw.path.as_str());
            continue;
        }
        match Document::parse(source, &raw.path, raw.text) {
            Ok(mut document) => {
                document.revision = raw.revision;
                match own.remove(raw.path.as_str()) {
                    Some(_) => merged.updated.push(raw.path),
                    None => merged.added.push(raw.path),
                }
                merged.documents.push(document);
            }
            Err(reason) => broken.push(Broken::new(raw.path, reason)),
        }
    }
    for broken in &mut broken {
        if let Some(earlier) = own.remove(broken.path.as_str()) {
            broken.earlier_text_kept = true;
            merged.documents.push(earlier.clone());
        }
    }
    merged.removed = own.into_keys().map(str::to_owned).collect();
    broken.sort_by(|a, b| a.path.cmp(&b.path));
    merged.broken = broken;
    merged
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::source::Raw;

    fn listing(documents: &[(&str, &str)], broken: &[&str]) -> Listing {
        Listing {
            documents: documents
                .iter()
                .map(|(path, text)| Raw {
                    path: (*path).to_owned(),
                    text: (*text).to_owned(),
                    revision: None,
                })
                .collect(),
            broken: broken.iter().map(|path| Broken::new(*path, "unreadable")).collect(),
            ..Listing::default()
        }
    }

    #[test]
    fn a_source_replaces_its_own_documents_only() {
        let first = merge(&[], "a", listing(&[("one.md", "1"), ("two.md", "2"), ("three.md", "3")], &[]));
        let both = merge(&first.documents, "b", listing(&[("one.md", "other")], &[]));
        assert_eq!(both.documents.len(), 4);
        let next = merge(
            &both.documents,
            "a",
            listing(&[("one.md", "1"), ("two.md", "2 new"), ("four.md", "4")], &[]),
        );
        assert_eq!(
            (next.unchanged, next.added, next.updated, next.removed, next.documents.len()),
            (1, vec!["four.md".to_owned()], vec!["two.md".to_owned()], vec!["three.md".to_owned()], 4)
        );
    }

    #[test]
    fn a_document_that_broke_keeps_its_earlier_text_and_is_reported() {
        let first = merge(&[], "a", listing(&[("one.md", "good"), ("two.md", "good too")], &[]));
        let next = merge(
            &first.documents,
            "a",
            listing(&[("one.md", "---\nkind: poem\n---\nx")], &["two.md", "new.md"]),
        );
        let texts =
            |merged: &Merged| merged.documents.iter().map(|d| d.text.clone()).collect::<BTreeSet<_>>();
        assert_eq!(texts(&next), texts(&first));
        let kept: Vec<(&str, bool)> =
            next.broken.iter().map(|b| (b.path.as_str(), b.earlier_text_kept)).collect();
        assert_eq!(kept, [("new.md", false), ("one.md", true), ("two.md", true)]);
        assert!(next.removed.is_empty());
    }
}
