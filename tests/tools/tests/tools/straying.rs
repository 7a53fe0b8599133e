//! Guests that ask for more than they were granted. What they ask for never reaches the cluster.

use std::sync::Arc;

use medic_cluster::Cluster;
use medic_core::Fault;
use medic_ports::ToolHost;
use medic_ports::tools::StepOutcome;
use serde_json::{Value, json};

use crate::support::{ALL, code, rig, shop};
use medic_tools::Rig;

fn query(call: &str, api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> Value {
    json!({ "call": call, "cluster": "prod", "api_version": api_version, "kind": kind, "namespace": namespace, "name": name })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_secret_and_no_other_place_is_read() {
    let cluster = shop().await;
    let rig = rig(&cluster, "admin", "rogue-query").await;
    let refused = [
        (query("get", "v1", "Secret", Some("shop"), "token"), "K8S_SECRET"),
        (query("list", "v1", "Secret", Some("shop"), ""), "K8S_SECRET"),
        (query("list", "v1", "SecretList", Some("shop"), ""), "K8S_SECRET"),
        (query("get", "v1", "secrets", Some("shop"), "token"), "K8S_SECRET"),
        (query("get", "v1", "SECRET", Some("shop"), "token"), "K8S_SECRET"),
        (query("get", "v1/secrets", "Pod", Some("shop"), "token"), "K8S_SECRET"),
        (query("get", "core/v1", "Secret", Some("shop"), "token"), "K8S_SECRET"),
        (query("get", "v1", "ConfigMap", Some("shop"), "x"), "K8S_KIND_NOT_GRANTED"),
        (query("get", "v1beta1", "Pod", Some("shop"), "x"), "K8S_KIND_NOT_GRANTED"),
        (query("get", "v1", "pods", Some("shop"), "x"), "K8S_KIND_NOT_GRANTED"),
        (query("get", "v1", "Pod", Some("kube-system"), "x"), "K8S_NAMESPACE_NOT_GRANTED"),
        (query("get", "v1", "Pod", Some("shop/secrets"), "x"), "K8S_NAMESPACE_NOT_GRANTED"),
        (query("list", "v1", "Pod", None, ""), "K8S_NAMESPACE_NOT_GRANTED"),
        (query("get", "v1", "Pod", None, "x"), "K8S_NAME_MALFORMED"),
        (query("get", "v1", "Pod", Some("shop"), "../secrets/token"), "K8S_NAME_MALFORMED"),
        (query("get", "v1", "Pod", Some("shop"), "..%2fsecrets%2ftoken"), "K8S_NAME_MALFORMED"),
        (query("get", "v1", "Pod", Some("shop"), "x/exec"), "K8S_NAME_MALFORMED"),
        (query("get", "v1", "Pod", Some("shop"), ""), "K8S_NAME_MALFORMED"),
        (query("log", "v1", "Pod", Some("shop"), "x/../../secrets/token"), "K8S_NAME_MALFORMED"),
        (query("get", "v1", "Node", Some("shop"), "node-1"), "K8S_NAME_MALFORMED"),
        (query("log", "apps/v1", "Deployment", Some("shop"), "web"), "K8S_OPERATION_UNFIT"),
    ];
    for (args, expected) in refused {
        assert_eq!(code(rig.ask("reach", &args).await), expected, "{args}");
    }
    let mut elsewhere = query("get", "v1", "Pod", Some("shop"), "x");
    elsewhere["cluster"] = json!("other");
    assert_eq!(code(rig.ask("reach", &elsewhere).await), "K8S_CLUSTER_NOT_GRANTED");
    assert_eq!(cluster.take_lines(), Vec::<String>::new(), "not one of them reached the server");
    let records = rig.host().take_host_calls();
    assert!(records.iter().any(|record| !record.allowed && record.rule == "k8s-secrets-never"));
    assert!(
        records.iter().filter(|record| !record.allowed).count() >= 14,
        "each refusal by the grant is on record"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_of_every_namespace_is_no_grant_of_every_path() {
    let cluster = shop().await;
    let grant = ALL.replace("NAME", "rogue-query").replace("namespaces = [\"shop\"]", "namespaces = [\"*\"]");
    let rig = Rig::new().cluster("prod", &cluster, "admin").plugin("rogue-query", &grant).open().await;
    for namespace in
        ["shop/secrets/token?x=", "shop/secrets/token#", "shop/secrets", "..", "%2e%2e", "SHOP", ""]
    {
        for call in ["get", "list", "log"] {
            let args = query(call, "v1", "Pod", Some(namespace), "web");
            assert_eq!(code(rig.ask("reach", &args).await), "K8S_NAME_MALFORMED", "{args}");
        }
    }
    assert_eq!(cluster.take_lines(), Vec::<String>::new());
    assert!(
        rig.ask("reach", &query("list", "v1", "Pod", None, "")).await.is_ok(),
        "every namespace is granted"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selector_stays_a_selector_and_protected_objects_are_not_shown() {
    let cluster = shop().await;
    cluster.object(
        "v1",
        "Pod",
        "pods",
        Some("shop"),
        "vault",
        json!({ "metadata": { "labels": { "protected": "true" } }, "log": "s3cret\n" }),
    );
    let rig = rig(&cluster, "admin", "rogue-query").await;
    let mut list = query("list", "v1", "Pod", Some("shop"), "");
    list["labels"] = json!("app=web&fieldSelector=x#/../secrets");
    assert_eq!(rig.ask("reach", &list).await.unwrap().summary, "");
    assert_eq!(cluster.take_lines(), ["list pods shop/*"]);
    list["labels"] = Value::Null;
    let all = rig.ask("reach", &list).await.unwrap().summary;
    assert!(all.contains("web-") && !all.contains("vault"));
    for call in ["get", "log"] {
        assert_eq!(
            code(rig.ask("reach", &query(call, "v1", "Pod", Some("shop"), "vault")).await),
            "K8S_LABEL_DENIED"
        );
    }
}

fn stray(operation: &str, params: &str, call: &str, target: &str, asks: &str) -> Value {
    json!({ "planned": "Deployment/web", "operation": operation, "params": params, "call": call, "target": target, "asks": asks })
}

/// What the rehearsal says, which is where a stray guest ends; and that nothing was changed.
async fn rehearsed(cluster: &Cluster, args: &Value) -> Result<(), Fault> {
    let rig = rig(cluster, "admin", "rogue-change").await;
    let outcome = rig.prepare("stray", args).await.map(drop);
    assert!(!cluster.audit().iter().any(medic_cluster::Seen::changes), "{args}");
    outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_the_plan_is_not_done() {
    let cluster = shop().await;
    cluster.deployment("shop", "other", 1, "other:1");
    let six = "{\"replicas\":6}";
    for (args, expected) in [
        (stray("scale", six, "scale", "Deployment/other", "6"), "TARGET_OUTSIDE_PLAN"),
        (stray("scale", six, "scale", "Deployment/web", "7"), "OPERATION_OUTSIDE_PLAN"),
        (stray("look", six, "scale", "Deployment/web", "6"), "OPERATION_OUTSIDE_PLAN"),
        (stray("scale", six, "restart", "Deployment/web", ""), "OPERATION_OUTSIDE_PLAN"),
        (stray("rollout-restart", "null", "undo", "Deployment/web", "1"), "OPERATION_OUTSIDE_PLAN"),
        (
            stray(
                "patch",
                "{\"spec\":{\"paused\":true}}",
                "patch",
                "Deployment/web",
                "{\"spec\":{\"paused\":false}}",
            ),
            "OPERATION_OUTSIDE_PLAN",
        ),
        (
            stray("patch", "{\"kind\":\"Secret\"}", "patch", "Deployment/web", "{\"kind\":\"Secret\"}"),
            "K8S_OPERATION_UNFIT",
        ),
        (stray("scale", "{\"replicas\":50}", "scale", "Deployment/web", "50"), "K8S_TOO_MANY_PODS"),
    ] {
        assert_eq!(code(rehearsed(&cluster, &args).await), expected, "{args}");
    }
    let mut twice = stray("scale", six, "scale", "Deployment/web", "6");
    twice["times"] = json!(99);
    assert_eq!(code(rehearsed(&cluster, &twice).await), "OPERATIONS_EXHAUSTED");
    let mut elsewhere = stray("scale", six, "scale", "Deployment/dns", "6");
    elsewhere["planned"] = json!("Deployment/dns");
    elsewhere["namespace"] = json!("kube-system");
    assert_eq!(code(rehearsed(&cluster, &elsewhere).await), "K8S_NAMESPACE_NOT_GRANTED");
    cluster.touch(
        "apps",
        "deployments",
        Some("shop"),
        "web",
        &json!({ "metadata": { "labels": { "protected": "true" } } }),
    );
    assert_eq!(
        code(rehearsed(&cluster, &stray("rollout-restart", "null", "restart", "Deployment/web", "")).await),
        "K8S_LABEL_DENIED"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_nobody_replaces_is_not_restarted() {
    let cluster = shop().await;
    cluster.object("v1", "Pod", "pods", Some("shop"), "bare", json!({ "spec": {} }));
    let mut args = stray("restart-pod", "null", "pod", "Pod/bare", "");
    args["planned"] = json!("Pod/bare");
    assert_eq!(code(rehearsed(&cluster, &args).await), "K8S_NOT_REPLACED");
    assert!(cluster.get("", "pods", Some("shop"), "bare").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn even_two_approvals_delete_neither_secrets_nor_namespaces() {
    let cluster = shop().await;
    cluster.object("v1", "Namespace", "namespaces", None, "shop", json!({}));
    let rig = rig(&cluster, "admin", "rogue-destroy").await;
    let raze = |kind: &str, namespace: Option<&str>, name: &str| json!({ "api_version": "v1", "kind": kind, "namespace": namespace, "name": name });
    assert_eq!(code(rig.prepare("raze", &raze("Secret", Some("shop"), "token")).await), "K8S_SECRET");
    assert_eq!(code(rig.prepare("raze", &raze("Namespace", None, "shop")).await), "K8S_KIND_NOT_GRANTED");
    assert!(cluster.get("", "secrets", Some("shop"), "token").is_some());

    // What is granted and approved is deleted, and only that.
    let changed = rig.prepare("raze", &raze("PersistentVolumeClaim", Some("shop"), "old")).await.unwrap();
    assert!(matches!(rig.apply(&changed, &Arc::default()).await, StepOutcome::Applied(_)));
    assert!(cluster.get("", "persistentvolumeclaims", Some("shop"), "old").is_none());
}
