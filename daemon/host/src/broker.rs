//! The one place where a host call is allowed or refused.
//!
//! Owns every decision and the record of it. Deny by default: a call passes only where a rule says so, and the rule's id
//! goes into the record. Never performs anything.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use medic_core::TimestampMs;
use medic_core::call::Target;
use medic_ports::tools::HostCallRecord;

use crate::contract::host::types::{ErrorKind, HostError};
use crate::grant::{Grant, KubernetesGrant, Method, Undo, check_path};
use crate::kube::kinds;
use crate::limits::HOST_CALL_RECORDS_MAX;
use crate::shape::needs_grant;
use crate::text;

/// Who calls what, as far as the host knows it and not as the guest says.
#[derive(Clone, Debug)]
pub struct Caller {
    pub incident: String,
    pub plugin: String,
    pub tool: String,
}

/// One host call, before anything of it is done.
#[derive(Clone, Debug)]
pub struct CallFacts<'a> {
    pub function: &'a str,
    /// What it is about, for the record.
    pub subject: String,
    pub asks: Asks<'a>,
}

/// What the call asks for beyond its function.
#[derive(Clone, Debug)]
pub enum Asks<'a> {
    /// Nothing that a grant limits further.
    Nothing,
    Metrics {
        queries: usize,
        range_ms: u64,
    },
    Http(HttpFacts<'a>),
    Change {
        http: HttpFacts<'a>,
        change: ChangeFacts<'a>,
    },
    /// A connection to a named endpoint, without a request.
    Endpoint {
        name: &'a str,
    },
    /// A name to be resolved: only hosts of granted endpoints, or resolving would be a way to send data out.
    HostName {
        name: &'a str,
    },
    /// An object of a cluster, or the objects of a kind.
    Kubernetes(ObjectFacts<'a>),
    ClusterChange {
        object: ObjectFacts<'a>,
        change: ChangeFacts<'a>,
        /// Whether the operation and its parameters are those of the step; why not.
        as_planned: Result<(), String>,
    },
    /// What was found out about the object of a call that has been allowed so far.
    FoundObject {
        labels: Vec<(&'a str, &'a str)>,
        /// That the call would touch.
        pods: u32,
    },
}

#[derive(Clone, Debug)]
pub struct ObjectFacts<'a> {
    pub cluster: &'a str,
    pub api_version: &'a str,
    pub kind: &'a str,
    pub namespace: Option<&'a str>,
    /// Absent: all of the kind, in the namespace or, without one, in all.
    pub name: Option<&'a str>,
}

#[derive(Clone, Debug)]
pub struct HttpFacts<'a> {
    pub endpoint: &'a str,
    pub method: Method,
    pub path: &'a str,
    pub query: Vec<&'a str>,
}

/// A mutating call and the authority it is made under.
#[derive(Clone, Debug)]
pub struct ChangeFacts<'a> {
    pub target: &'a Target,
    /// The only target the step may touch.
    pub planned: &'a Target,
    /// Whether the body is the one that the plan shows.
    pub body_as_planned: bool,
    pub operations_left: u32,
    pub expires: TimestampMs,
    pub now: TimestampMs,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    /// Id of the rule that decided.
    pub rule: String,
    /// How a change under the rule is taken back.
    pub undo: Undo,
    refusal: Option<(ErrorKind, &'static str, String)>,
}

impl Decision {
    fn allow(rule: impl Into<String>, undo: Undo) -> Self {
        Self { allowed: true, rule: rule.into(), undo, refusal: None }
    }
    fn refuse(rule: &str, kind: ErrorKind, code: &'static str, message: String) -> Self {
        Self { allowed: false, rule: rule.to_owned(), undo: Undo::None, refusal: Some((kind, code, message)) }
    }
    fn deny(rule: &str, code: &'static str, message: String) -> Self {
        Self::refuse(rule, ErrorKind::Denied, code, message)
    }

    /// What the guest is told when it is refused.
    pub fn refusal(&self) -> Option<HostError> {
        let (kind, code, message) = self.refusal.clone()?;
        Some(HostError { kind, code: code.to_owned(), message, retry_after_ms: None })
    }
}

/// Decides and remembers.
#[derive(Default)]
pub struct Broker {
    records: Mutex<Records>,
}

#[derive(Default)]
struct Records {
    kept: VecDeque<HostCallRecord>,
    dropped: u64,
}

