//! Versions: listed, told apart, held fast, gone back to, asked again.

use medic_knowledge::{EmbedderConfig, Knowledge, KnowledgeConfig, SearchQuery};

use crate::house::{House, ask};

/// Three versions of one document: about disks, about queues, about clocks.
async fn three(house: &House) -> Knowledge {
    let knowledge = house.open().await;
    for topic in ["disk", "queue", "clock"] {
        house.write("note.md", &format!("# Note\n\nThe {topic} is broken.\n"));
        house.ingest(&knowledge).await;
    }
    knowledge
}

async fn at(
    knowledge: &Knowledge,
    version: u64,
    text: &str,
) -> Result<medic_knowledge::SearchAnswer, medic_knowledge::Error> {
    let query = SearchQuery { text: text.to_owned(), version: Some(version), ..SearchQuery::default() };
    knowledge.search(&query).await
}

#[tokio::test]
async fn every_version_can_be_asked_as_it_was() {
    let house = House::new();
    let knowledge = three(&house).await;
    for (version, topic) in [(1, "disk"), (2, "queue"), (3, "clock")] {
        let answer = at(&knowledge, version, &format!("the {topic} is broken")).await.unwrap();
        assert_eq!((answer.version, answer.insufficient), (version, None));
        assert!(answer.hits[0].passage.text.contains(topic));
    }
    let gone = at(&knowledge, 9, "disk").await.unwrap_err();
    assert_eq!(gone.code(), "KNOWLEDGE_VERSION_GONE");
    assert!(gone.to_string().contains("3, 2, 1"), "{gone}");
    // What another embedder made answers by words.
    drop(knowledge);
    let config = KnowledgeConfig { embedder: EmbedderConfig::Builtin { dimension: 64 }, ..house.config() };
    let knowledge = Knowledge::open(config).await.unwrap();
    let answer = at(&knowledge, 1, "the disk is broken").await.unwrap();
    assert_eq!((answer.embedder.as_str(), answer.hits.len()), ("none", 1));
    // Damage is not answered from.
    std::fs::write(house.version_dir(2).join("documents.jsonl"), "{}").unwrap();
    assert_eq!(at(&knowledge, 2, "queue").await.unwrap_err().code(), "KNOWLEDGE_DAMAGED");
}

#[tokio::test]
async fn a_difference_names_what_came_what_changed_and_what_went() {
    let house = House::furnished();
    let knowledge = house.open().await;
    house.ingest(&knowledge).await;
    house.write("disk.md", "# Disk full\n\nAnother text.\n");
    house.write("new.md", "# New\n\nText.\n");
    house.remove("leak.md");
    house.ingest(&knowledge).await;
    let diff = knowledge.diff(1, 2).await.unwrap();
    let names = |names: &[medic_knowledge::DocumentName]| {
        names.iter().map(|name| name.path.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        (names(&diff.added), names(&diff.updated), names(&diff.removed), diff.unchanged),
        (vec!["new.md".to_owned()], vec!["disk.md".to_owned()], vec!["leak.md".to_owned()], 1)
    );
    let back = knowledge.diff(2, 1).await.unwrap();
    assert_eq!((back.added, back.removed), (diff.removed, diff.added));
    assert_eq!(knowledge.diff(1, 7).await.unwrap_err().code(), "KNOWLEDGE_VERSION_GONE");
}

#[tokio::test]
async fn a_pinned_version_answers_through_ingests_restarts_and_pruning() {
    let house = House::new();
    let config = KnowledgeConfig { versions_kept_max: 2, ..house.config() };
    let knowledge = three(&house).await;
    knowledge.pin(1).await.unwrap();
    drop(knowledge);
    let knowledge = Knowledge::open(config.clone()).await.unwrap();
    house.write("note.md", "# Note\n\nThe cable is broken.\n");
    let report = house.ingest(&knowledge).await;
    assert_eq!((report.version, report.updated.len()), (4, 1));
    let stats = knowledge.stats();
    assert_eq!((stats.version, stats.newest, stats.versions), (1, 4, 3));
    assert!(ask(&knowledge, "is broken").await.hits[0].passage.text.contains("disk"));
    let listed: Vec<(u64, bool, bool)> = knowledge
        .versions()
        .await
        .unwrap()
        .iter()
        .map(|info| (info.version, info.answers, info.pinned))
        .collect();
    assert_eq!(listed, [(4, false, false), (3, false, false), (1, true, true)]);
    assert!(
        knowledge.versions().await.unwrap().iter().all(|info| info.published_at_ms > Some(1_600_000_000_000))
    );
    knowledge.unpin().await.unwrap();
    assert!(ask(&knowledge, "is broken").await.hits[0].passage.text.contains("cable"));
    assert_eq!(knowledge.pin(77).await.unwrap_err().code(), "KNOWLEDGE_VERSION_GONE");
    assert_eq!(knowledge.stats().version, 4);
    // A pin on what cannot be read any more is said and does not silence the base.
    knowledge.pin(3).await.unwrap();
    drop(knowledge);
    std::fs::remove_file(house.version_dir(3).join("manifest.json")).unwrap();
    let knowledge = Knowledge::open(config).await.unwrap();
    assert_eq!(knowledge.stats().version, 4);
    assert!(knowledge.stats().notices[0].contains("version 3 is pinned"), "{:?}", knowledge.stats().notices);
}

#[tokio::test]
async fn going_back_makes_a_new_version_of_the_old_documents() {
    let house = House::new();
    let knowledge = three(&house).await;
    knowledge.pin(2).await.unwrap();
    assert_eq!(knowledge.roll_back(1, &mut |_| {}).await.unwrap(), 4);
    let stats = knowledge.stats();
    assert_eq!((stats.version, stats.newest), (4, 4));
    assert!(ask(&knowledge, "is broken").await.hits[0].passage.text.contains("disk"));
    let diff = knowledge.diff(1, 4).await.unwrap();
    assert_eq!((diff.unchanged, diff.added.len() + diff.updated.len() + diff.removed.len()), (1, 0));
    drop(knowledge);
    let knowledge = house.open().await;
    assert_eq!(knowledge.stats().version, 4);
    // The source still says otherwise, and its next ingest is believed.
    assert_eq!(house.ingest(&knowledge).await.updated, ["note.md"]);
    assert_eq!(knowledge.roll_back(99, &mut |_| {}).await.unwrap_err().code(), "KNOWLEDGE_VERSION_GONE");
}
