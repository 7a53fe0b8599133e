//! What survives: kills, damage, slips in files, a second process.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use medic_knowledge::{EmbedderConfig, Knowledge, KnowledgeConfig};

use crate::house::{House, ask, files, paths};

#[tokio::test]
async fn an_ingest_is_incremental_and_one_without_a_difference_publishes_nothing() {
    let house = House::furnished();
    let knowledge = house.open().await;
    let first = house.ingest(&knowledge).await;
    assert_eq!((first.version, first.published, first.added.len()), (1, true, 3));
    let same = house.ingest(&knowledge).await;
    assert_eq!((same.version, same.published, same.unchanged), (1, false, 3));
    house.write("disk.md", "# Disk full\n\nThe volume is full.\n");
    house.write("new.md", "# New\n\nNew text.\n");
    house.remove("leak.md");
    let next = house.ingest(&knowledge).await;
    assert_eq!((next.version, next.unchanged, next.documents), (2, 1, 3));
    assert_eq!(
        (next.added, next.updated, next.removed),
        (vec!["new.md".into()], vec!["disk.md".into()], vec!["leak.md".into()])
    );
    let source = next.source;
    assert_eq!(knowledge.forget_source(&source).await.unwrap().documents, 0);
}

#[tokio::test]
async fn a_broken_document_is_reported_and_the_rest_goes_on() {
    let house = House::furnished();
    fs::write(house.runbooks.path().join("latin.md"), b"caf\xe9").unwrap();
    let knowledge = house.open().await;
    let report = house.ingest(&knowledge).await;
    assert_eq!((report.added.len(), report.broken.len()), (3, 1));
    assert_eq!(report.broken[0].path, "latin.md");
    assert!(report.broken[0].reason.contains("UTF-8"));
    // One that was good keeps answering with what it said.
    house.write("disk.md", "---\nkind: poem\n---\n# Disk full\n");
    let report = house.ingest(&knowledge).await;
    assert!(!report.published);
    assert!(report.broken.iter().any(|broken| broken.path == "disk.md" && broken.earlier_text_kept));
    assert_eq!(paths(&ask(&knowledge, "DiskFull").await)[0], "disk.md");
}

#[tokio::test]
async fn every_damaged_file_is_noticed_and_rebuilt_from_the_stored_documents() {
    let house = House::furnished();
    house.ingest(&house.open().await).await;
    // The names of segments differ from one build to the next; their kinds do not.
    let kind = |file: &std::path::Path| {
        let name =
            file.strip_prefix(house.index.path().join("versions")).unwrap().to_string_lossy().into_owned();
        let inside = name.split_once('/').unwrap().1.to_owned();
        match inside.rsplit_once('/') {
            Some((dir, name)) => match name.split_once('.') {
                Some((stem, extension)) if stem.len() == 32 => format!("{dir}/*.{extension}"),
                _ => inside,
            },
            None => inside,
        }
    };
    let spared = ["documents.jsonl", "manifest.json"];
    let kinds: BTreeSet<String> = files(&house.version_dir(1))
        .iter()
        .map(|file| kind(file))
        .filter(|name| !name.ends_with(".lock") && !spared.contains(&name.as_str()))
        .collect();
    assert!(
        kinds.len() >= 14 && kinds.contains("vectors.bin") && kinds.contains("lexical/chunks/meta.json"),
        "{kinds:?}"
    );
    for (version, wanted) in (1..).zip(kinds) {
        let damaged =
            files(&house.version_dir(version)).into_iter().find(|file| kind(file) == wanted).unwrap();
        let mut bytes = fs::read(&damaged).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x01;
        fs::write(&damaged, bytes).unwrap();
        let knowledge = house.open().await;
        let stats = knowledge.stats();
        assert_eq!(stats.version, version + 1, "{}", damaged.display());
        assert!(stats.notices.iter().any(|notice| notice.contains("rebuilt")), "{:?}", stats.notices);
        assert_eq!(paths(&ask(&knowledge, "the disk is full").await)[0], "disk.md");
    }
}

#[tokio::test]
async fn lost_documents_fall_back_to_the_version_before_and_lost_versions_are_an_error() {
    let house = House::furnished();
    let knowledge = house.open().await;
    house.ingest(&knowledge).await;
    house.write("new.md", "# New\n\nNew text.\n");
    house.ingest(&knowledge).await;
    drop(knowledge);
    fs::write(house.version_dir(2).join("documents.jsonl"), "{}").unwrap();
    let knowledge = house.open().await;
    assert_eq!((knowledge.stats().version, knowledge.stats().documents), (1, 3));
    assert!(
        knowledge.stats().notices[0].contains("version 2 cannot be read"),
        "{:?}",
        knowledge.stats().notices
    );
    // The next ingest makes it whole, under a number that was never used.
    assert_eq!(house.ingest(&knowledge).await.version, 3);
    assert_eq!(knowledge.stats().documents, 4);
    drop(knowledge);
    for version in 1..=3 {
        fs::write(house.version_dir(version).join("manifest.json"), "{}").unwrap();
    }
    assert_eq!(Knowledge::open(house.config()).await.err().unwrap().code(), "KNOWLEDGE_DAMAGED");
}

#[tokio::test]
async fn a_pointer_that_cannot_be_read_falls_back_to_the_newest_version() {
    let house = House::furnished();
    house.ingest(&house.open().await).await;
    fs::write(house.index.path().join("CURRENT"), "garbage").unwrap();
    let knowledge = house.open().await;
    assert_eq!(knowledge.stats().version, 1);
    assert!(knowledge.stats().notices[0].contains("pointer"));
}

