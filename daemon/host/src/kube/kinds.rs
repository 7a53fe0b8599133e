//! Kinds of objects and where the API server keeps them.
//!
//! Owns the allowlist: what is not in the table, and not written into a grant with its plural, has no path and cannot be
//! asked for. Secrets are in neither and never will be, however they are spelt. No discovery is asked of the server: it
//! would be a request that nobody needs.

use serde::Serialize;

/// One kind of object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kind {
    /// `apps/v1`, or `v1` for the core group.
    pub api_version: String,
    /// `Deployment`.
    pub kind: String,
    /// `deployments`, as in the path.
    pub plural: String,
    pub namespaced: bool,
}

/// API version, kind, plural, whether it is in a namespace.
const KINDS: [(&str, &str, &str, bool); 37] = [
    ("v1", "ConfigMap", "configmaps", true),
    ("v1", "Endpoints", "endpoints", true),
    ("v1", "Event", "events", true),
    ("v1", "LimitRange", "limitranges", true),
    ("v1", "Namespace", "namespaces", false),
    ("v1", "Node", "nodes", false),
    ("v1", "PersistentVolume", "persistentvolumes", false),
    ("v1", "PersistentVolumeClaim", "persistentvolumeclaims", true),
    ("v1", "Pod", "pods", true),
    ("v1", "ReplicationController", "replicationcontrollers", true),
    ("v1", "ResourceQuota", "resourcequotas", true),
    ("v1", "Service", "services", true),
    ("v1", "ServiceAccount", "serviceaccounts", true),
    ("apps/v1", "ControllerRevision", "controllerrevisions", true),
    ("apps/v1", "DaemonSet", "daemonsets", true),
    ("apps/v1", "Deployment", "deployments", true),
    ("apps/v1", "ReplicaSet", "replicasets", true),
    ("apps/v1", "StatefulSet", "statefulsets", true),
    ("autoscaling/v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers", true),
    ("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", true),
    ("batch/v1", "CronJob", "cronjobs", true),
    ("batch/v1", "Job", "jobs", true),
    ("batch/v1beta1", "CronJob", "cronjobs", true),
    ("coordination.k8s.io/v1", "Lease", "leases", true),
    ("discovery.k8s.io/v1", "EndpointSlice", "endpointslices", true),
    ("events.k8s.io/v1", "Event", "events", true),
    ("metrics.k8s.io/v1beta1", "NodeMetrics", "nodes", false),
    ("metrics.k8s.io/v1beta1", "PodMetrics", "pods", true),
    ("networking.k8s.io/v1", "Ingress", "ingresses", true),
    ("networking.k8s.io/v1", "IngressClass", "ingressclasses", false),
    ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", true),
    ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", true),
    ("policy/v1beta1", "PodDisruptionBudget", "poddisruptionbudgets", true),
    ("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", false),
    ("storage.k8s.io/v1", "StorageClass", "storageclasses", false),
    ("storage.k8s.io/v1", "VolumeAttachment", "volumeattachments", false),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", false),
];

/// Whether a kind or its plural is that of secrets, whatever its case and number.
pub fn is_secret(name: &str) -> bool {
    name.to_ascii_lowercase().contains("secret")
}

/// Key of a kind in a grant: `apps/v1/Deployment`.
pub fn key(api_version: &str, kind: &str) -> String {
    format!("{api_version}/{kind}")
}

/// A kind as a grant names it: `apps/v1/Deployment`, or for a custom one in namespaces `example.com/v1/Widget:widgets`.
pub fn granted(text: &str) -> Result<(String, Kind), String> {
    if is_secret(text) {
        return Err(format!("k8s.kinds names `{text}`: secrets are never readable, whatever a grant says"));
    }
    let (name, plural) = match text.split_once(':') {
        Some((name, plural)) => (name, Some(plural)),
        None => (text, None),
    };
    let form = || format!("k8s.kinds: `{text}` is not of the form `apps/v1/Deployment`");
    let (api_version, kind) = name.rsplit_once('/').ok_or_else(form)?;
    let found = KINDS.iter().find(|(version, name, ..)| *version == api_version && *name == kind);
    if let Some((api_version, kind, known, namespaced)) = found {
        if plural.is_some_and(|plural| plural != *known) {
            return Err(format!("k8s.kinds: the plural of {name} is `{known}`; leave it out"));
        }
        let kind = Kind {
            api_version: (*api_version).to_owned(),
            kind: (*kind).to_owned(),
            plural: (*known).to_owned(),
            namespaced: *namespaced,
        };
        return Ok((name.to_owned(), kind));
    }
    let Some(plural) = plural else {
        return Err(format!(
            "k8s.kinds: `{text}` is not a kind this host knows; a custom one is written with its plural, as \
             `example.com/v1/Widget:widgets`"
        ));
    };
    let word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric());
    // A group of its own: a plural of the core group could name what the table leaves out.
    let group = api_version.split_once('/').filter(|(group, version)| {
        group.contains('.') && !group.ends_with(".k8s.io") && is_name(group) && word(version)
    });
    if group.is_none() || !word(kind) || !word(plural) || plural.chars().any(|c| c.is_ascii_uppercase()) {
        return Err(form());
    }
    let kind = Kind {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        namespaced: true,
    };
    Ok((name.to_owned(), kind))
}

/// Whether text can be the name of an object: lower-case letters, digits, `-` and `.`, a letter or digit at both ends and
/// around each dot. Nothing that could mean another path.
pub fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        let bytes = label.as_bytes();
        let alphanumeric =
            |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        alphanumeric(bytes.first())
            && alphanumeric(bytes.last())
            && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

impl Kind {
    /// Path of all objects of the kind, in one namespace or in all.
    pub fn collection(&self, namespace: Option<&str>) -> String {
        let root = match self.api_version.contains('/') {
            true => format!("/apis/{}", self.api_version),
            false => format!("/api/{}", self.api_version),
        };
        match namespace {
            Some(namespace) => format!("{root}/namespaces/{namespace}/{}", self.plural),
            None => format!("{root}/{}", self.plural),
        }
    }

    pub fn is(&self, api_version: &str, kind: &str) -> bool {
        self.api_version == api_version && self.kind == kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_api() {
        let path = |key: &str, namespace| granted(key).unwrap().1.collection(namespace);
        assert_eq!(path("v1/Pod", Some("shop")), "/api/v1/namespaces/shop/pods");
        assert_eq!(path("apps/v1/Deployment", Some("shop")), "/apis/apps/v1/namespaces/shop/deployments");
        assert_eq!(path("v1/Node", None), "/api/v1/nodes");
        assert_eq!(path("x.io/v2/Widget:widgets", Some("a")), "/apis/x.io/v2/namespaces/a/widgets");
    }

    #[test]
    fn no_kind_of_the_table_is_a_secret_and_no_custom_one_shadows_the_core() {
        assert!(
            !KINDS
                .iter()
                .any(|(version, kind, plural, _)| [version, kind, plural].iter().any(|name| is_secret(name)))
        );
        for text in [
            "v1/Widget:widgets",
            "apps/v1/Widget:widgets",
            "core.k8s.io/v1/X:xs",
            "x.io/v1/W:../w",
            "x.io/v1/W:Ws",
            "x.io/v1/:w",
            "Pod",
        ] {
            assert!(granted(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_cannot_mean_another_path() {
        for name in ["web", "web-6c959dc85d-vxxff", "a.b-c.d1"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "a%2fb", "Web", "a..b", "-a", "a-", "a b", "a?x=1", "a#", "é"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
