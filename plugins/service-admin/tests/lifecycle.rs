//! Each remedy from plan to verdict and back, and everything that must stop it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may be blunt"
)]

use medic_sdk::types::{ChangePlan, Health, ToolErrorKind};
use medic_sdk::{Remediation, Value, json};
use medic_sdk_testkit::{Failure, Function, ScriptedHost};
use plugin_service_admin::{RestartService, RollbackConfig, ScaleWorkers};

const ADMIN: &str = "checkout-admin";

/// A service that serves and whose checks all hold.
fn healthy() -> ScriptedHost {
    ScriptedHost::new()
        .http(ADMIN, "/admin/health", 200, json!({ "status": "ok", "serving": true }))
        .value("bool", 1.0)
        .accepting_changes()
}

fn with_workers(answers: &[u32]) -> ScriptedHost {
    healthy().http_each(
        ADMIN,
        "/admin/workers",
        answers.iter().map(|count| (200, json!({ "workers": count }))),
    )
}

fn bad() -> Value {
    json!({ "payment_timeout_ms": 1, "retries": 2 })
}

fn good() -> Value {
    json!({ "payment_timeout_ms": 800, "retries": 2 })
}

/// A service that answers with these configurations, one after the other.
fn with_config(answers: &[Value]) -> ScriptedHost {
    healthy().http_each(ADMIN, "/admin/config", answers.iter().map(|config| (200, config.clone()))).http(
        ADMIN,
        "/admin/config/previous",
        200,
        good(),
    )
}

fn scale() -> Value {
    json!({ "service": "checkout", "workers": 16 })
}

fn checkout() -> Value {
    json!({ "service": "checkout" })
}

#[test]
fn workers_are_scaled_and_scaled_back() {
    let host = with_workers(&[8, 8, 16]);
    let run = host.remediation::<ScaleWorkers>();
    let plan = run.plan(scale()).unwrap();
    let step = &plan.steps[0];
    assert_eq!((step.id, step.summary.as_str()), (1, "scale checkout from 8 to 16 workers"));
    assert_eq!((step.target.cluster.as_str(), step.target.api_version.as_str()), (ADMIN, "http"));
    assert_eq!((step.target.kind.as_str(), step.target.name.as_str()), ("PUT", "/admin/workers"));
    assert_eq!(step.target.namespace, None);
    assert_eq!(plan.checks.len(), 4);
    let saved = run.capture(&plan).unwrap();
    assert_eq!(host.changes(), [], "neither plan nor capture changes anything");

    let report = run.apply(&plan, 1).unwrap();
    assert_eq!(run.verify(&plan, &[report]).unwrap().health, Health::Healthy);
    run.revert(&plan, 1, &saved).unwrap();
    assert_eq!(
        host.calls_of(Function::HttpChange),
        [
            r#"PUT checkout-admin /admin/workers {"workers":16}"#,
            r#"PUT checkout-admin /admin/workers {"workers":8}"#
        ]
    );
}

#[test]
fn a_configuration_is_rolled_back_and_forth() {
    let host = with_config(&[bad(), bad(), good()]);
    let run = host.remediation::<RollbackConfig>();
    let plan = run.plan(checkout()).unwrap();
    assert_eq!(plan.rationale, "The last configuration change of checkout touched payment_timeout_ms.");
    assert_eq!(plan.steps[0].params::<Value>().unwrap(), good(), "the approval covers the whole document");
    let saved = run.capture(&plan).unwrap();
    let report = run.apply(&plan, 1).unwrap();
    assert_eq!(run.verify(&plan, &[report]).unwrap().health, Health::Healthy);
    run.revert(&plan, 1, &saved).unwrap();
    assert_eq!(
        host.calls_of(Function::HttpChange),
        [
            format!("PUT checkout-admin /admin/config {}", good()),
            format!("PUT checkout-admin /admin/config {}", bad())
        ]
    );
}

