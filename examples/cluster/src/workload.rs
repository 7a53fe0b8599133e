//! What controllers would do, done at once: a Deployment has its ReplicaSets, a ReplicaSet its pods.

use serde_json::{Value, json};

use crate::objects::{Key, Objects, number, text};

const REVISION: &str = "deployment.kubernetes.io/revision";

/// Brings everything below a Deployment to what it says.
pub fn settle(objects: &mut Objects, key: &Key) {
    let Some(deployment) = objects.get(key).cloned() else { return };
    let hash = hash(deployment.pointer("/spec/template").unwrap_or(&Value::Null));
    let name = format!("{}-{hash}", key.name);
    let current = key.beside("apps", "replicasets", &name);
    let highest = objects
        .owned_by("apps", "replicasets", &deployment)
        .filter_map(|(_, set)| revision(set))
        .max()
        .unwrap_or(0);
    let wanted = number(&deployment, "/spec/replicas");
    let template = deployment.pointer("/spec/template").cloned().unwrap_or(Value::Null);
    let at = match objects.get(&current).cloned() {
        None => {
            let mut labelled = template.clone();
            crate::patch::merge(
                &mut labelled,
                &json!({ "metadata": { "labels": { "pod-template-hash": hash } } }),
            );
            let set = json!({
                "apiVersion": "apps/v1", "kind": "ReplicaSet",
                "metadata": {
                    "labels": labelled.pointer("/metadata/labels"),
                    "annotations": { REVISION: (highest + 1).to_string() },
                    "ownerReferences": [owner(&deployment, "apps/v1", "Deployment")],
                    "generation": 1,
                },
                "spec": { "replicas": wanted, "selector": deployment.pointer("/spec/selector"), "template": labelled },
            });
            objects.create(current.clone(), set);
            highest + 1
        }
        // Gone back to, a template is the newest revision again.
        Some(mut set) => {
            let at = revision(&set).filter(|at| *at == highest).unwrap_or(highest + 1);
            set["metadata"]["annotations"][REVISION] = json!(at.to_string());
            set["spec"]["replicas"] = json!(wanted);
            objects.update(&current, set);
            at
        }
    };
    let sets: Vec<Key> =
        objects.owned_by("apps", "replicasets", &deployment).map(|(key, _)| key.clone()).collect();
    for set in sets {
        let replicas = if set == current { wanted } else { 0 };
        if let Some(mut object) = objects.get(&set).cloned()
            && number(&object, "/spec/replicas") != replicas
        {
            object["spec"]["replicas"] = json!(replicas);
            objects.update(&set, object);
        }
        fill(objects, &set);
    }
    let mut deployment = deployment;
    deployment["metadata"]["annotations"][REVISION] = json!(at.to_string());
    deployment["status"] = json!({
        "observedGeneration": number(&deployment, "/metadata/generation"),
        "replicas": wanted, "updatedReplicas": wanted, "readyReplicas": wanted, "availableReplicas": wanted,
        "conditions": [{ "type": "Available", "status": "True", "reason": "MinimumReplicasAvailable",
                         "message": "Deployment has minimum availability." }],
    });
    objects.update(key, deployment);
}

/// Gives a ReplicaSet as many pods as it says.
pub fn fill(objects: &mut Objects, key: &Key) {
    let Some(set) = objects.get(key).cloned() else { return };
    let wanted = usize::try_from(number(&set, "/spec/replicas")).unwrap_or(usize::MAX);
    let mut pods: Vec<Key> = objects.owned_by("", "pods", &set).map(|(key, _)| key.clone()).collect();
    while pods.len() > wanted {
        if let Some(last) = pods.pop() {
            objects.delete(&last);
        }
    }
    for _ in pods.len()..wanted {
        let name = format!("{}-{:05}", key.name, objects.version());
        let mut pod = set.pointer("/spec/template").cloned().unwrap_or(Value::Null);
        let more = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "generateName": format!("{}-", key.name), "ownerReferences": [owner(&set, "apps/v1", "ReplicaSet")] },
            "spec": { "nodeName": "node-1" },
            "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }],
                        "containerStatuses": [{ "name": "main", "ready": true, "restartCount": 0 }] },
        });
        crate::patch::merge(&mut pod, &more);
        objects.create(key.beside("", "pods", &name), pod);
    }
}

/// What takes the place of a pod that went.
pub fn replace(objects: &mut Objects, namespace: Option<&str>, pod: &Value) {
    if text(pod, "/metadata/ownerReferences/0/kind") == "ReplicaSet" {
        let name = text(pod, "/metadata/ownerReferences/0/name").to_owned();
        fill(objects, &Key::new("apps", "replicasets", namespace, &name));
    }
}

fn revision(object: &Value) -> Option<u64> {
    object.pointer("/metadata/annotations")?.get(REVISION)?.as_str()?.parse().ok()
}

fn owner(object: &Value, api_version: &str, kind: &str) -> Value {
    json!({
        "apiVersion": api_version, "kind": kind, "name": text(object, "/metadata/name"),
        "uid": text(object, "/metadata/uid"), "controller": true, "blockOwnerDeletion": true,
    })
}

/// FNV-1a over the template's text, as ten hex digits: the same template is the same ReplicaSet.
fn hash(template: &Value) -> String {
    let hash = template.to_string().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}").chars().take(10).collect()
}