impl Broker {
    /// Every host call that could be refused passes here, whatever its interface and version.
    pub fn authorize(&self, caller: &Caller, grant: &Grant, facts: &CallFacts<'_>) -> Decision {
        let decision = decide(grant, facts);
        tracing::debug!(
            plugin = caller.plugin,
            function = facts.function,
            allowed = decision.allowed,
            rule = decision.rule,
            "host call decided"
        );
        self.record(HostCallRecord {
            incident: caller.incident.clone(),
            plugin: caller.plugin.clone(),
            tool: caller.tool.clone(),
            function: facts.function.to_owned(),
            subject: text::line(&facts.subject, 512),
            allowed: decision.allowed,
            rule: decision.rule.clone(),
        });
        decision
    }

    fn record(&self, record: HostCallRecord) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if records.kept.len() >= HOST_CALL_RECORDS_MAX {
            records.kept.pop_front();
            records.dropped += 1;
        }
        records.kept.push_back(record);
    }

    /// Hands over what was decided since the last time. Where more was decided than is kept, the first record says how
    /// many are missing: a hole in the audit is told, not hidden.
    pub fn take(&self) -> Vec<HostCallRecord> {
        let records = std::mem::take(&mut *self.records.lock().unwrap_or_else(PoisonError::into_inner));
        let missing = (records.dropped > 0).then(|| HostCallRecord {
            incident: String::new(),
            plugin: String::new(),
            tool: String::new(),
            function: "audit.dropped".to_owned(),
            subject: format!("{} earlier decisions were not collected in time", records.dropped),
            allowed: false,
            rule: "records-max".to_owned(),
        });
        missing.into_iter().chain(records.kept).collect()
    }
}

fn decide(grant: &Grant, facts: &CallFacts<'_>) -> Decision {
    if !needs_grant(facts.function) {
        return Decision::allow("always-available", Undo::None);
    }
    if !grant.functions.contains(facts.function) {
        return Decision::deny(
            "function-not-granted",
            "NOT_GRANTED",
            format!(
                "{} is not granted to this plugin; an operator may add it to `functions`",
                facts.function
            ),
        );
    }
    match &facts.asks {
        Asks::Nothing => Decision::allow("grant.functions", Undo::None),
        Asks::Kubernetes(object) => decide_object(grant, object),
        Asks::ClusterChange { object, change, as_planned } => decide_change(change)
            .or_else(|| {
                let why = as_planned.as_ref().err()?;
                let message = text::line(why, 300);
                Some(Decision::refuse(
                    "operation-outside-plan",
                    ErrorKind::OutsidePlan,
                    "OPERATION_OUTSIDE_PLAN",
                    message,
                ))
            })
            .unwrap_or_else(|| decide_object(grant, object)),
        Asks::FoundObject { labels, pods } => with_clusters(grant, |k8s| decide_found(k8s, labels, *pods)),
        Asks::Metrics { queries, range_ms } => decide_metrics(grant, *queries, *range_ms),
        Asks::Http(http) => decide_http(grant, http),
        Asks::Change { http, change } => match decide_change(change) {
            Some(refusal) => refusal,
            None => decide_http(grant, http),
        },
        Asks::Endpoint { name } if grant.addresses.contains_key(*name) => {
            Decision::allow("grant.http.endpoint", Undo::None)
        }
        Asks::Endpoint { name } => unknown_endpoint(name),
        Asks::HostName { name } => {
            let host = grant.addresses.values().any(|address| address.base.host_str() == Some(name));
            if host || grant.addresses.contains_key(*name) {
                return Decision::allow("grant.http.endpoint", Undo::None);
            }
            Decision::deny(
                "host-not-granted",
                "HOST_NOT_GRANTED",
                format!("{name} is the host of no endpoint granted to this plugin"),
            )
        }
    }
}

fn decide_metrics(grant: &Grant, queries: usize, range_ms: u64) -> Decision {
    let limits = &grant.metrics;
    if queries > limits.max_queries {
        let message = format!("{queries} queries at once, the limit is {}", limits.max_queries);
        return Decision::refuse(
            "metrics.max-queries",
            ErrorKind::Quota,
            "METRICS_TOO_MANY_QUERIES",
            message,
        );
    }
    if range_ms > limits.max_range_ms {
        let message = format!("a range of {range_ms} ms, the limit is {} ms", limits.max_range_ms);
        return Decision::refuse("metrics.max-range-ms", ErrorKind::Quota, "METRICS_RANGE_TOO_LONG", message);
    }
    Decision::allow("grant.metrics", Undo::None)
}

