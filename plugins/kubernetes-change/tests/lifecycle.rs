//! Each remedy from plan to verdict and back, and everything that must stop it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may be blunt"
)]

use medic_sdk::types::{Health, ToolErrorKind};
use medic_sdk::{Remediation, Value, json};
use medic_sdk_testkit::{Answer, Failure, Function, ScriptedHost};
use plugin_kubernetes_change::{
    CordonNode, RestartDeployment, RestartPod, RollbackDeployment, ScaleDeployment,
};

fn web(replicas: u64, available: u64) -> Value {
    json!({
        "metadata": { "name": "web", "uid": "u1", "generation": 1, "annotations": { "deployment.kubernetes.io/revision": "3" } },
        "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": "web" } },
                  "template": { "spec": { "containers": [{ "image": "web:3" }] } } },
        "status": { "observedGeneration": 1, "updatedReplicas": available, "availableReplicas": available },
    })
}

fn with(objects: &[Value]) -> ScriptedHost {
    let texts: Vec<Answer> = objects.iter().map(|object| Answer::Text(object.to_string())).collect();
    ScriptedHost::new().on_each(Function::KubernetesGet, " Deployment shop/web", texts).accepting_changes()
}

fn args(more: Value) -> Value {
    let mut args = json!({ "cluster": "prod", "namespace": "shop", "name": "web" });
    args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    args
}

