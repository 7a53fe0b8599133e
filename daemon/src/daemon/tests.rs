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
