//! Each remedy from plan to verdict and back, and everything that must stop it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may be blunt"
)]

use medic_sdk::json;
use medic_sdk::types::{Health, ToolErrorKind};
use medic_sdk_testkit::{Failure, Function, ScriptedHost};
use plugin_http_admin::{CallAdminEndpoint, ToggleFeatureFlag};

fn flags(states: &[bool]) -> ScriptedHost {
    let answers = states.iter().map(|state| (200, json!({ "enabled": state, "owner": "shop" })));
    ScriptedHost::new().http_each("flags", "/v1/flags/fast", answers).accepting_changes()
}

#[test]
fn a_flag_is_turned_and_turned_back_and_keeps_what_else_it_has() {
    let host = flags(&[true, true, false]);
    let run = host.remediation::<ToggleFeatureFlag>();
    let args = json!({ "endpoint": "flags", "flag": "fast", "enabled": false });
    let plan = run.plan(args.clone()).unwrap();
    assert_eq!(plan.steps[0].summary, "turn fast off at flags");
    let saved = run.capture(&plan).unwrap();
    run.apply(&plan, 1).unwrap();
    assert_eq!(run.verify(&plan, &[]).unwrap().health, Health::Healthy);
    run.revert(&plan, 1, &saved).unwrap();
    assert_eq!(
        host.calls_of(Function::HttpChange),
        [
            r#"PUT flags /v1/flags/fast {"enabled":false,"owner":"shop"}"#,
            r#"PUT flags /v1/flags/fast {"enabled":true,"owner":"shop"}"#
        ]
    );
    assert_eq!(run.plan(args).unwrap_err().code, "ALREADY_SO");
    let odd = ScriptedHost::new().http("flags", "/v1/flags/fast", 200, json!({ "enabled": "yes" }));
    let args = json!({ "endpoint": "flags", "flag": "fast", "enabled": false });
    assert_eq!(odd.remediation::<ToggleFeatureFlag>().plan(args).unwrap_err().code, "FLAG_MALFORMED");
}

#[test]
fn the_whole_call_is_in_the_plan() {
    let host = ScriptedHost::new().http("admin", "/cache", 200, json!({ "size": 1 })).accepting_changes();
    let run = host.remediation::<CallAdminEndpoint>();
    let put = json!({ "endpoint": "admin", "method": "put", "path": "/cache", "body": "{\"size\":0}" });
    let plan = run.plan(put).unwrap();
    assert_eq!(plan.steps[0].summary, r#"PUT /cache of admin with {"size":0}"#);
    let saved = run.capture(&plan).unwrap();
    run.apply(&plan, 1).unwrap();
    run.revert(&plan, 1, &saved).unwrap();
    assert_eq!(
        host.calls_of(Function::HttpChange),
        [r#"PUT admin /cache {"size":0}"#, r#"PUT admin /cache {"size":1}"#]
    );

    let post = run.plan(json!({ "endpoint": "admin", "method": "post", "path": "/flush" })).unwrap();
    assert_eq!(run.capture(&post).unwrap(), []);
    assert!(run.revert(&post, 1, &[]).unwrap().receipts.is_empty());
    assert_eq!(run.verify(&post, &[]).unwrap().health, Health::Unknown);
    let bad = json!({ "endpoint": "admin", "method": "put", "path": "/cache", "body": "{" });
    assert_eq!(run.plan(bad).unwrap_err().kind, ToolErrorKind::InvalidArgs);
}

#[test]
fn no_failure_of_the_host_ever_looks_healthy() {
    let args = json!({ "endpoint": "flags", "flag": "fast", "enabled": false });
    let host = flags(&[true]);
    host.assert_fails_honestly(|host| host.remediation::<ToggleFeatureFlag>().plan(args.clone()));
    let plan =
        host.changed_nothing(|host| host.remediation::<ToggleFeatureFlag>().plan(args.clone()).unwrap());
    host.assert_fails_honestly(|host| host.remediation::<ToggleFeatureFlag>().capture(&plan));
    host.assert_fails_honestly(|host| host.remediation::<ToggleFeatureFlag>().apply(&plan, 1));
    for (_, failure, verdict) in
        host.each_failure(|host| host.remediation::<ToggleFeatureFlag>().verify(&plan, &[]))
    {
        assert_eq!(failure == Failure::Denied, verdict.is_err());
        assert!(verdict.is_err() || verdict.unwrap().health == Health::Unknown);
    }
}
