//! Changes of a cluster: rehearsed by the server, done once, kept apart from the work of others, put back.

use std::sync::Arc;

use medic_cluster::{Cluster, Manner, Role};
use medic_ports::tools::{RevertOutcome, StepOutcome, ToolHealth};
use medic_tools::{Notes, Rig};
use serde_json::{Value, json};

use crate::support::{a_pod, code, failed, rig, shop};

fn web(more: Value) -> Value {
    let mut args = json!({ "cluster": "prod", "namespace": "shop", "name": "web" });
    args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    args
}

fn deployment(cluster: &Cluster) -> Value {
    cluster.get("apps", "deployments", Some("shop"), "web").unwrap()
}

fn replicas(cluster: &Cluster) -> u64 {
    deployment(cluster)["spec"]["replicas"].as_u64().unwrap()
}

fn image(cluster: &Cluster) -> String {
    deployment(cluster)["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
}

async fn scaling() -> (Cluster, Rig) {
    let cluster = shop().await;
    let rig = rig(&cluster, "admin", "kubernetes-change").await;
    (cluster, rig)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_scaled_with_the_requests_it_takes_and_no_other() {
    let (cluster, rig) = scaling().await;
    let changed = rig.prepare("scale_deployment", &web(json!({ "replicas": 6 }))).await.unwrap();
    let (read, scale) = ("get deployments shop/web", "patch deployments/scale shop/web");
    assert_eq!(cluster.take_lines(), [read, read, &format!("{scale}?dry"), read], "plan, rehearsal, capture");
    assert_eq!(changed.dry_run.calls.len(), 1);
    assert!(changed.dry_run.calls[0].reversible);
    assert_eq!(changed.dry_run.calls[0].pods, 2, "two more pods");
    assert_eq!(replicas(&cluster), 4, "a rehearsal changes nothing");

    let notes = Arc::new(Notes::default());
    assert!(matches!(rig.apply(&changed, &notes).await, StepOutcome::Applied(_)));
    assert_eq!((replicas(&cluster), cluster.names("", "pods", Some("shop")).len()), (6, 6));
    let seen = cluster.audit();
    assert_eq!(cluster.take_lines(), [read, scale]);
    assert!(
        seen[1].body["metadata"]["resourceVersion"].is_string(),
        "the version that was found is the precondition"
    );
    assert!(seen[1].query.contains("fieldManager=medic") && seen[1].user_agent.starts_with("medic/"));
    assert_eq!(rig.verify(&changed).await.unwrap().health, ToolHealth::Healthy);

    assert!(matches!(rig.revert(&changed, &notes).await, RevertOutcome::Reverted(_)));
    assert_eq!(replicas(&cluster), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_taken_back_by_the_hosts_own_pre_image() {
    let (cluster, rig) = scaling().await;
    let before = deployment(&cluster)["spec"]["template"].clone();
    let changed = rig.prepare("restart_deployment", &web(json!({}))).await.unwrap();
    let notes = Arc::new(Notes::default());
    assert!(matches!(rig.apply(&changed, &notes).await, StepOutcome::Applied(_)));
    let now = deployment(&cluster);
    let at = &now["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"];
    assert_eq!(at, "2026-01-01T00:00:00Z");
    let key = &notes.records()[0].intent.idempotency_key;
    assert_eq!(now["metadata"]["annotations"]["medic.dev/operation-id"], *key);
    assert_eq!(cluster.names("apps", "replicasets", Some("shop")).len(), 3, "there is a new revision");

    assert!(matches!(rig.revert(&changed, &notes).await, RevertOutcome::Reverted(_)));
    let back = deployment(&cluster)["spec"]["template"].clone();
    assert_eq!(back["spec"], before["spec"]);
    assert_eq!(back.pointer("/metadata/annotations/kubectl.kubernetes.io~1restartedAt"), None);
    assert_eq!(cluster.names("apps", "replicasets", Some("shop")).len(), 3, "the old revision runs again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_rolled_back_and_forth() {
    let (cluster, rig) = scaling().await;
    assert_eq!(image(&cluster), "web:2");
    let changed = rig.prepare("rollback_deployment", &web(json!({}))).await.unwrap();
    assert!(changed.plan.steps[0].summary.ends_with("revision 1: from web:2 to web:1"));
    let notes = Arc::new(Notes::default());
    assert!(matches!(rig.apply(&changed, &notes).await, StepOutcome::Applied(_)));
    assert_eq!(image(&cluster), "web:1");
    assert_eq!(rig.verify(&changed).await.unwrap().health, ToolHealth::Healthy);
    assert!(matches!(rig.revert(&changed, &notes).await, RevertOutcome::Reverted(_)));
    assert_eq!(image(&cluster), "web:2");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_work_of_others_is_never_put_back_over() {
    let (cluster, rig) = scaling().await;
    let changed = rig.prepare("rollback_deployment", &web(json!({}))).await.unwrap();
    let notes = Arc::new(Notes::default());
    rig.apply(&changed, &notes).await;
    let theirs = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "main", "image": "web:3" }] } } } });
    cluster.touch("apps", "deployments", Some("shop"), "web", &theirs);
    let RevertOutcome::Failed(fault) = rig.revert(&changed, &notes).await else { panic!("it was put back") };
    assert_eq!((fault.code.as_str(), image(&cluster).as_str()), ("K8S_CHANGED_SINCE", "web:3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_restarted_within_its_budget_and_not_beyond() {
    for old in [false, true] {
        let (cluster, rig) = scaling().await;
        if old {
            cluster.be_old();
        }
        let pod = a_pod(&cluster);
        let args = json!({ "cluster": "prod", "namespace": "shop", "pod": pod });
        let changed = rig.prepare("restart_pod", &args).await.unwrap();
        cluster.take_lines();
        let notes = Arc::new(Notes::default());
        assert!(matches!(rig.apply(&changed, &notes).await, StepOutcome::Applied(_)));
        let pods = cluster.names("", "pods", Some("shop"));
        assert!(!pods.contains(&pod) && pods.len() == 4, "{pods:?}");
        let eviction = format!("create pods/eviction shop/{pod}");
        let lines = cluster.take_lines();
        assert_eq!(lines[..2], [format!("get pods shop/{pod}"), eviction]);
        assert_eq!(
            lines.len(),
            if old { 3 } else { 2 },
            "an old server is asked once more, by the older name"
        );
        assert!(matches!(rig.revert(&changed, &notes).await, RevertOutcome::NothingToRevert { .. }));
    }

    let (cluster, rig) = scaling().await;
    let args = json!({ "cluster": "prod", "namespace": "shop", "pod": a_pod(&cluster) });
    let changed = rig.prepare("restart_pod", &args).await.unwrap();
    cluster.touch(
        "policy",
        "poddisruptionbudgets",
        Some("shop"),
        "web",
        &json!({ "spec": { "minAvailable": 4 } }),
    );
    assert_eq!(
        code(rig.prepare("restart_pod", &args).await),
        "K8S_DISRUPTION_BUDGET",
        "the rehearsal says so already"
    );
    let before = cluster.names("", "pods", Some("shop"));
    assert_eq!(
        failed(rig.apply(&changed, &Arc::default()).await),
        ("K8S_DISRUPTION_BUDGET".to_owned(), false)
    );
    assert_eq!(cluster.names("", "pods", Some("shop")), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_cordoned_and_opened_again() {
    let (cluster, rig) = scaling().await;
    let changed = rig.prepare("cordon_node", &json!({ "cluster": "prod", "node": "node-1" })).await.unwrap();
    let notes = Arc::new(Notes::default());
    assert!(matches!(rig.apply(&changed, &notes).await, StepOutcome::Applied(_)));
    let state = || cluster.get("", "nodes", None, "node-1").unwrap()["spec"]["unschedulable"].clone();
    assert_eq!(state(), true);
    assert!(matches!(rig.revert(&changed, &notes).await, RevertOutcome::Reverted(_)));
    assert_eq!(state(), Value::Null);
}

/// How often the cluster was really scaled.
fn scaled(cluster: &Cluster) -> usize {
    let did = |seen: &&medic_cluster::Seen| seen.changes() && seen.status == 200;
    cluster.audit().iter().filter(did).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_happens_once_whatever_becomes_of_its_answer() {
    for (manner, requests) in [(Manner::LosesAnswer, 1), (Manner::LosesRequest, 2), (Manner::Fails(503), 2)] {
        for (tool, more) in
            [("scale_deployment", json!({ "replicas": 6 })), ("restart_deployment", json!({}))]
        {
            let (cluster, rig) = scaling().await;
            let changed = rig.prepare(tool, &web(more)).await.unwrap();
            cluster.take_lines();
            cluster.behave(manner);
            let outcome = rig.apply(&changed, &Arc::default()).await;
            assert!(matches!(outcome, StepOutcome::Applied(_)), "{tool} {manner:?}: {outcome:?}");
            let sent = cluster.audit().iter().filter(|seen| seen.changes()).count();
            assert_eq!((sent, scaled(&cluster)), (requests, 1), "{tool} {manner:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_the_object_tells_whether_the_change_happened() {
    for (tool, more) in [("scale_deployment", json!({ "replicas": 6 })), ("restart_deployment", json!({}))] {
        let (cluster, rig) = scaling().await;
        let changed = rig.prepare(tool, &web(more.clone())).await.unwrap();
        let notes = Arc::new(Notes::default());
        rig.apply(&changed, &notes).await;
        cluster.take_lines();
        let again = notes.without_receipts();
        assert!(matches!(rig.apply(&changed, &again).await, StepOutcome::Applied(_)), "{tool}");
        assert_eq!(cluster.take_lines(), ["get deployments shop/web"], "{tool}: looked up, not repeated");
        let detail = again.records()[0].receipt.clone().unwrap().detail_json;
        assert!(detail.contains("\"looked_up\":true"), "{detail}");

        // The same crash, with the request lost as well.
        let (cluster, rig) = scaling().await;
        let changed = rig.prepare(tool, &web(more)).await.unwrap();
        let begun = Arc::new(Notes::default());
        cluster.behave(Manner::Overtaken);
        assert_eq!(failed(rig.apply(&changed, &begun).await), ("K8S_CONFLICT".to_owned(), false));
        cluster.take_lines();
        let outcome = rig.apply(&changed, &begun.without_receipts()).await;
        assert_eq!(
            failed(outcome),
            ("K8S_CONFLICT".to_owned(), false),
            "{tool}: its version is gone, so it can never happen"
        );
        assert_eq!(scaled(&cluster), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_told_and_not_tried_again() {
    let (cluster, rig) = scaling().await;
    let changed = rig.prepare("scale_deployment", &web(json!({ "replicas": 6 }))).await.unwrap();
    cluster.take_lines();
    cluster.behave(Manner::Overtaken);
    assert_eq!(failed(rig.apply(&changed, &Arc::default()).await), ("K8S_CONFLICT".to_owned(), false));
    assert_eq!(cluster.take_lines(), ["get deployments shop/web", "patch deployments/scale shop/web"]);
    assert_eq!(replicas(&cluster), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_role_suffices_for_what_it_names_and_refuses_the_rest() {
    let cluster = shop().await;
    cluster.deployment("shop", "other", 2, "other:1");
    let rig = rig(&cluster, "least", "kubernetes-change").await;
    for (tool, more) in [("scale_deployment", json!({ "replicas": 5 })), ("restart_deployment", json!({}))] {
        let changed = rig.prepare(tool, &web(more)).await.unwrap();
        assert!(matches!(rig.apply(&changed, &Arc::default()).await, StepOutcome::Applied(_)), "{tool}");
    }
    let other = json!({ "cluster": "prod", "namespace": "shop", "name": "other" });
    assert_eq!(code(rig.prepare("restart_deployment", &other).await), "K8S_FORBIDDEN");
    assert_eq!(
        code(rig.prepare("cordon_node", &json!({ "cluster": "prod", "node": "node-1" })).await),
        "K8S_FORBIDDEN"
    );

    let stranger = Cluster::start().await.unwrap();
    stranger.let_in("known", "known", Role::admin());
    let rig = crate::support::rig(&stranger, "unknown", "kubernetes-change").await;
    assert_eq!(code(rig.prepare("restart_deployment", &other).await), "K8S_UNAUTHORIZED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_and_a_stuck_pod_are_deleted_for_good() {
    let cluster = shop().await;
    let rig = rig(&cluster, "admin", "kubernetes-destroy").await;
    let claim = json!({ "cluster": "prod", "namespace": "shop", "name": "old" });
    let changed = rig.prepare("delete_pvc", &claim).await.unwrap();
    assert!(!changed.dry_run.calls[0].reversible);
    assert!(
        cluster.get("", "persistentvolumeclaims", Some("shop"), "old").is_some(),
        "a rehearsal deletes nothing"
    );
    let notes = Arc::new(Notes::default());
    assert!(matches!(rig.apply(&changed, &notes).await, StepOutcome::Applied(_)));
    assert!(cluster.get("", "persistentvolumeclaims", Some("shop"), "old").is_none());
    let kept = notes.records()[0].pre_image.clone().unwrap();
    assert!(kept.contains("pv-7"), "what was deleted is kept for people: {kept}");
    assert_eq!(rig.verify(&changed).await.unwrap().health, ToolHealth::Healthy);
    assert!(matches!(rig.revert(&changed, &notes).await, RevertOutcome::NothingToRevert { .. }));
    assert!(
        matches!(rig.apply(&changed, &notes.without_receipts()).await, StepOutcome::Applied(_)),
        "it is gone, as was asked"
    );

    let pod = a_pod(&cluster);
    let args = json!({ "cluster": "prod", "namespace": "shop", "pod": pod });
    assert_eq!(code(rig.prepare("delete_pod_force", &args).await), "NOT_TERMINATING");
    cluster.touch(
        "",
        "pods",
        Some("shop"),
        &pod,
        &json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } }),
    );
    let changed = rig.prepare("delete_pod_force", &args).await.unwrap();
    cluster.take_lines();
    assert!(matches!(rig.apply(&changed, &Arc::default()).await, StepOutcome::Applied(_)));
    let seen = cluster.audit();
    assert_eq!(seen.last().unwrap().body["gracePeriodSeconds"], 0);
    assert!(
        seen.last().unwrap().body["preconditions"]["uid"].is_string(),
        "another pod of the name is not meant"
    );
}
