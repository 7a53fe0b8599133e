//! Clusters: where they are, and what a plugin may ask of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::kube::{Kind, kinds};

/// Where a cluster is and who the daemon is to it, as `[cluster.<name>]` says.
///
/// Credentials are in the kubeconfig or in the service account's folder; none stands in the grant file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClusterSpec {
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; its current one unless written.
    context: Option<String>,
    /// The cluster that the daemon runs in, by its service account.
    #[serde(default)]
    in_cluster: bool,
}

/// How a cluster is reached. Exactly one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterAddress {
    Kubeconfig { path: PathBuf, context: Option<String> },
    InCluster,
}

impl ClusterSpec {
    pub fn check(self) -> Result<ClusterAddress, String> {
        match self {
            Self { kubeconfig: Some(path), context, in_cluster: false } => {
                Ok(ClusterAddress::Kubeconfig { path, context })
            }
            Self { kubeconfig: None, context: None, in_cluster: true } => Ok(ClusterAddress::InCluster),
            _ => {
                Err("write either `kubeconfig`, with a `context` if you like, or `in-cluster = true`"
                    .to_owned())
            }
        }
    }
}

/// What a plugin may reach of Kubernetes. Deny by default: what no list names is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KubernetesGrant {
    pub clusters: BTreeMap<String, ClusterAddress>,
    pub namespaces: Vec<Glob>,
    /// By `apps/v1/Deployment`.
    pub kinds: BTreeMap<String, Kind>,
    pub deny_labels: BTreeSet<DeniedLabel>,
    /// Pods that one change may touch.
    pub max_pods: u32,
}

/// 20: a service of the usual size; a fleet is a decision of its own.
const MAX_PODS: u32 = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KubernetesSpec {
    clusters: BTreeSet<String>,
    #[serde(default)]
    namespaces: Vec<Glob>,
    kinds: BTreeSet<String>,
    #[serde(default)]
    deny_labels: BTreeSet<DeniedLabel>,
    #[serde(default = "max_pods")]
    max_pods: u32,
}

fn max_pods() -> u32 {
    MAX_PODS
}

impl KubernetesSpec {
    pub fn check(self, known: &BTreeMap<String, ClusterAddress>) -> Result<KubernetesGrant, String> {
        let Self { clusters, namespaces, kinds: names, deny_labels, max_pods } = self;
        if clusters.is_empty() || names.is_empty() {
            return Err("k8s: `clusters` or `kinds` is empty, so it allows nothing".to_owned());
        }
        let mut granted = BTreeMap::new();
        for name in clusters {
            let address = known
                .get(&name)
                .ok_or_else(|| format!("k8s.clusters names `{name}`, and there is no [cluster.{name}]"))?;
            granted.insert(name, address.clone());
        }
        let mut kinds = BTreeMap::new();
        for name in names {
            let (key, kind) = kinds::granted(&name)?;
            if kind.namespaced && namespaces.is_empty() {
                return Err(format!(
                    "k8s.kinds names {key}, which is in namespaces, and `namespaces` is empty"
                ));
            }
            kinds.insert(key, kind);
        }
        Ok(KubernetesGrant { clusters: granted, namespaces, kinds, deny_labels, max_pods })
    }
}

impl KubernetesGrant {
    pub fn allows_namespace(&self, namespace: &str) -> bool {
        self.namespaces.iter().any(|glob| glob.matches(namespace))
    }

    /// Whether every namespace there is or will be is granted.
    pub fn allows_all_namespaces(&self) -> bool {
        self.namespaces.iter().any(|glob| glob.0 == "*")
    }

    /// The first label that keeps this plugin off an object.
    pub fn denied<'l>(&self, labels: impl Iterator<Item = (&'l str, &'l str)>) -> Option<&DeniedLabel> {
        let labels: Vec<_> = labels.collect();
        self.deny_labels.iter().find(|denied| {
            labels.iter().any(|(name, value)| {
                denied.name == *name && denied.value.as_deref().is_none_or(|denied| denied == *value)
            })
        })
    }
}

/// A namespace, with `*` for any run of characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Glob(String);

impl TryFrom<String> for Glob {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '*';
        if text.is_empty() || !text.chars().all(known) {
            return Err(format!("namespace `{text}` holds other characters than a-z, 0-9, - and *"));
        }
        Ok(Self(text))
    }
}

impl From<Glob> for String {
    fn from(glob: Glob) -> Self {
        glob.0
    }
}

impl Glob {
    pub fn matches(&self, text: &str) -> bool {
        let mut pieces = self.0.split('*');
        let Some(mut rest) = text.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
        let pieces: Vec<&str> = pieces.collect();
        let Some((last, middle)) = pieces.split_last() else { return rest.is_empty() };
        for piece in middle {
            let Some((_, after)) = rest.split_once(*piece) else { return false };
            rest = after;
        }
        rest.ends_with(*last)
    }
}

