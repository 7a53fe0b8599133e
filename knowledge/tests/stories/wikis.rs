//! Confluence and Notion, against scripted servers that answer in the documented shapes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use medic_knowledge::{ConfluenceConfig, Knowledge, NotionConfig, Secret, SourceConfig};
use serde_json::{Value, json};

use crate::house::{House, ask, paths};

#[derive(Default)]
struct Wiki {
    /// Id → title, revision, body.
    pages: BTreeMap<String, (String, u64, String)>,
    /// Answers to give before any other, one a request: status and Retry-After.
    refusals: Vec<(u16, Option<&'static str>)>,
    fetched: Vec<String>,
    requests: usize,
    auth: Vec<String>,
}

type Shared = Arc<Mutex<Wiki>>;

impl Wiki {
    fn put(&mut self, id: &str, title: &str, revision: u64, body: &str) {
        self.pages.insert(id.to_owned(), (title.to_owned(), revision, body.to_owned()));
    }
}

fn turn(wiki: &Shared, headers: &HeaderMap) -> Option<Response> {
    let mut wiki = wiki.lock().unwrap();
    wiki.requests += 1;
    wiki.auth.push(headers["authorization"].to_str().unwrap().to_owned());
    let (status, wait) = wiki.refusals.pop()?;
    let status = StatusCode::from_u16(status).unwrap();
    Some(match wait {
        Some(wait) => (status, [("retry-after", wait)], "slow down").into_response(),
        None => (status, "no").into_response(),
    })
}

async fn serve(router: axum::Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

// Confluence

async fn content(
    State(wiki): State<Shared>,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    if let Some(refused) = turn(&wiki, &headers) {
        return refused;
    }
    assert_eq!((query["spaceKey"].as_str(), query["expand"].as_str()), ("OPS", "version,metadata.labels"));
    let wiki = wiki.lock().unwrap();
    let start: usize = query["start"].parse().unwrap();
    // Two a page, whatever was asked: the server decides.
    let results: Vec<Value> =
        wiki.pages.iter().skip(start).take(2).map(|(id, page)| confluence(id, page, false)).collect();
    let mut links = json!({ "base": "http://wiki", "context": "/wiki" });
    if start + results.len() < wiki.pages.len() {
        links["next"] = json!(format!("/rest/api/content?spaceKey=OPS&start={}", start + results.len()));
    }
    Json(json!({ "results": results, "start": start, "limit": 2, "size": results.len(), "_links": links }))
        .into_response()
}

fn confluence(id: &str, (title, revision, body): &(String, u64, String), whole: bool) -> Value {
    let mut page = json!({
        "id": id, "type": "page", "status": "current", "title": title,
        "version": { "number": revision, "when": "2026-01-05T10:00:00.000Z", "minorEdit": false },
        "metadata": { "labels": { "results": [{ "prefix": "global", "name": "service-checkout", "id": "1" }] } },
        "_links": { "webui": format!("/display/OPS/{id}") },
    });
    if whole {
        page["body"] = json!({ "storage": { "value": body, "representation": "storage" } });
    }
    page
}

async fn one(State(wiki): State<Shared>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    if let Some(refused) = turn(&wiki, &headers) {
        return refused;
    }
    let mut wiki = wiki.lock().unwrap();
    wiki.fetched.push(id.clone());
    match wiki.pages.get(&id) {
        Some((title, _, _)) if title == "Secret" => (StatusCode::FORBIDDEN, "not yours").into_response(),
        Some(page) => Json(confluence(&id, page, true)).into_response(),
        None => (StatusCode::NOT_FOUND, "gone").into_response(),
    }
}

async fn space() -> (Shared, SourceConfig) {
    let wiki = Shared::default();
    {
        let mut wiki = wiki.lock().unwrap();
        wiki.put("101", "Pool exhausted", 3, "<h2>Remedy</h2><p>Restart the <b>gateway</b>.</p><ac:structured-macro ac:name=\"code\"><ac:plain-text-body><![CDATA[kubectl rollout restart <name>]]></ac:plain-text-body></ac:structured-macro>");
        wiki.put("102", "Disk full", 1, "<p>Delete rotated logs.</p><script>steal()</script>");
        wiki.put("103", "Secret", 1, "<p>x</p>");
    }
    let router = axum::Router::new()
        .route("/wiki/rest/api/content", get(content))
        .route("/wiki/rest/api/content/{id}", get(one))
        .with_state(Arc::clone(&wiki));
    let base_url = format!("http://{}/wiki", serve(router).await);
    let config = ConfluenceConfig {
        base_url,
        space: "OPS".to_owned(),
        user: Some("ops@example.com".to_owned()),
        token: Secret::new("the-token"),
        pace_ms: 0,
    };
    (wiki, SourceConfig::Confluence(config))
}

async fn ingest(knowledge: &Knowledge, source: &SourceConfig) -> medic_knowledge::IngestReport {
    knowledge.ingest(source, &mut |_| {}).await.unwrap()
}

#[tokio::test]
async fn a_space_is_read_page_by_page_and_only_what_changed_is_fetched_again() {
    let (wiki, source) = space().await;
    let house = House::new();
    let knowledge = house.open().await;
    let first = ingest(&knowledge, &source).await;
    assert_eq!((first.added.len(), first.broken.len(), first.documents), (2, 1, 2));
    assert!(first.broken[0].reason.contains("403"), "{:?}", first.broken);
    let answer = ask(&knowledge, "restart the gateway when the pool is exhausted").await;
    let hit = &answer.hits[0];
    assert_eq!(
        (hit.path.as_str(), hit.title.as_str(), hit.services.as_slice()),
        ("101.md", "Pool exhausted", &["checkout".to_owned()][..])
    );
    assert!(
        hit.url.as_deref().unwrap().ends_with("/wiki/display/OPS/101")
            && hit.date.as_deref() == Some("2026-01-05")
    );
    let document = knowledge.document(&hit.document).unwrap();
    assert!(document.text.contains("kubectl rollout restart <name>"), "{}", document.text);
    wiki.lock().unwrap().fetched.clear();

    let same = ingest(&knowledge, &source).await;
    assert_eq!((same.published, same.unchanged), (false, 2));
    // The one that may not be read is asked for each time; it may be allowed by now.
    assert_eq!(wiki.lock().unwrap().fetched, ["103"]);
    {
        let mut wiki = wiki.lock().unwrap();
        wiki.fetched.clear();
        wiki.pages.remove("103");
        wiki.pages.remove("102");
        wiki.put("101", "Pool exhausted", 4, "<p>Raise the limit.</p>");
        wiki.put("104", "Queue stuck", 1, "<p>Drain the queue.</p>");
    }
    let next = ingest(&knowledge, &source).await;
    assert_eq!(
        (next.added, next.updated, next.removed),
        (vec!["104.md".into()], vec!["101.md".into()], vec!["102.md".into()])
    );
    assert_eq!(wiki.lock().unwrap().fetched, ["101", "104"]);
    // Known over a restart, too.
    drop(knowledge);
    wiki.lock().unwrap().fetched.clear();
    assert!(!ingest(&house.open().await, &source).await.published);
    assert!(wiki.lock().unwrap().fetched.is_empty());
    let basic = "Basic b3BzQGV4YW1wbGUuY29tOnRoZS10b2tlbg==";
    assert!(wiki.lock().unwrap().auth.iter().all(|auth| auth == basic));
}

#[tokio::test]
async fn a_wiki_that_says_to_wait_is_waited_for_and_one_that_refuses_changes_nothing() {
    let (wiki, source) = space().await;
    let house = House::new();
    let knowledge = house.open().await;
    // Taken from the end: first 429 twice, then a passing failure, then well.
    wiki.lock().unwrap().refusals = vec![(502, None), (429, Some("0.05")), (429, Some("0"))];
    assert_eq!(ingest(&knowledge, &source).await.documents, 2);
    for (refusals, said) in [
        (vec![(401, None)], "HTTP 401"),
        (vec![(429, Some("86400"))], "86400 s"),
        (vec![(404, None)], "HTTP 404"),
    ] {
        wiki.lock().unwrap().refusals = refusals;
        let failed = knowledge.ingest(&source, &mut |_| {}).await.unwrap_err();
        assert_eq!(failed.code(), "KNOWLEDGE_SOURCE");
        assert!(failed.to_string().contains(said) && !failed.to_string().contains("the-token"), "{failed}");
        assert_eq!((knowledge.stats().version, knowledge.stats().documents), (1, 2));
    }
    assert!(!format!("{source:?}").contains("the-token"));
}

// Notion

async fn search(State(wiki): State<Shared>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if let Some(refused) = turn(&wiki, &headers) {
        return refused;
    }
    assert_eq!(headers["notion-version"], "2022-06-28");
    assert_eq!(body["filter"], json!({ "property": "object", "value": "page" }));
    let wiki = wiki.lock().unwrap();
    let start: usize = body.get("start_cursor").map_or(0, |cursor| cursor.as_str().unwrap().parse().unwrap());
    let results: Vec<Value> = wiki.pages.iter().skip(start).take(1).map(|(id, (title, revision, _))| json!({
        "object": "page", "id": id, "last_edited_time": format!("2026-02-0{revision}T08:00:00.000Z"),
        "archived": title == "Archived", "url": format!("https://www.notion.so/{id}"),
        "properties": {
            "Name": { "id": "title", "type": "title", "title": [{ "type": "text", "plain_text": title }] },
            "Tags": { "id": "x", "type": "multi_select", "multi_select": [{ "name": "postmortem" }] },
        },
    })).collect();
    let more = start + results.len() < wiki.pages.len();
    let cursor = more.then(|| (start + results.len()).to_string());
    Json(json!({ "object": "list", "results": results, "next_cursor": cursor, "has_more": more }))
        .into_response()
}

async fn children(
    State(wiki): State<Shared>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    if let Some(refused) = turn(&wiki, &headers) {
        return refused;
    }
    wiki.lock().unwrap().fetched.push(id.clone());
    let block = |kind: &str, text: &str, id: &str, children: bool| {
        json!({
            "object": "block", "id": id, "type": kind, "has_children": children,
            kind: { "rich_text": [{ "type": "text", "plain_text": text }] },
        })
    };
    let (results, cursor) = match (id.as_str(), query.get("start_cursor").map(String::as_str)) {
        ("list", _) => (vec![block("bulleted_list_item", "inner step", "inner", false)], None),
        (page, None) => {
            let body = wiki.lock().unwrap().pages[page].2.clone();
            (vec![block("heading_2", "Cause", "h", false), block("paragraph", &body, "p", false)], Some("2"))
        }
        (_, Some(_)) => (
            vec![
                block("heading_2", "Resolution", "h2", false),
                block("bulleted_list_item", "outer step", "list", true),
            ],
            None,
        ),
    };
    Json(json!({ "object": "list", "results": results, "next_cursor": cursor, "has_more": cursor.is_some() }))
        .into_response()
}

#[tokio::test]
async fn pages_of_notion_are_read_with_their_nested_blocks_and_by_their_last_edit() {
    let wiki = Shared::default();
    {
        let mut wiki = wiki.lock().unwrap();
        wiki.put("aaaa", "Checkout outage", 1, "The certificate expired.");
        wiki.put("bbbb", "Archived", 1, "Old.");
        wiki.put("cccc", "Queue outage", 1, "The broker was full.");
        wiki.refusals = vec![(429, Some("0"))];
    }
    let router = axum::Router::new()
        .route("/v1/search", post(search))
        .route("/v1/blocks/{id}/children", get(children))
        .with_state(Arc::clone(&wiki));
    let base_url = format!("http://{}", serve(router).await);
    let token = Secret::new("secret_1");
    let source = SourceConfig::Notion(NotionConfig { base_url, database: None, token, pace_ms: 0 });
    let house = House::new();
    let knowledge = house.open().await;
    let report = ingest(&knowledge, &source).await;
    assert_eq!(
        (report.added.as_slice(), report.source.as_str()),
        (&["aaaa.md".to_owned(), "cccc.md".to_owned()][..], "notion")
    );
    let answer = ask(&knowledge, "the certificate of checkout expired").await;
    let hit = &answer.hits[0];
    assert_eq!(
        (hit.title.as_str(), hit.kind.as_str(), hit.date.as_deref()),
        ("Checkout outage", "incident", Some("2026-02-01"))
    );
    let parts = hit.report.as_ref().unwrap();
    assert_eq!(parts.cause, "The certificate expired.");
    assert!(parts.remedy.contains("- outer step\n  - inner step"), "{}", parts.remedy);
    {
        let mut wiki = wiki.lock().unwrap();
        wiki.fetched.clear();
        wiki.put("cccc", "Queue outage", 2, "The broker's disk was full.");
    }
    assert_eq!(ingest(&knowledge, &source).await.updated, ["cccc.md"]);
    assert!(wiki.lock().unwrap().fetched.iter().all(|id| id != "aaaa"));
    assert!(wiki.lock().unwrap().auth.iter().all(|auth| auth == "Bearer secret_1"));
    assert_eq!(paths(&ask(&knowledge, "broker disk full").await)[0], "cccc.md");
}
