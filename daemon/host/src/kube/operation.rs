//! What can be done to an object, and what has to be known before it is.

use medic_core::plan::PlannedStep;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::object::{self, MARKER, RESTARTED_AT};
use super::{Kind, Resource};
use crate::contract::host::types::{ErrorKind, HostError};
use crate::session::error;

/// One change, as a guest asks for it or as the host puts one back.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    Scale {
        replicas: u32,
    },
    RolloutRestart,
    RolloutUndo {
        to_revision: Option<u64>,
    },
    Patch {
        patch: Value,
    },
    RestartPod,
    Cordon {
        unschedulable: bool,
    },
    Delete {
        grace_seconds: Option<u32>,
    },
    Evict,
    /// What an earlier change of this function found, put back by the host.
    PutBack {
        function: String,
        found: PreImage,
        generation: Option<u64>,
    },
}

/// What was found before a change, as it is kept in the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PreImage {
    pub uid: String,
    /// The change is refused by the server when the object has moved on from here.
    pub resource_version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// What the change sets. A merge patch; for a template the whole of it under `template`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub set: Value,
    /// What takes that back. Null: nothing can.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub was: Value,
    /// What is deleted, for people to read.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub object: Value,
}

impl PreImage {
    pub fn read(text: &str) -> Result<Self, String> {
        serde_json::from_str(text)
            .map_err(|why| format!("the kept state of the object cannot be read: {why}"))
    }

    pub fn can_be_put_back(text: &str) -> bool {
        Self::read(text).is_ok_and(|kept| !kept.was.is_null())
    }
}

const SCALED: [&str; 4] =
    ["apps/v1/Deployment", "apps/v1/StatefulSet", "apps/v1/ReplicaSet", "v1/ReplicationController"];
const ROLLED: [&str; 3] = ["apps/v1/Deployment", "apps/v1/StatefulSet", "apps/v1/DaemonSet"];
/// Who puts a pod in the place of one that goes. Not a Job, to which a lost pod is a failure, and not a Node.
const REPLACERS: [&str; 4] = ["ReplicaSet", "StatefulSet", "DaemonSet", "ReplicationController"];
/// Fields of an object that are the server's, or that say which object it is.
const NOT_PATCHED: [&str; 8] = [
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "managedFields",
    "ownerReferences",
    "finalizers",
];

impl Operation {
    /// Name in the contract, after the dot.
    pub fn name(&self) -> &str {
        match self {
            Self::Scale { .. } => "scale",
            Self::RolloutRestart => "rollout-restart",
            Self::RolloutUndo { .. } => "rollout-undo",
            Self::Patch { .. } => "patch",
            Self::RestartPod => "restart-pod",
            Self::Cordon { .. } => "cordon",
            Self::Delete { .. } => "delete",
            Self::Evict => "evict",
            Self::PutBack { function, .. } => function.rsplit('.').next().unwrap_or_default(),
        }
    }

    /// What a step's parameters must say. The whole of the change is in them, so that it is the whole that is approved.
    fn params(&self) -> Value {
        match self {
            Self::Scale { replicas } => json!({ "replicas": replicas }),
            Self::RolloutUndo { to_revision: Some(revision) } => json!({ "to_revision": revision }),
            Self::Patch { patch } => patch.clone(),
            Self::Cordon { unschedulable } => json!({ "unschedulable": unschedulable }),
            Self::Delete { grace_seconds: Some(seconds) } => json!({ "grace_seconds": seconds }),
            _ => json!({}),
        }
    }

    /// Whether the step that people approved is this operation.
    pub fn is_planned_by(&self, step: &PlannedStep) -> Result<(), String> {
        let planned = step.operation.replace('_', "-");
        let planned = planned.rsplit('.').next().unwrap_or_default();
        if planned != self.name() {
            return Err(format!(
                "the step's operation is `{}` and the call is {}; a step that changes a cluster is named for its call",
                crate::text::line(&step.operation, 64),
                self.name()
            ));
        }
        let params = serde_json::from_str::<Value>(&step.params_json).unwrap_or(Value::Null);
        let params = if params.is_null() { json!({}) } else { params };
        if params == self.params() {
            return Ok(());
        }
        Err(format!("the call's parameters are {}, and the step's are others", self.params()))
    }

