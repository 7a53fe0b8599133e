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
use std::collections::{BTreeMap, VecDeque};
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
    allowed: RefCell<Option<ResourceRef>>,
    calls: RefCell<Vec<Call>>,
    lines: RefCell<Vec<(LogLevel, String)>>,
    kept: RefCell<BTreeMap<String, Vec<u8>>>,
    stored: RefCell<Vec<(String, Vec<u8>)>>,
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
        let rehearsal = self.changed(|script| *script.calls.borrow_mut() = Vec::new());
        attempt(&rehearsal);
        let mut used: Vec<Function> = rehearsal.calls().into_iter().map(|call| call.function).collect();
        used.sort_unstable();
        used.dedup();
        let cases = used.into_iter().flat_map(|function| Failure::ALL.map(|failure| (function, failure)));
        cases
            .map(|(function, failure)| (function, failure, attempt(&self.failing(function, failure))))
            .collect()
    }

    /// Asserts that `attempt` calls the host at all, and that for each function it calls a refusal comes out as denied, a
    /// timeout as timeout, and garbage as an upstream failure: never as success, never as the caller's fault.
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
                    failure == Failure::Garbage && function.is_change(),
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