#[test]
fn a_restart_asks_for_proof_of_a_new_process_and_has_nothing_to_undo() {
    let host = healthy();
    let run = host.remediation::<RestartService>();
    let plan = run.plan(checkout()).unwrap();
    assert!(
        plan.checks.iter().any(|check| check.contains("process_start_time_seconds")),
        "{:?}",
        plan.checks
    );
    assert_eq!(run.capture(&plan).unwrap(), []);
    let report = run.apply(&plan, 1).unwrap();
    assert_eq!(run.verify(&plan, &[report]).unwrap().health, Health::Healthy);
    let undone = run.revert(&plan, 1, &[]).unwrap();
    assert!(undone.receipts.is_empty() && undone.notes.contains("nothing"), "{undone:?}");
    assert_eq!(host.calls_of(Function::HttpChange), ["POST checkout-admin /admin/restart"]);
}

#[test]
fn a_plan_made_twice_is_the_same_plan() {
    let host = with_config(&[bad()]);
    let run = host.remediation::<RollbackConfig>();
    assert_eq!(run.plan(checkout()).unwrap(), run.plan(checkout()).unwrap());
    assert_eq!(
        run.plan(checkout()).map(|plan| run.capture(&plan)),
        run.plan(checkout()).map(|plan| run.capture(&plan))
    );
}

#[test]
fn what_would_change_nothing_is_not_planned() {
    let plan = |host: ScriptedHost| host.remediation::<RollbackConfig>().plan(checkout()).unwrap_err().code;
    assert_eq!(plan(with_config(&[good()])), "NOTHING_TO_ROLL_BACK");
    let first = healthy().http(ADMIN, "/admin/config", 200, bad()).http(
        ADMIN,
        "/admin/config/previous",
        404,
        json!({}),
    );
    assert_eq!(plan(first), "NO_PREVIOUS_CONFIG");
    assert_eq!(
        with_workers(&[16]).remediation::<ScaleWorkers>().plan(scale()).unwrap_err().code,
        "ALREADY_SCALED"
    );
}

#[test]
fn a_remedy_that_did_not_help_is_degraded() {
    let unhelped = ScriptedHost::new().no_series("up{").value("bool", 1.0);
    let closed =
        ScriptedHost::new().http(ADMIN, "/admin/health", 200, json!({ "serving": false })).value("bool", 1.0);
    let failing = ScriptedHost::new().value("code=~", 0.0).value("bool", 1.0);
    for host in
        [unhelped, failing].map(|host| host.http(ADMIN, "/admin/health", 200, json!({ "serving": true })))
    {
        assert_eq!(verdict_of_restart(&host), Health::Degraded);
    }
    assert_eq!(verdict_of_restart(&closed), Health::Degraded);

    let host = with_workers(&[8, 9]);
    let run = host.remediation::<ScaleWorkers>();
    let plan = run.plan(scale()).unwrap();
    let verdict = run.verify(&plan, &[]).unwrap();
    assert_eq!(
        (verdict.health, verdict.evidence.as_str()),
        (Health::Degraded, "checkout has 9 workers, not 16")
    );

    let host = with_config(&[bad()]);
    let run = host.remediation::<RollbackConfig>();
    let plan = run.plan(checkout()).unwrap();
    assert_eq!(run.verify(&plan, &[]).unwrap().health, Health::Degraded);
}

fn verdict_of_restart(host: &ScriptedHost) -> Health {
    let run = host.remediation::<RestartService>();
    let plan = run.plan(checkout()).unwrap();
    run.verify(&plan, &[]).unwrap().health
}

#[test]
fn no_failure_of_the_host_ever_looks_healthy() {
    fn check<T: Remediation>(host: &ScriptedHost, args: Value) {
        let plan = host.changed_nothing(|host| host.remediation::<T>().plan(args.clone()).unwrap());
        for (function, failure, verdict) in
            host.each_failure(|host| host.remediation::<T>().verify(&plan, &[]))
        {
            match (failure, verdict) {
                (Failure::Denied, Err(error)) => assert_eq!(error.kind, ToolErrorKind::Denied),
                (Failure::Timeout, Ok(verdict)) => assert_eq!(verdict.health, Health::Unknown),
                // Samples that are no truth value do not hold; bodies that cannot be read tell nothing.
                (Failure::Garbage, Ok(verdict)) => assert_ne!(verdict.health, Health::Healthy),
                other => panic!("{} {function}: {other:?}", T::NAME),
            }
        }
    }
    check::<RestartService>(&healthy(), checkout());
    check::<ScaleWorkers>(&with_workers(&[8, 16]), scale());
    check::<RollbackConfig>(&with_config(&[bad(), good()]), checkout());
}

