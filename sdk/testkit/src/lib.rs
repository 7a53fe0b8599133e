//! Native tests for tools against a scripted host: no sandbox, no network, no clock but the script's.
//!
//! ```
//! use medic_sdk::prelude::*;
//! use medic_sdk_testkit::ScriptedHost;
//!
//! #[derive(ToolArgs)]
//! struct Args {
//!     /// Service to look at.
//!     service: String,
//! }
//!
//! /// Whether a service is up.
//! #[query_tool]
//! fn is_up(args: Args, host: &QueryHost) -> ToolResult<Output> {
//!     let up = host.metrics().query(&promql!("up{service=$service}", service = args.service))?.scalar()?;
//!     Ok(Output::text(if up == 1.0 { "up" } else { "down" }))
//! }
//!
//! let host = ScriptedHost::new().value("up{", 1.0);
//! assert_eq!(host.query::<is_up>(json!({ "service": "checkout" })).unwrap().summary, "up");
//! assert_eq!(host.calls()[0].detail, r#"up{service="checkout"}"#);
//!
//! // Every host function it used, denied, timing out and answering garbage: the tool fails, and says how.
//! host.assert_fails_honestly(|host| host.query::<is_up>(json!({ "service": "checkout" })));
//! ```
//! What is not scripted is denied, as it is in the world. Calls that change something need a step of the plan with the
//! same target and something left in the grant's budget, or the scripted host refuses them as the real one would.

mod answer;
mod backend;
mod drive;
mod function;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use medic_sdk::types::{
    CallContext, HostError, HostErrorKind, HttpResponse, LogLevel, ProbeOutcome, ResourceRef, Sample, Series,
    ToolErrorKind,
};
use medic_sdk::{ToolError, ToolResult, Value};

pub use answer::{Answer, Failure};
pub use drive::{DestructiveRun, RemediationRun};
pub use function::Function;

/// One call a tool made of its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What was called.
    pub function: Function,
    /// Its arguments in one line, as in `PUT checkout-admin /admin/workers {"workers":8}`.
    pub detail: String,
}

/// Answers to the calls of `function` whose detail contains `part`, one after the other; the last one stays.
#[derive(Clone)]
struct Rule {
    function: Function,
    part: String,
    answers: RefCell<VecDeque<Answer>>,
}

#[derive(Clone, Default)]
struct Script {
    rules: Vec<Rule>,
    failing: Option<(Function, Failure)>,
    now_ms: Cell<u64>,
    budget: Option<u32>,
    receipts: Cell<u64>,
    allowed: RefCell<Option<Allowed>>,
    calls: RefCell<Vec<Call>>,
    lines: RefCell<Vec<(LogLevel, String)>>,
    kept: RefCell<BTreeMap<String, Vec<u8>>>,
    /// Functions of state and artifacts that were called.
    kept_with: RefCell<BTreeSet<Function>>,
    stored: RefCell<Vec<(String, Vec<u8>)>>,
}

/// What the step under way may do.
#[derive(Clone)]
struct Allowed {
    target: ResourceRef,
    /// Absent in a revert, which puts back what the plan does not show.
    operation: Option<String>,
}

impl Allowed {
    /// A step that changes a cluster is named for its call; one over HTTP has its method in its target.
    fn names(&self, function: Function) -> bool {
        let (interface, call) = function.name().split_once('.').unwrap_or_default();
        let named = |operation: &String| operation.rsplit('.').next() == Some(call);
        !interface.starts_with("k8s-") || self.operation.as_ref().is_none_or(named)
    }
}

/// A host that answers what a test tells it to.
#[derive(Clone, Default)]
pub struct ScriptedHost {
    script: Rc<Script>,
}

impl ScriptedHost {
    /// A host that denies everything but log, clock, state and artifacts.
    pub fn new() -> Self {
        Self::default()
    }

    fn changed(&self, change: impl FnOnce(&mut Script)) -> Self {
        let mut script = (*self.script).clone();
        change(&mut script);
        Self { script: Rc::new(script) }
    }

