//! The knowledge base's nouns in the words of `medic.v1`.

use crate::api::librarian::{Reread, Shelved};
use crate::api::problem::Problem;
use medic_core::Digest;
use medic_knowledge::{
    Document, DocumentName, Drafts, Hit, Kind, SearchAnswer, SearchQuery, Stats, VersionDiff, VersionInfo,
};
use medic_proto::v1;

/// # Errors
/// `INVALID_REQUEST` for a kind, a day or a word for drafts that there is not.
pub fn search_query(request: v1::SearchKnowledgeRequest) -> Result<SearchQuery, Problem> {
    let invalid = |message: String, at: &str| Problem::invalid("INVALID_REQUEST", message).at(at);
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let kind = some(request.kind)
        .map(|name| {
            let message = format!("{name:?} is none of runbook, incident, architecture, error-code");
            Kind::from_name(&name).ok_or_else(|| invalid(message, "kind"))
        })
        .transpose()?;
    let drafts = match request.drafts.as_str() {
        "" | "below" => Drafts::Below,
        "among" => Drafts::Among,
        "none" => Drafts::None,
        other => return Err(invalid(format!("{other:?} is none of below, among, none"), "drafts")),
    };
    let since = some(request.since);
    if let Some(since) = since.as_ref().filter(|since| !medic_knowledge::is_day(since)) {
        return Err(invalid(format!("{since:?} is no day such as 2026-03-01"), "since"));
    }
    Ok(SearchQuery {
        text: request.text,
        limit: request.limit as usize,
        service: some(request.service),
        kind,
        source: some(request.source),
        since,
        version: request.version,
        drafts,
        ..SearchQuery::default()
    })
}

pub fn found(answer: SearchAnswer) -> v1::SearchKnowledgeResponse {
    v1::SearchKnowledgeResponse {
        passages: answer.hits.into_iter().map(passage).collect(),
        insufficient: answer.insufficient.map(|reason| reason.to_string()),
        version: answer.version.to_string(),
    }
}

fn passage(hit: Hit) -> v1::Passage {
    v1::Passage {
        matched: hit.why.to_string(),
        document: hit.path,
        title: hit.title,
        heading: hit.passage.heading_path.join(" › "),
        digest: format!("sha256:{}", hit.passage.digest),
        text: hit.passage.text,
        category: hit.category,
        score: f64::from(hit.score),
        source: hit.source,
        kind: hit.kind.as_str().to_owned(),
        date: hit.date,
        url: hit.url,
        draft: !hit.reviewed,
    }
}

pub fn shelved(shelved: Shelved) -> v1::IngestKnowledgeResponse {
    v1::IngestKnowledgeResponse { version: shelved.version, passages: shelved.passages }
}

pub fn reread(sources: Vec<Reread>) -> v1::RereadKnowledgeResponse {
    v1::RereadKnowledgeResponse { sources: sources.into_iter().map(source_read).collect() }
}

fn source_read(read: Reread) -> v1::SourceRead {
    let source = read.source;
    match read.outcome {
        Ok(report) => v1::SourceRead {
            source,
            version: report.version,
            published: report.published,
            added: report.added,
            updated: report.updated,
            removed: report.removed,
            unchanged: report.unchanged as u64,
            broken: report
                .broken
                .into_iter()
                .map(|broken| v1::BrokenDocument {
                    path: broken.path,
                    reason: broken.reason,
                    earlier_text_kept: broken.earlier_text_kept,
                })
                .collect(),
            failure: None,
            failure_code: None,
        },
        Err(error) => v1::SourceRead {
            source,
            failure: Some(error.to_string()),
            failure_code: Some(error.code().to_owned()),
            ..v1::SourceRead::default()
        },
    }
}

pub fn shown(document: Document) -> v1::ShowKnowledgeResponse {
    v1::ShowKnowledgeResponse {
        document: document.path,
        source: document.source,
        title: document.title,
        kind: document.kind.as_str().to_owned(),
        services: document.services,
        alerts: document.alerts,
        category: document.category,
        date: document.date,
        url: document.url,
        draft: !document.reviewed,
        digest: Digest::of_bytes(document.text.as_bytes()).to_string(),
        text: document.text,
    }
}

pub fn versions(versions: Vec<VersionInfo>) -> v1::KnowledgeVersionsResponse {
    let version = |info: VersionInfo| v1::KnowledgeVersion {
        version: info.version,
        published_at_ms: info.published_at_ms,
        documents: info.documents as u64,
        passages: info.chunks as u64,
        embedder: info.embedder,
        answers: info.answers,
        pinned: info.pinned,
        damaged: info.damaged,
    };
    v1::KnowledgeVersionsResponse { versions: versions.into_iter().map(version).collect() }
}

pub fn difference(diff: VersionDiff) -> v1::DiffKnowledgeResponse {
    let names = |names: Vec<DocumentName>| {
        let name = |name: DocumentName| v1::DocumentName {
            source: name.source,
            document: name.path,
            title: name.title,
        };
        names.into_iter().map(name).collect()
    };
    v1::DiffKnowledgeResponse {
        added: names(diff.added),
        updated: names(diff.updated),
        removed: names(diff.removed),
        unchanged: diff.unchanged as u64,
    }
}

pub fn knowledge_stats(stats: Stats) -> v1::KnowledgeStats {
    v1::KnowledgeStats {
        version: stats.version,
        newest: stats.newest,
        versions: stats.versions as u64,
        documents: stats.documents as u64,
        passages: stats.chunks as u64,
        embedder: stats.embedder,
        engine: stats.engine,
        sources: stats.sources.into_iter().map(|(source, documents)| (source, documents as u64)).collect(),
        notices: stats.notices,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_means_nothing_is_refused_and_an_empty_one_filters_nothing() {
        let text = "disk".to_owned();
        let plain = v1::SearchKnowledgeRequest { text, ..Default::default() };
        let query = search_query(plain.clone()).unwrap();
        assert_eq!((query.kind, query.service, query.since, query.drafts), (None, None, None, Drafts::Below));
        let kind = v1::SearchKnowledgeRequest { kind: "error-code".to_owned(), ..plain.clone() };
        assert_eq!(search_query(kind).unwrap().kind, Some(Kind::ErrorCode));
        for (at, request) in [
            ("kind", v1::SearchKnowledgeRequest { kind: "poem".to_owned(), ..plain.clone() }),
            ("since", v1::SearchKnowledgeRequest { since: "yesterday".to_owned(), ..plain.clone() }),
            ("drafts", v1::SearchKnowledgeRequest { drafts: "all".to_owned(), ..plain }),
        ] {
            assert_eq!(search_query(request).unwrap_err().path.as_deref(), Some(at));
        }
    }
}
