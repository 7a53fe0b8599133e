//! What the operator grants, as written in `grants.toml`.
//!
//! Owns the reading of that file: what is not enforced does not parse. Never written by the daemon, and no tool or
//! agent has a way to it.
//!
//! ```toml
//! [endpoint.checkout-admin]                 # an address, shared by every plugin that names it
//! base = "http://127.0.0.1:7001"
//! private = true                            # loopback and private addresses are refused without this
//! credential = "lab-admin"                  # a name in the daemon's secrets; sent as a bearer token by the host
//! receipts = "/admin/operations/{key}"      # tells what became of an idempotency key: 200 happened, 404 did not
//! idempotent = true                         # honours Idempotency-Key: the same call may be sent again
//!
//! [trust.release]                           # as soon as one key is trusted, every plugin must be signed by one
//! key = "3d40…"                             # content of a .pub file of `medic plugin keygen`
//!
//! [plugin.service-admin]
//! digest = "sha256:…"                       # exact bytes
//! signer = ["release"]                      # which of the trusted keys; any, when left out
//! # unsigned = { digest = "sha256:…", until = 2026-12-01T00:00:00Z, reason = "…" }   at most 30 days; the log repeats it
//! category = "remediation"                  # must equal what the bytes export
//! functions = ["http-read.send", "http-change.send"]
//! limits = { memory = "64MiB", mutating-ops = 3 }
//! [[plugin.service-admin.http.allow]]       # rights on shared endpoints
//! endpoints = ["checkout-admin"]
//! methods = ["GET", "PUT"]
//! paths = ["/admin/config", "/admin/workers"]
//! undo = "put-back"                         # the host reads the path first and can put what it read back
//! [plugin.service-admin.http.endpoints.flags]   # an endpoint of this plugin alone: address and rights in one
//! base = "https://flags.internal"
//! methods = ["GET", "PATCH"]
//! paths = ["/v1/flags/{name}"]              # {name} stands for exactly one segment
//! credential = "flags-token"
//!
//! [cluster.prod-eu]                         # an API server; credentials come from the kubeconfig it names
//! kubeconfig = "/etc/medic/prod-eu.kubeconfig"
//! context = "prod-eu"                       # or `in-cluster = true` alone, for the cluster the daemon runs in
//!
//! [plugin.kubernetes-change]
//! digest = "sha256:…"
//! category = "remediation"
//! functions = ["k8s-read.get", "k8s-change.scale"]
//! [plugin.kubernetes-change.k8s]
//! clusters = ["prod-eu"]
//! namespaces = ["shop-*"]                   # `*` for any run of characters
//! kinds = ["apps/v1/Deployment"]            # a custom kind with its plural: "example.com/v1/Widget:widgets"
//! deny-labels = ["medic.dev/protected=true"]  # on the object itself; holds for reading too
//! max-pods = 20                             # pods that one change may touch
//! ```

mod endpoint;
mod kubernetes;
mod path;

use std::collections::{BTreeMap, BTreeSet};

use medic_core::{Digest, ToolCategory};
use serde::{Deserialize, Serialize};

pub use endpoint::{Address, AddressSpec, Method, Rule, Undo};
pub use kubernetes::{ClusterAddress, KubernetesGrant};
pub use path::check_path;

use crate::limits::{LimitOverrides, Limits};
use crate::signature::{OverrideSpec, SignaturePolicy, Trust, TrustSpec};

/// Everything the file says. A plugin whose table cannot be read is kept with the reason: one typing error takes one
/// plugin away, not the daemon.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    plugins: BTreeMap<String, Result<Grant, GrantError>>,
    trust: Trust,
}

/// Why a plugin's table cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct GrantError {
    pub code: &'static str,
    pub message: String,
}

/// The file as a whole cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GrantsFileError {
    #[error("the grant file is not TOML: {0}")]
    Toml(#[from] toml::de::Error),
    #[error("endpoint `{name}` in the grant file: {message}")]
    Endpoint { name: String, message: String },
    #[error("cluster `{name}` in the grant file: {message}")]
    Cluster { name: String, message: String },
    #[error("the grant file: {0}")]
    Trust(String),
}

/// What one plugin may do: its world's ceiling is cut down to this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Grant {
    pub digest: Digest,
    pub category: ToolCategory,
    pub profile: Profile,
    /// `metrics.query`
    pub functions: BTreeSet<String>,
    pub addresses: BTreeMap<String, Address>,
    pub rules: Vec<Rule>,
    pub metrics: MetricsGrant,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesGrant>,
    pub limits: Limits,
    /// Who must vouch for the bytes. No authority, and so no part of what a plan is bound to.
    #[serde(skip)]
    pub signatures: SignaturePolicy,
}

impl Grant {
    /// What a plan made under this grant is bound to. Holds names of credentials, never their values.
    pub fn digest_of_terms(&self) -> Digest {
        Digest::of(&("medic-grant-v1", self))
    }
}

