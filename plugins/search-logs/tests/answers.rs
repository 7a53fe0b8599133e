//! What search_logs answers, and what it refuses to answer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may be blunt"
)]

use medic_sdk::types::LogEntry;
use medic_sdk::{Value, json};
use medic_sdk_testkit::{Answer, Failure, Function, ScriptedHost};
use plugin_search_logs::search_logs;

const NOW_MS: u64 = 1_700_000_000_000;

fn host_with(lines: usize) -> ScriptedHost {
    let entry = |index: usize| LogEntry {
        at_ms: NOW_MS - 1 - index as u64,
        labels: vec![],
        line: format!("timeout {index}"),
    };
    ScriptedHost::new().at_ms(NOW_MS).on(
        Function::LogsSearch,
        "timeout",
        Answer::Entries((0..lines).map(entry).collect()),
    )
}

#[test]
fn the_last_minutes_are_searched() {
    let host = host_with(2);
    let output = host.query::<search_logs>(json!({ "query": "timeout", "minutes": 10 })).unwrap();
    assert_eq!(output.summary, "2 lines match in the last 10 min; the newest: timeout 0");
    assert_eq!(
        host.calls_of(Function::LogsSearch),
        [format!("timeout [{}..{NOW_MS}] 1000", NOW_MS - 600_000)]
    );
    let data: Value = medic_sdk::serde_json::from_str(&output.data_json.unwrap()).unwrap();
    assert_eq!((&data["total"], &data["lines"][1]["line"]), (&json!(2), &json!("timeout 1")));
    assert_eq!(host.artifacts(), []);
}

#[test]
fn many_lines_go_to_an_artifact() {
    let host = host_with(51);
    let output = host.query::<search_logs>(json!({ "query": "timeout" })).unwrap();
    assert_eq!(output.artifacts, ["artifact:lines.txt"]);
    assert_eq!(String::from_utf8_lossy(&host.artifacts()[0].1).lines().count(), 51);
    let denied = host.failing(Function::ArtifactsPut, Failure::Denied);
    assert_eq!(denied.query::<search_logs>(json!({ "query": "timeout" })).unwrap_err().code, "NOT_GRANTED");
}

#[test]
fn no_line_is_an_answer() {
    let output = host_with(0).query::<search_logs>(json!({ "query": "timeout" })).unwrap();
    assert_eq!(output.summary, "no line matches in the last 15 min");
}

#[test]
fn every_failure_of_the_host_is_told() {
    host_with(1).assert_fails_honestly(|host| host.query::<search_logs>(json!({ "query": "timeout" })));
}

#[test]
fn arguments_outside_the_schema_reach_no_host() {
    let host = host_with(1);
    for args in [
        json!({ "query": " " }),
        json!({ "query": "timeout", "minutes": 0 }),
        json!({ "query": "timeout", "minutes": 1441 }),
        json!({ "query": "timeout", "minutes": 1.5 }),
        json!({ "minutes": 5 }),
    ] {
        assert_eq!(host.query::<search_logs>(args.clone()).unwrap_err().code, "INVALID_ARGS", "{args}");
    }
    assert_eq!(host.calls(), []);
}
