//! The embedder behind OpenAI's API, against a scripted endpoint.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use medic_knowledge::{EmbedderConfig, Error, Knowledge, KnowledgeConfig, OpenAiConfig, Secret};
use serde_json::{Value, json};

use crate::house::{House, ask, paths};

/// What the endpoint does next; with none left it answers well.
enum Turn {
    Status(u16, &'static str),
    Body(Value),
    Hang,
}

#[derive(Default)]
struct Script {
    turns: VecDeque<Turn>,
    inputs: Vec<usize>,
    keys: Vec<String>,
}

type Shared = Arc<Mutex<Script>>;

/// A vector of three: disks, certificates, all else.
fn vector(text: &str) -> Vec<f32> {
    let count = |word: &str| text.to_lowercase().matches(word).count() as f32;
    vec![count("disk"), count("certificate"), 0.1]
}

async fn embeddings(State(script): State<Shared>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let input: Vec<String> = serde_json::from_value(body["input"].clone()).unwrap();
    let turn = {
        let mut script = script.lock().unwrap();
        script.inputs.push(input.len());
        script.keys.push(headers["authorization"].to_str().unwrap().to_owned());
        script.turns.pop_front()
    };
    match turn {
        Some(Turn::Status(status, text)) => (StatusCode::from_u16(status).unwrap(), text).into_response(),
        Some(Turn::Body(body)) => Json(body).into_response(),
        Some(Turn::Hang) => std::future::pending().await,
        None => {
            // In reverse, as the API allows: the index says which is which.
            let data: Vec<Value> = input
                .iter()
                .enumerate()
                .rev()
                .map(
                    |(index, text)| json!({"object": "embedding", "index": index, "embedding": vector(text)}),
                )
                .collect();
            Json(json!({"object": "list", "data": data, "model": "m", "usage": {}})).into_response()
        }
    }
}

async fn start(turns: Vec<Turn>) -> (Shared, String) {
    let script: Shared = Arc::new(Mutex::new(Script { turns: turns.into(), ..Script::default() }));
    let router =
        axum::Router::new().route("/v1/embeddings", post(embeddings)).with_state(Arc::clone(&script));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (script, url)
}

fn config(house: &House, url: &str) -> KnowledgeConfig {
    let endpoint = OpenAiConfig {
        base_url: url.to_owned(),
        model: "m".to_owned(),
        dimension: 3,
        api_key: Some(Secret::new("sk-1")),
        deadline_ms: 2_000,
        batch_max: 2,
    };
    KnowledgeConfig { embedder: EmbedderConfig::Openai(endpoint), ..house.config() }
}

async fn ingest(turns: Vec<Turn>) -> Result<(Shared, House, Knowledge), Error> {
    let (script, url) = start(turns).await;
    let house = House::furnished();
    let knowledge = Knowledge::open(config(&house, &url)).await?;
    knowledge.ingest_dir(house.runbooks.path(), &mut |_| {}).await?;
    Ok((script, house, knowledge))
}

#[tokio::test]
async fn passages_go_in_batches_and_only_new_ones_are_embedded_again() {
    let (script, house, knowledge) = ingest(vec![]).await.unwrap();
    assert_eq!(std::mem::take(&mut script.lock().unwrap().inputs), [2, 2]);
    let answer = ask(&knowledge, "disk").await;
    assert_eq!((paths(&answer)[0], answer.embedder.as_str()), ("disk.md", "openai/m/3"));
    assert_eq!(answer.hits[0].why.cosine.unwrap().rank, 1);
    script.lock().unwrap().inputs.clear();
    house.write("new.md", "# New\n\nNew text.\n");
    house.ingest(&knowledge).await;
    assert_eq!(script.lock().unwrap().inputs, [1]);
    assert!(script.lock().unwrap().keys.iter().all(|key| key == "Bearer sk-1"));
}

#[tokio::test]
async fn passing_failures_are_tried_again_and_final_ones_are_not() {
    let (script, _house, _knowledge) =
        ingest(vec![Turn::Status(429, "slow down"), Turn::Status(503, "<html>")]).await.unwrap();
    assert_eq!(script.lock().unwrap().inputs, [2, 2, 2, 2]);
    for (status, tries) in [(401, 1), (500, 3)] {
        let (script, url) = start((0..9).map(|_| Turn::Status(status, "no")).collect()).await;
        let house = House::furnished();
        let knowledge = Knowledge::open(config(&house, &url)).await.unwrap();
        let failed = knowledge.ingest_dir(house.runbooks.path(), &mut |_| {}).await.unwrap_err();
        assert_eq!(failed.code(), "KNOWLEDGE_EMBEDDER");
        assert!(failed.to_string().contains(&format!("HTTP {status}")), "{failed}");
        assert!(!format!("{failed:?}{failed}").contains("sk-1"));
        assert_eq!(script.lock().unwrap().inputs.len(), tries);
        assert_eq!(knowledge.stats().version, 0);
    }
}

#[tokio::test]
async fn wrong_answers_are_refused_for_what_they_are() {
    let row = |index: usize, vector: Value| json!({"index": index, "embedding": vector});
    let code = async |body: Value| ingest(vec![Turn::Body(body)]).await.err().unwrap().code();
    assert_eq!(
        code(json!({"data": [row(0, json!([1.0, 2.0])), row(1, json!([1.0, 2.0]))]})).await,
        "KNOWLEDGE_EMBEDDER_DIMENSION"
    );
    assert_eq!(code(json!({"data": [row(0, json!([1.0, 2.0, 3.0]))]})).await, "KNOWLEDGE_EMBEDDER");
    let twice = json!({"data": [row(0, json!([1, 2, 3])), row(0, json!([1, 2, 3]))]});
    assert_eq!(code(twice).await, "KNOWLEDGE_EMBEDDER");
    assert_eq!(code(json!({"error": "what"})).await, "KNOWLEDGE_EMBEDDER");
    assert_eq!(code(json!({"data": "x".repeat(200_000)})).await, "KNOWLEDGE_EMBEDDER");
}

#[tokio::test]
async fn a_hanging_endpoint_ends_at_the_deadline_and_a_search_goes_on_without_it() {
    let (script, house, knowledge) = ingest(vec![]).await.unwrap();
    script.lock().unwrap().turns.push_back(Turn::Hang);
    let answer = ask(&knowledge, "the disk is full").await;
    assert_eq!(paths(&answer)[0], "disk.md");
    assert!(answer.degraded.unwrap().contains("within 2000 ms"));
    drop(house);
}

#[tokio::test]
async fn a_damaged_index_is_rebuilt_without_vectors_while_the_endpoint_is_away() {
    let (script, house, knowledge) = ingest(vec![]).await.unwrap();
    let EmbedderConfig::Openai(endpoint) = config(&house, "http://127.0.0.1:9/v1").embedder else {
        unreachable!()
    };
    drop(knowledge);
    std::fs::write(house.version_dir(1).join("vectors.bin"), "damaged").unwrap();
    let away = KnowledgeConfig { embedder: EmbedderConfig::Openai(endpoint), ..house.config() };
    let knowledge = Knowledge::open(away).await.unwrap();
    let stats = knowledge.stats();
    assert_eq!((stats.documents, stats.embedder.as_str()), (3, "none"));
    assert!(stats.notices[0].contains("without vectors"), "{:?}", stats.notices);
    assert_eq!(paths(&ask(&knowledge, "the disk is full").await)[0], "disk.md");
    drop(script);
}
