//! Alerts: the real Prometheus and Alertmanager, from the fault to the webhook and back to quiet.

use crate::{Call, until};
use axum::{Json, Router, extract::State, http::HeaderMap, routing::post};
use medic_lab::{Fault, Lab, LabOptions, Service};
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// Deliveries: the authorization that came with each, and its body.
type Deliveries = Arc<Mutex<Vec<(String, Value)>>>;

async fn webhook() -> (String, Deliveries) {
    async fn receive(State(deliveries): State<Deliveries>, headers: HeaderMap, Json(body): Json<Value>) {
        let authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        deliveries.lock().push((authorization.unwrap_or_default(), body));
    }
    let deliveries = Deliveries::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let router = Router::new().route("/hook", post(receive)).with_state(Arc::clone(&deliveries));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, deliveries)
}

fn delivered(deliveries: &Deliveries, name: &str, service: &str, status: &str) -> Option<Value> {
    let deliveries = deliveries.lock();
    let alerts = deliveries.iter().flat_map(|(_, body)| body["alerts"].as_array().unwrap());
    alerts
        .filter(|alert| alert["labels"]["alertname"] == name && alert["labels"]["service"] == service)
        .find(|alert| alert["status"] == status)
        .cloned()
}

async fn until_quiet(lab: &Lab) {
    until("no alert fires", Duration::from_secs(30), async || lab.firing_alerts().await.unwrap().is_empty())
        .await;
}

#[tokio::test]
async fn a_fault_reaches_the_webhook_and_its_cure_resolves_it() {
    let lab = Lab::start(LabOptions::default()).await.unwrap();
    let (url, deliveries) = webhook().await;
    lab.set_webhook(&url, Some("hook token")).await.unwrap();
    lab.inject(Fault::DependencyDown).await.unwrap();
    until("the alert is delivered", Duration::from_secs(20), async || {
        delivered(&deliveries, "ServiceUnreachable", "store", "firing").is_some()
    })
    .await;
    let alert = delivered(&deliveries, "ServiceUnreachable", "store", "firing").unwrap();
    assert_eq!(
        alert["labels"],
        json!({"alertname": "ServiceUnreachable", "service": "store", "cluster": "lab", "severity": "critical"})
    );
    for annotation in ["summary", "description", "runbook_url"] {
        assert!(alert["annotations"][annotation].as_str().is_some_and(|text| !text.is_empty()), "{alert}");
    }
    assert!(alert["generatorURL"].as_str().unwrap().starts_with(&lab.prometheus_url()), "{alert}");
    until("its callers' callers alert as well", Duration::from_secs(20), async || {
        delivered(&deliveries, "HighErrorRate", "gateway", "firing").is_some()
    })
    .await;

    Call::to(&lab, Service::Store).restart().await;
    until("both are resolved", Duration::from_secs(30), async || {
        delivered(&deliveries, "ServiceUnreachable", "store", "resolved").is_some()
            && delivered(&deliveries, "HighErrorRate", "gateway", "resolved").is_some()
    })
    .await;
    assert!(deliveries.lock().iter().all(|(authorization, _)| authorization == "Bearer hook token"));
}

/// Every fault's own alert at the service at fault, and quiet after its cure. Some two minutes.
#[tokio::test]
#[ignore = "two minutes; run it after changing a rule, a threshold or a fault"]
async fn every_fault_alerts_at_its_service_and_its_cure_brings_quiet() {
    let lab = Lab::start(LabOptions::default()).await.unwrap();
    for (fault, name, service) in [
        (Fault::BadConfig, "HighErrorRate", "checkout"),
        (Fault::MemoryLeak, "MemoryGrowth", "inventory"),
        (Fault::DependencyDown, "ServiceUnreachable", "store"),
        (Fault::Latency, "HighLatency", "payments"),
        (Fault::ErrorBurst, "HighErrorRate", "inventory"),
        (Fault::PoolExhausted, "WorkerPoolSaturated", "checkout"),
        (Fault::QuotaFull, "StorageQuotaNearlyFull", "store"),
    ] {
        until_quiet(&lab).await;
        lab.inject(fault).await.unwrap();
        until(&format!("{fault} raises {name} at {service}"), Duration::from_secs(20), async || {
            lab.firing_alerts().await.unwrap().contains(&(name.to_owned(), service.to_owned()))
        })
        .await;
        let call = Call::to(&lab, fault.service().unwrap());
        match fault {
            Fault::BadConfig => {
                let previous = call.get("/admin/config/previous").await.body;
                call.put("/admin/config", &previous).await;
            }
            Fault::PoolExhausted => {
                call.put("/admin/workers", &json!({"workers": 16})).await;
            }
            Fault::QuotaFull => {
                call.send(Method::DELETE, "/admin/storage/expired", String::new()).await.unwrap();
            }
            _ => {
                call.restart().await;
            }
        }
        until_quiet(&lab).await;
    }
}

/// The shop's noise for a minute and a half.
#[tokio::test]
#[ignore = "a minute and a half; run it after changing a rule, a threshold or the noise"]
async fn noise_alone_raises_nothing() {
    let lab = Lab::start(LabOptions::default()).await.unwrap();
    lab.inject(Fault::None).await.unwrap();
    tokio::time::sleep(Duration::from_secs(90)).await;
    let ever = lab.query(r#"count(max_over_time(ALERTS{alertstate="firing"}[2m]))"#).await.unwrap();
    assert_eq!(ever, None, "{:?}", lab.firing_alerts().await);
}