/// What the ambient `wasi:*` imports of a guest are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Each is a trap.
    #[default]
    Pure,
    /// Clocks, random numbers, standard output into the log; no files, no sockets, no environment.
    Wasi,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct MetricsGrant {
    /// Series in one answer. 1,000: more is a dashboard, not a question.
    pub max_series: usize,
    /// 24 h.
    pub max_range_ms: u64,
    /// Expressions in one `query-many`. 16: what the host runs side by side.
    pub max_queries: usize,
}

impl Default for MetricsGrant {
    fn default() -> Self {
        Self { max_series: 1000, max_range_ms: 24 * 3600 * 1000, max_queries: 16 }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantsFile {
    #[serde(default)]
    endpoint: BTreeMap<String, AddressSpec>,
    #[serde(default)]
    cluster: BTreeMap<String, kubernetes::ClusterSpec>,
    #[serde(default)]
    trust: BTreeMap<String, TrustSpec>,
    #[serde(default)]
    plugin: BTreeMap<String, toml::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct PluginSpec {
    digest: String,
    category: ToolCategory,
    #[serde(default)]
    profile: Profile,
    #[serde(default)]
    signer: BTreeSet<String>,
    unsigned: Option<OverrideSpec>,
    #[serde(default)]
    functions: BTreeSet<String>,
    #[serde(default)]
    http: HttpSpec,
    #[serde(default)]
    metrics: MetricsGrant,
    k8s: Option<kubernetes::KubernetesSpec>,
    #[serde(default)]
    limits: LimitOverrides,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpSpec {
    #[serde(default)]
    endpoints: BTreeMap<String, endpoint::EndpointSpec>,
    #[serde(default)]
    allow: Vec<endpoint::AllowSpec>,
}

/// Keys that belong in a grant and that nothing enforces yet: refused by name rather than as a typing error.
const NOT_AVAILABLE_YET: [(&str, &str); 2] = [
    ("approval", "limits on approvals belong into the daemon's policy"),
    ("probe", "probes reach the endpoints under `http` and nothing else"),
];

impl Grants {
    /// # Errors
    /// [`GrantsFileError`] when nothing in the file can be trusted. What is wrong with one plugin stays with it.
    pub fn parse(text: &str) -> Result<Self, GrantsFileError> {
        let file: GrantsFile = toml::from_str(text)?;
        let mut shared = BTreeMap::new();
        for (name, spec) in file.endpoint {
            let address =
                spec.check().map_err(|message| GrantsFileError::Endpoint { name: name.clone(), message })?;
            shared.insert(name, address);
        }
        let mut clusters = BTreeMap::new();
        for (name, spec) in file.cluster {
            let address =
                spec.check().map_err(|message| GrantsFileError::Cluster { name: name.clone(), message })?;
            clusters.insert(name, address);
        }
        let trust = Trust::parse(&file.trust).map_err(GrantsFileError::Trust)?;
        let plugins = file.plugin.into_iter();
        let plugins = plugins.map(|(name, table)| (name, plugin(table, &shared, &clusters, &trust)));
        let plugins = plugins.collect();
        Ok(Self { plugins, trust })
    }

    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    pub fn get(&self, plugin: &str) -> Option<&Result<Grant, GrantError>> {
        self.plugins.get(plugin)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.plugins.keys().map(String::as_str)
    }
}

fn plugin(
    table: toml::Value,
    shared: &BTreeMap<String, Address>,
    clusters: &BTreeMap<String, ClusterAddress>,
    trust: &Trust,
) -> Result<Grant, GrantError> {
    let invalid = |message: String| GrantError { code: "GRANT_INVALID", message };
    for (key, why) in NOT_AVAILABLE_YET {
        if table.get(key).is_some() {
            return Err(GrantError {
                code: "GRANT_NOT_AVAILABLE",
                message: format!("key `{key}`: {why}; remove it"),
            });
        }
    }
    let spec: PluginSpec =
        table.try_into().map_err(|error: toml::de::Error| invalid(error.message().to_owned()))?;
    let digest = Digest::parse(&spec.digest).ok_or_else(|| {
        invalid(format!("digest `{}` is not \"sha256:\" and 64 lower-case hex digits", spec.digest))
    })?;
    if let Some(function) = spec.functions.iter().find(|name| !crate::shape::is_known_function(name)) {
        return Err(invalid(format!("function `{function}` is not in the contract")));
    }
    if let Some(name) = spec.signer.iter().find(|name| !trust.knows(name)) {
        return Err(invalid(format!("signer names `{name}`, and there is no [trust.{name}]")));
    }
    let unsigned = spec.unsigned.map(OverrideSpec::check).transpose().map_err(invalid)?;
    let (mut addresses, mut rules) = (BTreeMap::new(), Vec::new());
    for (name, endpoint) in spec.http.endpoints {
        if shared.contains_key(&name) {
            return Err(invalid(format!(
                "endpoint `{name}` is shared already; grant rights on it with `http.allow`"
            )));
        }
        let (address, rule) =
            endpoint.check(&name).map_err(|message| invalid(format!("endpoint `{name}`: {message}")))?;
        addresses.insert(name, address);
        rules.push(rule);
    }
    for (index, allow) in spec.http.allow.into_iter().enumerate() {
        for name in &allow.endpoints {
            let address = shared.get(name).ok_or_else(|| {
                invalid(format!("http.allow names `{name}`, and there is no [endpoint.{name}]"))
            })?;
            addresses.insert(name.clone(), address.clone());
        }
        rules.push(
            allow
                .check()
                .map_err(|message| invalid(format!("http.allow number {}: {message}", index + 1)))?,
        );
    }
    let kubernetes = spec.k8s.map(|spec| spec.check(clusters)).transpose().map_err(invalid)?;
    let limits = spec.limits.over(Limits::of(spec.category)).map_err(invalid)?;
    Ok(Grant {
        digest,
        category: spec.category,
        profile: spec.profile,
        functions: spec.functions,
        addresses,
        rules,
        metrics: spec.metrics,
        kubernetes,
        limits,
        signatures: SignaturePolicy { signers: spec.signer, unsigned },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn parsed(more: &str) -> Result<Grant, GrantError> {
        let text = format!(
            "[endpoint.shop]\nbase = \"https://shop.internal\"\n[plugin.a]\ndigest = \"{DIGEST}\"\n{more}"
        );
        Grants::parse(&text).unwrap().get("a").unwrap().clone()
    }

    #[test]
    fn a_grant_names_its_rights() {
        let grant = parsed(
            "category = \"remediation\"\nfunctions = [\"http-change.send\"]\nlimits = { mutating-ops = 3 }\n\
             [plugin.a.http.endpoints.flags]\nbase = \"https://flags.internal\"\nmethods = [\"GET\", \"PUT\", \"PATCH\"]\n\
             paths = [\"/v1/flags/{name}\"]\nundo = \"put-back\"\n\
             [[plugin.a.http.allow]]\nendpoints = [\"shop\"]\nmethods = [\"GET\"]\npaths = [\"/health\"]\n",
        )
        .unwrap();
        assert_eq!(grant.limits.mutating_ops, 3);
        assert_eq!(grant.addresses.keys().collect::<Vec<_>>(), ["flags", "shop"]);
        assert_eq!(grant.rules.len(), 2);
    }

    #[test]
    fn what_nothing_enforces_does_not_parse() {
        let check = |more: &str, code: &str, word: &str| {
            let error = parsed(more).unwrap_err();
            assert_eq!(error.code, code, "{error}");
            assert!(error.message.contains(word), "{error}");
        };
        check("category = \"query\"\nk8s = { clusters = [], kinds = [] }", "GRANT_INVALID", "empty");
        check(
            "category = \"query\"\nk8s = { clusters = [\"a\"], kinds = [\"v1/Secret\"] }",
            "GRANT_INVALID",
            "",
        );
        check("category = \"query\"\napproval = {}", "GRANT_NOT_AVAILABLE", "policy");
        check("category = \"query\"\nfuntcions = []", "GRANT_INVALID", "funtcions");
        check("category = \"query\"\nlimits = { fuel = 3 }", "GRANT_INVALID", "fuel");
        check("category = \"query\"\nsigner = [\"nobody\"]", "GRANT_INVALID", "no [trust.nobody]");
        let unsigned = format!(
            "category = \"query\"\nunsigned = {{ digest = \"{DIGEST}\", until = 1, reason = \"x\" }}"
        );
        check(&unsigned, "GRANT_INVALID", "unsigned.until");
        check("category = \"query\"\nfunctions = [\"metrics.push\"]", "GRANT_INVALID", "metrics.push");
        check("category = \"root\"", "GRANT_INVALID", "root");
        check("category = \"query\"\n[plugin.a.metrics]\nmax-serie = 3", "GRANT_INVALID", "max-serie");
        check(
            "category = \"query\"\n[[plugin.a.http.allow]]\nendpoints = [\"other\"]\nmethods = [\"GET\"]\npaths = [\"/\"]",
            "GRANT_INVALID",
            "no [endpoint.other]",
        );
        check(
            "category = \"query\"\n[plugin.a.http.endpoints.shop]\nbase = \"https://x\"\nmethods = [\"GET\"]\npaths = [\"/\"]",
            "GRANT_INVALID",
            "shared",
        );
    }

    #[test]
    fn one_bad_plugin_does_not_take_the_others_away() {
        let text = format!(
            "[plugin.bad]\ndigest = \"x\"\ncategory = \"query\"\n[plugin.good]\ndigest = \"{DIGEST}\"\ncategory = \"query\""
        );
        let grants = Grants::parse(&text).unwrap();
        assert!(grants.get("bad").unwrap().is_err());
        assert!(grants.get("good").unwrap().is_ok());
        assert!(Grants::parse("[plugins.x]").is_err());
    }

    #[test]
    fn changing_any_term_changes_the_digest() {
        let digest = |more: &str| parsed(more).unwrap().digest_of_terms();
        let plain = digest("category = \"query\"");
        assert_eq!(plain, digest("category = \"query\"\nprofile = \"pure\""));
        assert_ne!(plain, digest("category = \"query\"\nfunctions = [\"metrics.query\"]"));
        assert_ne!(plain, digest("category = \"query\"\nlimits = { cpu-ms = 100 }"));
    }
}
