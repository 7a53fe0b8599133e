//! The world outside: endpoints that remember every request, and the tools and metrics that reach them.
//!
//! A request is one line in an append-only file; the line is there or it is not, whatever becomes of the daemon. The
//! endpoint does what it is asked unless it honours keys and knows this one. What the host does around a call (intend,
//! call, receive, ask about an open one) is what the real host does.

use crate::chaos::{Chaos, Trouble as Upset};
use crate::faultfs::point;
use crate::mutants::Mutant;
use crate::story::{Case, TOOLS};
use async_trait::async_trait;
use medic_core::call::{CallIntent, CallReceipt, CallRecord, Target};
use medic_core::permit::{Authority, ChangeAuthority};
use medic_core::plan::{PlannedStep, StepRef};
use medic_core::saga::StepReport;
use medic_core::{
    Digest, EffectId, Fault, FaultKind, Labels, Permit, TimeRange, TimestampMs, ToolCategory, ToolDescriptor,
    ToolName,
};
use medic_ports::metrics::{Sample, Series};
use medic_ports::tools::{
    CallFate, CallJournal, DryRun, HostCallRecord, ObservedCall, RejectedPlugin, RevertOutcome, Snapshot,
    SnapshotItem, StepOutcome, ToolHealth, ToolOutput, ToolPlan, ToolVerdict,
};
use medic_ports::{Clock, Metrics, ToolHost};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// One request as the endpoint got it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub life: u32,
    pub key: String,
    pub effect: EffectId,
    pub plan: Digest,
    pub step: StepRef,
    pub reverting: bool,
    pub service: String,
    pub tool: String,
    /// The endpoint honours keys and knew this one: nothing was done again.
    pub known: bool,
}

/// Reads what the endpoints were asked. A line without its end never arrived.
///
/// # Errors
/// When the file is there and is not what this module writes.
pub fn requests(path: &Path) -> anyhow::Result<Vec<Request>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| Ok(serde_json::from_str(line)?)).collect()
}

pub struct World {
    life: u32,
    clock: Arc<dyn Clock>,
    mutant: Option<Mutant>,
    tools: BTreeMap<ToolName, Tool>,
    cases: Vec<Case>,
    chaos: Upset,
    asked: Mutex<Asked>,
}

struct Asked {
    file: File,
    requests: Vec<Request>,
}

#[derive(Clone)]
struct Tool {
    descriptor: ToolDescriptor,
    steps: u32,
    keyed: bool,
}

