//! What is reached over the network: names, certificates, flags.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use medic_ports::tools::{RevertOutcome, StepOutcome};
use medic_tools::{Notes, Rig};
use serde_json::json;

use crate::support::code;

type Flag = Arc<Mutex<String>>;

/// A server with one flag; its address.
async fn flags() -> (Flag, String) {
    let flag: Flag = Arc::new(Mutex::new(r#"{"enabled":true}"#.to_owned()));
    let read = async |State(flag): State<Flag>| flag.lock().unwrap().clone();
    let write = async |State(flag): State<Flag>, body: String| *flag.lock().unwrap() = body;
    let app = Router::new().route("/v1/flags/fast", get(read).put(write)).with_state(flag.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (flag, base)
}

async fn rig(plugin: &str, base: &str, paths: &str) -> Rig {
    let endpoint = format!("[endpoint.flags]\nbase = \"{base}\"\nprivate = true");
    let allow = format!(
        "[[plugin.{plugin}.http.allow]]\nendpoints = [\"flags\"]\nmethods = [\"GET\", \"PUT\"]\npaths = [\"{paths}\"]\nundo = \"put-back\""
    );
    Rig::new().toml(&endpoint).plugin(plugin, &allow).open().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_is_turned_and_turned_back() {
    let (flag, base) = flags().await;
    let rig = rig("http-admin", &base, "/v1/flags/{name}").await;
    let args = json!({ "endpoint": "flags", "flag": "fast", "enabled": false });
    let changed = rig.prepare("toggle_feature_flag", &args).await.unwrap();
    let notes = Arc::new(Notes::default());
    assert!(matches!(rig.apply(&changed, &notes).await, StepOutcome::Applied(_)));
    assert_eq!(*flag.lock().unwrap(), r#"{"enabled":false}"#);
    assert!(matches!(rig.revert(&changed, &notes).await, RevertOutcome::Reverted(_)));
    assert_eq!(*flag.lock().unwrap(), r#"{"enabled":true}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_call_goes_no_further_than_its_grant() {
    let (flag, base) = flags().await;
    let rig = rig("http-admin", &base, "/v1/flags/{name}").await;
    let call = |method: &str, path: &str| json!({ "endpoint": "flags", "method": method, "path": path, "body": "{\"enabled\":false}" });
    assert_eq!(
        code(rig.prepare("call_admin_endpoint", &call("post", "/v1/flags/fast")).await),
        "PATH_NOT_GRANTED"
    );
    assert_eq!(code(rig.prepare("call_admin_endpoint", &call("put", "/v1/users")).await), "PATH_NOT_GRANTED");
    assert_eq!(
        code(rig.prepare("call_admin_endpoint", &call("put", "/v1/flags/../users")).await),
        "PATH_MALFORMED"
    );
    let changed = rig.prepare("call_admin_endpoint", &call("put", "/v1/flags/fast")).await.unwrap();
    let notes = Arc::new(Notes::default());
    assert!(matches!(rig.apply(&changed, &notes).await, StepOutcome::Applied(_)));
    assert_eq!(*flag.lock().unwrap(), r#"{"enabled":false}"#);
    assert!(matches!(rig.revert(&changed, &notes).await, RevertOutcome::Reverted(_)));
    assert_eq!(*flag.lock().unwrap(), r#"{"enabled":true}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_certificates_are_looked_at() {
    let (_, base) = flags().await;
    let rig = rig("network", &base, "/").await;
    let found = rig.ask("dns_lookup", &json!({ "name": "flags" })).await.unwrap();
    assert_eq!(found.summary, "flags resolves to 127.0.0.1");
    assert_eq!(code(rig.ask("dns_lookup", &json!({ "name": "data.example" })).await), "HOST_NOT_GRANTED");
    let plain = rig.ask("check_certificate", &json!({ "endpoint": "flags" })).await.unwrap();
    assert!(plain.summary.starts_with("flags: no handshake: "), "{}", plain.summary);
    assert_eq!(
        code(rig.ask("check_certificate", &json!({ "endpoint": "bank" })).await),
        "ENDPOINT_NOT_GRANTED"
    );
}
