//! Owns the reading of Kubernetes objects as tools meet them: references, and values out of what the host answers.
//!
//! Objects are read leniently, field by field: an API server of another version has other fields, and what a tool does
//! not ask after must not stop it. What it does ask after and does not find is an upstream failure, never a guess.

use serde_json::Value;

use crate::error::ToolResult;
use crate::host::QueryHost;
use crate::types::{ResourceRef, Selector, ToolError};

/// `apps/v1` Deployment in a namespace of a cluster, and so on for the kinds that tools name.
pub fn resource(
    cluster: impl Into<String>,
    api_version: &str,
    kind: &str,
    namespace: Option<&str>,
    name: impl Into<String>,
) -> ResourceRef {
    ResourceRef {
        cluster: cluster.into(),
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.into(),
    }
}

/// One object.
#[derive(Debug, Clone, PartialEq)]
pub struct Object(Value);

impl Object {
    /// Reads one object.
    ///
    /// # Errors
    /// The host refuses, there is none, or what it answers is another object than was asked for.
    pub fn read(host: &QueryHost, target: &ResourceRef) -> ToolResult<Self> {
        let object = Self::parse(&host.kubernetes().get(target)?)?;
        if object.name() != target.name {
            let message = format!("asked for {} {}, got `{}`", target.kind, target.name, object.name());
            return Err(ToolError::upstream("OBJECT_MISMATCH", message));
        }
        Ok(object)
    }

    /// The objects of a kind in a namespace, narrowed by a label selector.
    ///
    /// # Errors
    /// The host refuses, or what it answers are no objects.
    pub fn list(
        host: &QueryHost,
        of: &ResourceRef,
        labels: Option<&str>,
        limit: u32,
    ) -> ToolResult<Vec<Self>> {
        let selector = Selector {
            cluster: of.cluster.clone(),
            api_version: of.api_version.clone(),
            kind: of.kind.clone(),
            namespace: of.namespace.clone(),
            labels: labels.map(str::to_owned),
            limit,
        };
        host.kubernetes().list(&selector)?.iter().map(|text| Self::parse(text)).collect()
    }

    /// # Errors
    /// `OBJECT_MALFORMED`: it is no JSON object with a name.
    pub fn parse(text: &str) -> ToolResult<Self> {
        let value: Value = serde_json::from_str(text).map_err(|error| {
            ToolError::upstream("OBJECT_MALFORMED", format!("the object is no JSON: {error}"))
        })?;
        let object = Self(value);
        if object.name().is_empty() {
            return Err(ToolError::upstream("OBJECT_MALFORMED", "the object has no name"));
        }
        Ok(object)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// Text at a JSON pointer; empty when there is none.
    pub fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// A count at a JSON pointer. The API leaves zeroes out.
    pub fn count(&self, pointer: &str) -> u64 {
        self.0.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
    }

    /// Whether a JSON pointer leads to `true`.
    pub fn is(&self, pointer: &str) -> bool {
        self.0.pointer(pointer).and_then(Value::as_bool) == Some(true)
    }

    /// The items of a list at a JSON pointer; none when there is no list.
    pub fn items(&self, pointer: &str) -> impl Iterator<Item = &Value> {
        self.0.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
    }

    /// An annotation.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.0.pointer("/metadata/annotations")?.get(name)?.as_str()
    }

    /// `app=web,tier=front`, from the labels that the object selects by; `None` when it selects by none.
    pub fn selector(&self) -> Option<String> {
        let labels = self.0.pointer("/spec/selector/matchLabels")?.as_object()?;
        let terms: Vec<String> =
            labels.iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?))).collect();
        (!terms.is_empty()).then(|| terms.join(","))
    }

    /// The value at a JSON pointer.
    pub fn value(&self, pointer: &str) -> Option<&Value> {
        self.0.pointer(pointer)
    }
}

/// How far the pods of a workload are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollout {
    /// Pods that there shall be.
    pub wanted: u64,
    /// Pods of the newest template.
    pub updated: u64,
    /// Pods that have been ready for as long as the workload asks.
    pub available: u64,
    /// Whether the controller has seen the newest specification.
    pub observed: bool,
    /// Whether the controller has given up.
    pub stuck: bool,
}

impl Rollout {
    /// Of a Deployment or StatefulSet.
    pub fn of(object: &Object) -> Self {
        let stuck = object.items("/status/conditions").any(|condition| {
            let text = |name: &str| condition.get(name).and_then(Value::as_str).unwrap_or_default();
            text("type") == "Progressing" && text("status") == "False"
        });
        Self {
            // Without a number there is one.
            wanted: object.value("/spec/replicas").and_then(Value::as_u64).unwrap_or(1),
            updated: object.count("/status/updatedReplicas"),
            available: object.count("/status/availableReplicas"),
            observed: object.count("/status/observedGeneration") >= object.count("/metadata/generation"),
            stuck,
        }
    }

    /// Whether every pod is there, new and available.
    pub fn is_complete(&self) -> bool {
        self.observed && self.updated == self.wanted && self.available == self.wanted
    }
}

impl std::fmt::Display for Rollout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { wanted, updated, available, .. } = self;
        write!(f, "{available} of {wanted} pods available, {updated} up to date")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_rollout_is_complete_when_everything_is_seen_new_and_there() {
        let check = |status: Value, complete: bool| {
            let object = json!({ "metadata": { "name": "web", "generation": 3 }, "spec": { "replicas": 2 }, "status": status });
            let rollout = Rollout::of(&Object::parse(&object.to_string()).unwrap());
            assert_eq!(rollout.is_complete(), complete, "{rollout:?}");
            rollout
        };
        check(json!({ "observedGeneration": 3, "updatedReplicas": 2, "availableReplicas": 2 }), true);
        check(json!({ "observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 2 }), false);
        check(json!({ "observedGeneration": 3, "updatedReplicas": 1, "availableReplicas": 2 }), false);
        check(json!({ "observedGeneration": 3, "updatedReplicas": 2, "availableReplicas": 1 }), false);
        assert!(check(json!({ "conditions": [{ "type": "Progressing", "status": "False" }] }), false).stuck);
    }

    #[test]
    fn what_is_no_object_is_told() {
        for text in ["", "[]", "{}", "\u{1b}[2J", r#"{"metadata":{"name":""}}"#] {
            assert_eq!(Object::parse(text).unwrap_err().code, "OBJECT_MALFORMED", "{text}");
        }
        let object = Object::parse(
            r#"{"metadata":{"name":"a"},"spec":{"selector":{"matchLabels":{"app":"a","b":"c"}}}}"#,
        )
        .unwrap();
        assert_eq!(object.selector().as_deref(), Some("app=a,b=c"));
        assert_eq!(Object::parse(r#"{"metadata":{"name":"a"}}"#).unwrap().selector(), None);
    }
}
