//! The runbooks that ship with the project.

use std::path::Path;

use medic_knowledge::{Knowledge, KnowledgeConfig};

use crate::house::ask;

async fn shipped() -> (tempfile::TempDir, Knowledge) {
    let index = tempfile::tempdir().unwrap();
    let config = KnowledgeConfig { index_dir: index.path().to_owned(), ..KnowledgeConfig::default() };
    let knowledge = Knowledge::open(config).await.unwrap();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let report = knowledge.ingest_dir(corpus, &mut |_| {}).await.unwrap();
    assert_eq!((report.broken.len(), report.documents), (0, 14), "{:?}", report.broken);
    (index, knowledge)
}

#[tokio::test]
async fn every_alert_of_the_shop_finds_a_runbook_that_answers_it() {
    let (_index, knowledge) = shipped().await;
    let check = async |alert: &str, annotation: &str, categories: &[&str]| {
        let answer =
            ask(&knowledge, &format!("{alert} alertname={alert} severity=critical {annotation}")).await;
        assert_eq!(answer.insufficient, None, "{alert}");
        let hit = &answer.hits[0];
        assert!(hit.alerts.iter().any(|declared| declared == alert), "{alert}: {}", hit.path);
        assert!(categories.contains(&hit.category.as_deref().unwrap()), "{alert}: {:?}", hit.category);
    };
    check("HighErrorRate", "checkout answers 5xx", &["bad-config", "error-burst"]).await;
    check("HighLatency", "payments is slow", &["latency"]).await;
    check("MemoryGrowth", "inventory's resident memory grows", &["memory-leak"]).await;
    check("ServiceUnreachable", "store refuses connections", &["dependency-down"]).await;
    check("WorkerPoolSaturated", "checkout's workers are busy", &["pool-exhausted"]).await;
    check("StorageQuotaNearlyFull", "store used 97% of its quota", &["storage-full"]).await;
}

#[tokio::test]
async fn symptoms_in_plain_words_find_the_fault() {
    let (_index, knowledge) = shipped().await;
    for (symptom, path) in [
        ("errors began right after the configuration was changed", "shop/bad-config-rollout.md"),
        ("RAM of the process climbs steadily", "shop/memory-leak.md"),
        ("connection refused by the store", "shop/dependency-down.md"),
        (
            "a cached entry is corrupt and part of the requests fail with 500",
            "shop/error-burst-poisoned-cache.md",
        ),
        ("no free worker, queue full", "shop/worker-pool-exhausted.md"),
        ("writes are refused with quota exceeded", "shop/storage-quota-full.md"),
        ("x509 certificate has expired", "common/certificate-expiry.md"),
        ("no space left on device", "common/disk-full.md"),
        ("NXDOMAIN for many names", "common/dns-failure.md"),
        ("exit code 137 killed by the kernel", "common/oom-kill.md"),
    ] {
        let answer = ask(&knowledge, symptom).await;
        assert_eq!(answer.insufficient, None, "{symptom}");
        let place = answer.hits.iter().position(|hit| hit.path == path);
        assert!(
            place.is_some_and(|place| place < 2),
            "{symptom}: {place:?} {:?}",
            answer.hits.iter().map(|hit| &hit.path).collect::<Vec<_>>()
        );
    }
}

#[tokio::test]
async fn what_the_runbooks_do_not_treat_is_not_answered() {
    let (_index, knowledge) = shipped().await;
    for question in [
        "kafka consumer group offsets were reset by a rebalance",
        "the mobile app shows a blank page on Android",
        "alertname=ElasticsearchClusterRed shards are unassigned",
        "who approves the invoice of the printing company",
    ] {
        assert!(ask(&knowledge, question).await.insufficient.is_some(), "{question}");
    }
}