    /// Whether the operation exists for the kind.
    pub fn fits(&self, kind: &Kind) -> Result<(), HostError> {
        let key = super::kinds::key(&kind.api_version, &kind.kind);
        let one_of = |kinds: &[&str]| match kinds.contains(&key.as_str()) {
            true => Ok(()),
            false => Err(format!("{} is for {}, not for {key}", self.name(), kinds.join(", "))),
        };
        let fits = match self {
            Self::Scale { .. } => one_of(&SCALED),
            Self::RolloutRestart => one_of(&ROLLED),
            Self::RolloutUndo { .. } => one_of(&["apps/v1/Deployment"]),
            Self::RestartPod | Self::Evict => one_of(&["v1/Pod"]),
            Self::Cordon { .. } => one_of(&["v1/Node"]),
            Self::Delete { .. } if key == "v1/Namespace" => {
                Err("a namespace is not deleted: everything in it would go too".to_owned())
            }
            Self::Patch { patch } => check_patch(patch),
            Self::Delete { .. } | Self::PutBack { .. } => Ok(()),
        };
        fits.map_err(|why| error(ErrorKind::Invalid, "K8S_OPERATION_UNFIT", why))
    }

    /// Pods that the operation would touch.
    pub fn pods(&self, resource: &Resource, object: &Value) -> u32 {
        let count =
            |pointer: &str| object::number(object, pointer).and_then(|count| u32::try_from(count).ok());
        let all = || count("/spec/replicas").or_else(|| count("/status/desiredNumberScheduled")).unwrap_or(0);
        match self {
            // Without a number there is one.
            Self::Scale { replicas } => replicas.abs_diff(count("/spec/replicas").unwrap_or(1)),
            Self::RolloutRestart | Self::RolloutUndo { .. } => all().max(1),
            Self::RestartPod | Self::Evict => 1,
            Self::Delete { .. } if resource.kind.is("v1", "Pod") => 1,
            Self::Delete { .. } => all(),
            Self::Patch { patch } => {
                let rolls = patch.pointer("/spec/template").is_some();
                let scaled = patch.pointer("/spec/replicas").and_then(Value::as_u64);
                let scaled = scaled.and_then(|to| u32::try_from(to).ok()).map(|to| to.abs_diff(all()));
                if rolls { all().max(1) } else { scaled.unwrap_or(0) }
            }
            Self::Cordon { .. } | Self::PutBack { .. } => 0,
        }
    }

    /// Whether the host can take the operation back, or has nothing to take back.
    pub fn reversible(&self) -> bool {
        !matches!(self, Self::Delete { .. } | Self::Evict)
    }

    /// What has to be kept of `object` before the operation. `rollout`: the template to go back to, for an undo.
    ///
    /// # Errors
    /// The object is not one that the operation may be done to now.
    pub fn pre_image(&self, found: &Value, rollout: Option<&Value>, at: &str) -> Result<PreImage, HostError> {
        let refuse = |code: &str, why: String| Err(error(ErrorKind::Conflict, code, why));
        let base = PreImage {
            uid: object::uid(found).to_owned(),
            resource_version: object::resource_version(found).to_owned(),
            generation: object::generation(found),
            set: Value::Null,
            was: Value::Null,
            object: Value::Null,
        };
        if object::is_going(found) && !matches!(self, Self::Delete { .. }) {
            return refuse("K8S_GOING", "it is being deleted already".to_owned());
        }
        let merge = |set: Value| {
            let was = object::inverse(found, &set);
            PreImage { set, was, ..base.clone() }
        };
        Ok(match self {
            Self::Scale { replicas } => {
                // The server fills in 1; written out, so that it can be put back.
                let was = object::number(found, "/spec/replicas").unwrap_or(1);
                PreImage {
                    was: json!({ "spec": { "replicas": was } }),
                    ..merge(json!({ "spec": { "replicas": replicas } }))
                }
            }
            Self::RolloutRestart => merge(
                json!({ "spec": { "template": { "metadata": { "annotations": { RESTARTED_AT: at } } } } }),
            ),
            Self::Cordon { unschedulable } => {
                // The server keeps no `false`: absent is how it says so.
                let set = if *unschedulable { json!(true) } else { Value::Null };
                merge(json!({ "spec": { "unschedulable": set } }))
            }
            Self::Patch { patch } => merge(patch.clone()),
            Self::RolloutUndo { .. } => {
                let Some(template) = rollout else {
                    return refuse("K8S_NO_REVISION", "there is no such revision to go back to".to_owned());
                };
                let was = found.pointer("/spec/template").cloned().unwrap_or(Value::Null);
                if same_template(&was, template) {
                    return refuse("K8S_NO_REVISION", "that revision is the one that runs".to_owned());
                }
                PreImage { set: json!({ "template": template }), was: json!({ "template": was }), ..base }
            }
            Self::RestartPod => match object::controller(found) {
                Some((kind, _)) if REPLACERS.contains(&kind) => base,
                Some((kind, name)) => {
                    return refuse(
                        "K8S_NOT_REPLACED",
                        format!("its controller is {kind} {name}, which would not replace it"),
                    );
                }
                None => return refuse("K8S_NOT_REPLACED", "no controller would replace it".to_owned()),
            },
            Self::Evict => base,
            Self::Delete { .. } => PreImage { object: object::trimmed(found.clone(), "", ""), ..base },
            Self::PutBack { found: kept, generation, .. } => {
                if base.uid != kept.uid {
                    return refuse(
                        "K8S_REPLACED",
                        "the object is another one of the same name by now".to_owned(),
                    );
                }
                let untouched = generation.is_some() && base.generation == *generation;
                let as_left = |patch: &Value| match patch.get("template") {
                    Some(template) => {
                        found.pointer("/spec/template").is_some_and(|now| same_template(now, template))
                    }
                    None => object::holds(found, patch),
                };
                if !untouched && !as_left(&kept.set) && !as_left(&kept.was) {
                    let why = "it was changed since by somebody else, whose work would be lost".to_owned();
                    return refuse("K8S_CHANGED_SINCE", why);
                }
                PreImage { set: kept.was.clone(), ..base }
            }
        })
    }
}

