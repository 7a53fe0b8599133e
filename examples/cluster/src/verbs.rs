//! What each verb does to what exists.

use serde_json::{Value, json};

use crate::objects::{Key, Objects, matches, number, text};
use crate::refusal::Refusal;
use crate::request::Request;
use crate::workload;

/// A status and a body. A log is text, the rest is JSON.
pub struct Answer {
    pub status: u16,
    pub body: Body,
}

pub enum Body {
    Json(Value),
    Text(String),
}

fn ok(body: Value) -> Result<Answer, Refusal> {
    Ok(Answer { status: 200, body: Body::Json(body) })
}

/// Carries out one request that is allowed. `old`: knows evictions by their older name alone.
pub fn answer(
    objects: &mut Objects,
    request: &Request,
    content_type: &str,
    body: &Value,
    old: bool,
) -> Result<Answer, Refusal> {
    let group = if request.group == "metrics.k8s.io" { "" } else { request.group.as_str() };
    let Some(name) = &request.name else {
        return match request.verb {
            "list" => ok(list(objects, request, group)),
            _ => Err(Refusal::no_such_path()),
        };
    };
    let key = Key::new(group, &request.plural, request.namespace.as_deref(), name);
    let missing = || Refusal::not_found(&request.group, &request.plural, name);
    let found = objects.get(&key).cloned().ok_or_else(missing)?;
    let dry = request.asks("dryRun") == Some("All");
    match (request.verb, request.sub.as_deref()) {
        ("get", None) => ok(found),
        ("get", Some("scale")) => ok(scale(&found)),
        ("get", Some("log")) => log(&found, request),
        ("patch", sub @ (None | Some("scale"))) => {
            patch(objects, &key, found, sub.is_some(), content_type, body, dry)
        }
        ("create", Some("eviction")) => evict(objects, &key, &found, body, dry, old),
        ("delete", None) => delete(objects, &key, found, body, dry),
        _ => Err(Refusal::no_such_path()),
    }
}

fn list(objects: &Objects, request: &Request, group: &str) -> Value {
    let selector = request.asks("labelSelector").unwrap_or_default();
    let limit = request.asks("limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
    let all: Vec<Value> = objects
        .list(group, &request.plural, request.namespace.as_deref())
        .filter(|(_, object)| matches(selector, object))
        .map(|(_, object)| if request.group == group { item(object) } else { usage(object) })
        .collect();
    let more = all.len().saturating_sub(limit);
    let kind =
        objects.list(group, &request.plural, None).next().map(|(_, object)| text(object, "/kind").to_owned());
    let mut metadata = json!({ "resourceVersion": objects.version().to_string() });
    if more > 0 {
        metadata = json!({ "resourceVersion": objects.version().to_string(), "continue": "bW9yZQ", "remainingItemCount": more });
    }
    json!({
        "kind": format!("{}List", kind.unwrap_or_default()),
        "apiVersion": version(request),
        "metadata": metadata,
        "items": all.into_iter().take(limit).collect::<Vec<_>>(),
    })
}

fn version(request: &Request) -> String {
    match request.group.as_str() {
        "" => request.version.clone(),
        group => format!("{group}/{}", request.version),
    }
}

/// Items of a list come without their kind.
fn item(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    object
}

/// What a metrics server says of a pod or a node.
fn usage(object: &Value) -> Value {
    let usage = json!({ "cpu": "12m", "memory": "34Mi" });
    json!({
        "metadata": { "name": text(object, "/metadata/name"), "namespace": object.pointer("/metadata/namespace"),
                      "labels": object.pointer("/metadata/labels") },
        "timestamp": "2026-01-01T00:00:00Z", "window": "15s",
        "usage": usage,
        "containers": [{ "name": "main", "usage": object.pointer("/usage").cloned().unwrap_or(usage) }],
    })
}

fn scale(object: &Value) -> Value {
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": text(object, "/metadata/name"), "namespace": text(object, "/metadata/namespace"),
            "uid": text(object, "/metadata/uid"), "resourceVersion": text(object, "/metadata/resourceVersion"),
            "creationTimestamp": text(object, "/metadata/creationTimestamp"),
        },
        "spec": { "replicas": number(object, "/spec/replicas") },
        "status": { "replicas": number(object, "/status/replicas") },
    })
}

fn log(pod: &Value, request: &Request) -> Result<Answer, Refusal> {
    let Some(text) = pod.pointer("/log").and_then(Value::as_str) else {
        return Err(Refusal::no_log(text(pod, "/metadata/name")));
    };
    let tail = request.asks("tailLines").and_then(|tail| tail.parse().ok()).unwrap_or(usize::MAX);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(tail);
    let body = lines.iter().skip(from).map(|line| format!("{line}\n")).collect();
    Ok(Answer { status: 200, body: Body::Text(body) })
}