fn decide_http(grant: &Grant, http: &HttpFacts<'_>) -> Decision {
    if !grant.addresses.contains_key(http.endpoint) {
        return unknown_endpoint(http.endpoint);
    }
    if let Err(why) = check_path(http.path) {
        return Decision::refuse(
            "path-form",
            ErrorKind::Invalid,
            "PATH_MALFORMED",
            format!("the path {why}"),
        );
    }
    let rules = grant.rules.iter().enumerate().filter(|(_, rule)| rule.endpoints.contains(http.endpoint));
    let mut covering = rules.filter(|(_, rule)| {
        rule.methods.contains(&http.method) && rule.paths.iter().any(|pattern| pattern.matches(http.path))
    });
    let Some((index, rule)) = covering.next() else {
        return Decision::deny(
            "path-not-granted",
            "PATH_NOT_GRANTED",
            format!(
                "no rule grants {} {} on {}",
                http.method.as_str(),
                text::line(http.path, 200),
                http.endpoint
            ),
        );
    };
    if let Some(name) = http.query.iter().find(|name| !rule.query.contains(**name)) {
        let message = format!("query parameter `{}` is not granted there", text::line(name, 64));
        return Decision::deny("query-not-granted", "QUERY_NOT_GRANTED", message);
    }
    Decision::allow(format!("grant.http.{}[{index}]", http.endpoint), rule.undo)
}

fn with_clusters(grant: &Grant, decide: impl FnOnce(&KubernetesGrant) -> Decision) -> Decision {
    match &grant.kubernetes {
        Some(k8s) => decide(k8s),
        None => Decision::deny(
            "k8s-not-granted",
            "K8S_NOT_GRANTED",
            "no cluster is granted to this plugin; an operator may add a table `k8s` to its grant".to_owned(),
        ),
    }
}

fn decide_object(grant: &Grant, object: &ObjectFacts<'_>) -> Decision {
    // Before every grant, and whatever the grant says.
    if kinds::is_secret(object.kind) || kinds::is_secret(object.api_version) {
        return Decision::deny(
            "k8s-secrets-never",
            "K8S_SECRET",
            "secrets are never reached by a tool, whatever its grant says".to_owned(),
        );
    }
    with_clusters(grant, |k8s| {
        if !k8s.clusters.contains_key(object.cluster) {
            let message =
                format!("`{}` is no cluster granted to this plugin", text::line(object.cluster, 64));
            return Decision::deny("k8s.clusters", "K8S_CLUSTER_NOT_GRANTED", message);
        }
        let key = kinds::key(object.api_version, object.kind);
        let Some(kind) = k8s.kinds.get(&key) else {
            let message = format!("{} is no kind granted to this plugin", text::line(&key, 100));
            return Decision::deny("k8s.kinds", "K8S_KIND_NOT_GRANTED", message);
        };
        match object.namespace {
            Some(namespace) if !k8s.allows_namespace(namespace) => {
                let message =
                    format!("namespace `{}` is not granted to this plugin", text::line(namespace, 64));
                Decision::deny("k8s.namespaces", "K8S_NAMESPACE_NOT_GRANTED", message)
            }
            None if kind.namespaced && object.name.is_none() && !k8s.allows_all_namespaces() => {
                Decision::deny(
                    "k8s.namespaces",
                    "K8S_NAMESPACE_NOT_GRANTED",
                    "not every namespace is granted to this plugin; name one".to_owned(),
                )
            }
            _ => Decision::allow("grant.k8s", Undo::None),
        }
    })
}

fn decide_found(k8s: &KubernetesGrant, labels: &[(&str, &str)], pods: u32) -> Decision {
    if let Some(denied) = k8s.denied(labels.iter().copied()) {
        let message = format!("the object has the label {denied}, which keeps this plugin off it");
        return Decision::deny("k8s.deny-labels", "K8S_LABEL_DENIED", message);
    }
    if pods > k8s.max_pods {
        let message = format!("it would touch {pods} pods, the limit is {} (`k8s.max-pods`)", k8s.max_pods);
        return Decision::refuse("k8s.max-pods", ErrorKind::Quota, "K8S_TOO_MANY_PODS", message);
    }
    Decision::allow("grant.k8s", Undo::None)
}