/// Templates are compared without what the rollout itself writes into them.
fn same_template(a: &Value, b: &Value) -> bool {
    stripped(a.clone()) == stripped(b.clone())
}

/// A ReplicaSet's template as its Deployment had it.
pub fn stripped(mut template: Value) -> Value {
    if let Some(metadata) = template.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        metadata.remove("creationTimestamp");
        if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
            labels.remove("pod-template-hash");
        }
    }
    template
}

/// A merge patch may not say which object it is for, nor touch what keeps the object from being deleted.
fn check_patch(patch: &Value) -> Result<(), String> {
    let Some(fields) = patch.as_object().filter(|fields| !fields.is_empty()) else {
        return Err("a patch is a JSON object that changes something".to_owned());
    };
    if let Some(name) = fields.keys().find(|name| matches!(name.as_str(), "apiVersion" | "kind" | "status")) {
        return Err(format!("a patch may not touch `{name}`"));
    }
    let metadata = match fields.get("metadata") {
        None => return Ok(()),
        Some(metadata) => metadata.as_object().ok_or("a patch may not replace `metadata`")?,
    };
    if let Some(name) = metadata.keys().find(|name| NOT_PATCHED.contains(&name.as_str())) {
        return Err(format!("a patch may not touch `metadata.{name}`"));
    }
    for map in ["annotations", "labels"] {
        let Some(changed) = metadata.get(map) else { continue };
        let changed =
            changed.as_object().ok_or_else(|| format!("a patch may not replace `metadata.{map}`"))?;
        if changed.contains_key(MARKER) {
            return Err(format!("a patch may not touch the annotation {MARKER}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use medic_core::call::Target;

    fn step(operation: &str, params: &str) -> PlannedStep {
        PlannedStep {
            id: 1,
            operation: operation.into(),
            target: Target {
                cluster: "c".into(),
                api_version: "apps/v1".into(),
                kind: "Deployment".into(),
                namespace: None,
                name: "web".into(),
            },
            params_json: params.into(),
            summary: String::new(),
        }
    }

    fn deployment() -> Value {
        json!({
            "metadata": { "name": "web", "uid": "u1", "resourceVersion": "7", "generation": 3 },
            "spec": { "replicas": 4, "template": { "metadata": { "creationTimestamp": null, "labels": { "app": "web" } }, "spec": { "image": "b" } } },
        })
    }

    #[test]
    fn only_what_was_approved_is_done() {
        let scale = Operation::Scale { replicas: 6 };
        for operation in ["scale", "k8s-change.scale"] {
            assert!(scale.is_planned_by(&step(operation, "{\"replicas\":6}")).is_ok());
        }
        for (operation, params) in
            [("scale", "{\"replicas\":7}"), ("scale", "null"), ("delete", "{\"replicas\":6}"), ("", "")]
        {
            assert!(scale.is_planned_by(&step(operation, params)).is_err(), "{operation} {params}");
        }
        assert!(Operation::RolloutRestart.is_planned_by(&step("rollout_restart", "null")).is_ok());
        assert!(Operation::RolloutRestart.is_planned_by(&step("rollout-undo", "{}")).is_err());
        let now = Operation::Delete { grace_seconds: Some(0) };
        assert!(now.is_planned_by(&step("delete", "{}")).is_err());
    }

    #[test]
    fn a_patch_cannot_become_another_kind_of_change() {
        let check = |patch: Value| check_patch(&patch).is_ok();
        assert!(check(json!({ "spec": { "paused": true }, "metadata": { "annotations": { "a": "b" } } })));
        for patch in [
            json!(null),
            json!({}),
            json!([1]),
            json!({ "kind": "Secret" }),
            json!({ "status": {} }),
            json!({ "metadata": null }),
            json!({ "metadata": { "finalizers": null } }),
            json!({ "metadata": { "resourceVersion": "1" } }),
            json!({ "metadata": { "annotations": { MARKER: "x" } } }),
            json!({ "metadata": { "labels": null } }),
            json!({ "metadata": { "ownerReferences": [] } }),
        ] {
            assert!(!check(patch.clone()), "{patch}");
        }
    }

    #[test]
    fn a_pod_is_restarted_only_where_it_is_replaced() {
        let pod = |kind: &str, controller: bool| json!({ "metadata": { "uid": "u", "ownerReferences": [{ "kind": kind, "name": "o", "controller": controller }] } });
        let code = |object: &Value| {
            Operation::RestartPod.pre_image(object, None, "").map_err(|error| error.code).err()
        };
        assert_eq!(code(&pod("ReplicaSet", true)), None);
        for object in
            [pod("ReplicaSet", false), pod("Job", true), pod("Node", true), json!({ "metadata": {} })]
        {
            assert_eq!(code(&object).as_deref(), Some("K8S_NOT_REPLACED"), "{object}");
        }
        let mut going = pod("ReplicaSet", true);
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(code(&going).as_deref(), Some("K8S_GOING"));
    }

    #[test]
    fn nothing_is_put_back_over_the_work_of_others() {
        let kept = Operation::Scale { replicas: 6 }.pre_image(&deployment(), None, "").unwrap();
        let put_back = |now: &Value, generation| {
            let function = "k8s-change.scale".to_owned();
            Operation::PutBack { function, found: kept.clone(), generation }
                .pre_image(now, None, "")
                .map_err(|e| e.code)
        };
        let with = |replicas: u64, uid: &str| {
            let mut now = deployment();
            now["spec"]["replicas"] = json!(replicas);
            now["metadata"]["uid"] = json!(uid);
            now
        };
        assert_eq!(put_back(&with(6, "u1"), None).unwrap().set, json!({ "spec": { "replicas": 4 } }));
        assert!(put_back(&with(4, "u1"), None).is_ok());
        assert!(put_back(&with(9, "u1"), Some(3)).is_ok(), "its generation says that nobody touched it");
        assert_eq!(put_back(&with(9, "u1"), Some(4)).unwrap_err(), "K8S_CHANGED_SINCE");
        assert_eq!(put_back(&with(6, "u2"), None).unwrap_err(), "K8S_REPLACED");
    }

    #[test]
    fn pods_touched_are_counted_from_the_object() {
        let kind = super::super::kinds::granted("apps/v1/Deployment").unwrap().1;
        let resource = Resource { kind, namespace: Some("a".into()), name: "web".into() };
        let pods = |operation: Operation| operation.pods(&resource, &deployment());
        assert_eq!(pods(Operation::Scale { replicas: 1 }), 3);
        assert_eq!(pods(Operation::RolloutRestart), 4);
        assert_eq!(pods(Operation::Delete { grace_seconds: None }), 4);
        assert_eq!(pods(Operation::Patch { patch: json!({ "spec": { "template": {} } }) }), 4);
        assert_eq!(pods(Operation::Patch { patch: json!({ "metadata": { "labels": { "a": "b" } } }) }), 0);
        assert_eq!(pods(Operation::Patch { patch: json!({ "spec": { "replicas": 50 } }) }), 46);
    }

    #[test]
    fn a_revision_that_runs_already_is_not_gone_back_to() {
        let undo = Operation::RolloutUndo { to_revision: None };
        let old = json!({ "metadata": { "labels": { "app": "web" } }, "spec": { "image": "a" } });
        let kept = undo.pre_image(&deployment(), Some(&old), "").unwrap();
        assert_eq!(kept.was["template"]["spec"]["image"], "b");
        let same = json!({ "metadata": { "labels": { "app": "web", "pod-template-hash": "x" } }, "spec": { "image": "b" } });
        assert_eq!(undo.pre_image(&deployment(), Some(&same), "").unwrap_err().code, "K8S_NO_REVISION");
        assert_eq!(undo.pre_image(&deployment(), None, "").unwrap_err().code, "K8S_NO_REVISION");
    }
}
