//! Everything that exists, and its versions.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Where an object is: group, plural, namespace, name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub group: String,
    pub plural: String,
    pub namespace: Option<String>,
    pub name: String,
}

impl Key {
    pub fn new(group: &str, plural: &str, namespace: Option<&str>, name: &str) -> Self {
        Self {
            group: group.to_owned(),
            plural: plural.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        }
    }

    pub fn beside(&self, group: &str, plural: &str, name: &str) -> Self {
        Self::new(group, plural, self.namespace.as_deref(), name)
    }
}

#[derive(Default)]
pub struct Objects {
    all: BTreeMap<Key, Value>,
    /// One counter for the whole server, as in etcd.
    version: u64,
    uids: u64,
}

impl Objects {
    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.all.get(key)
    }

    /// Puts a new object there, with a uid and a version of its own.
    pub fn create(&mut self, key: Key, mut object: Value) {
        self.version += 1;
        self.uids += 1;
        let metadata = json!({ "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "uid": format!("00000000-0000-4000-8000-{:012}", self.uids),
            "resourceVersion": self.version.to_string(),
            "creationTimestamp": "2026-01-01T00:00:00Z",
        }});
        crate::patch::merge(&mut object, &metadata);
        self.all.insert(key, object);
    }

    /// Puts an object back that was changed: a new version, and a new generation where its spec is another.
    pub fn update(&mut self, key: &Key, mut object: Value) -> Value {
        self.version += 1;
        // Empty maps are left out of what is kept.
        for metadata in ["/metadata", "/spec/template/metadata"] {
            if let Some(fields) = object.pointer_mut(metadata).and_then(Value::as_object_mut) {
                let empty = |map: &Value| map.as_object().is_some_and(serde_json::Map::is_empty);
                fields.retain(|name, value| {
                    !matches!(name.as_str(), "annotations" | "labels") || !empty(value)
                });
            }
        }
        let spec = |object: &Value| object.get("spec").cloned();
        let changed = self.all.get(key).map(spec) != Some(spec(&object));
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("resourceVersion".to_owned(), json!(self.version.to_string()));
            if changed && let Some(generation) = metadata.get("generation").and_then(Value::as_u64) {
                metadata.insert("generation".to_owned(), json!(generation + 1));
            }
        }
        self.all.insert(key.clone(), object.clone());
        object
    }

    pub fn delete(&mut self, key: &Key) -> Option<Value> {
        self.version += 1;
        self.all.remove(key)
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    /// All of a kind, in order of namespace and name; without a namespace, in all.
    pub fn list<'s>(
        &'s self,
        group: &'s str,
        plural: &'s str,
        namespace: Option<&'s str>,
    ) -> impl Iterator<Item = (&'s Key, &'s Value)> {
        self.all.iter().filter(move |(key, _)| {
            key.group == group
                && key.plural == plural
                && (namespace.is_none() || key.namespace.as_deref() == namespace)
        })
    }

    /// Those that name the object as their controller.
    pub fn owned_by<'s>(
        &'s self,
        group: &'s str,
        plural: &'s str,
        owner: &'s Value,
    ) -> impl Iterator<Item = (&'s Key, &'s Value)> {
        let uid = text(owner, "/metadata/uid");
        let namespace = owner.pointer("/metadata/namespace").and_then(Value::as_str);
        self.list(group, plural, namespace)
            .filter(move |(_, object)| text(object, "/metadata/ownerReferences/0/uid") == uid)
    }
}

pub fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub fn number(object: &Value, pointer: &str) -> u64 {
    object.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

/// `a=b,c!=d,e`: the forms of a selector that tools write.
pub fn matches(selector: &str, object: &Value) -> bool {
    let labels = object.pointer("/metadata/labels");
    let label = |name: &str| labels.and_then(|labels| labels.get(name)).and_then(Value::as_str);
    selector.split(',').map(str::trim).filter(|term| !term.is_empty()).all(|term| {
        if let Some((name, value)) = term.split_once("!=") {
            return label(name) != Some(value);
        }
        match term.split_once('=') {
            Some((name, value)) => label(name) == Some(value.trim_start_matches('=')),
            None => label(term).is_some(),
        }
    })
}
