//! The admin API: who may, what is refused, and that a key's call is carried out once.

use crate::{Call, shop, until};
use medic_lab::Service;
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn everything_but_metrics_wants_the_token() {
    let lab = shop().await;
    let client = reqwest::Client::new();
    let store = lab.admin_url(Service::Store);
    for (method, path) in [
        (Method::GET, "/admin/health"),
        (Method::GET, "/admin/config"),
        (Method::PUT, "/admin/config"),
        (Method::GET, "/admin/config/previous"),
        (Method::PUT, "/admin/workers"),
        (Method::POST, "/admin/restart"),
        (Method::GET, "/admin/storage"),
        (Method::DELETE, "/admin/storage/expired"),
        (Method::GET, "/admin/operations"),
        (Method::GET, "/admin/operations/k"),
        (Method::POST, "/lab/fault"),
    ] {
        for token in [None, Some(""), Some("wrong"), Some(&lab.admin_token()[1..])] {
            let mut request = client.request(method.clone(), format!("{store}{path}"));
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let status = request.send().await.unwrap().status();
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path} with {token:?}");
        }
    }
    assert_eq!(client.get(format!("{store}/metrics")).send().await.unwrap().status(), StatusCode::OK);
    assert!(lab.operations(Service::Store).await.unwrap().is_empty());
    assert_eq!(lab.restarts(Service::Store).unwrap(), 0);
}

#[tokio::test]
async fn what_is_read_can_be_put_back_and_history_leads_to_it() {
    let lab = shop().await;
    let checkout = Call::to(&lab, Service::Checkout);
    assert_eq!(checkout.get("/admin/config/previous").await.status, StatusCode::NOT_FOUND);

    let before = checkout.get("/admin/config").await.body;
    let mut changed = before.clone();
    changed["queue_max"] = json!(40);
    assert_eq!(checkout.put("/admin/config", &changed).await.body, json!({"config_revision": 2}));
    assert_eq!(checkout.get("/admin/config").await.body, changed);
    assert_eq!(checkout.get("/admin/config/previous").await.body, before);
    assert_eq!(checkout.put("/admin/config", &before).await.body, json!({"config_revision": 3}));
    assert_eq!(checkout.get("/admin/config").await.body, before);
    assert_eq!(checkout.get("/admin/config/previous").await.body, changed);

    let workers = checkout.get("/admin/workers").await.body;
    checkout.put("/admin/workers", &json!({"workers": 9})).await;
    checkout.put("/admin/workers", &workers).await;
    assert_eq!(checkout.get("/admin/workers").await.body, json!({"workers": 3}));
}

#[tokio::test]
async fn a_refused_call_changes_nothing_and_leaves_its_key_free() {
    let lab = shop().await;
    let checkout = Call::to(&lab, Service::Checkout).key("k");
    let before = checkout.get("/admin/config").await.body;
    for (path, body) in [
        ("/admin/config", json!({})),
        ("/admin/config", json!({"release": "x"})),
        ("/admin/workers", json!({"workers": 0})),
        ("/admin/workers", json!({"workers": 65})),
        ("/admin/workers", json!({"workers": 4, "force": true})),
        ("/admin/workers", json!("four")),
    ] {
        let answer = checkout.put(path, &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path} {body}");
        assert!(answer.body["message"].as_str().is_some_and(|message| !message.is_empty()), "{answer:?}");
    }
    let storage = checkout.send(Method::DELETE, "/admin/storage/expired", String::new()).await.unwrap();
    assert_eq!(storage.status, StatusCode::NOT_FOUND, "only store has storage");
    assert_eq!(checkout.get("/admin/config").await.body, before);
    assert_eq!(checkout.get("/admin/operations/k").await.status, StatusCode::NOT_FOUND);
    assert_eq!(checkout.put("/admin/workers", &json!({"workers": 4})).await.status, StatusCode::OK);
    assert_eq!(checkout.get("/admin/operations/k").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_key_is_carried_out_once_and_its_answer_repeated() {
    let lab = shop().await;
    let checkout = Call::to(&lab, Service::Checkout);
    let mut config = checkout.get("/admin/config").await.body;
    config["release"] = json!("next");
    let first = Call::to(&lab, Service::Checkout).key("a/1").put("/admin/config", &config).await;
    assert_eq!((first.replayed, &first.body), (false, &json!({"config_revision": 2})));

    // Someone else changes it; the repeat must not change it back.
    config["release"] = json!("after");
    checkout.put("/admin/config", &config).await;
    config["release"] = json!("next");
    let again = Call::to(&lab, Service::Checkout).key("a/1").put("/admin/config", &config).await;
    assert_eq!((again.replayed, again.status, &again.body), (true, first.status, &first.body));
    assert_eq!(checkout.get("/admin/config").await.body["release"], "after");

    config["release"] = json!("other");
    let reused = Call::to(&lab, Service::Checkout).key("a/1").put("/admin/config", &config).await;
    assert_eq!((reused.status, &reused.body["code"]), (StatusCode::CONFLICT, &json!("KEY_REUSED")));

    let operations = lab.operations(Service::Checkout).await.unwrap();
    let seen: Vec<_> = operations.iter().map(|done| (done.key.as_deref(), done.replays)).collect();
    assert_eq!(seen, [(Some("a/1"), 1), (None, 0)]);
    let receipt = checkout.get("/admin/operations/a%2F1").await;
    assert_eq!(
        receipt.body,
        json!({
            "key": "a/1", "method": "PUT", "path": "/admin/config", "status": 200,
            "at_ms": operations[0].at_ms,
        })
    );
}

#[tokio::test]
async fn calls_that_race_under_one_key_are_one_call() {
    let lab = shop().await;
    let calls = (0..16).map(|_| async {
        Call::to(&lab, Service::Payments).key("race").put("/admin/workers", &json!({"workers": 20})).await
    });
    let answers = futures::future::join_all(calls).await;
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert!(answers.iter().all(|answer| answer.body == json!({"workers": 20})));
    assert_eq!(lab.operations(Service::Payments).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_restart_under_one_key_happens_once() {
    let lab = shop().await;
    let restart = || Call::to(&lab, Service::Store).key("restart-1");
    assert_eq!(restart().restart().await.status, StatusCode::ACCEPTED);
    let mut repeat = None;
    until("store answers the repeat", Duration::from_secs(10), async || {
        if lab.restarts(Service::Store).unwrap() == 0 {
            return false;
        }
        repeat = restart().send(Method::POST, "/admin/restart", String::new()).await.ok();
        repeat.is_some()
    })
    .await;
    let repeat = repeat.unwrap();
    assert_eq!(
        (repeat.status, repeat.replayed),
        (StatusCode::ACCEPTED, true),
        "remembered across the restart"
    );
    let pid = lab.pid(Service::Store).unwrap();
    // A restart takes effect within 50 ms; forty orders take longer.
    assert_eq!(lab.probe(40).await.sent, 40);
    assert_eq!((lab.restarts(Service::Store).unwrap(), lab.pid(Service::Store).unwrap()), (1, pid));
}
