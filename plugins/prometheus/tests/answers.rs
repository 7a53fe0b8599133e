//! What each tool makes of a metrics server's answers, and what it makes of bad ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may be blunt"
)]

use medic_sdk::types::{Attr, Sample, Series};
use medic_sdk::{Value, json};
use medic_sdk_testkit::{Answer, Function, ScriptedHost};
use plugin_prometheus::{compare_windows, query_metrics};

const NOW_MS: u64 = 1_700_000_000_000;

fn series(service: &str, values: &[f64]) -> Series {
    let samples = values.iter().map(|value| Sample { at_ms: NOW_MS, value: *value }).collect();
    Series { labels: vec![Attr { name: "service".into(), value: service.into() }], samples }
}

fn data(output: &medic_sdk::Output) -> Value {
    medic_sdk::serde_json::from_str(output.data_json.as_deref().unwrap()).unwrap()
}

#[test]
fn the_largest_series_comes_first_and_what_is_no_number_is_counted() {
    let answer = Answer::Series(vec![
        series("a", &[1.0]),
        series("b", &[f64::NAN]),
        series("c", &[f64::INFINITY]),
        series("d", &[7.5]),
    ]);
    let host = ScriptedHost::new().on(Function::MetricsQuery, "rate", answer).at_ms(NOW_MS);
    let args = json!({ "query": "rate(x[5m])" });
    let output = host.query::<query_metrics>(args.clone()).unwrap();
    assert_eq!(output.summary, r#"3 series: {service="c"} inf; {service="d"} 7.5; {service="a"} 1"#);
    assert_eq!(data(&output)["not_numbers"], 1);
    assert_eq!(data(&output)["series"][0]["value"], "inf");
    host.assert_fails_honestly(|host| host.query::<query_metrics>(args.clone()));
    let none = ScriptedHost::new().no_series("");
    assert_eq!(none.query::<query_metrics>(args).unwrap().summary, "no series matches");
    assert_eq!(none.query::<query_metrics>(json!({ "query": " " })).unwrap_err().code, "INVALID_ARGS");
}

#[test]
fn the_most_changed_series_comes_first() {
    let later =
        Answer::Series(vec![series("a", &[10.0, 10.0]), series("b", &[5.0, 15.0]), series("new", &[1.0])]);
    let earlier =
        Answer::Series(vec![series("a", &[9.0, 9.0]), series("b", &[1.0, 1.0]), series("nan", &[f64::NAN])]);
    let host = ScriptedHost::new().on_each(Function::MetricsQueryRange, "x", [later, earlier]).at_ms(NOW_MS);
    let output =
        host.query::<compare_windows>(json!({ "query": "x", "window": "10m", "before": "1d" })).unwrap();
    assert_eq!(output.summary, r#"3 series; most changed: {service="new"} is new, with 1.0000"#);
    let names: Vec<Value> =
        data(&output)["series"].as_array().unwrap().iter().map(|series| series["series"].clone()).collect();
    assert_eq!(names, [r#"{service="new"}"#, r#"{service="b"}"#, r#"{service="a"}"#]);
    assert_eq!(data(&output)["series"][1]["later"], json!({ "mean": 10.0, "peak": 15.0 }));
    let calls = host.calls_of(Function::MetricsQueryRange);
    let day = 24 * 3600 * 1000;
    assert_eq!(calls[0], format!("x [{}..{NOW_MS}]/10000", NOW_MS - 600_000));
    assert_eq!(calls[1], format!("x [{}..{}]/10000", NOW_MS - day - 600_000, NOW_MS - day));
    host.assert_fails_honestly(|host| host.query::<compare_windows>(json!({ "query": "x" })));
}