impl World {
    /// # Errors
    /// When its file cannot be opened or read.
    pub fn open(
        path: &Path,
        life: u32,
        clock: Arc<dyn Clock>,
        cases: Vec<Case>,
        mutant: Option<Mutant>,
        chaos: Chaos,
    ) -> anyhow::Result<Self> {
        let requests = requests(path)?;
        let whole: Vec<u8> = requests.iter().flat_map(line).collect();
        let file = File::options().create(true).append(true).open(path)?;
        // What a torn request left behind was never a request.
        file.set_len(whole.len() as u64)?;
        let tools = TOOLS.iter().map(|(name, category, steps, keyed)| {
            (ToolName::from(*name), tool(name, *category, *steps, *keyed))
        });
        let asked = Mutex::new(Asked { file, requests });
        let chaos = Upset::new(chaos);
        Ok(Self { life, clock, mutant, tools: tools.collect(), cases, chaos, asked })
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn deeds(&self) -> usize {
        self.asked().requests.len()
    }

    /// Deeds that stand at one target.
    fn standing(&self, wanted: impl Fn(&Request) -> bool) -> i64 {
        let asked = self.asked();
        let done = asked.requests.iter().filter(|request| !request.known && wanted(request));
        done.map(|request| if request.reverting { -1 } else { 1 }).sum()
    }

    /// Whether the service hurts: it does until a deed stands there that helps.
    pub fn hurts(&self, service: &str) -> bool {
        let helps = self.cases.iter().any(|case| case.service == service && case.kind.remedy_helps());
        !(helps && self.standing(|request| request.service == service) > 0)
    }

    fn tool_of(&self, permit: &Permit) -> Result<Tool, Fault> {
        let name = &permit.call().tool;
        let found = self.tools.get(name).filter(|tool| tool.descriptor.digest == *permit.digest());
        found.cloned().ok_or_else(|| Fault::new(FaultKind::Denied, "NO_SUCH_TOOL", name.to_string()))
    }

    fn fate_of(&self, tool: &Tool, call: &CallIntent) -> CallFate {
        if self.mutant == Some(Mutant::EndpointNotAsked) {
            return CallFate::NotHappened;
        }
        if !tool.keyed {
            return CallFate::Unknown { detail: "the endpoint takes no key and cannot say".to_owned() };
        }
        let happened = self.asked().requests.iter().any(|request| request.key == call.idempotency_key);
        if happened { CallFate::Happened { detail_json: receipt_text() } } else { CallFate::NotHappened }
    }

    /// The request reaches the endpoint.
    fn call(&self, tool: &Tool, service: &str, change: &ChangeAuthority, key: &str) {
        let mut asked = self.asked();
        let known = tool.keyed && asked.requests.iter().any(|request| request.key == key);
        let request = Request {
            life: self.life,
            key: key.to_owned(),
            effect: change.effect.clone(),
            plan: change.plan.clone(),
            step: change.step,
            reverting: change.reverting,
            service: service.to_owned(),
            tool: tool.descriptor.name.to_string(),
            known,
        };
        if asked.file.write_all(&line(&request)).is_err() {
            // Its log is how the world is known: without it nothing that follows means anything.
            std::process::abort();
        }
        asked.requests.push(request);
    }

    /// One mutating call around the journal, as the host does it.
    async fn change(
        &self,
        permit: &Permit,
        change: &ChangeAuthority,
        journal: Arc<dyn CallJournal>,
    ) -> Result<(CallIntent, CallReceipt), Trouble> {
        let tool = self.tool_of(permit).map_err(Trouble::NotIntended)?;
        let known = match self.mutant {
            Some(Mutant::BlindRerun) => None,
            _ => journal.known().into_iter().find(|record| record.intent.ordinal == 0),
        };
        if let Some(CallRecord { intent, receipt: Some(receipt), .. }) = known {
            return Ok((intent, receipt));
        }
        let found_open = known.is_some();
        let intent = match known {
            Some(record) => record.intent,
            None => {
                let request_digest = Digest::of(&(&change.target, &permit.call().args_json));
                CallIntent {
                    ordinal: 0,
                    function: "http-change.send".to_owned(),
                    target: change.target.clone(),
                    idempotency_key: CallIntent::idempotency_key(&change.effect, 0, &request_digest),
                    request_digest,
                    at: self.clock.now(),
                }
            }
        };
        if !found_open && self.mutant != Some(Mutant::IntentAfterDeed) {
            journal.intend(intent.clone(), Some("before".to_owned())).await.map_err(Trouble::NotIntended)?;
        }
        let unknown =
            |detail: &str| Trouble::Unknown { target: intent.target.to_string(), detail: detail.to_owned() };
        let receipt =
            CallReceipt { ordinal: 0, snapshot_id: None, detail_json: receipt_text(), at: self.clock.now() };
        if self.mutant == Some(Mutant::ReceiptBeforeDeed) {
            journal.receive(receipt.clone()).await.map_err(|fault| unknown(&fault.message))?;
        }
        let name = &tool.descriptor.name;
        point(&format!("{name}: before the call"));
        match found_open.then(|| self.fate_of(&tool, &intent)) {
            Some(CallFate::Unknown { detail }) => return Err(unknown(&detail)),
            Some(CallFate::Happened { .. }) => {}
            Some(CallFate::NotHappened) | None => {
                self.call(&tool, &service_of(permit), change, &intent.idempotency_key);
            }
        }
        point(&format!("{name}: after the call, before the receipt"));
        self.chaos.perhaps_panic();
        if self.mutant == Some(Mutant::IntentAfterDeed) {
            journal.intend(intent.clone(), None).await.map_err(Trouble::NotIntended)?;
        }
        if self.mutant != Some(Mutant::ReceiptBeforeDeed) {
            journal.receive(receipt.clone()).await.map_err(|fault| unknown(&fault.message))?;
        }
        point(&format!("{name}: after the receipt, before the answer"));
        Ok((intent, receipt))
    }

    fn authority<'a>(&self, permit: &'a Permit, reverting: bool) -> Result<&'a ChangeAuthority, Fault> {
        match permit.authority() {
            Authority::Change(change) if change.reverting == reverting => Ok(change),
            _ => Err(Fault::new(FaultKind::Denied, "NOT_PERMITTED", "the permit does not carry this")),
        }
    }

    fn report(&self, intent: &CallIntent, receipt: &CallReceipt) -> StepReport {
        StepReport {
            started_at: intent.at,
            finished_at: self.clock.now(),
            idempotency_keys: vec![intent.idempotency_key.clone()],
            receipts: vec![receipt.detail_json.clone()],
            notes: String::new(),
        }
    }
}