#[test]
fn a_deployment_is_scaled_and_scaled_back() {
    let host = with(&[web(3, 3), web(3, 3), web(6, 6)]);
    let run = host.remediation::<ScaleDeployment>();
    let plan = run.plan(args(json!({ "replicas": 6 }))).unwrap();
    let step = &plan.steps[0];
    assert_eq!((step.operation.as_str(), step.params_json.as_str()), ("scale", r#"{"replicas":6}"#));
    assert_eq!(step.summary, "scale Deployment shop/web from 3 to 6 pods");
    let saved = run.capture(&plan).unwrap();
    assert_eq!(host.changes(), [], "neither plan nor capture changes anything");
    let report = run.apply(&plan, 1).unwrap();
    assert_eq!(run.verify(&plan, &[report]).unwrap().health, Health::Healthy);
    run.revert(&plan, 1, &saved).unwrap();
    assert_eq!(host.calls_of(Function::KubernetesScale), ["Deployment prod web 6", "Deployment prod web 3"]);
    let there = with(&[web(6, 6)]);
    assert_eq!(
        there.remediation::<ScaleDeployment>().plan(args(json!({ "replicas": 6 }))).unwrap_err().code,
        "ALREADY_SCALED"
    );
}

#[test]
fn a_restart_is_judged_by_its_rollout() {
    let verdict = |now: Value| {
        let host = with(&[web(3, 3), now]);
        let run = host.remediation::<RestartDeployment>();
        let plan = run.plan(args(json!({}))).unwrap();
        run.apply(&plan, 1).unwrap();
        assert_eq!(host.calls_of(Function::KubernetesRolloutRestart).len(), 1);
        run.verify(&plan, &[]).unwrap().health
    };
    assert_eq!(verdict(web(3, 3)), Health::Healthy);
    assert_eq!(verdict(web(3, 1)), Health::Unknown);
    let mut stuck = web(3, 1);
    stuck["status"]["conditions"] = json!([{ "type": "Progressing", "status": "False" }]);
    assert_eq!(verdict(stuck), Health::Degraded);

    let mut paused = web(3, 3);
    paused["spec"]["paused"] = json!(true);
    for (object, code) in [(paused, "ROLLOUT_PAUSED"), (web(0, 0), "NO_PODS")] {
        assert_eq!(
            with(&[object]).remediation::<RestartDeployment>().plan(args(json!({}))).unwrap_err().code,
            code
        );
    }
}

fn set(name: &str, owner: &str, revision: &str) -> Value {
    json!({ "metadata": { "name": name, "ownerReferences": [{ "uid": owner }], "annotations": { "deployment.kubernetes.io/revision": revision } },
            "spec": { "template": { "spec": { "containers": [{ "image": format!("web:{revision}") }] } } } })
}

#[test]
fn the_plan_of_a_rollback_names_the_revision() {
    let sets = [
        set("web-1", "u1", "1"),
        set("web-3", "u1", "3"),
        set("web-2", "u1", "2"),
        set("other-2", "u9", "2"),
    ];
    let host = with(&[web(3, 3)]).objects("ReplicaSet", "shop", &sets);
    let run = host.remediation::<RollbackDeployment>();
    let plan = run.plan(args(json!({}))).unwrap();
    assert_eq!(plan.steps[0].params_json, r#"{"to_revision":2}"#);
    assert_eq!(plan.steps[0].summary, "roll Deployment shop/web back to revision 2: from web:3 to web:2");
    run.apply(&plan, 1).unwrap();
    assert_eq!(host.calls_of(Function::KubernetesRolloutUndo), ["Deployment prod web Some(2)"]);
    assert_eq!(
        run.plan(args(json!({ "revision": 1 }))).unwrap().steps[0].params_json,
        r#"{"to_revision":1}"#
    );
    for revision in [3, 9] {
        assert_eq!(run.plan(args(json!({ "revision": revision }))).unwrap_err().code, "NO_REVISION");
    }
    let first = with(&[web(3, 3)]).objects("ReplicaSet", "shop", &[set("web-3", "u1", "3")]);
    assert_eq!(
        first.remediation::<RollbackDeployment>().plan(args(json!({}))).unwrap_err().code,
        "NO_REVISION"
    );
}

fn pod(controller: bool) -> Value {
    json!({ "metadata": { "name": "web-1", "ownerReferences": [{ "kind": "ReplicaSet", "name": "web", "controller": controller }] },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] } })
}

#[test]
fn only_a_pod_that_is_replaced_is_restarted() {
    let args = json!({ "cluster": "prod", "namespace": "shop", "pod": "web-1" });
    let host = ScriptedHost::new().object("Pod", Some("shop"), "web-1", &pod(true)).accepting_changes();
    let run = host.remediation::<RestartPod>();
    let plan = run.plan(args.clone()).unwrap();
    run.apply(&plan, 1).unwrap();
    assert_eq!(host.calls_of(Function::KubernetesRestartPod), ["Pod prod web-1"]);
    assert!(run.revert(&plan, 1, &[]).unwrap().receipts.is_empty());
    let bare = ScriptedHost::new().object("Pod", Some("shop"), "web-1", &pod(false));
    assert_eq!(bare.remediation::<RestartPod>().plan(args).unwrap_err().code, "NOT_REPLACED");
}

#[test]
fn a_node_is_cordoned_and_opened_again() {
    let node = |cordoned: bool| {
        Answer::Text(
            json!({ "metadata": { "name": "n1" }, "spec": { "unschedulable": cordoned } }).to_string(),
        )
    };
    let host = ScriptedHost::new()
        .on_each(Function::KubernetesGet, " Node -/n1", [node(false), node(false), node(true)])
        .accepting_changes();
    let run = host.remediation::<CordonNode>();
    let plan = run.plan(json!({ "cluster": "prod", "node": "n1" })).unwrap();
    let saved = run.capture(&plan).unwrap();
    run.apply(&plan, 1).unwrap();
    assert_eq!(run.verify(&plan, &[]).unwrap().health, Health::Healthy);
    run.revert(&plan, 1, &saved).unwrap();
    assert_eq!(host.calls_of(Function::KubernetesCordon), ["Node prod n1 true", "Node prod n1 false"]);
    assert_eq!(run.plan(json!({ "cluster": "prod", "node": "n1" })).unwrap_err().code, "ALREADY_SO");
}

#[test]
fn a_step_under_another_name_is_not_carried_out() {
    let host = with(&[web(3, 3)]);
    let run = host.remediation::<ScaleDeployment>();
    let mut plan = run.plan(args(json!({ "replicas": 6 }))).unwrap();
    plan.steps[0].operation = "look".to_owned();
    assert_eq!(run.apply(&plan, 1).unwrap_err().code, "OPERATION_OUTSIDE_PLAN");
    let mut plan = run.plan(args(json!({ "replicas": 6 }))).unwrap();
    plan.steps[0].params_json = "{}".to_owned();
    assert_eq!(run.apply(&plan, 1).unwrap_err().code, "PARAMS_NOT_JSON");
}

#[test]
fn no_failure_of_the_host_ever_looks_healthy() {
    fn check<T: Remediation>(host: &ScriptedHost, args: Value) {
        host.assert_fails_honestly(|host| host.remediation::<T>().plan(args.clone()));
        let plan = host.changed_nothing(|host| host.remediation::<T>().plan(args.clone()).unwrap());
        host.assert_fails_honestly(|host| host.remediation::<T>().apply(&plan, 1));
        for (function, failure, verdict) in
            host.each_failure(|host| host.remediation::<T>().verify(&plan, &[]))
        {
            match (failure, verdict) {
                (Failure::Denied, Err(error)) => assert_eq!(error.kind, ToolErrorKind::Denied),
                (Failure::Timeout | Failure::Garbage, Ok(verdict)) => {
                    assert_eq!(verdict.health, Health::Unknown)
                }
                other => panic!("{} {function}: {other:?}", T::NAME),
            }
        }
    }
    check::<ScaleDeployment>(&with(&[web(3, 3)]), args(json!({ "replicas": 6 })));
    check::<RestartDeployment>(&with(&[web(3, 3)]), args(json!({})));
    check::<RollbackDeployment>(
        &with(&[web(3, 3)]).objects("ReplicaSet", "shop", &[set("web-2", "u1", "2")]),
        args(json!({})),
    );
    let pods = ScriptedHost::new().object("Pod", Some("shop"), "web-1", &pod(true)).accepting_changes();
    check::<RestartPod>(&pods, json!({ "cluster": "prod", "namespace": "shop", "pod": "web-1" }));
}