fn decide_change(change: &ChangeFacts<'_>) -> Option<Decision> {
    if change.target != change.planned {
        return Some(Decision::refuse(
            "outside-plan",
            ErrorKind::OutsidePlan,
            "TARGET_OUTSIDE_PLAN",
            format!(
                "the step is for {}, not for {}",
                change.planned,
                text::line(&change.target.to_string(), 200)
            ),
        ));
    }
    if !change.body_as_planned {
        return Some(Decision::refuse(
            "body-outside-plan",
            ErrorKind::OutsidePlan,
            "BODY_OUTSIDE_PLAN",
            "the body is not the step's parameters, which are what was approved".to_owned(),
        ));
    }
    if change.operations_left == 0 {
        return Some(Decision::refuse(
            "mutating-ops",
            ErrorKind::Quota,
            "OPERATIONS_EXHAUSTED",
            "the step has used up the mutating calls of its grant (`limits.mutating-ops`)".to_owned(),
        ));
    }
    if change.now > change.expires {
        let late = change.now.since_ms(change.expires);
        let message = format!("the authority of this call ended {late} ms ago");
        return Some(Decision::deny("grant-expired", "GRANT_EXPIRED", message));
    }
    None
}

fn unknown_endpoint(name: &str) -> Decision {
    let message = format!("`{}` is no endpoint granted to this plugin", text::line(name, 64));
    Decision::deny("endpoint-not-granted", "ENDPOINT_NOT_GRANTED", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::Grants;

    fn grant() -> Grant {
        let text = "[endpoint.shop]\nbase = \"https://shop.internal\"\n[plugin.p]\ncategory = \"destructive\"\n\
            digest = \"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n\
            functions = [\"http-read.send\", \"http-change.send\", \"metrics.query-many\", \"probe.dns\", \"k8s-read.get\"]\n\
            [[plugin.p.http.allow]]\nendpoints = [\"shop\"]\nmethods = [\"GET\", \"PUT\"]\npaths = [\"/config\", \"/flags/{name}\"]\n\
            query = [\"limit\"]\nundo = \"put-back\"\n";
        Grants::parse(text).unwrap().get("p").unwrap().clone().unwrap()
    }

    fn rule(function: &str, asks: Asks<'_>) -> String {
        let caller = Caller { incident: "i".into(), plugin: "p".into(), tool: "t".into() };
        let facts = CallFacts { function, subject: String::new(), asks };
        let broker = Broker::default();
        let decision = broker.authorize(&caller, &grant(), &facts);
        let records = broker.take();
        assert_eq!((records.len(), records[0].allowed), (1, decision.allowed));
        assert_eq!(decision.refusal().is_none(), decision.allowed);
        decision.rule
    }

    fn get<'a>(endpoint: &'a str, path: &'a str, query: Vec<&'a str>) -> Asks<'a> {
        Asks::Http(HttpFacts { endpoint, method: Method::Get, path, query })
    }

    #[test]
    fn only_what_a_rule_covers_passes() {
        assert_eq!(rule("log.emit", Asks::Nothing), "always-available");
        assert_eq!(rule("http-read.send", get("shop", "/flags/a", vec!["limit"])), "grant.http.shop[0]");
        assert_eq!(rule("metrics.query", Asks::Metrics { queries: 1, range_ms: 0 }), "function-not-granted");
        assert_eq!(rule("http-read.send", get("bank", "/config", vec![])), "endpoint-not-granted");
        assert_eq!(rule("http-read.send", get("shop", "/secrets", vec![])), "path-not-granted");
        assert_eq!(rule("http-read.send", get("shop", "/flags/../config", vec![])), "path-form");
        assert_eq!(rule("http-read.send", get("shop", "/config", vec!["admin"])), "query-not-granted");
        assert_eq!(
            rule("metrics.query-many", Asks::Metrics { queries: 17, range_ms: 0 }),
            "metrics.max-queries"
        );
        assert_eq!(rule("k8s-read.get", pod("prod", "Pod", Some("shop-eu"), Some("web"))), "k8s-not-granted");
        assert_eq!(rule("probe.dns", Asks::HostName { name: "shop.internal" }), "grant.http.endpoint");
        assert_eq!(rule("probe.dns", Asks::HostName { name: "data.evil.example" }), "host-not-granted");
    }

    fn pod<'a>(
        cluster: &'a str,
        kind: &'a str,
        namespace: Option<&'a str>,
        name: Option<&'a str>,
    ) -> Asks<'a> {
        Asks::Kubernetes(ObjectFacts { cluster, api_version: "v1", kind, namespace, name })
    }

    #[test]
    fn only_granted_clusters_kinds_namespaces_and_labels_pass() {
        let text = "[cluster.prod]\nin-cluster = true\n[cluster.dev]\nin-cluster = true\n[plugin.p]\ncategory = \"query\"\n\
            digest = \"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n\
            functions = [\"k8s-read.get\", \"k8s-read.list-objects\"]\n[plugin.p.k8s]\nclusters = [\"prod\"]\n\
            namespaces = [\"shop-*\"]\nkinds = [\"v1/Pod\", \"v1/Node\"]\ndeny-labels = [\"protected=true\"]\nmax-pods = 3\n";
        let grant = Grants::parse(text).unwrap().get("p").unwrap().clone().unwrap();
        let rule = |asks: Asks<'_>| {
            decide(&grant, &CallFacts { function: "k8s-read.get", subject: String::new(), asks }).rule
        };
        assert_eq!(rule(pod("prod", "Pod", Some("shop-eu"), Some("web"))), "grant.k8s");
        assert_eq!(rule(pod("prod", "Node", None, Some("n1"))), "grant.k8s");
        assert_eq!(rule(pod("dev", "Pod", Some("shop-eu"), Some("web"))), "k8s.clusters");
        assert_eq!(rule(pod("prod", "ConfigMap", Some("shop-eu"), Some("web"))), "k8s.kinds");
        assert_eq!(rule(pod("prod", "pods", Some("shop-eu"), Some("web"))), "k8s.kinds");
        assert_eq!(rule(pod("prod", "Pod", Some("kube-system"), Some("web"))), "k8s.namespaces");
        assert_eq!(rule(pod("prod", "Pod", None, None)), "k8s.namespaces");
        for secret in ["Secret", "secret", "secrets", "SecretList"] {
            assert_eq!(
                rule(pod("prod", secret, Some("shop-eu"), Some("web"))),
                "k8s-secrets-never",
                "{secret}"
            );
        }
        assert_eq!(rule(Asks::FoundObject { labels: vec![("app", "web")], pods: 3 }), "grant.k8s");
        assert_eq!(
            rule(Asks::FoundObject { labels: vec![("protected", "true")], pods: 0 }),
            "k8s.deny-labels"
        );
        assert_eq!(rule(Asks::FoundObject { labels: vec![], pods: 4 }), "k8s.max-pods");
    }

    #[test]
    fn a_change_needs_plan_budget_and_time() {
        let put = |name: &str| Target {
            cluster: "shop".into(),
            api_version: "http".into(),
            kind: "PUT".into(),
            namespace: None,
            name: name.into(),
        };
        let (here, there) = (put("/config"), put("/flags/a"));
        let good = ChangeFacts {
            target: &here,
            planned: &here,
            body_as_planned: true,
            operations_left: 1,
            expires: TimestampMs(10),
            now: TimestampMs(10),
        };
        let change = |change: ChangeFacts<'_>| {
            let http = HttpFacts { endpoint: "shop", method: Method::Put, path: "/config", query: vec![] };
            rule("http-change.send", Asks::Change { http, change })
        };
        assert_eq!(change(good.clone()), "grant.http.shop[0]");
        assert_eq!(change(ChangeFacts { planned: &there, ..good.clone() }), "outside-plan");
        assert_eq!(change(ChangeFacts { body_as_planned: false, ..good.clone() }), "body-outside-plan");
        assert_eq!(change(ChangeFacts { operations_left: 0, ..good.clone() }), "mutating-ops");
        assert_eq!(change(ChangeFacts { now: TimestampMs(11), ..good }), "grant-expired");
    }

    #[test]
    fn records_that_were_not_collected_leave_a_mark() {
        let broker = Broker::default();
        let caller = Caller { incident: "i".into(), plugin: "p".into(), tool: "t".into() };
        for _ in 0..HOST_CALL_RECORDS_MAX + 3 {
            broker.authorize(
                &caller,
                &grant(),
                &CallFacts { function: "state.get", subject: String::new(), asks: Asks::Nothing },
            );
        }
        let records = broker.take();
        assert_eq!(records.len(), HOST_CALL_RECORDS_MAX + 1);
        assert!(records[0].subject.starts_with("3 earlier"), "{}", records[0].subject);
        assert!(broker.take().is_empty());
    }
}
