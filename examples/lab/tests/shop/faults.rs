//! Each fault shows in the metrics and the logs of the service at fault, resists a wrong cure, and ends with its own.

use crate::{Call, metric, shop, until, until_healthy};
use medic_lab::{Fault, Lab, Service};
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::{fs, time::Duration};

const SOON: Duration = Duration::from_secs(10);

async fn injected(fault: Fault) -> Lab {
    let lab = shop().await;
    until_healthy(&lab).await;
    lab.inject(fault).await.unwrap();
    assert_eq!(lab.active_faults().await.unwrap(), [fault]);
    lab
}

async fn until_counted(lab: &Lab, service: Service, begins: &str, at_least: f64) {
    until(&format!("{begins} of {service} reaches {at_least}"), SOON, async || {
        metric(lab, service, begins).await >= at_least
    })
    .await;
}

async fn restart(lab: &Lab, service: Service) {
    let before = lab.restarts(service).unwrap();
    let call = Call::to(lab, service);
    assert_eq!(call.restart().await.status, StatusCode::ACCEPTED);
    until("the keeper started it again", SOON, async || lab.restarts(service).unwrap() > before).await;
    until("it answers again", SOON, async || {
        call.send(Method::GET, "/admin/health", String::new()).await.is_ok()
    })
    .await;
}