    /// Answers each call of `function` whose detail contains `part`. Earlier rules win.
    #[must_use]
    pub fn on(self, function: Function, part: &str, answer: Answer) -> Self {
        self.on_each(function, part, [answer])
    }

    /// As [`ScriptedHost::on`], with one answer after the other; the last one stays.
    #[must_use]
    pub fn on_each(self, function: Function, part: &str, answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers = RefCell::new(answers.into_iter().collect());
        self.changed(|script| script.rules.push(Rule { function, part: part.to_owned(), answers }))
    }

    /// Answers instant PromQL that contains `part` with one value.
    #[must_use]
    pub fn value(self, part: &str, value: f64) -> Self {
        let sample = Sample { at_ms: 0, value };
        self.on(
            Function::MetricsQuery,
            part,
            Answer::Series(vec![Series { labels: vec![], samples: vec![sample] }]),
        )
    }

    /// Answers instant PromQL that contains `part` with no series.
    #[must_use]
    pub fn no_series(self, part: &str) -> Self {
        self.on(Function::MetricsQuery, part, Answer::Series(Vec::new()))
    }

    /// Answers a read of one Kubernetes object.
    #[must_use]
    pub fn object(self, kind: &str, namespace: Option<&str>, name: &str, object: &Value) -> Self {
        let namespace = namespace.unwrap_or("-");
        self.on(
            Function::KubernetesGet,
            &format!(" {kind} {namespace}/{name}"),
            Answer::Text(object.to_string()),
        )
    }

    /// Answers a list of Kubernetes objects of a kind in a namespace.
    #[must_use]
    pub fn objects(self, kind: &str, namespace: &str, objects: &[Value]) -> Self {
        let texts = objects.iter().map(ToString::to_string).collect();
        self.on(Function::KubernetesList, &format!(" {kind} {namespace} "), Answer::Texts(texts))
    }

    /// Answers GET of a path with a status and a JSON body.
    #[must_use]
    pub fn http(self, endpoint: &str, path: &str, status: u16, body: Value) -> Self {
        self.http_each(endpoint, path, [(status, body)])
    }

    /// As [`ScriptedHost::http`], with one answer after the other; the last one stays.
    #[must_use]
    pub fn http_each(
        self,
        endpoint: &str,
        path: &str,
        answers: impl IntoIterator<Item = (u16, Value)>,
    ) -> Self {
        let answers = answers.into_iter().map(|(status, body)| {
            let body = body.to_string().into_bytes();
            Answer::Response(HttpResponse { status, headers: Vec::new(), body, truncated: false })
        });
        // A space ends the detail's path, so that `/admin/config` is not also `/admin/config/previous`.
        self.on_each(Function::HttpRead, &format!("GET {endpoint} {path} "), answers)
    }

    /// Answers TCP and TLS probes of an endpoint.
    #[must_use]
    pub fn probe(self, endpoint: &str, ok: bool, latency_us: u64, detail: &str) -> Self {
        let outcome = ProbeOutcome { ok, latency_us, detail: detail.to_owned() };
        self.on(Function::ProbeTcp, endpoint, Answer::Outcome(outcome.clone())).on(
            Function::ProbeTls,
            endpoint,
            Answer::Outcome(outcome),
        )
    }

    /// Answers every change that is within the plan and the budget with a receipt.
    #[must_use]
    pub fn accepting_changes(self) -> Self {
        Function::ALL
            .iter()
            .filter(|function| function.is_change())
            .fold(self, |host, function| host.on(*function, "", Answer::Receipt))
    }

    /// Sets the clock, milliseconds since the epoch.
    #[must_use]
    pub fn at_ms(self, now_ms: u64) -> Self {
        self.changed(|script| script.now_ms = Cell::new(now_ms))
    }

    /// Sets how many changes one grant allows; else one.
    #[must_use]
    pub fn budget(self, operations: u32) -> Self {
        self.changed(|script| script.budget = Some(operations))
    }

    /// A copy of this script from its beginning, in which every call of one function fails.
    #[must_use]
    pub fn failing(&self, function: Function, failure: Failure) -> Self {
        self.changed(|script| script.failing = Some((function, failure)))
    }

