//! What probe_endpoint finds, and when it must not claim to have found anything.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may be blunt"
)]

use medic_sdk::types::{Output, ToolErrorKind};
use medic_sdk::{ToolResult, Value, json};
use medic_sdk_testkit::{Answer, Failure, Function, ScriptedHost};
use plugin_probe_endpoint::probe_endpoint;

fn probe(host: &ScriptedHost) -> ToolResult<Output> {
    host.diagnostic::<probe_endpoint>(json!({ "endpoint": "store-admin" }))
}

fn connects() -> ScriptedHost {
    ScriptedHost::new().probe("store-admin", true, 350, "connected")
}

fn check(host: &ScriptedHost, finding: &str) {
    let output = probe(host).unwrap();
    let data: Value = medic_sdk::serde_json::from_str(output.data_json.as_deref().unwrap()).unwrap();
    assert_eq!(data["finding"], finding, "{}", output.summary);
}

#[test]
fn each_state_of_an_endpoint_has_its_finding() {
    let healthy = json!({ "status": "ok", "service": "store", "serving": true });
    let closed = json!({ "status": "ok", "service": "store", "serving": false });
    check(&connects().http("store-admin", "/admin/health", 200, healthy), "serving");
    check(&connects().http("store-admin", "/admin/health", 200, closed), "not_serving");
    check(&connects().http("store-admin", "/admin/health", 503, json!({})), "failing");
    check(&connects().on(Function::HttpRead, "", Answer::Fail(Failure::Timeout)), "silent");
    check(&ScriptedHost::new().probe("store-admin", false, 90, "connection refused"), "unreachable");
}

#[test]
fn nothing_is_asked_of_what_does_not_connect() {
    let host = ScriptedHost::new().probe("store-admin", false, 90, "connection refused");
    assert_eq!(probe(&host).unwrap().summary, "store-admin: accepts no connection (connection refused)");
    assert_eq!(host.calls_of(Function::HttpRead), Vec::<String>::new());
}

#[test]
fn a_refusal_is_never_a_finding_and_garbage_neither() {
    let host = connects().http("store-admin", "/admin/health", 200, json!({ "serving": true }));
    for (function, failure, result) in host.each_failure(probe) {
        let expected = match (function, failure) {
            // A process that accepts and does not answer is what this tool is there to find.
            (Function::HttpRead, Failure::Timeout) => {
                assert!(result.unwrap().summary.contains("does not answer"));
                continue;
            }
            (_, Failure::Denied) => ToolErrorKind::Denied,
            (_, Failure::Timeout) => ToolErrorKind::Timeout,
            (_, Failure::Garbage) => ToolErrorKind::Upstream,
        };
        assert_eq!(result.unwrap_err().kind, expected, "{function} {failure:?}");
    }
}

#[test]
fn a_health_document_without_the_answer_is_no_answer() {
    let host = connects().http("store-admin", "/admin/health", 200, json!({ "status": "ok" }));
    assert_eq!(probe(&host).unwrap_err().code, "HTTP_NOT_JSON");
}
