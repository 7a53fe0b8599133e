//! Vectors in Qdrant, by its protocol.

use std::net::SocketAddr;
use std::time::Duration;

use medic_knowledge::{
    EmbedderConfig, Kind, Knowledge, KnowledgeConfig, Mode, QdrantConfig, SearchQuery, Secret, VectorsConfig,
};
use tonic::Status;

use crate::house::{House, ask, paths};
use crate::qdrant_server::Server;

fn config(house: &House, address: SocketAddr) -> KnowledgeConfig {
    let qdrant = QdrantConfig {
        url: format!("http://{address}"),
        collection: "medic".to_owned(),
        api_key: Some(Secret::new("the-key")),
        connect_timeout_ms: 500,
        timeout_ms: 1_000,
    };
    KnowledgeConfig { vectors: VectorsConfig::Qdrant(qdrant), ..house.config() }
}

#[tokio::test]
async fn qdrant_gives_the_same_answers_as_the_embedded_engine() {
    let (server, address) = Server::start().await;
    let house = House::furnished();
    let (embedded, remote) = (House::new(), House::new());
    let near = embedded.open().await;
    let far = Knowledge::open(config(&remote, address)).await.unwrap();
    near.ingest_dir(house.runbooks.path(), &mut |_| {}).await.unwrap();
    far.ingest_dir(house.runbooks.path(), &mut |_| {}).await.unwrap();
    for mode in [Mode::Hybrid, Mode::Dense] {
        for (service, kind) in
            [(None, None), (Some("inventory"), None), (Some("store"), None), (None, Some(Kind::Incident))]
        {
            for text in ["no space left on the volume", "memory grows", "TLS handshake fails"] {
                let query = SearchQuery {
                    text: text.to_owned(),
                    service: service.map(str::to_owned),
                    kind,
                    mode,
                    ..SearchQuery::default()
                };
                let (a, b) = (near.search(&query).await.unwrap(), far.search(&query).await.unwrap());
                assert_eq!(b.degraded, None);
                assert_eq!(paths(&a), paths(&b), "{query:?}");
                for (x, y) in a.hits.iter().zip(&b.hits) {
                    let (x, y) = (x.why.cosine, y.why.cosine);
                    assert_eq!(x.map(|x| x.rank), y.map(|y| y.rank));
                    assert!(x.zip(y).is_none_or(|(x, y)| (x.score - y.score).abs() < 1e-5));
                }
            }
        }
    }
    assert!(server.state().api_keys.iter().all(|key| key == "the-key"));
}

#[tokio::test]
async fn a_collection_of_another_dimension_is_refused_and_the_version_before_stays() {
    let (server, address) = Server::start().await;
    let house = House::furnished();
    let knowledge = Knowledge::open(config(&house, address)).await.unwrap();
    house.ingest(&knowledge).await;
    let other = House::furnished();
    let narrow =
        KnowledgeConfig { embedder: EmbedderConfig::Builtin { dimension: 64 }, ..config(&other, address) };
    let other_knowledge = Knowledge::open(narrow).await.unwrap();
    let refused = other_knowledge.ingest_dir(other.runbooks.path(), &mut |_| {}).await.unwrap_err();
    assert_eq!(refused.code(), "KNOWLEDGE_COLLECTION_DIMENSION");
    let said = refused.to_string();
    assert!(said.contains("512") && said.contains("64") && said.contains("medic"), "{said}");
    assert_eq!(other_knowledge.stats().version, 0);
    assert!(!server.state().collections["medic"].points.is_empty());
}

#[tokio::test]
async fn without_qdrant_words_answer_and_an_ingest_fails_whole() {
    let (server, address) = Server::start().await;
    let house = House::furnished();
    let knowledge = Knowledge::open(config(&house, address)).await.unwrap();
    house.ingest(&knowledge).await;
    server.state().refusing = Some(Status::unavailable("gone for lunch"));
    let answer = ask(&knowledge, "the disk is full").await;
    assert_eq!(paths(&answer)[0], "disk.md");
    assert!(answer.degraded.unwrap().contains("gone for lunch"));
    house.write("new.md", "# New\n\nNew text.\n");
    let failed = knowledge.ingest_dir(house.runbooks.path(), &mut |_| {}).await.unwrap_err();
    assert_eq!(failed.code(), "KNOWLEDGE_QDRANT");
    assert_eq!((knowledge.stats().version, knowledge.stats().documents), (1, 3));
    // Back again, both go on; opening without it is possible too.
    let reopened = Knowledge::open(config(&house, address)).await.unwrap();
    assert_eq!(reopened.stats().version, 1);
    server.state().refusing = None;
    assert_eq!(ask(&knowledge, "the disk is full").await.degraded, None);
    assert_eq!(house.ingest(&knowledge).await.documents, 4);
}

#[tokio::test]
async fn a_server_that_never_answers_costs_one_timeout() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let house = House::furnished();
    let mut silent = config(&house, listener.local_addr().unwrap());
    if let VectorsConfig::Qdrant(qdrant) = &mut silent.vectors {
        qdrant.timeout_ms = 200;
    }
    let knowledge = Knowledge::open(silent).await.unwrap();
    let mut silence = |_| {};
    let ingest = knowledge.ingest_dir(house.runbooks.path(), &mut silence);
    let failed = tokio::time::timeout(Duration::from_secs(20), ingest).await.unwrap().unwrap_err();
    assert_eq!(failed.code(), "KNOWLEDGE_QDRANT");
}

#[tokio::test]
async fn only_the_published_version_is_searched_and_pruned_ones_are_deleted() {
    let (server, address) = Server::start().await;
    let house = House::furnished();
    let config = KnowledgeConfig { versions_kept_max: 1, ..config(&house, address) };
    let knowledge = Knowledge::open(config.clone()).await.unwrap();
    house.ingest(&knowledge).await;
    let before = server.state().collections["medic"].points.len();
    house.write("disk.md", "# Disk full\n\nAnother text about the disk.\n");
    house.ingest(&knowledge).await;
    let versions: Vec<u64> = server.state().collections["medic"].points.keys().map(|id| id >> 32).collect();
    assert!(versions.iter().all(|version| *version == 2), "{versions:?}");
    assert!(versions.len() < before);
    // Points that vanished from the server are noticed at the next start and written again.
    server.state().collections.get_mut("medic").unwrap().points.clear();
    let reopened = Knowledge::open(config).await.unwrap();
    assert!(reopened.stats().notices[0].contains("Qdrant has 0 of its"), "{:?}", reopened.stats().notices);
    assert!(ask(&reopened, "disk").await.hits[0].why.cosine.is_some());
}