/// `name=value`, or `name` whatever its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeniedLabel {
    name: String,
    value: Option<String>,
}

impl TryFrom<String> for DeniedLabel {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text.as_str(), None),
        };
        let known = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if name.is_empty() || !name.chars().all(known) {
            return Err(format!("deny-labels: `{text}` is neither `name` nor `name=value`"));
        }
        Ok(Self { name: name.to_owned(), value })
    }
}

impl From<DeniedLabel> for String {
    fn from(label: DeniedLabel) -> Self {
        label.to_string()
    }
}

impl std::fmt::Display for DeniedLabel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> BTreeMap<String, ClusterAddress> {
        BTreeMap::from([("prod".to_owned(), ClusterAddress::InCluster)])
    }

    fn granted(text: &str) -> Result<KubernetesGrant, String> {
        toml::from_str::<KubernetesSpec>(text).map_err(|error| error.message().to_owned())?.check(&known())
    }

    #[test]
    fn namespaces_are_matched_whole() {
        let glob = |pattern: &str| Glob::try_from(pattern.to_owned()).unwrap();
        for (pattern, yes, no) in [
            ("shop", vec!["shop"], vec!["shop-2", "a-shop", ""]),
            ("shop-*", vec!["shop-", "shop-eu"], vec!["shop", "a-shop-eu"]),
            ("*-eu-*", vec!["a-eu-b", "-eu-"], vec!["a-eu", "eu-b"]),
            ("a*b*c", vec!["abc", "axxbyyc"], vec!["ab", "acb", "abcx"]),
            ("*", vec!["anything", ""], vec![]),
        ] {
            assert!(yes.iter().all(|text| glob(pattern).matches(text)), "{pattern}");
            assert!(!no.iter().any(|text| glob(pattern).matches(text)), "{pattern}");
        }
        assert!(Glob::try_from("shop/../kube-system".to_owned()).is_err());
    }

    #[test]
    fn a_cluster_is_reached_in_exactly_one_way() {
        let check =
            |text: &str| toml::from_str::<ClusterSpec>(text).map_err(|error| error.to_string())?.check();
        assert!(check("kubeconfig = \"/etc/medic/kubeconfig\"\ncontext = \"prod\"").is_ok());
        assert_eq!(check("in-cluster = true"), Ok(ClusterAddress::InCluster));
        for text in ["", "in-cluster = true\nkubeconfig = \"x\"", "context = \"prod\"", "token = \"x\""] {
            assert!(check(text).is_err(), "{text}");
        }
    }

    #[test]
    fn secrets_cannot_be_granted_under_any_name() {
        for kind in [
            "v1/Secret",
            "v1/secrets",
            "v1/SecretList",
            "v1/Thing:secrets",
            "x.io/v1/Thing:Secrets",
            "v1/Pod:secrets",
        ] {
            let error =
                granted(&format!("clusters = [\"prod\"]\nnamespaces = [\"*\"]\nkinds = [\"{kind}\"]"));
            assert!(error.is_err(), "{kind} was granted");
        }
        let custom =
            granted("clusters = [\"prod\"]\nnamespaces = [\"*\"]\nkinds = [\"x.io/v1/Widget:widgets\"]")
                .unwrap();
        assert_eq!(custom.kinds["x.io/v1/Widget"].plural, "widgets");
    }

    #[test]
    fn what_allows_nothing_or_is_unknown_is_refused() {
        for (text, word) in [
            ("clusters = []\nkinds = [\"v1/Node\"]", "empty"),
            ("clusters = [\"prod\"]\nkinds = [\"v1/Pod\"]", "namespaces"),
            ("clusters = [\"dev\"]\nkinds = [\"v1/Node\"]", "no [cluster.dev]"),
            ("clusters = [\"prod\"]\nkinds = [\"v1/Widget\"]", "plural"),
            ("clusters = [\"prod\"]\nkinds = [\"v1/Node\"]\nverbs = []", "verbs"),
        ] {
            let error = granted(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
        assert_eq!(granted("clusters = [\"prod\"]\nkinds = [\"v1/Node\"]").unwrap().max_pods, MAX_PODS);
    }

    #[test]
    fn a_denied_label_counts_by_name_and_value() {
        let grant = granted(
            "clusters = [\"prod\"]\nkinds = [\"v1/Node\"]\ndeny-labels = [\"medic.dev/protected=true\", \"payments\"]",
        )
        .unwrap();
        let denied = |name: &'static str, value: &'static str| {
            grant.denied([("app", "web"), (name, value)].into_iter()).map(ToString::to_string)
        };
        assert_eq!(denied("medic.dev/protected", "true").as_deref(), Some("medic.dev/protected=true"));
        assert_eq!(denied("medic.dev/protected", "false"), None);
        assert_eq!(denied("payments", "whatever").as_deref(), Some("payments"));
    }
}
