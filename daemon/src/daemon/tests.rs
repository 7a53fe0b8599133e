use super::*;
use medic_ports::journal::IncidentFilter;
use medic_store::StoreConfig;
use std::net::Ipv4Addr;
use std::path::Path;

fn config(dir: &Path) -> Config {
    let mut config = Config {
        store: StoreConfig { dir: dir.join("store"), low_space_bytes: 0, ..StoreConfig::default() },
        shutdown_ms: 5_000,
        ..Config::default()
    };
    config.server.grpc = (Ipv4Addr::LOCALHOST, 0).into();
    config.server.http = (Ipv4Addr::LOCALHOST, 0).into();
    // Nobody listens there.
    config.prometheus.url = "http://127.0.0.1:1".to_owned();
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn daemon_answers_on_free_ports_and_ends_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(config(dir.path())).await.unwrap();
    assert!(daemon.http_addr().port() != 0 && daemon.grpc_addr().port() != 0);
    let url = format!("http://{}/healthz", daemon.http_addr());
    assert!(reqwest::get(&url).await.unwrap().status().is_success());
    let journal = daemon.desk().ports().journal.clone();
    assert!(daemon.shutdown().await, "everything finished in time");
    assert!(reqwest::get(&url).await.is_err(), "nobody listens any more");
    assert!(
        journal.incidents(&IncidentFilter { limit: 1, ..Default::default() }).is_err(),
        "the store is closed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn second_daemon_on_one_store_is_refused_and_the_first_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let first = Daemon::start(config(dir.path())).await.unwrap();
    let refused = Daemon::start(config(dir.path())).await.err().unwrap();
    assert_eq!(refused.code(), "STORE_IN_USE");
    assert!(refused.is_storage());
    assert!(first.desk().status().is_ok());
    first.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_start_leaves_nothing_running() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut blocked = config(dir.path());
    blocked.server.grpc = taken.local_addr().unwrap();
    assert_eq!(Daemon::start(blocked).await.err().unwrap().code(), "LISTEN_FAILED");

    let mut untaught = config(dir.path());
    untaught.diagnosis.taxonomy = Some(dir.path().join("missing.toml"));
    assert_eq!(Daemon::start(untaught).await.err().unwrap().code(), "FILE_UNREADABLE");

    // The store was let go each time, or this would be refused.
    Daemon::start(config(dir.path())).await.unwrap().shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exposed_listener_is_refused_before_anything_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let mut exposed = config(dir.path());
    exposed.server.http = (Ipv4Addr::UNSPECIFIED, 0).into();
    assert_eq!(Daemon::start(exposed).await.err().unwrap().code(), "CONFIG_EXPOSED");
    assert!(!dir.path().join("store").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_made_while_serving_is_whole_and_becomes_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(config(dir.path())).await.unwrap();
    let client = reqwest::Client::new();
    let url = |path: &str| format!("http://{}{path}", daemon.http_addr());
    let incident = r#"{"title":"checkout is slow","labels":{"service":"checkout"}}"#;
    let created = client.post(url("/incidents")).body(incident).send().await.unwrap();
    assert!(created.status().is_success());
    let to = dir.path().join("copy");
    let body = serde_json::json!({ "to": to }).to_string();
    let copied = client.post(url("/store/backup")).body(body.clone()).send().await.unwrap();
    assert!(copied.status().is_success(), "{}", copied.text().await.unwrap());
    let again = client.post(url("/store/backup")).body(body).send().await.unwrap();
    assert!(again.text().await.unwrap().contains("BACKUP_EXISTS"));
    daemon.shutdown().await;

    let report = medic_store::check(&to).unwrap();
    assert!(report.is_whole() && report.audit_head.seq > 0, "{report:?}");
    let restored = dir.path().join("restored");
    medic_store::restore(&to, &restored).unwrap();
    let mut second = config(dir.path());
    second.store.dir = restored;
    let daemon = Daemon::start(second).await.unwrap();
    let status = daemon.desk().status().unwrap();
    assert!(status.boot.restored && status.journal.incidents.values().sum::<u64>() == 1, "{status:?}");
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_on_disk_replays_from_a_running_daemon_and_from_a_closed_store() {
    use medic_core::replay::export::Export;
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let store = config.store.dir.clone();
    let daemon = Daemon::start(config).await.unwrap();
    let client = reqwest::Client::new();
    let url = |path: &str| format!("http://{}{path}", daemon.http_addr());
    let incident = r#"{"title":"checkout is slow","labels":{"service":"checkout"}}"#;
    let created = client.post(url("/incidents")).body(incident).send().await.unwrap();
    let created: serde_json::Value = serde_json::from_str(&created.text().await.unwrap()).unwrap();
    let id = created["incident_id"].as_str().unwrap().to_owned();
    let escalate = client.post(url(&format!("/incidents/{id}/escalate"))).body(r#"{"reason":"mine"}"#);
    assert!(escalate.send().await.unwrap().status().is_success());
    let online = reqwest::get(url(&format!("/incidents/{id}/export"))).await.unwrap().text().await.unwrap();
    let live = Export::read(&online).unwrap().replay().unwrap();
    assert!(live.revisions >= 2, "{live:?}");
    daemon.shutdown().await;

    let mut offline = Vec::new();
    let reader = medic_store::Reader::open(&store).unwrap();
    medic_store::export_incident(&reader, &id.as_str().into(), &mut offline).unwrap();
    let closed = Export::read(std::str::from_utf8(&offline).unwrap()).unwrap().replay().unwrap();
    assert!(closed.revisions >= live.revisions && closed.decisions >= live.decisions);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_wish_to_end_is_not_kept_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let mut slow = config(dir.path());
    slow.shutdown_ms = 600_000;
    let daemon = Daemon::start(slow).await.unwrap();
    // A request whose body never comes holds the door.
    let mut held = tokio::net::TcpStream::connect(daemon.http_addr()).await.unwrap();
    let head = b"POST /webhooks/alertmanager HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 10\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut held, head).await.unwrap();
    let metrics = format!("http://{}/metrics", daemon.http_addr());
    loop {
        let page = reqwest::get(&metrics).await.unwrap().text().await.unwrap();
        // Itself and the one that is held.
        if page.lines().any(|line| line == "medic_http_requests_in_flight 2") {
            break;
        }
    }
    let stopper = daemon.stopper();
    let shutdown = daemon.shutdown();
    tokio::pin!(shutdown);
    assert!(
        tokio::time::timeout(Duration::from_millis(300), &mut shutdown).await.is_err(),
        "it waits for the request"
    );
    stopper.at_once();
    let finished = tokio::time::timeout(Duration::from_secs(20), shutdown).await.expect("it ends at once");
    assert!(!finished, "and says that something was cut off");
    // What was cut off left the store closed in order.
    assert_eq!(medic_store::check(&dir.path().join("store")).unwrap().faults, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_long_over_leaves_for_the_archive_by_itself() {
    use medic_core::mail::Opening;
    use medic_core::replay::export::Export;
    use medic_core::{Event, EventKind, Incident, Policy, Step, TimestampMs, step};
    use medic_ports::fake::clock::FakeClock;
    use medic_ports::journal::{Batch, IncidentWrite};
    let dir = tempfile::tempdir().unwrap();
    let store_config = config(dir.path()).store;
    let store = Arc::new(Store::open(&store_config).unwrap());
    let opening = Opening { group: "g".into(), title: "over".into() };
    let opened = Incident::open("01OVER".into(), opening, TimestampMs(1_000));
    let kind = EventKind::EscalationRequested { by: "token:alice".into(), reason: "mine".into() };
    let event = Event { at: TimestampMs(2_000), kind };
    let Step::Advanced(over) = step(&opened, &event, &Policy::default()) else { panic!() };
    let write = IncidentWrite { next: over.next, expected_revision: None };
    store.commit(Batch { incidents: vec![write], ..Batch::default() }).await.unwrap();

    let clock = FakeClock::new(TimestampMs(2_000 + store_config.retention.finished_ms / 2));
    let mut timer = JoinSet::new();
    timer.spawn(retention::keep(store.clone(), Arc::new(clock.clone())));
    let there = |store: &Store| store.incident(&"01OVER".into()).unwrap().is_some();
    for _ in 0..20 {
        clock.advance(600_000);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(there(&store), "it is over, and not for long enough");
    clock.advance(store_config.retention.finished_ms);
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while there(&store) {
            clock.advance(600_000);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("the timer lets it go");
    timer.shutdown().await;
    let archived: Vec<_> = std::fs::read_dir(store_config.archive_dir()).unwrap().flatten().collect();
    let [file] = archived.as_slice() else { panic!("{archived:?}") };
    let text = std::fs::read_to_string(file.path()).unwrap();
    assert_eq!(Export::read(&text).unwrap().footer.state.id.as_str(), "01OVER");
    close(store).await;
}