enum Trouble {
    NotIntended(Fault),
    Unknown { target: String, detail: String },
}

fn line(request: &Request) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(request).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn receipt_text() -> String {
    r#"{"status":200}"#.to_owned()
}

fn service_of(permit: &Permit) -> String {
    let args: serde_json::Value = serde_json::from_str(&permit.call().args_json).unwrap_or_default();
    args.get("service").and_then(|service| service.as_str()).unwrap_or_default().to_owned()
}

fn tool(name: &str, category: ToolCategory, steps: u32, keyed: bool) -> Tool {
    let imports = vec!["http-change.send".to_owned()];
    let descriptor = ToolDescriptor {
        name: ToolName::from(name),
        plugin: name.to_owned(),
        digest: Digest::of_bytes(name.as_bytes()),
        category,
        title: name.to_owned(),
        description: name.to_owned(),
        input_schema: r#"{"type":"object"}"#.to_owned(),
        granted: imports.clone(),
        imports,
    };
    Tool { descriptor, steps, keyed }
}

#[async_trait]
impl ToolHost for World {
    fn list(&self) -> Vec<ToolDescriptor> {
        self.tools.values().map(|tool| tool.descriptor.clone()).collect()
    }

    fn describe(&self, tool: &ToolName) -> Option<ToolDescriptor> {
        self.tools.get(tool).map(|tool| tool.descriptor.clone())
    }

    fn rejected(&self) -> Vec<RejectedPlugin> {
        Vec::new()
    }

    async fn invoke(&self, permit: &Permit) -> Result<ToolOutput, Fault> {
        Err(Fault::new(FaultKind::Denied, "NOT_PERMITTED", permit.call().tool.to_string()))
    }

    async fn plan(&self, permit: &Permit) -> Result<ToolPlan, Fault> {
        self.chaos.perhaps_panic();
        let tool = self.tool_of(permit)?;
        let step = |id: u32| PlannedStep {
            id,
            operation: "send".to_owned(),
            target: Target {
                cluster: service_of(permit),
                api_version: "http".to_owned(),
                kind: "POST".to_owned(),
                namespace: None,
                name: format!("/admin/{}/{id}", tool.descriptor.name),
            },
            params_json: "{}".to_owned(),
            summary: format!("step {id}"),
        };
        Ok(ToolPlan {
            rationale: "it is expected to help".to_owned(),
            steps: (0..tool.steps).map(step).collect(),
            checks: Vec::new(),
            component_digest: tool.descriptor.digest.clone(),
            grant_digest: Digest::of(&tool.descriptor.granted),
        })
    }

    /// What stands at each target: equal to what was read before only when all of it was put back.
    async fn capture(&self, permit: &Permit, plan: &ToolPlan) -> Result<Snapshot, Fault> {
        let (tool, service) = (permit.call().tool.as_str(), service_of(permit));
        let item = |step: &PlannedStep| {
            let here = |request: &Request| {
                request.service == service && request.tool == tool && request.step.step == step.id
            };
            let data = format!("{} deed(s) stand", self.standing(here)).into_bytes();
            SnapshotItem { step_id: step.id, key: step.target.to_string(), data }
        };
        Ok(Snapshot { items: plan.steps.iter().map(item).collect() })
    }