    /// The calls made so far, in order; log, clock, state and artifacts are not among them.
    pub fn calls(&self) -> Vec<Call> {
        self.script.calls.borrow().clone()
    }

    /// The details of the calls of one function.
    pub fn calls_of(&self, function: Function) -> Vec<String> {
        self.calls().into_iter().filter(|call| call.function == function).map(|call| call.detail).collect()
    }

    /// The calls that would have changed something, also those refused.
    pub fn changes(&self) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.function.is_change()).collect()
    }

    /// The log lines written so far.
    pub fn log_lines(&self) -> Vec<(LogLevel, String)> {
        self.script.lines.borrow().clone()
    }

    /// The artifacts stored so far.
    pub fn artifacts(&self) -> Vec<(String, Vec<u8>)> {
        self.script.stored.borrow().clone()
    }

    /// Runs `attempt` on a fresh copy of the script and asserts that it asked for no change; this host's own script and
    /// record stay as they are.
    ///
    /// # Panics
    /// When it asked for one.
    #[track_caller]
    pub fn changed_nothing<R>(&self, attempt: impl FnOnce(&Self) -> R) -> R {
        let copy = self.changed(|script| *script.calls.borrow_mut() = Vec::new());
        let result = attempt(&copy);
        assert_eq!(copy.changes(), [], "the attempt asked for a change");
        result
    }

    /// Runs `attempt` as scripted to learn which functions it calls; then, for each of them and each way to fail, on a
    /// fresh copy of the script.
    pub fn each_failure<R>(&self, attempt: impl Fn(&Self) -> R) -> Vec<(Function, Failure, R)> {
        let rehearsal = self.changed(|script| {
            *script.calls.borrow_mut() = Vec::new();
            *script.kept_with.borrow_mut() = BTreeSet::new();
        });
        attempt(&rehearsal);
        let mut used = rehearsal.script.kept_with.borrow().clone();
        used.extend(rehearsal.calls().into_iter().map(|call| call.function));
        let cases = used.into_iter().flat_map(|function| Failure::ALL.map(|failure| (function, failure)));
        cases
            .map(|(function, failure)| (function, failure, attempt(&self.failing(function, failure))))
            .collect()
    }

    /// Asserts that `attempt` calls the host at all, and that for each function it calls a refusal comes out as denied, a
    /// timeout as timeout, and garbage as an upstream failure: never as success, never as the caller's fault. What a tool
    /// keeps for itself, state and artifacts, it may do without; then it may succeed.
    ///
    /// # Panics
    /// When it does not hold.
    #[track_caller]
    pub fn assert_fails_honestly<T: std::fmt::Debug>(&self, attempt: impl Fn(&Self) -> ToolResult<T>) {
        let cases = self.each_failure(attempt);
        assert!(!cases.is_empty(), "the attempt makes no call that could fail");
        for (function, failure, result) in cases {
            let expected = match failure {
                Failure::Denied => ToolErrorKind::Denied,
                Failure::Timeout => ToolErrorKind::Timeout,
                Failure::Garbage => ToolErrorKind::Upstream,
            };
            match result {
                Ok(answer) => assert!(
                    failure == Failure::Garbage && function.is_change() || function.is_keeping(),
                    "{function} answers {failure:?}, and the tool succeeds with {answer:?}"
                ),
                Err(ToolError { kind, code, message, .. }) => {
                    assert_eq!(
                        kind, expected,
                        "{function} answers {failure:?}, and the tool says {code}: {message}"
                    );
                }
            }
        }
    }

    fn call_context() -> CallContext {
        CallContext { incident_id: "inc-test".to_owned(), call_id: "call-1".to_owned(), attempt: 1 }
    }
}