fn errors_logged(lab: &Lab, service: Service, words: &str) -> usize {
    let text = fs::read_to_string(lab.log_dir().join(format!("{service}.log"))).unwrap();
    text.lines().filter(|line| line.contains(r#""level":"error""#) && line.contains(words)).count()
}

#[tokio::test]
async fn bad_config_is_cured_by_the_previous_document() {
    let lab = injected(Fault::BadConfig).await;
    let checkout = Call::to(&lab, Service::Checkout);
    until_counted(
        &lab,
        Service::Checkout,
        r#"http_client_requests_total{peer="payments",code="timeout"}"#,
        20.0,
    )
    .await;
    assert!(errors_logged(&lab, Service::Checkout, "call to payments failed: no answer within 1 ms") > 0);
    assert_eq!(metric(&lab, Service::Checkout, "config_revision ").await, 2.0);

    restart(&lab, Service::Checkout).await;
    assert_eq!(lab.active_faults().await.unwrap(), [Fault::BadConfig], "a restart is no cure");

    let previous = checkout.get("/admin/config/previous").await.body;
    assert_eq!(checkout.put("/admin/config", &previous).await.status, StatusCode::OK);
    until_healthy(&lab).await;
}

#[tokio::test]
async fn stubborn_is_not_cured_by_the_previous_document() {
    let lab = injected(Fault::Stubborn).await;
    let checkout = Call::to(&lab, Service::Checkout);
    let timeouts = r#"http_client_requests_total{peer="payments",code="timeout"}"#;
    until_counted(&lab, Service::Checkout, timeouts, 20.0).await;

    let previous = checkout.get("/admin/config/previous").await.body;
    assert_eq!(previous["timeouts_ms"]["payments"], 2_000);
    assert_eq!(checkout.put("/admin/config", &previous).await.status, StatusCode::OK);
    assert_eq!(checkout.get("/admin/config").await.body, previous);
    let since = metric(&lab, Service::Checkout, timeouts).await;
    until_counted(&lab, Service::Checkout, timeouts, since + 20.0).await;
    assert!(!lab.is_healthy().await.unwrap());

    lab.clear(Fault::Stubborn).await.unwrap();
    until_healthy(&lab).await;
}

#[tokio::test]
async fn memory_leak_is_cured_by_a_restart() {
    let lab = injected(Fault::MemoryLeak).await;
    until_counted(&lab, Service::Inventory, "process_resident_memory_bytes ", 80e6).await;
    restart(&lab, Service::Inventory).await;
    until_healthy(&lab).await;
    assert!(metric(&lab, Service::Inventory, "process_resident_memory_bytes ").await < 60e6);
}

#[tokio::test]
async fn dependency_down_is_cured_by_a_restart_of_the_dependency() {
    let lab = injected(Fault::DependencyDown).await;
    for caller in [Service::Inventory, Service::Payments] {
        until_counted(&lab, caller, r#"http_client_requests_total{peer="store",code="connect_error"}"#, 20.0)
            .await;
    }
    let health = Call::to(&lab, Service::Store).get("/admin/health").await.body;
    assert_eq!(health, json!({"status": "ok", "service": "store", "serving": false}));

    // Its callers are not at fault.
    restart(&lab, Service::Inventory).await;
    assert_eq!(lab.active_faults().await.unwrap(), [Fault::DependencyDown]);
    let refused = r#"http_client_requests_total{peer="store",code="connect_error"}"#;
    until_counted(&lab, Service::Inventory, refused, 10.0).await;

    restart(&lab, Service::Store).await;
    until_healthy(&lab).await;
}

#[tokio::test]
async fn latency_is_cured_by_a_restart_of_the_slow_service() {
    let lab = injected(Fault::Latency).await;
    let slow = lab.probe(8).await;
    assert_eq!(slow.failed, 0, "slow, not failing: {slow:?}");
    assert!(slow.mean_ms > 300.0, "{slow:?}");
    restart(&lab, Service::Payments).await;
    until_healthy(&lab).await;
}

#[tokio::test]
async fn error_burst_fails_a_part_and_is_cured_by_a_restart() {
    let lab = injected(Fault::ErrorBurst).await;
    until_counted(&lab, Service::Inventory, r#"http_requests_total{code="500"}"#, 40.0).await;
    let probe = lab.probe(200).await;
    assert!((80..=160).contains(&probe.failed), "some 60 % fail: {probe:?}");
    assert!(errors_logged(&lab, Service::Inventory, "fails its checksum") > 20);
    restart(&lab, Service::Inventory).await;
    until_healthy(&lab).await;
}

#[tokio::test]
async fn pool_exhausted_is_cured_by_workers_and_not_by_a_restart() {
    let lab = injected(Fault::PoolExhausted).await;
    let checkout = Call::to(&lab, Service::Checkout);
    until_counted(&lab, Service::Checkout, r#"http_requests_total{code="503"}"#, 10.0).await;
    assert_eq!(metric(&lab, Service::Checkout, "worker_pool_busy ").await, 3.0);
    assert!(metric(&lab, Service::Checkout, "worker_queue_depth ").await > 2.0);

    restart(&lab, Service::Checkout).await;
    until_counted(&lab, Service::Checkout, r#"http_requests_total{code="503"}"#, 10.0).await;

    assert_eq!(checkout.put("/admin/workers", &json!({"workers": 16})).await.status, StatusCode::OK);
    until_healthy(&lab).await;
    assert_eq!(metric(&lab, Service::Checkout, "worker_pool_size ").await, 16.0);
}

#[tokio::test]
async fn quota_full_is_cured_by_deleting_the_expired_and_not_by_a_restart() {
    let lab = injected(Fault::QuotaFull).await;
    let store = Call::to(&lab, Service::Store);
    until_counted(&lab, Service::Store, r#"http_requests_total{code="507"}"#, 10.0).await;
    assert!(errors_logged(&lab, Service::Store, "quota exceeded") > 0);

    restart(&lab, Service::Store).await;
    let account = store.get("/admin/storage").await.body;
    assert_eq!(account["used_bytes"], account["quota_bytes"]);
    assert!(account["expired_bytes"].as_u64().unwrap() > 8 * 1024 * 1024, "{account}");

    let deleted = store.send(Method::DELETE, "/admin/storage/expired", String::new()).await.unwrap();
    assert_eq!((deleted.status, &deleted.body["deleted_bytes"]), (StatusCode::OK, &account["expired_bytes"]));
    until_healthy(&lab).await;
}

#[tokio::test]
async fn every_fault_can_be_cleared_and_is_refused_by_other_services() {
    let lab = shop().await;
    for fault in Fault::ALL {
        lab.inject(fault).await.unwrap();
        lab.inject(fault).await.unwrap();
        lab.clear(fault).await.unwrap();
        lab.clear(fault).await.unwrap();
    }
    assert_eq!(lab.active_faults().await.unwrap(), []);
    until_healthy(&lab).await;
    let answer = Call::to(&lab, Service::Gateway)
        .send(Method::POST, "/lab/fault", json!({"name": "latency", "on": true}).to_string())
        .await
        .unwrap();
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    for service in Service::ALL {
        assert!(lab.operations(service).await.unwrap().is_empty(), "the lab's own doing is no operation");
    }
}