    async fn dry_run(&self, permit: &Permit, plan: &ToolPlan) -> Result<DryRun, Fault> {
        let reversible = self.tool_of(permit)?.descriptor.category == ToolCategory::Remediation;
        let call = |step: &PlannedStep| ObservedCall {
            step_id: step.id,
            function: "http-change.send".to_owned(),
            target: step.target.clone(),
            reversible,
            pods: 0,
        };
        Ok(DryRun { calls: plan.steps.iter().map(call).collect() })
    }

    async fn apply(&self, permit: &Permit, _: &ToolPlan, journal: Arc<dyn CallJournal>) -> StepOutcome {
        let change = match self.authority(permit, false) {
            Ok(change) => change,
            Err(fault) => return StepOutcome::Failed { fault, anything_done: false },
        };
        if permit.call().tool.as_str() == "cursed" {
            // As a guest that traps would take its caller down if nobody caught it.
            std::panic::resume_unwind(Box::new("the cursed tool panics"));
        }
        match self.change(permit, change, journal).await {
            Ok((intent, receipt)) => StepOutcome::Applied(self.report(&intent, &receipt)),
            Err(Trouble::NotIntended(fault)) => StepOutcome::Failed { fault, anything_done: false },
            Err(Trouble::Unknown { .. }) if self.mutant == Some(Mutant::UnknownIsFailure) => {
                let fault = Fault::new(FaultKind::Unreachable, "NO_ANSWER", "no answer: taken as not done");
                StepOutcome::Failed { fault, anything_done: false }
            }
            Err(Trouble::Unknown { target, detail }) => StepOutcome::Unknown { target, detail },
        }
    }

    async fn verify(&self, permit: &Permit, _: &ToolPlan, _: &[StepReport]) -> Result<ToolVerdict, Fault> {
        self.tool_of(permit)?;
        Ok(ToolVerdict { health: ToolHealth::Healthy, evidence: "the tool sees nothing".to_owned() })
    }

    async fn revert(
        &self,
        permit: &Permit,
        _: &ToolPlan,
        _: &Snapshot,
        _: &[CallRecord],
        journal: Arc<dyn CallJournal>,
    ) -> RevertOutcome {
        let change = match self.authority(permit, true) {
            Ok(change) => change,
            Err(fault) => return RevertOutcome::Failed(fault),
        };
        match self.change(permit, change, journal).await {
            Ok((intent, receipt)) => RevertOutcome::Reverted(self.report(&intent, &receipt)),
            Err(Trouble::NotIntended(fault)) => RevertOutcome::Failed(fault),
            Err(Trouble::Unknown { target, detail }) => RevertOutcome::Unknown { target, detail },
        }
    }

    async fn fate(&self, permit: &Permit, call: &CallIntent) -> CallFate {
        match self.tool_of(permit) {
            Ok(tool) => self.fate_of(&tool, call),
            Err(fault) => CallFate::Unknown { detail: fault.message },
        }
    }

    fn take_host_calls(&self) -> Vec<HostCallRecord> {
        Vec::new()
    }
}

/// Prometheus over the same world: `broken{service="…"}` has a sample while that service hurts.
#[async_trait]
impl Metrics for World {
    async fn query(&self, promql: &str, _: Option<TimestampMs>) -> Result<Vec<Sample>, Fault> {
        if let Some(answer) = self.chaos.instead_of_prometheus(&*self.clock).await {
            return answer;
        }
        let Some(service) = promql.strip_prefix("broken{service=\"").and_then(|rest| rest.split('"').next())
        else {
            return Ok(Vec::new());
        };
        if !self.hurts(service) {
            return Ok(Vec::new());
        }
        let labels = Labels::from([("service", service)]);
        Ok(vec![Sample { labels, at: self.clock.now(), value: 1.0 }])
    }

    async fn query_range(&self, _: &str, _: TimeRange, _: u64) -> Result<Vec<Series>, Fault> {
        Ok(Vec::new())
    }

    async fn ready(&self) -> Result<(), Fault> {
        Ok(())
    }
}