fn host_error(kind: HostErrorKind, code: &str, message: impl Into<String>) -> HostError {
    HostError { kind, code: code.to_owned(), message: message.into(), retry_after_ms: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use medic_sdk::types::{Selector, TimeRange};
    use medic_sdk::{Grant, ScriptedGrant, sys::Backend};

    /// One call of each function that can fail, and what it came to.
    fn call(
        script: &Script,
        function: Function,
        grant: &Grant<'_>,
        target: &ResourceRef,
    ) -> Result<(), HostError> {
        let range = TimeRange { start_ms: 0, end_ms: 1 };
        let (cluster, kind) = (target.cluster.clone(), target.kind.clone());
        let selector =
            Selector { cluster, kind, api_version: "v1".into(), namespace: None, labels: None, limit: 1 };
        match function {
            Function::StateGet => script.state_get("k").map(drop),
            Function::StateSet => script.state_set("k", b"v", 1),
            Function::ArtifactsPut => script.artifacts_put("a", "text/plain", b"x").map(drop),
            Function::MetricsQuery => script.metrics_query("up", None).map(drop),
            Function::MetricsQueryRange => script.metrics_query_range("up", range, 1).map(drop),
            Function::MetricsQueryMany => {
                script.metrics_query_many(&["up".into()], None).pop().map_or(Ok(()), |one| one.map(drop))
            }
            Function::LogsSearch => script.logs_search("x", range, 1).map(drop),
            Function::KubernetesGet => script.k8s_get(target).map(drop),
            Function::KubernetesList => script.k8s_list(&selector).map(drop),
            Function::KubernetesPodLogs => script.k8s_pod_logs(target, None, 1).map(drop),
            Function::HttpRead => {
                script.http_read(medic_sdk::types::ReadMethod::Get, "e", "/", &[]).map(drop)
            }
            Function::KnowledgeSearch => script.knowledge_search("x", 1).map(drop),
            Function::ProbeTcp => script.probe_tcp("e", 1).map(drop),
            Function::ProbeTls => script.probe_tls("e", 1).map(drop),
            Function::ProbeDns => script.probe_dns("e").map(drop),
            Function::KubernetesScale => script.k8s_scale(grant, target, 1).map(drop),
            Function::KubernetesRolloutRestart => script.k8s_rollout_restart(grant, target).map(drop),
            Function::KubernetesRolloutUndo => script.k8s_rollout_undo(grant, target, None).map(drop),
            Function::KubernetesPatch => script.k8s_patch(grant, target, "{}").map(drop),
            Function::KubernetesRestartPod => script.k8s_restart_pod(grant, target).map(drop),
            Function::KubernetesCordon => script.k8s_cordon(grant, target, true).map(drop),
            Function::HttpChange => {
                script.http_change(grant, medic_sdk::types::ChangeMethod::Put, "e", "/", &[], b"").map(drop)
            }
            Function::KubernetesDelete => script.k8s_delete(grant, target, None).map(drop),
            Function::KubernetesEvict => script.k8s_evict(grant, target).map(drop),
            Function::HttpDelete => script.http_delete(grant, "e", "/", &[]).map(drop),
        }
    }

    #[test]
    fn every_function_can_be_denied_time_out_and_answer_garbage() {
        let target = |api_version: &str, kind: &str| ResourceRef {
            cluster: "e".into(),
            api_version: api_version.into(),
            kind: kind.into(),
            namespace: None,
            name: "/".into(),
        };
        for function in Function::ALL {
            let target = match function {
                Function::HttpChange => target("http", "PUT"),
                Function::HttpDelete => target("http", "DELETE"),
                _ => target("v1", "Pod"),
            };
            for failure in Failure::ALL {
                let host = ScriptedHost::new().failing(*function, failure);
                *host.script.allowed.borrow_mut() = Some(Allowed { target: target.clone(), operation: None });
                let grant = ScriptedGrant {
                    plan_digest: String::new(),
                    remaining_operations: Cell::new(1),
                    expires_in_ms: 1,
                };
                let said = call(&host.script, *function, &Grant::scripted(&grant), &target);
                let expected = match failure {
                    Failure::Denied => Some(HostErrorKind::Denied),
                    Failure::Timeout => Some(HostErrorKind::Timeout),
                    Failure::Garbage => None,
                };
                assert_eq!(said.err().map(|error| error.kind), expected, "{function} {failure:?}");
            }
        }
    }
}