#[test]
fn every_other_failure_of_the_host_is_told() {
    let host = with_workers(&[8]);
    let plan = host.changed_nothing(|host| host.remediation::<ScaleWorkers>().plan(scale()).unwrap());
    let saved = host.changed_nothing(|host| host.remediation::<ScaleWorkers>().capture(&plan).unwrap());
    host.assert_fails_honestly(|host| host.remediation::<ScaleWorkers>().plan(scale()));
    host.assert_fails_honestly(|host| host.remediation::<ScaleWorkers>().capture(&plan));
    host.assert_fails_honestly(|host| host.remediation::<ScaleWorkers>().apply(&plan, 1));
    host.assert_fails_honestly(|host| host.remediation::<ScaleWorkers>().revert(&plan, 1, &saved));

    let host = with_config(&[bad()]);
    let plan = host.remediation::<RollbackConfig>().plan(checkout()).unwrap();
    host.assert_fails_honestly(|host| host.remediation::<RollbackConfig>().plan(checkout()));
    host.assert_fails_honestly(|host| host.remediation::<RollbackConfig>().capture(&plan));
    host.assert_fails_honestly(|host| host.remediation::<RollbackConfig>().apply(&plan, 1));
}

#[test]
fn nothing_is_put_back_that_was_not_saved() {
    let host = with_workers(&[8]);
    let run = host.remediation::<ScaleWorkers>();
    let plan = run.plan(scale()).unwrap();
    assert_eq!(run.revert(&plan, 1, &[]).unwrap_err().code, "SNAPSHOT_MISSING");
    let mut saved = run.capture(&plan).unwrap();
    saved[0].step_id = 2;
    assert_eq!(run.revert(&plan, 1, &saved).unwrap_err().code, "SNAPSHOT_MISSING");
    assert_eq!(host.changes(), []);
}

#[test]
fn one_grant_is_one_operation() {
    let host = with_workers(&[8]).budget(0);
    let run = host.remediation::<ScaleWorkers>();
    let plan = run.plan(scale()).unwrap();
    assert_eq!(run.apply(&plan, 1).unwrap_err().code, "BUDGET_USED_UP");
}

#[test]
fn arguments_outside_the_schema_reach_no_host() {
    let host = with_workers(&[8]);
    for args in [
        json!({ "service": "checkout", "workers": 0 }),
        json!({ "service": "checkout", "workers": 65 }),
        json!({ "service": "checkout", "workers": "16" }),
        json!({ "service": "../store", "workers": 16 }),
        json!({ "service": "checkout" }),
        json!({ "service": "checkout", "workers": 16, "force": true }),
    ] {
        let error = host.remediation::<ScaleWorkers>().plan(args.clone()).unwrap_err();
        assert_eq!(error.code, "INVALID_ARGS", "{args}");
    }
    assert_eq!(host.calls(), []);
}

#[test]
fn a_plan_with_bent_arguments_or_steps_is_not_carried_out() {
    let host = with_workers(&[8]);
    let run = host.remediation::<ScaleWorkers>();
    let plan = run.plan(scale()).unwrap();
    let bent = ChangePlan { args_json: r#"{"service":"checkout","workers":999}"#.to_owned(), ..plan.clone() };
    assert_eq!(run.apply(&bent, 1).unwrap_err().code, "INVALID_ARGS");
    assert_eq!(run.apply(&plan, 2).unwrap_err().code, "UNKNOWN_STEP");
    assert_eq!(host.changes(), []);
}
