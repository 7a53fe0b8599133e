//! What error_ratio answers, and what it refuses to answer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may be blunt"
)]

use medic_sdk::{ToolError, json};
use medic_sdk_testkit::{Function, ScriptedHost};
use plugin_error_ratio::error_ratio;

const FAILED: &str = "code=~";
const ALL: &str = "{service=\"checkout\"}";

fn ask(host: &ScriptedHost) -> Result<(String, String), ToolError> {
    let output = host.query::<error_ratio>(json!({ "service": "checkout" }))?;
    Ok((output.summary, output.data_json.unwrap_or_default()))
}

#[test]
fn the_ratio_is_failed_over_all() {
    let host = ScriptedHost::new().value(FAILED, 1.5).value(ALL, 30.0);
    let (summary, data) = ask(&host).unwrap();
    assert_eq!(summary, "5.00 % of 30.0 requests/s to checkout failed over 5m");
    assert_eq!(data, r#"{"failed_per_s":1.5,"ratio":0.05,"requests_per_s":30.0}"#);
    assert_eq!(
        host.calls_of(Function::MetricsQueryMany),
        [
            r#"sum(rate(http_requests_total{service="checkout",code=~"5.."}[5m]))"#,
            r#"sum(rate(http_requests_total{service="checkout"}[5m]))"#,
        ]
    );
}

#[test]
fn no_failure_is_not_the_same_as_no_service() {
    let healthy = ScriptedHost::new().no_series(FAILED).value(ALL, 30.0);
    assert!(ask(&healthy).unwrap().0.starts_with("0.00 %"));
    let idle = ScriptedHost::new().no_series(FAILED).value(ALL, 0.0);
    assert!(ask(&idle).unwrap().0.starts_with("0.00 % of 0.0"));
    let unknown = ScriptedHost::new().no_series(FAILED).no_series(ALL);
    assert_eq!(ask(&unknown).unwrap_err().code, "NO_DATA");
}

#[test]
fn rates_that_contradict_each_other_are_no_answer() {
    let host = ScriptedHost::new().value(FAILED, 31.0).value(ALL, 30.0);
    assert_eq!(ask(&host).unwrap_err().code, "RATES_CONTRADICT");
}

#[test]
fn every_failure_of_the_host_is_told() {
    ScriptedHost::new().value(FAILED, 1.0).value(ALL, 30.0).assert_fails_honestly(ask);
}

#[test]
fn arguments_outside_the_schema_reach_no_host() {
    let host = ScriptedHost::new();
    for args in [
        json!({}),
        json!({ "service": 5 }),
        json!({ "service": "checkout", "window": "5m])) or vector(1" }),
        json!({ "service": "checkout", "windw": "5m" }),
        json!({ "service": "x".repeat(129) }),
        json!([]),
    ] {
        assert_eq!(host.query::<error_ratio>(args.clone()).unwrap_err().code, "INVALID_ARGS", "{args}");
    }
    assert_eq!(host.calls(), []);
}

#[test]
fn a_service_name_cannot_leave_its_quotes() {
    let host = ScriptedHost::new();
    let _ = host.query::<error_ratio>(json!({ "service": "a\"} or vector(1) #" }));
    assert!(host.calls()[0].detail.contains(r#"{service="a\"} or vector(1) #","#), "{:?}", host.calls());
}
