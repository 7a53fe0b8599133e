//! The way of a deed to a cluster.
//!
//! Every change carries the resourceVersion that was found (for a deletion the uid), so that it happens at most once
//! however often it is sent, and never over what somebody else did in between: that is a conflict, and the guest is told.
//! Whether a change happened whose answer was lost is read from the object: from its marker where the request may set
//! one, from its generation where it may not.

use std::time::Duration;

use async_trait::async_trait;
use medic_core::Digest;
use medic_ports::tools::CallFate;
use serde_json::{Value, json};

use super::cluster::{Call, Cluster, Failed, Reply};
use super::object::{self, MARKER};
use super::operation::{Operation, PreImage, stripped};
use super::status::Status;
use super::{Resource, kinds};
use crate::contract::host::types::{ErrorKind, HostError};
use crate::deed::{Attempt, Detail, Way};
use crate::limits::{CLUSTER_TIMEOUT_MS, FATE_TIMEOUT_MS};
use crate::session::error;

const REVISION: &str = "deployment.kubernetes.io/revision";
/// Under this name the server's bookkeeping knows our changes.
const FIELD_MANAGER: &str = "medic";
/// Old ReplicaSets that a rollout keeps, and then some: the default history is ten.
const REVISIONS_MAX: u32 = 100;

/// One change of one object.
pub struct ClusterWay<'a> {
    pub cluster: &'a Cluster,
    pub resource: Resource,
    pub operation: Operation,
    /// Has the server do everything but keep it.
    pub dry_run: bool,
    /// RFC 3339; what a restart writes down.
    pub at: String,
    pub timeout: Duration,
    found: Option<Found>,
}

/// What stood there before.
struct Found {
    object: Value,
    /// The template of the revision to go back to.
    rollout: Option<Value>,
}

impl<'a> ClusterWay<'a> {
    pub fn new(
        cluster: &'a Cluster,
        resource: Resource,
        operation: Operation,
        at: String,
        timeout: Duration,
    ) -> Self {
        let timeout = timeout.min(Duration::from_millis(CLUSTER_TIMEOUT_MS));
        Self { cluster, resource, operation, dry_run: false, at, timeout, found: None }
    }

