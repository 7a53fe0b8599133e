//! What each tool makes of a cluster's answers, and what it makes of bad ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may be blunt"
)]

use medic_sdk::{Value, json};
use medic_sdk_testkit::{Answer, Function, ScriptedHost};
use plugin_kubernetes_read::{describe_workload, get_pod_logs, list_events, top_pods};

fn data(output: &medic_sdk::Output) -> Value {
    serde_json::from_str(output.data_json.as_deref().unwrap()).unwrap()
}

use medic_sdk::serde_json;

#[test]
fn the_end_of_a_log_is_shown_and_the_whole_is_kept() {
    let log: String = (0..120).map(|n| format!("line {n} \u{1b}[2J\n")).collect();
    let host = ScriptedHost::new().on(Function::KubernetesPodLogs, "shop/web-1", Answer::Text(log));
    let args = json!({ "cluster": "prod", "namespace": "shop", "pod": "web-1", "container": "main" });
    let output = host.query::<get_pod_logs>(args.clone()).unwrap();
    assert!(output.summary.starts_with("120 lines of web-1; the last: line 119"), "{}", output.summary);
    assert!(!output.summary.contains('\u{1b}'));
    assert_eq!(data(&output)["lines"].as_array().unwrap().len(), 50);
    assert_eq!(host.artifacts().len(), 1);
    assert_eq!(host.calls()[0].detail, "prod Pod shop/web-1 main 200");
    host.assert_fails_honestly(|host| host.query::<get_pod_logs>(args.clone()));

    let quiet = ScriptedHost::new().on(Function::KubernetesPodLogs, "", Answer::Text(String::new()));
    assert_eq!(quiet.query::<get_pod_logs>(args).unwrap().summary, "web-1 has written nothing");
}

fn deployment() -> Value {
    json!({
        "metadata": { "name": "web", "generation": 2, "annotations": { "deployment.kubernetes.io/revision": "7" } },
        "spec": { "replicas": 3, "selector": { "matchLabels": { "app": "web" } },
                  "template": { "spec": { "containers": [{ "image": "web:2" }] } } },
        "status": { "observedGeneration": 2, "updatedReplicas": 3, "availableReplicas": 1,
                    "conditions": [{ "type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable" }] },
    })
}

fn pod(name: &str, status: Value) -> Value {
    json!({ "metadata": { "name": name }, "spec": { "nodeName": "n1" }, "status": status })
}

#[test]
fn a_workload_is_told_with_what_its_pods_wait_for() {
    let pods = [
        pod(
            "web-1",
            json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }], "containerStatuses": [{ "restartCount": 0 }] }),
        ),
        pod(
            "web-2",
            json!({ "phase": "Running", "containerStatuses": [{ "restartCount": 9, "state": { "waiting": { "reason": "CrashLoopBackOff" } } }] }),
        ),
        pod("web-3", json!({ "phase": "Pending" })),
    ];
    let host = ScriptedHost::new()
        .object("Deployment", Some("shop"), "web", &deployment())
        .objects("Pod", "shop", &pods);
    let args = json!({ "cluster": "prod", "namespace": "shop", "name": "web" });
    let output = host.query::<describe_workload>(args.clone()).unwrap();
    assert_eq!(
        output.summary,
        "Deployment web: 1 of 3 pods available, 3 up to date; 2 of 3 pods in trouble; web-2 waits: CrashLoopBackOff"
    );
    assert_eq!(
        data(&output)["pods"][0],
        json!({ "name": "web-2", "phase": "Running", "node": "n1", "restarts": 9, "trouble": "waits: CrashLoopBackOff" })
    );
    assert_eq!(host.calls_of(Function::KubernetesList), ["prod Pod shop app=web"], "its own pods alone");
    host.assert_fails_honestly(|host| host.query::<describe_workload>(args.clone()));
}

#[test]
fn events_are_sorted_and_narrowed() {
    let event = |kind: &str, about: &str, at: &str, reason: &str| {
        json!({ "metadata": { "name": format!("{about}.{at}") }, "type": kind, "reason": reason, "message": "why",
                "lastTimestamp": at, "involvedObject": { "kind": "Pod", "name": about } })
    };
    let events = [
        event("Warning", "web-1", "2026-01-01T00:00:01Z", "BackOff"),
        event("Normal", "web-1", "2026-01-01T00:00:03Z", "Pulled"),
        event("Warning", "web-2", "2026-01-01T00:00:02Z", "FailedScheduling"),
        event("Warning", "store-1", "2026-01-01T00:00:09Z", "Evicted"),
    ];
    let host = ScriptedHost::new().objects("Event", "shop", &events);
    let args = json!({ "cluster": "prod", "namespace": "shop", "about": "web", "warnings_only": true });
    let output = host.query::<list_events>(args.clone()).unwrap();
    assert_eq!(
        output.summary,
        "2 events, 2 of them warnings; the newest: FailedScheduling of Pod web-2: why"
    );
    let all = host.query::<list_events>(json!({ "cluster": "prod", "namespace": "shop" })).unwrap();
    assert!(all.summary.starts_with("4 events, 3 of them warnings; the newest: Evicted"), "{}", all.summary);
    host.assert_fails_honestly(|host| host.query::<list_events>(args.clone()));
}

#[test]
fn the_largest_pod_comes_first() {
    let pod = |name: &str, cpu: &str, memory: &str| {
        let usage = json!({ "usage": { "cpu": cpu, "memory": memory } });
        json!({ "metadata": { "name": name }, "containers": [usage, usage] })
    };
    let host = ScriptedHost::new().objects(
        "PodMetrics",
        "shop",
        &[pod("a", "100m", "10Mi"), pod("b", "1500000n", "64Mi")],
    );
    let args = json!({ "cluster": "prod", "namespace": "shop" });
    let output = host.query::<top_pods>(args.clone()).unwrap();
    assert_eq!(
        output.summary,
        "2 pods use 148 MiB and 0.20 cores; the largest: b with 128 MiB and 0.00 cores"
    );
    let by_cpu =
        host.query::<top_pods>(json!({ "cluster": "prod", "namespace": "shop", "by": "cpu" })).unwrap();
    assert_eq!(data(&by_cpu)["pods"][0]["name"], "a");
    let odd = ScriptedHost::new().objects("PodMetrics", "shop", &[pod("a", "many", "10Mi")]);
    assert_eq!(odd.query::<top_pods>(args.clone()).unwrap_err().code, "QUANTITY_MALFORMED");
    host.assert_fails_honestly(|host| host.query::<top_pods>(args.clone()));
}

#[test]
fn names_that_could_mean_another_path_reach_no_host() {
    let host = ScriptedHost::new();
    for pod in ["../secrets/token", "web%2f1", "", "web/log"] {
        let args = json!({ "cluster": "prod", "namespace": "shop", "pod": pod });
        assert_eq!(host.query::<get_pod_logs>(args).unwrap_err().code, "INVALID_ARGS", "{pod}");
    }
    let args = json!({ "cluster": "prod", "namespace": "shop", "kind": "secret", "name": "token" });
    assert_eq!(host.query::<describe_workload>(args).unwrap_err().code, "INVALID_ARGS");
    assert_eq!(host.calls(), []);
}