#[tokio::test]
async fn another_embedder_rebuilds_and_says_so() {
    let house = House::furnished();
    house.ingest(&house.open().await).await;
    let config = KnowledgeConfig { embedder: EmbedderConfig::Builtin { dimension: 128 }, ..house.config() };
    let knowledge = Knowledge::open(config).await.unwrap();
    assert_eq!((knowledge.stats().version, knowledge.stats().embedder.as_str()), (2, "builtin-hash-r2/128"));
    assert!(knowledge.stats().notices[0].contains("builtin-hash-r2/512"));
}

#[tokio::test]
async fn two_openers_of_one_index_do_not_lose_each_others_documents() {
    let house = House::furnished();
    let other = House::new();
    other.write("queue.md", "# Queue\n\nThe queue is stuck.\n");
    let (first, second) = (house.open().await, house.open().await);
    house.ingest(&first).await;
    second.ingest_dir(other.runbooks.path(), &mut |_| {}).await.unwrap();
    assert_eq!((second.stats().version, second.stats().documents), (2, 4));
    assert_eq!(first.stats().version, 1);
}

#[tokio::test]
async fn old_versions_are_pruned_to_the_configured_number() {
    let house = House::furnished();
    let config = KnowledgeConfig { versions_kept_max: 2, ..house.config() };
    let knowledge = Knowledge::open(config).await.unwrap();
    for n in 0..4 {
        house.write("changing.md", &format!("# Changing\n\nText {n}.\n"));
        house.ingest(&knowledge).await;
    }
    let kept: Vec<bool> = (1..=4).map(|version| house.version_dir(version).exists()).collect();
    assert_eq!(kept, [false, false, true, true]);
}

/// Moments at which an ingest is killed.
const KILLS: usize = 50;
const DOCUMENTS: usize = 8;

const CHILD_INDEX: &str = "MEDIC_KNOWLEDGE_CHILD_INDEX";
const CHILD_RUNBOOKS: &str = "MEDIC_KNOWLEDGE_CHILD_RUNBOOKS";

/// Not a test by itself: the process that [`a_killed_ingest_leaves_the_version_before_or_the_new_one`] kills.
#[tokio::test]
#[ignore = "run by another test"]
async fn child_ingests_until_killed() {
    let (Ok(index), Ok(runbooks)) = (std::env::var(CHILD_INDEX), std::env::var(CHILD_RUNBOOKS)) else {
        return;
    };
    let knowledge =
        Knowledge::open(KnowledgeConfig { index_dir: index.into(), ..KnowledgeConfig::default() })
            .await
            .unwrap();
    for turn in knowledge.stats().version.. {
        let mut files: Vec<_> = fs::read_dir(&runbooks).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files {
            fs::write(file, format!("# Turn {turn}\n\nAll documents are of turn {turn}.\n")).unwrap();
        }
        knowledge.ingest_dir(&runbooks, &mut |progress| println!("{:?}", progress.stage)).await.unwrap();
        std::io::stdout().flush().unwrap();
    }
}

#[tokio::test]
async fn a_killed_ingest_leaves_the_version_before_or_the_new_one() {
    let house = House::new();
    for n in 0..DOCUMENTS {
        house.write(&format!("{n:02}.md"), "# Turn start\n\nAll documents are of turn start.\n");
    }
    house.ingest(&house.open().await).await;
    let mut reached = 1;
    let (mut mid_way, mut seen) = (0, BTreeSet::new());
    // Fixed, so that a failing round can be run again.
    let mut moment = 0x5eed_u64;
    for round in 0..KILLS {
        moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["durability::child_ingests_until_killed", "--exact", "--ignored", "--nocapture"])
            .env(CHILD_INDEX, house.index.path())
            .env(CHILD_RUNBOOKS, house.runbooks.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Killed some lines after its first sign of work and some milliseconds later: another place each round.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let awaited = 1 + (moment >> 33) % 20;
        let mut last = String::new();
        for line in lines
            .by_ref()
            .map_while(Result::ok)
            .filter(|line| ["Reading", "Embedding", "Indexing", "Published"].contains(&line.as_str()))
            .take(awaited as usize)
        {
            last = line;
        }
        tokio::time::sleep(Duration::from_millis((moment >> 50) % 40)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        seen.insert(last.clone());
        mid_way += usize::from(last != "Published");

        let knowledge = house.open().await;
        let stats = knowledge.stats();
        assert_eq!(stats.notices, Vec::<String>::new(), "a kill is no damage");
        assert!(stats.version >= reached, "version {} after {reached}", stats.version);
        reached = stats.version;
        assert_eq!(stats.documents, DOCUMENTS, "round {round}");
        let answer = ask(&knowledge, "documents of turn").await;
        // One text under many paths is one hit: two would be of two turns.
        assert_eq!((answer.hits.len(), answer.version), (1, reached), "round {round}");
        let staging = files(house.index.path())
            .iter()
            .filter(|file| file.to_string_lossy().contains(".staging"))
            .count();
        assert_eq!(staging, 0, "leftovers of the killed ingest");
    }
    assert!(mid_way > KILLS / 4, "only {mid_way} kills hit an ingest: {seen:?}");
    // And the next one completes.
    house.write("31.md", "# After\n\nIt goes on.\n");
    assert!(house.ingest(&house.open().await).await.published);
}