fn patch(
    objects: &mut Objects,
    key: &Key,
    found: Value,
    scaled: bool,
    content_type: &str,
    body: &Value,
    dry: bool,
) -> Result<Answer, Refusal> {
    let version = text(&found, "/metadata/resourceVersion").to_owned();
    let mut next = if scaled { scale(&found) } else { found.clone() };
    match content_type {
        "application/merge-patch+json" | "application/strategic-merge-patch+json" => {
            crate::patch::merge(&mut next, body)
        }
        "application/json-patch+json" => {
            crate::patch::apply(&mut next, body).map_err(Refusal::bad_request)?
        }
        other => {
            return Err(Refusal {
                status: 415,
                ..Refusal::bad_request(format!("the body of the request was in an unknown format - {other}"))
            });
        }
    }
    if text(&next, "/metadata/resourceVersion") != version {
        return Err(Refusal::modified(&key.group, &key.plural, &key.name));
    }
    let replicas = next.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or_default();
    if replicas < 0 {
        return Err(Refusal::negative_replicas(&key.name, replicas));
    }
    let mut object = found.clone();
    if scaled {
        object["spec"]["replicas"] = json!(replicas);
    } else {
        object = next;
    }
    if dry {
        return ok(if scaled { scale(&object) } else { object });
    }
    if object == found {
        return ok(if scaled { scale(&object) } else { object });
    }
    let updated = objects.update(key, object);
    let answer = if scaled { scale(&updated) } else { updated.clone() };
    match key.plural.as_str() {
        "deployments" if found.get("spec") != updated.get("spec") => workload::settle(objects, key),
        "replicasets" => workload::fill(objects, key),
        _ => {}
    }
    ok(answer)
}

fn precondition(key: &Key, found: &Value, options: &Value) -> Result<(), Refusal> {
    let wanted = text(options, "/preconditions/uid");
    let uid = text(found, "/metadata/uid");
    if !wanted.is_empty() && wanted != uid {
        let why = format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
        );
        return Err(Refusal::conflict(&key.group, &key.plural, &key.name, &why));
    }
    Ok(())
}

fn evict(
    objects: &mut Objects,
    key: &Key,
    pod: &Value,
    body: &Value,
    dry: bool,
    old: bool,
) -> Result<Answer, Refusal> {
    if old && text(body, "/apiVersion") != "policy/v1beta1" {
        return Err(Refusal::bad_request(
            "Eviction in version \"v1\" cannot be handled as a Eviction: no kind \"Eviction\" is registered for version \"policy/v1\" in scheme \"legacyscheme\"",
        ));
    }
    precondition(key, pod, body.get("deleteOptions").unwrap_or(&Value::Null))?;
    let ready = |pod: &Value| text(pod, "/status/conditions/0/status") == "True";
    for (_, budget) in objects.list("policy", "poddisruptionbudgets", key.namespace.as_deref()) {
        let selector = selector(budget);
        if !matches(&selector, pod) {
            continue;
        }
        let pods = objects.list("", "pods", key.namespace.as_deref());
        let healthy = pods.filter(|(_, pod)| matches(&selector, pod) && ready(pod)).count() as u64;
        let needed = number(budget, "/spec/minAvailable");
        if healthy <= needed {
            return Err(Refusal::disruption_budget(text(budget, "/metadata/name"), needed, healthy));
        }
    }
    if !dry {
        objects.delete(key);
        workload::replace(objects, key.namespace.as_deref(), pod);
    }
    let done =
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 });
    Ok(Answer { status: 201, body: Body::Json(done) })
}

fn selector(object: &Value) -> String {
    let labels = object.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let terms =
        labels.into_iter().flatten().filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?)));
    terms.collect::<Vec<_>>().join(",")
}

fn delete(
    objects: &mut Objects,
    key: &Key,
    found: Value,
    options: &Value,
    dry: bool,
) -> Result<Answer, Refusal> {
    precondition(key, &found, options)?;
    if dry {
        return ok(found);
    }
    objects.delete(key);
    if key.plural == "pods" {
        workload::replace(objects, key.namespace.as_deref(), &found);
    }
    let mut gone = found;
    crate::patch::merge(
        &mut gone,
        &json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:01:00Z",
                                "deletionGracePeriodSeconds": options.get("gracePeriodSeconds").cloned().unwrap_or(json!(30)) } }),
    );
    ok(gone)
}
