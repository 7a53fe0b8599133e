//! What the reading tools make of a cluster and of a metrics server.

use serde_json::{Value, json};

use crate::support::{ALL, a_pod, code, rig, shop};
use medic_tools::Rig;

fn data(output: &medic_ports::tools::ToolOutput) -> Value {
    serde_json::from_str(output.data_json.as_deref().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_read_with_the_requests_it_takes_and_no_other() {
    let cluster = shop().await;
    let pod = a_pod(&cluster);
    cluster.touch("", "pods", Some("shop"), &pod, &json!({ "log": "one\ntwo\nthree\n" }));
    let sick = json!({ "status": { "containerStatuses": [{ "name": "main", "restartCount": 7, "state": { "waiting": { "reason": "CrashLoopBackOff" } } }] } });
    cluster.touch("", "pods", Some("shop"), &pod, &sick);
    cluster.object("v1", "Event", "events", Some("shop"), "e1", json!({
        "type": "Warning", "reason": "BackOff", "message": "Back-off restarting", "lastTimestamp": "2026-01-01T00:00:00Z",
        "involvedObject": { "kind": "Pod", "name": pod } }));
    let rig = rig(&cluster, "admin", "kubernetes-read").await;
    let at = json!({ "cluster": "prod", "namespace": "shop" });
    let with = |more: Value| {
        let mut args = at.clone();
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        args
    };

    let workload = rig.ask("describe_workload", &with(json!({ "name": "web" }))).await.unwrap();
    assert!(
        workload.summary.ends_with(&format!("1 of 4 pods in trouble; {pod} waits: CrashLoopBackOff")),
        "{}",
        workload.summary
    );
    assert_eq!(data(&workload)["images"], json!(["web:2"]));
    assert_eq!(cluster.take_lines(), ["get deployments shop/web", "list pods shop/*"]);

    let log = rig.ask("get_pod_logs", &with(json!({ "pod": pod, "lines": 2 }))).await.unwrap();
    assert_eq!(data(&log)["lines"], json!(["two", "three"]));
    // The grant denies by label, so the pod itself is looked at first.
    assert_eq!(cluster.take_lines(), [format!("get pods shop/{pod}"), format!("get pods/log shop/{pod}")]);

    let events = rig.ask("list_events", &with(json!({ "about": "web" }))).await.unwrap();
    assert!(
        events.summary.starts_with("1 events, 1 of them warnings; the newest: BackOff of Pod"),
        "{}",
        events.summary
    );
    assert_eq!(cluster.take_lines(), ["list events shop/*"]);

    let top = rig.ask("top_pods", &at).await.unwrap();
    assert!(top.summary.starts_with("4 pods use 136 MiB and 0.05 cores"), "{}", top.summary);
    assert_eq!(cluster.take_lines(), ["list pods shop/*"]);

    let other = cluster.names("", "pods", Some("shop")).into_iter().find(|name| *name != pod).unwrap();
    assert_eq!(
        code(rig.ask("get_pod_logs", &with(json!({ "pod": other }))).await),
        "K8S_FAILED",
        "its node is hollow"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_label_rules_is_one_request() {
    let cluster = shop().await;
    let pod = a_pod(&cluster);
    cluster.touch("", "pods", Some("shop"), &pod, &json!({ "log": "one\n" }));
    let grant = ALL.replace("NAME", "kubernetes-read").replace("deny-labels = [\"protected=true\"]\n", "");
    let rig = Rig::new().cluster("prod", &cluster, "admin").plugin("kubernetes-read", &grant).open().await;
    rig.ask("get_pod_logs", &json!({ "cluster": "prod", "namespace": "shop", "pod": pod })).await.unwrap();
    assert_eq!(cluster.take_lines(), [format!("get pods/log shop/{pod}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_asked_as_far_as_the_grant_goes() {
    let rig =
        Rig::new().plugin("prometheus", "[plugin.prometheus.metrics]\nmax-range-ms = 3600000").open().await;
    rig.metrics.value("http_requests", 7.0);
    let output = rig.ask("query_metrics", &json!({ "query": "sum(http_requests)" })).await.unwrap();
    assert_eq!(output.summary, "7");
    let long = json!({ "query": "http_requests", "window": "2h" });
    assert_eq!(code(rig.ask("compare_windows", &long).await), "METRICS_RANGE_TOO_LONG");
}