    /// Reads what is there, and what else the operation must know.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub async fn look(&mut self) -> Result<&Value, HostError> {
        let object = self.cluster.read(&Call::get(self.resource.path()), self.timeout).await?;
        let rollout = match &self.operation {
            Operation::RolloutUndo { to_revision } => self.revision(&object, *to_revision).await?,
            _ => None,
        };
        Ok(&self.found.insert(Found { object, rollout }).object)
    }

    /// The template of one revision of a Deployment, or of the one before the present.
    async fn revision(&self, deployment: &Value, wanted: Option<u64>) -> Result<Option<Value>, HostError> {
        let (_, kind) = kinds::granted("apps/v1/ReplicaSet")
            .map_err(|why| error(ErrorKind::Internal, "K8S_KIND", why))?;
        let selector = deployment.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
        let selector: Vec<String> = selector
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?)))
            .collect();
        let call = Call::get(kind.collection(self.resource.namespace.as_deref()))
            .query("labelSelector", selector.join(","))
            .query("limit", REVISIONS_MAX.to_string());
        let list = self.cluster.read(&call, self.timeout).await?;
        let number =
            |object: &Value| object::annotation(object, REVISION).and_then(|text| text.parse::<u64>().ok());
        let present = number(deployment).unwrap_or(u64::MAX);
        let owned = |set: &&Value| {
            let owners = set.pointer("/metadata/ownerReferences").and_then(Value::as_array);
            owners.into_iter().flatten().any(|owner| object::text(owner, "/uid") == object::uid(deployment))
        };
        let sets = list.pointer("/items").and_then(Value::as_array);
        let sets = sets.into_iter().flatten().filter(owned);
        let fits = |revision: u64| wanted.map_or(revision < present, |wanted| revision == wanted);
        let found = sets
            .filter_map(|set| Some((number(set).filter(|revision| fits(*revision))?, set)))
            .max_by_key(|(revision, _)| *revision);
        Ok(found.and_then(|(_, set)| set.pointer("/spec/template").cloned()).map(stripped))
    }

    /// Pods that the change would touch.
    pub fn pods(&self) -> u32 {
        self.found.as_ref().map_or(0, |found| self.operation.pods(&self.resource, &found.object))
    }

    /// The request that carries the change out, from what was kept before it.
    fn call(&self, key: &str, kept: &PreImage, old_server: bool) -> Call {
        let path = self.resource.path();
        let call = match self.operation.name() {
            "scale" => {
                let patch = object::merged(
                    kept.set.clone(),
                    &json!({ "metadata": { "resourceVersion": kept.resource_version } }),
                );
                Call::merge_patch(format!("{path}/scale"), patch)
            }
            "rollout-undo" => {
                let template = kept.set.get("template").cloned().unwrap_or(Value::Null);
                // Replacing the version with the one that was found is how a JSON patch states a precondition.
                let mut patch = vec![
                    json!({ "op": "replace", "path": "/metadata/resourceVersion", "value": kept.resource_version }),
                    json!({ "op": "replace", "path": "/spec/template", "value": template }),
                ];
                // A Deployment that has ever rolled out has annotations.
                patch.push(json!({ "op": "add", "path": format!("/metadata/annotations/{}", MARKER.replace('/', "~1")), "value": key }));
                Call::json_patch(path, Value::Array(patch))
            }
            "restart-pod" | "evict" => {
                let version = if old_server { "policy/v1beta1" } else { "policy/v1" };
                let mut options = json!({ "preconditions": { "uid": kept.uid } });
                if self.dry_run {
                    options = object::merged(options, &json!({ "dryRun": ["All"] }));
                }
                let eviction = json!({
                    "apiVersion": version,
                    "kind": "Eviction",
                    "metadata": { "name": self.resource.name, "namespace": self.resource.namespace },
                    "deleteOptions": options,
                });
                return Call::post(format!("{path}/eviction"), eviction).dry_run(self.dry_run);
            }
            "delete" => {
                let mut options = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": { "uid": kept.uid } });
                if let Operation::Delete { grace_seconds: Some(seconds) } = &self.operation {
                    options = object::merged(options, &json!({ "gracePeriodSeconds": seconds }));
                }
                return Call::delete(path, options).dry_run(self.dry_run);
            }
            _ => {
                let metadata = json!({ "metadata": { "resourceVersion": kept.resource_version, "annotations": { MARKER: key } } });
                Call::merge_patch(path, object::merged(kept.set.clone(), &metadata))
            }
        };
        call.query("fieldManager", FIELD_MANAGER).dry_run(self.dry_run)
    }

    /// Whether the object goes by this change, rather than being changed.
    fn removes(&self) -> bool {
        matches!(self.operation.name(), "restart-pod" | "evict" | "delete")
    }

    async fn exchange(&self, key: &str, kept: &PreImage) -> Result<Reply, Failed> {
        let reply = self.cluster.send(&self.call(key, kept, false), self.timeout).await?;
        // Servers before 1.22 know the older name of the same thing, and say so without having done anything.
        let eviction = matches!(self.operation.name(), "restart-pod" | "evict");
        if eviction && matches!(reply.status, 400 | 404) {
            let words = Status::read(&reply.body).message;
            if words.contains("policy/v1") && (words.contains("no kind") || words.contains("could not find"))
            {
                return self.cluster.send(&self.call(key, kept, true), self.timeout).await;
            }
        }
        Ok(reply)
    }

    fn kept(&self, pre_image: Option<&str>) -> Result<PreImage, String> {
        PreImage::read(pre_image.ok_or("nothing was kept of the object before")?)
    }
}

