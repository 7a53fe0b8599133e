//! What each deletion asks for, and everything that must stop it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may be blunt"
)]

use medic_sdk::types::{Health, HostError, HostErrorKind};
use medic_sdk::{Value, json};
use medic_sdk_testkit::{Answer, Failure, Function, ScriptedHost};
use plugin_kubernetes_destroy::{DeletePodForce, DeletePvc};

const CLAIM: &str = " PersistentVolumeClaim shop/old";

fn claim() -> Value {
    json!({ "metadata": { "name": "old", "uid": "u1" },
            "spec": { "storageClassName": "fast", "volumeName": "pv-7", "resources": { "requests": { "storage": "10Gi" } } } })
}

fn not_found() -> Answer {
    let message = "no such object".to_owned();
    Answer::Error(HostError {
        kind: HostErrorKind::NotFound,
        code: "K8S_NOT_FOUND".to_owned(),
        message,
        retry_after_ms: None,
    })
}

fn pods(claim: &str) -> Vec<Value> {
    vec![
        json!({ "metadata": { "name": "web-1" }, "spec": { "volumes": [{ "persistentVolumeClaim": { "claimName": claim } }] } }),
    ]
}

fn args() -> Value {
    json!({ "cluster": "prod", "namespace": "shop", "name": "old" })
}

#[test]
fn a_claim_that_nobody_uses_is_deleted_and_what_it_asked_for_is_kept() {
    let text = || Answer::Text(claim().to_string());
    let host = ScriptedHost::new()
        .on_each(Function::KubernetesGet, CLAIM, [text(), text(), not_found()])
        .objects("Pod", "shop", &pods("other"))
        .accepting_changes();
    let run = host.destructive::<DeletePvc>();
    let plan = run.plan(args()).unwrap();
    assert_eq!(plan.steps[0].summary, "delete claim shop/old of 10Gi, class fast, volume pv-7");
    assert!(String::from_utf8_lossy(&run.capture(&plan).unwrap()[0].data).contains("pv-7"));
    assert_eq!(host.changes(), [], "neither plan nor capture deletes anything");
    run.apply(&plan, 1).unwrap();
    assert_eq!(host.calls_of(Function::KubernetesDelete), ["PersistentVolumeClaim prod old None"]);
    assert_eq!(run.verify(&plan, &[]).unwrap().health, Health::Healthy);
}

#[test]
fn a_claim_in_use_is_left_alone_even_when_it_was_taken_up_late() {
    let claimed = || {
        ScriptedHost::new().object("PersistentVolumeClaim", Some("shop"), "old", &claim()).accepting_changes()
    };
    let used = claimed().objects("Pod", "shop", &pods("old"));
    assert_eq!(used.destructive::<DeletePvc>().plan(args()).unwrap_err().code, "IN_USE");
    let free = claimed().objects("Pod", "shop", &pods("other"));
    let plan = free.destructive::<DeletePvc>().plan(args()).unwrap();
    assert_eq!(used.destructive::<DeletePvc>().apply(&plan, 1).unwrap_err().code, "IN_USE");
    assert_eq!(used.changes(), []);
    let crowded = claimed().objects("Pod", "shop", &vec![json!({ "metadata": { "name": "p" } }); 500]);
    assert_eq!(crowded.destructive::<DeletePvc>().plan(args()).unwrap_err().code, "TOO_MANY_PODS");
}

#[test]
fn only_a_pod_that_hangs_is_deleted_at_once() {
    let args = json!({ "cluster": "prod", "namespace": "shop", "pod": "store-0" });
    let pod = |going: Value| json!({ "metadata": { "name": "store-0", "deletionTimestamp": going }, "spec": { "nodeName": "n1" } });
    let host = ScriptedHost::new()
        .object("Pod", Some("shop"), "store-0", &pod(json!("2026-01-01T00:00:00Z")))
        .accepting_changes();
    let run = host.destructive::<DeletePodForce>();
    let plan = run.plan(args.clone()).unwrap();
    run.apply(&plan, 1).unwrap();
    assert_eq!(host.calls_of(Function::KubernetesDelete), ["Pod prod store-0 Some(0)"]);
    assert_eq!(run.verify(&plan, &[]).unwrap().health, Health::Degraded);
    let alive = ScriptedHost::new().object("Pod", Some("shop"), "store-0", &pod(Value::Null));
    assert_eq!(alive.destructive::<DeletePodForce>().plan(args).unwrap_err().code, "NOT_TERMINATING");
}

#[test]
fn no_failure_of_the_host_ever_looks_healthy() {
    let host = ScriptedHost::new()
        .object("PersistentVolumeClaim", Some("shop"), "old", &claim())
        .objects("Pod", "shop", &pods("other"))
        .accepting_changes();
    host.assert_fails_honestly(|host| host.destructive::<DeletePvc>().plan(args()));
    host.assert_fails_honestly(|host| {
        let plan = ScriptedHost::new()
            .object("PersistentVolumeClaim", Some("shop"), "old", &claim())
            .objects("Pod", "shop", &pods("other"))
            .destructive::<DeletePvc>()
            .plan(args())?;
        host.destructive::<DeletePvc>().apply(&plan, 1)
    });
    let plan = host.destructive::<DeletePvc>().plan(args()).unwrap();
    for (_, failure, verdict) in host.each_failure(|host| host.destructive::<DeletePvc>().verify(&plan, &[]))
    {
        assert_eq!(failure == Failure::Denied, verdict.is_err());
        assert!(verdict.is_err() || verdict.unwrap().health == Health::Unknown);
    }
}
