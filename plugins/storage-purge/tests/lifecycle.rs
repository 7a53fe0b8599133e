//! A purge from plan to verdict, and everything that must stop it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may be blunt"
)]

use medic_sdk::types::Health;
use medic_sdk::{Value, json};
use medic_sdk_testkit::{Function, ScriptedHost};
use plugin_storage_purge::PurgeExpired;

const MIB: u64 = 1024 * 1024;

fn storage(used_mib: u64, expired_mib: u64) -> Value {
    json!({ "used_bytes": used_mib * MIB, "quota_bytes": 64 * MIB, "expired_bytes": expired_mib * MIB })
}

fn host(answers: &[Value]) -> ScriptedHost {
    ScriptedHost::new()
        .http_each("store-admin", "/admin/storage", answers.iter().map(|body| (200, body.clone())))
        .accepting_changes()
}

fn args() -> Value {
    json!({ "service": "store" })
}

#[test]
fn a_full_storage_is_purged_and_seen_to_be_smaller() {
    let host = host(&[storage(64, 48), storage(64, 48), storage(16, 0)]);
    let run = host.destructive::<PurgeExpired>();
    let plan = run.plan(args()).unwrap();
    assert_eq!(
        plan.rationale,
        "store's storage is 100 % full of 64.0 MiB, 48.0 MiB of it expired; only expired data is deleted."
    );
    assert_eq!(
        plan.checks,
        [r#"max(storage_used_bytes{service="store"} / storage_quota_bytes{service="store"}) < bool 0.9"#]
    );
    assert_eq!(host.changes(), [], "a plan changes nothing");

    let saved = run.capture(&plan).unwrap();
    assert_eq!((saved[0].key.as_str(), saved[0].data.as_slice()), ("quota_bytes", "67108864".as_bytes()));

    let report = run.apply(&plan, 1).unwrap();
    assert_eq!(report.receipts.len(), 1);
    assert_eq!(host.calls_of(Function::HttpDelete), ["DELETE store-admin /admin/storage/expired"]);
    assert_eq!(run.verify(&plan, &[report]).unwrap().health, Health::Healthy);
}

#[test]
fn what_is_saved_does_not_move_with_the_storage() {
    let host = host(&[storage(64, 48), storage(63, 48), storage(62, 47)]);
    let run = host.destructive::<PurgeExpired>();
    let plan = run.plan(args()).unwrap();
    assert_eq!(run.capture(&plan).unwrap(), run.capture(&plan).unwrap());
}

#[test]
fn without_expired_data_nothing_is_planned() {
    let error = host(&[storage(64, 0)]).destructive::<PurgeExpired>().plan(args()).unwrap_err();
    assert_eq!(error.code, "NOTHING_EXPIRED");
}

#[test]
fn a_storage_still_full_is_not_healthy() {
    let host = host(&[storage(64, 1), storage(63, 0)]);
    let run = host.destructive::<PurgeExpired>();
    let plan = run.plan(args()).unwrap();
    assert_eq!(run.verify(&plan, &[]).unwrap().health, Health::Degraded);
}

#[test]
fn figures_that_contradict_each_other_stop_it() {
    for body in [storage(1, 2), json!({ "used_bytes": 0, "quota_bytes": 0, "expired_bytes": 0 })] {
        let error = host(&[body]).destructive::<PurgeExpired>().plan(args()).unwrap_err();
        assert_eq!(error.code, "STORAGE_CONTRADICTS");
    }
}

#[test]
fn every_failure_of_the_host_is_told() {
    let host = host(&[storage(64, 48)]);
    let plan = host.destructive::<PurgeExpired>().plan(args()).unwrap();
    host.assert_fails_honestly(|host| host.destructive::<PurgeExpired>().plan(args()));
    host.assert_fails_honestly(|host| host.destructive::<PurgeExpired>().capture(&plan));
    host.assert_fails_honestly(|host| host.destructive::<PurgeExpired>().apply(&plan, 1));
    host.assert_fails_honestly(|host| host.destructive::<PurgeExpired>().verify(&plan, &[]));
}

#[test]
fn a_grant_that_is_used_up_stops_it() {
    let host = host(&[storage(64, 48)]).budget(0);
    let plan = host.destructive::<PurgeExpired>().plan(args()).unwrap();
    let error = host.destructive::<PurgeExpired>().apply(&plan, 1).unwrap_err();
    assert_eq!(error.code, "BUDGET_USED_UP");
}

#[test]
fn a_plan_bent_to_another_target_is_not_carried_out() {
    let host = host(&[storage(64, 48)]);
    let mut plan = host.destructive::<PurgeExpired>().plan(args()).unwrap();
    plan.steps[0].target.kind = "PUT".to_owned();
    assert_eq!(host.destructive::<PurgeExpired>().apply(&plan, 1).unwrap_err().code, "NOT_AN_HTTP_DELETION");
    assert_eq!(host.destructive::<PurgeExpired>().apply(&plan, 7).unwrap_err().code, "UNKNOWN_STEP");
    assert_eq!(host.changes(), []);
}