#[async_trait]
impl Way for ClusterWay<'_> {
    fn request_digest(&self) -> Digest {
        let resource = &self.resource;
        let (params, what) = match &self.operation {
            Operation::Scale { replicas } => (json!(replicas), "scale"),
            Operation::RolloutUndo { to_revision } => (json!(to_revision), "rollout-undo"),
            Operation::Patch { patch } => (patch.clone(), "patch"),
            Operation::Cordon { unschedulable } => (json!(unschedulable), "cordon"),
            Operation::Delete { grace_seconds } => (json!(grace_seconds), "delete"),
            Operation::PutBack { found, .. } => (found.was.clone(), "put-back"),
            other => (Value::Null, other.name()),
        };
        Digest::of(&("medic-k8s-v1", &self.cluster.name, what, resource.path(), params.to_string()))
    }

    async fn pre_image(&self) -> Result<Option<String>, HostError> {
        let found = self.found.as_ref().ok_or_else(|| {
            error(ErrorKind::Internal, "K8S_NOT_LOOKED", "a change was begun before the object was looked at")
        })?;
        let kept = self.operation.pre_image(&found.object, found.rollout.as_ref(), &self.at)?;
        serde_json::to_string(&kept).map(Some).map_err(|why| {
            error(ErrorKind::Internal, "K8S_PRE_IMAGE", format!("cannot write down what was found: {why}"))
        })
    }

    async fn attempt(&self, key: &str, pre_image: Option<&str>, again: bool) -> Attempt {
        let kept = match self.kept(pre_image) {
            Ok(kept) => kept,
            Err(why) => return Attempt::NotSent { code: "K8S_PRE_IMAGE".to_owned(), message: why },
        };
        let reply = match self.exchange(key, &kept).await {
            Ok(reply) => reply,
            Err(Failed::NotSent(message)) => {
                return Attempt::NotSent { code: "K8S_UNREACHABLE".to_owned(), message };
            }
            Err(Failed::Lost { why, .. }) => return Attempt::Lost { why },
        };
        match reply.status {
            200..300 => Attempt::Answered(Detail::answered(key, reply.status, summary(&reply.body))),
            // The server gave up, perhaps after it had begun.
            500.. => Attempt::Lost {
                why: format!(
                    "the API server answered {}: {}",
                    reply.status,
                    Status::read(&reply.body).words()
                ),
            },
            status => {
                let refusal = Status::read(&reply.body);
                let detail = Detail {
                    code: Some(refusal.code(status).to_owned()),
                    ..Detail::answered(key, status, refusal.words())
                };
                if !again {
                    return Attempt::Answered(detail);
                }
                // Both attempts state the same precondition, so the object tells which of them it was that failed.
                match self.fate(key, pre_image).await {
                    CallFate::Happened { detail_json } => Attempt::Settled(Detail {
                        looked_up: true,
                        ..Detail::answered(key, 200, detail_json)
                    }),
                    CallFate::NotHappened => Attempt::Settled(detail),
                    CallFate::Unknown { detail } => Attempt::Lost { why: detail },
                }
            }
        }
    }

    async fn fate(&self, key: &str, pre_image: Option<&str>) -> CallFate {
        let unknown = |detail: String| CallFate::Unknown { detail };
        let kept = match self.kept(pre_image) {
            Ok(kept) => kept,
            Err(why) => return unknown(why),
        };
        let timeout = Duration::from_millis(FATE_TIMEOUT_MS);
        let reply = match self.cluster.send(&Call::get(self.resource.path()), timeout).await {
            Ok(reply) => reply,
            Err(failed) => {
                return unknown(format!("asked after it, there was no answer: {}", failed.error().message));
            }
        };
        let gone = reply.status == 404;
        let now = match reply.object() {
            Ok(now) => now,
            Err(_) if gone && self.removes() => {
                return happened(&Value::Null, "it is gone, by this call or another's");
            }
            Err(why) => return unknown(format!("asked after it: {}", why.message)),
        };
        if self.removes() {
            // One that was going before, and is to go at once, is not gone because it is still going.
            let going = object::is_going(&now) && !object::is_going(&kept.object);
            return match object::uid(&now) != kept.uid || going {
                true => happened(&now, "it is gone, by this call or another's"),
                false => CallFate::NotHappened,
            };
        }
        if object::uid(&now) != kept.uid {
            return unknown("the object is another one of the same name by now".to_owned());
        }
        if object::annotation(&now, MARKER) == Some(key) {
            return happened(&now, "the object bears the mark of this call");
        }
        // Sent again, the change is refused wherever the object has moved on: a repeat is harmless.
        if self.operation.name() != "scale" || object::generation(&now) == kept.generation {
            return CallFate::NotHappened;
        }
        let one_later = kept.generation.zip(object::generation(&now)).is_some_and(|(was, is)| is == was + 1);
        match one_later && object::holds(&now, &kept.set) {
            true => happened(&now, "the only change since then has set what was asked for"),
            false => unknown("it was changed since, by this call or another's".to_owned()),
        }
    }
}

/// What became of an object whose change was journalled before a restart, from its marker alone.
pub async fn fate_by_marker(cluster: &Cluster, resource: &Resource, key: &str) -> CallFate {
    let timeout = Duration::from_millis(FATE_TIMEOUT_MS);
    match cluster.read(&Call::get(resource.path()), timeout).await {
        Ok(now) if object::annotation(&now, MARKER) == Some(key) => {
            happened(&now, "the object bears the mark of this call")
        }
        Ok(_) => CallFate::Unknown { detail: "the object does not bear the mark of this call".to_owned() },
        Err(why) => CallFate::Unknown { detail: format!("asked after it: {}", why.message) },
    }
}

fn happened(object: &Value, how: &str) -> CallFate {
    let mut detail = facts(object);
    if let Some(fields) = detail.as_object_mut() {
        fields.insert("status".to_owned(), json!(200));
        fields.insert("told_by".to_owned(), json!(how));
    }
    CallFate::Happened { detail_json: detail.to_string() }
}

/// What a receipt keeps of an answer: which object it was, and where it stands now.
fn summary(body: &[u8]) -> String {
    serde_json::from_slice::<Value>(body).map(|object| facts(&object).to_string()).unwrap_or_default()
}

fn facts(object: &Value) -> Value {
    let mut facts = serde_json::Map::new();
    for (name, pointer) in [
        ("kind", "/kind"),
        ("name", "/metadata/name"),
        ("uid", "/metadata/uid"),
        ("resource_version", "/metadata/resourceVersion"),
        ("generation", "/metadata/generation"),
        ("replicas", "/spec/replicas"),
    ] {
        if let Some(value) = object.pointer(pointer) {
            facts.insert(name.to_owned(), value.clone());
        }
    }
    Value::Object(facts)
}

/// Generation that a receipt says the object had after the change.
pub fn generation_after(detail: &Detail) -> Option<u64> {
    serde_json::from_str::<Value>(&detail.body).ok()?.get("generation")?.as_u64()
}
