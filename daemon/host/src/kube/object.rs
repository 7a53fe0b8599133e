//! Reading of what the API server answered.
//!
//! Owns what is taken out of an object before a guest sees it: bookkeeping of the server, and copies of the object inside
//! itself. Also merge patches: their inverse, and whether an object holds them (RFC 7396).

use serde_json::{Map, Value, json};

/// Marks an object with the change that last went to it, so that a lost answer can be asked after.
pub const MARKER: &str = "medic.dev/operation-id";
/// What `kubectl rollout restart` sets; everybody who looks at a rollout knows it.
pub const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
/// The object as it was applied, once more: large, and of some kinds a copy of secrets.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

pub fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub fn number(object: &Value, pointer: &str) -> Option<u64> {
    object.pointer(pointer).and_then(Value::as_u64)
}

pub fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

pub fn resource_version(object: &Value) -> &str {
    text(object, "/metadata/resourceVersion")
}

pub fn generation(object: &Value) -> Option<u64> {
    number(object, "/metadata/generation")
}

pub fn annotation<'v>(object: &'v Value, name: &str) -> Option<&'v str> {
    object.pointer("/metadata/annotations")?.get(name)?.as_str()
}

pub fn is_going(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null())
}

pub fn labels(object: &Value) -> impl Iterator<Item = (&str, &str)> {
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
    labels.into_iter().flatten().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
}

/// Kind and name of what will replace the object when it goes.
pub fn controller(object: &Value) -> Option<(&str, &str)> {
    let owners = object.pointer("/metadata/ownerReferences")?.as_array()?;
    let owner = owners.iter().find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))?;
    Some((owner.get("kind")?.as_str()?, owner.get("name")?.as_str()?))
}

/// Takes out what no tool needs. `kind` and `api_version` are put in: items of a list come without.
pub fn trimmed(mut object: Value, api_version: &str, kind: &str) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.entry("apiVersion").or_insert_with(|| json!(api_version));
        fields.entry("kind").or_insert_with(|| json!(kind));
    }
    if let Some(metadata) = object.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(LAST_APPLIED);
        }
    }
    object
}

/// The merge patch that takes `patch` back from an object that looked like `object`.
pub fn inverse(object: &Value, patch: &Value) -> Value {
    let Some(changes) = patch.as_object() else { return object.clone() };
    let mut back = Map::new();
    for (name, change) in changes {
        let was = match (object.get(name), change) {
            // What others put beside it in the meantime stays.
            (None | Some(Value::Null), Value::Object(_))
                if matches!(name.as_str(), "annotations" | "labels") =>
            {
                inverse(&Value::Object(Map::new()), change)
            }
            (None | Some(Value::Null), _) => Value::Null,
            (Some(was @ Value::Object(_)), Value::Object(_)) => inverse(was, change),
            (Some(was), _) => was.clone(),
        };
        back.insert(name.clone(), was);
    }
    Value::Object(back)
}

/// Whether the object looks as the merge patch leaves it.
pub fn holds(object: &Value, patch: &Value) -> bool {
    match patch {
        Value::Object(changes) => changes.iter().all(|(name, change)| match (object.get(name), change) {
            (None | Some(Value::Null), change) => is_nothing(change),
            (Some(value), change) => holds(value, change),
        }),
        other => object == other,
    }
}

/// Whether a merge patch leaves nothing behind where there was nothing.
fn is_nothing(patch: &Value) -> bool {
    match patch {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(is_nothing),
        _ => false,
    }
}

/// Lays one merge patch over another.
pub fn merged(mut base: Value, over: &Value) -> Value {
    match (base.as_object_mut(), over.as_object()) {
        (Some(fields), Some(over)) => {
            for (name, value) in over {
                let laid = match fields.remove(name) {
                    Some(under) if value.is_object() => merged(under, value),
                    _ => value.clone(),
                };
                fields.insert(name.clone(), laid);
            }
            base
        }
        _ => over.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies a merge patch as the server does.
    fn applied(object: &Value, patch: &Value) -> Value {
        let Some(changes) = patch.as_object() else { return patch.clone() };
        let mut fields = object.as_object().cloned().unwrap_or_default();
        for (name, change) in changes {
            if change.is_null() {
                fields.remove(name);
            } else {
                let under = fields.get(name).cloned().unwrap_or(Value::Null);
                fields.insert(name.clone(), applied(&under, change));
            }
        }
        Value::Object(fields)
    }

    #[test]
    fn a_patch_and_its_inverse_leave_what_was() {
        let object = json!({ "spec": { "replicas": 4, "paused": false, "list": [1, 2], "deep": { "a": 1 } }, "data": { "k": "v" } });
        for patch in [
            json!({ "spec": { "replicas": 9 } }),
            json!({ "spec": { "list": [3], "deep": { "a": null } } }),
            json!({ "spec": { "deep": 7, "paused": null } }),
            json!({ "data": { "k": "w", "new": "x" } }),
        ] {
            let back = inverse(&object, &patch);
            let changed = applied(&object, &patch);
            assert!(holds(&changed, &patch), "{changed} {patch}");
            assert_ne!(changed, object);
            assert_eq!(applied(&changed, &back), object, "{patch} {back}");
            assert!(holds(&object, &back), "{object} {back}");
        }
        let grown = json!({ "metadata": { "annotations": { "a": "b" } } });
        let back = inverse(&object, &grown);
        assert!(holds(&applied(&applied(&object, &grown), &back), &back));
    }

    #[test]
    fn only_a_controlling_owner_counts() {
        let pod = |owner: Value| json!({ "metadata": { "ownerReferences": [owner] } });
        let owned = pod(json!({ "kind": "ReplicaSet", "name": "web-1", "controller": true }));
        assert_eq!(controller(&owned), Some(("ReplicaSet", "web-1")));
        assert_eq!(controller(&pod(json!({ "kind": "ReplicaSet", "name": "web-1" }))), None);
        assert_eq!(controller(&json!({ "metadata": {} })), None);
    }

    #[test]
    fn copies_and_bookkeeping_do_not_reach_a_guest() {
        let object = json!({ "metadata": { "managedFields": [1], "annotations": { LAST_APPLIED: "{password}", "a": "b" } } });
        let trimmed = trimmed(object, "v1", "ConfigMap");
        assert_eq!(
            trimmed,
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "annotations": { "a": "b" } } })
        );
    }
}
