//! A tool host whose tools do as they are told, over a world that remembers every deed.
//!
//! Keeps the host's half of the journal protocol: a mutating call is intended before it is done and received after, and a
//! call that already has a receipt is answered from it. The world outlives a crash of the daemon: keep the host and
//! replace the journal.

use super::lock;
use super::script::Script;
use crate::Clock;
use crate::tools::{
    CallFate, CallJournal, DryRun, HostCallRecord, ObservedCall, RejectedPlugin, RevertOutcome, Snapshot,
    SnapshotItem, StepOutcome, ToolHealth, ToolHost, ToolOutput, ToolPlan, ToolVerdict,
};
use async_trait::async_trait;
use medic_core::call::{CallIntent, CallReceipt, CallRecord, Target};
use medic_core::permit::{Authority, ChangeAuthority};
use medic_core::plan::{PlannedStep, StepRef};
use medic_core::saga::StepReport;
use medic_core::{Digest, EffectId, Fault, FaultKind, Permit, ToolCategory, ToolDescriptor, ToolName};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// A call of the host that was made, in order of being made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolAct {
    Invoke { tool: ToolName, args_json: String },
    Plan { tool: ToolName, args_json: String },
    Capture { tool: ToolName },
    DryRun { tool: ToolName },
    Apply { tool: ToolName, step: StepRef, effect: EffectId },
    Verify { tool: ToolName, steps: usize },
    Revert { tool: ToolName, step: StepRef, effect: EffectId },
    Fate { key: String },
}

/// What the world saw happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    pub idempotency_key: String,
    pub target: Target,
    pub effect: EffectId,
    pub reverting: bool,
}

/// How one `apply` or `revert` goes. Without a script it goes well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Course {
    Succeed,
    /// Fails before anything is intended.
    FailBefore(Fault),
    /// Fails after the call has its receipt.
    FailAfter(Fault),
    /// The deed happens and its answer is lost: intended, done, no receipt.
    LoseAnswer,
    /// The call is intended, and nobody can say whether it happened; it did not.
    LoseCall,
    /// Only of `revert`: there is nothing to put back.
    NothingToRevert,
    /// Hangs after the intent, before the deed, until [`FakeToolHost::release`].
    HangBeforeDeed,
    /// Hangs after the deed, before the receipt, until [`FakeToolHost::release`].
    HangAfterDeed,
    /// Panics before anything is intended.
    Panic,
}

/// One tool of the host.
#[derive(Clone, Debug)]
pub struct FakeTool {
    pub descriptor: ToolDescriptor,
    /// What `plan` answers for it; digests are filled in by the host.
    pub steps: Vec<PlannedStep>,
    pub checks: Vec<String>,
    /// What `capture` reads.
    pub state: Vec<u8>,
}

/// A tool `name` of a plugin `name`, with any object as arguments and one step when it changes systems.
pub fn tool(name: &str, category: ToolCategory) -> FakeTool {
    let change = match category {
        ToolCategory::Query | ToolCategory::Diagnostic => None,
        ToolCategory::Remediation => Some("http-change.send"),
        ToolCategory::Destructive => Some("http-destroy.delete"),
    };
    let imports: Vec<String> = change.iter().map(|function| (*function).to_owned()).collect();
    let descriptor = ToolDescriptor {
        name: ToolName::from(name),
        plugin: name.to_owned(),
        digest: Digest::of_bytes(name.as_bytes()),
        category,
        title: name.to_owned(),
        description: format!("does {name}"),
        input_schema: r#"{"type":"object"}"#.to_owned(),
        granted: imports.clone(),
        imports,
    };
    let steps = change.map(|_| step(0, "checkout", &format!("/admin/{name}"))).into_iter().collect();
    FakeTool { descriptor, steps, checks: Vec::new(), state: b"before".to_vec() }
}

/// A planned step: POST `path` at the endpoint of `service`.
pub fn step(id: u32, service: &str, path: &str) -> PlannedStep {
    PlannedStep {
        id,
        operation: "send".to_owned(),
        target: Target {
            cluster: service.to_owned(),
            api_version: "http".to_owned(),
            kind: "POST".to_owned(),
            namespace: None,
            name: path.to_owned(),
        },
        params_json: "{}".to_owned(),
        summary: format!("POST {path} at {service}"),
    }
}

pub struct FakeToolHost {
    clock: Arc<dyn Clock>,
    /// Asked with `<tool> <args_json>` for `invoke`; unscripted tools answer with their name.
    pub outputs: Script<ToolOutput>,
    /// Asked with `<act> <tool>`, act being `plan`, `capture`, `dry_run` or `verify`, before the act: for faults and hangs.
    pub preparations: Script<()>,
    state: Mutex<State>,
    acts: watch::Sender<Vec<ToolAct>>,
    deeds: watch::Sender<Vec<Deed>>,
    released: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    tools: BTreeMap<ToolName, FakeTool>,
    rejected: Vec<RejectedPlugin>,
    apply: BTreeMap<ToolName, VecDeque<Course>>,
    revert: BTreeMap<ToolName, VecDeque<Course>>,
    verdicts: BTreeMap<ToolName, VecDeque<ToolVerdict>>,
    fates: BTreeMap<String, CallFate>,
    host_calls: Vec<HostCallRecord>,
}

impl FakeToolHost {
    pub fn new(clock: Arc<dyn Clock>, tools: impl IntoIterator<Item = FakeTool>) -> Self {
        let tools = tools.into_iter().map(|tool| (tool.descriptor.name.clone(), tool)).collect();
        Self {
            clock,
            outputs: Script::default(),
            preparations: Script::default(),
            state: Mutex::new(State { tools, ..State::default() }),
            acts: watch::Sender::new(Vec::new()),
            deeds: watch::Sender::new(Vec::new()),
            released: watch::Sender::new(0),
        }
    }

    /// Adds a tool or replaces the one of that name: other bytes, another grant.
    pub fn put(&self, tool: FakeTool) {
        lock(&self.state).tools.insert(tool.descriptor.name.clone(), tool);
    }

    pub fn reject(&self, plugin: RejectedPlugin) {
        lock(&self.state).rejected.push(plugin);
    }

    /// What `capture` of `tool` reads from now on: a difference to what was planned on is drift.
    pub fn drift(&self, tool: &str, state: &[u8]) {
        if let Some(tool) = lock(&self.state).tools.get_mut(&ToolName::from(tool)) {
            tool.state = state.to_vec();
        }
    }

    /// How the next `apply` of `tool` goes; more than one queue up.
    pub fn next_apply(&self, tool: &str, course: Course) {
        lock(&self.state).apply.entry(ToolName::from(tool)).or_default().push_back(course);
    }

    /// How the next `revert` of `tool` goes; more than one queue up.
    pub fn next_revert(&self, tool: &str, course: Course) {
        lock(&self.state).revert.entry(ToolName::from(tool)).or_default().push_back(course);
    }

    /// What the next `verify` of `tool` says; more than one queue up. Without a script: healthy.
    pub fn next_verdict(&self, tool: &str, health: ToolHealth) {
        let verdict = ToolVerdict { health, evidence: format!("the tool says {health:?}") };
        lock(&self.state).verdicts.entry(ToolName::from(tool)).or_default().push_back(verdict);
    }

    /// What the endpoint says of this call, whatever happened.
    pub fn set_fate(&self, idempotency_key: &str, fate: CallFate) {
        lock(&self.state).fates.insert(idempotency_key.to_owned(), fate);
    }

    /// Lets everything that hangs go on.
    pub fn release(&self) {
        self.outputs.release();
        self.preparations.release();
        self.released.send_modify(|count| *count += 1);
    }

    pub fn acts(&self) -> Vec<ToolAct> {
        self.acts.borrow().clone()
    }

    /// What the world saw, in order. At most once each is what the journal protocol is for.
    pub fn deeds(&self) -> Vec<Deed> {
        self.deeds.borrow().clone()
    }

    /// Returns once an act that `wanted` accepts has begun.
    pub async fn wait_for_act(&self, wanted: impl Fn(&ToolAct) -> bool) {
        let mut acts = self.acts.subscribe();
        // The sender lives in `self`: waiting cannot fail.
        let _ = acts.wait_for(|acts| acts.iter().any(&wanted)).await;
    }

    /// Returns once the world has seen `count` deeds.
    pub async fn wait_for_deeds(&self, count: usize) {
        let mut deeds = self.deeds.subscribe();
        let _ = deeds.wait_for(|deeds| deeds.len() >= count).await;
    }

    fn note(&self, act: ToolAct) {
        self.acts.send_modify(|acts| acts.push(act));
    }

    fn tool_of(&self, permit: &Permit) -> Result<FakeTool, Fault> {
        let name = &permit.call().tool;
        let tool = lock(&self.state).tools.get(name).cloned();
        let tool =
            tool.ok_or_else(|| Fault::new(FaultKind::Denied, "NO_SUCH_TOOL", format!("there is no {name}")))?;
        if tool.descriptor.digest != *permit.digest() {
            return Err(Fault::new(
                FaultKind::Drift,
                "COMPONENT_CHANGED",
                format!("{name} is not what was permitted"),
            ));
        }
        Ok(tool)
    }

    fn authority<'a>(
        &self,
        permit: &'a Permit,
        reverting: bool,
    ) -> Result<(FakeTool, &'a ChangeAuthority), Fault> {
        let tool = self.tool_of(permit)?;
        match permit.authority() {
            Authority::Change(change) if change.reverting == reverting => {
                if change.grant_digest != grant_digest(&tool.descriptor) {
                    return Err(Fault::new(
                        FaultKind::Drift,
                        "GRANT_CHANGED",
                        "the grant is not what was approved",
                    ));
                }
                Ok((tool, change))
            }
            _ => Err(Fault::new(FaultKind::Denied, "NOT_PERMITTED", "the permit does not carry this change")),
        }
    }

    async fn hang(&self) {
        let mut released = self.released.subscribe();
        let _ = released.changed().await;
    }

    fn observe(&self, act: &str, permit: &Permit) -> Result<FakeTool, Fault> {
        let tool = self.tool_of(permit)?;
        lock(&self.state).host_calls.push(HostCallRecord {
            incident: permit.incident().to_string(),
            plugin: tool.descriptor.plugin.clone(),
            tool: tool.descriptor.name.to_string(),
            function: act.to_owned(),
            subject: permit.call().args_json.clone(),
            allowed: true,
            rule: "fake".to_owned(),
        });
        Ok(tool)
    }

    /// One mutating call around the journal.
    async fn change(
        &self,
        permit: &Permit,
        change: &ChangeAuthority,
        course: &Course,
        journal: &dyn CallJournal,
    ) -> Result<(CallIntent, CallReceipt), Trouble> {
        let known = journal.known().into_iter().find(|record| record.intent.ordinal == 0);
        if let Some(CallRecord { intent, receipt: Some(receipt), .. }) = known {
            return Ok((intent, receipt));
        }
        let found_open = known.is_some();
        let intent = match known {
            Some(record) => record.intent,
            None => {
                let request_digest = Digest::of(&(&change.target, &permit.call().args_json));
                let intent = CallIntent {
                    ordinal: 0,
                    function: "http-change.send".to_owned(),
                    target: change.target.clone(),
                    idempotency_key: CallIntent::idempotency_key(&change.effect, 0, &request_digest),
                    request_digest,
                    at: self.clock.now(),
                };
                journal
                    .intend(intent.clone(), Some("before".to_owned()))
                    .await
                    .map_err(Trouble::NotIntended)?;
                intent
            }
        };
        let unknown =
            |detail: &str| Trouble::Unknown { target: intent.target.to_string(), detail: detail.to_owned() };
        if *course == Course::HangBeforeDeed {
            self.hang().await;
        }
        if *course == Course::LoseCall {
            return Err(unknown("the connection broke"));
        }
        // Found open from an earlier life: the endpoint is asked, and honours the key when it is sent again.
        match found_open.then(|| self.fate_of(&intent)) {
            Some(CallFate::Unknown { detail }) => return Err(unknown(&detail)),
            Some(CallFate::Happened { .. }) => {}
            Some(CallFate::NotHappened) | None => self.deeds.send_modify(|deeds| {
                deeds.push(Deed {
                    idempotency_key: intent.idempotency_key.clone(),
                    target: intent.target.clone(),
                    effect: change.effect.clone(),
                    reverting: change.reverting,
                });
            }),
        }
        if *course == Course::HangAfterDeed {
            self.hang().await;
        }
        if *course == Course::LoseAnswer {
            return Err(unknown("the answer was lost"));
        }
        let receipt = CallReceipt {
            ordinal: 0,
            snapshot_id: Some(format!("pre-{}", intent.idempotency_key)),
            detail_json: r#"{"status":200}"#.to_owned(),
            at: self.clock.now(),
        };
        if let Err(fault) = journal.receive(receipt.clone()).await {
            return Err(unknown(&fault.message));
        }
        Ok((intent, receipt))
    }

    fn fate_of(&self, call: &CallIntent) -> CallFate {
        if let Some(fate) = lock(&self.state).fates.get(&call.idempotency_key) {
            return fate.clone();
        }
        let happened = self.deeds.borrow().iter().any(|deed| deed.idempotency_key == call.idempotency_key);
        if happened {
            CallFate::Happened { detail_json: r#"{"status":200}"#.to_owned() }
        } else {
            CallFate::NotHappened
        }
    }

    fn report(
        &self,
        started_at: medic_core::TimestampMs,
        intent: &CallIntent,
        receipt: &CallReceipt,
    ) -> StepReport {
        StepReport {
            started_at,
            finished_at: self.clock.now(),
            idempotency_keys: vec![intent.idempotency_key.clone()],
            receipts: vec![receipt.detail_json.clone()],
            notes: "done".to_owned(),
        }
    }
}

enum Trouble {
    NotIntended(Fault),
    Unknown { target: String, detail: String },
}

fn grant_digest(tool: &ToolDescriptor) -> Digest {
    Digest::of(&(&tool.plugin, &tool.granted))
}

/// As a guest that traps would take its caller down if nobody caught it.
fn panic_as_scripted() -> ! {
    std::panic::resume_unwind(Box::new("the scripted tool panics"))
}

#[async_trait]
impl ToolHost for FakeToolHost {
    fn list(&self) -> Vec<ToolDescriptor> {
        lock(&self.state).tools.values().map(|tool| tool.descriptor.clone()).collect()
    }

    fn describe(&self, tool: &ToolName) -> Option<ToolDescriptor> {
        lock(&self.state).tools.get(tool).map(|tool| tool.descriptor.clone())
    }

    fn rejected(&self) -> Vec<RejectedPlugin> {
        lock(&self.state).rejected.clone()
    }

    async fn invoke(&self, permit: &Permit) -> Result<ToolOutput, Fault> {
        let call = permit.call();
        self.note(ToolAct::Invoke { tool: call.tool.clone(), args_json: call.args_json.clone() });
        self.observe("invoke", permit)?;
        if *permit.authority() != Authority::Invoke {
            return Err(Fault::new(FaultKind::Denied, "NOT_PERMITTED", "the permit is not one to invoke"));
        }
        let output = self.outputs.ask(&format!("{} {}", call.tool, call.args_json)).await?;
        Ok(output.unwrap_or_else(|| ToolOutput {
            summary: call.tool.to_string(),
            data_json: None,
            artifacts: Vec::new(),
        }))
    }

    async fn plan(&self, permit: &Permit) -> Result<ToolPlan, Fault> {
        let call = permit.call();
        self.note(ToolAct::Plan { tool: call.tool.clone(), args_json: call.args_json.clone() });
        let tool = self.observe("plan", permit)?;
        self.preparations.ask(&format!("plan {}", call.tool)).await?;
        Ok(ToolPlan {
            rationale: format!("{} is expected to help", call.tool),
            steps: tool.steps,
            checks: tool.checks,
            component_digest: tool.descriptor.digest.clone(),
            grant_digest: grant_digest(&tool.descriptor),
        })
    }

    async fn capture(&self, permit: &Permit, plan: &ToolPlan) -> Result<Snapshot, Fault> {
        let name = permit.call().tool.clone();
        self.note(ToolAct::Capture { tool: name.clone() });
        let tool = self.observe("capture", permit)?;
        self.preparations.ask(&format!("capture {name}")).await?;
        let item = |step: &PlannedStep| SnapshotItem {
            step_id: step.id,
            key: step.target.to_string(),
            data: tool.state.clone(),
        };
        Ok(Snapshot { items: plan.steps.iter().map(item).collect() })
    }

    async fn dry_run(&self, permit: &Permit, plan: &ToolPlan) -> Result<DryRun, Fault> {
        let name = permit.call().tool.clone();
        self.note(ToolAct::DryRun { tool: name.clone() });
        let tool = self.observe("dry_run", permit)?;
        self.preparations.ask(&format!("dry_run {name}")).await?;
        let reversible = tool.descriptor.category == ToolCategory::Remediation;
        let function = tool.descriptor.imports.first().cloned().unwrap_or_default();
        let call = |step: &PlannedStep| ObservedCall {
            step_id: step.id,
            function: function.clone(),
            target: step.target.clone(),
            reversible,
            pods: 0,
        };
        Ok(DryRun { calls: plan.steps.iter().map(call).collect() })
    }

    async fn apply(&self, permit: &Permit, _plan: &ToolPlan, journal: Arc<dyn CallJournal>) -> StepOutcome {
        let started_at = self.clock.now();
        let (tool, change) = match self.authority(permit, false) {
            Ok(found) => found,
            Err(fault) => return StepOutcome::Failed { fault, anything_done: false },
        };
        let name = tool.descriptor.name;
        self.note(ToolAct::Apply { tool: name.clone(), step: change.step, effect: change.effect.clone() });
        let course =
            lock(&self.state).apply.get_mut(&name).and_then(VecDeque::pop_front).unwrap_or(Course::Succeed);
        match course {
            Course::Panic => panic_as_scripted(),
            Course::FailBefore(fault) => return StepOutcome::Failed { fault, anything_done: false },
            _ => {}
        }
        match (self.change(permit, change, &course, journal.as_ref()).await, course) {
            (Ok(_), Course::FailAfter(fault)) => StepOutcome::Failed { fault, anything_done: true },
            (Ok((intent, receipt)), _) => StepOutcome::Applied(self.report(started_at, &intent, &receipt)),
            (Err(Trouble::NotIntended(fault)), _) => StepOutcome::Failed { fault, anything_done: false },
            (Err(Trouble::Unknown { target, detail }), _) => StepOutcome::Unknown { target, detail },
        }
    }

    async fn verify(
        &self,
        permit: &Permit,
        _plan: &ToolPlan,
        done: &[StepReport],
    ) -> Result<ToolVerdict, Fault> {
        let name = permit.call().tool.clone();
        self.note(ToolAct::Verify { tool: name.clone(), steps: done.len() });
        self.observe("verify", permit)?;
        self.preparations.ask(&format!("verify {name}")).await?;
        let scripted = lock(&self.state).verdicts.get_mut(&name).and_then(VecDeque::pop_front);
        Ok(scripted.unwrap_or_else(|| ToolVerdict {
            health: ToolHealth::Healthy,
            evidence: "the tool sees nothing wrong".to_owned(),
        }))
    }

    async fn revert(
        &self,
        permit: &Permit,
        _plan: &ToolPlan,
        _saved: &Snapshot,
        _applied: &[CallRecord],
        journal: Arc<dyn CallJournal>,
    ) -> RevertOutcome {
        let started_at = self.clock.now();
        let (tool, change) = match self.authority(permit, true) {
            Ok(found) => found,
            Err(fault) => return RevertOutcome::Failed(fault),
        };
        let name = tool.descriptor.name;
        self.note(ToolAct::Revert { tool: name.clone(), step: change.step, effect: change.effect.clone() });
        let course =
            lock(&self.state).revert.get_mut(&name).and_then(VecDeque::pop_front).unwrap_or(Course::Succeed);
        match course {
            Course::Panic => panic_as_scripted(),
            Course::FailBefore(fault) => return RevertOutcome::Failed(fault),
            Course::NothingToRevert => {
                return RevertOutcome::NothingToRevert { why: "nobody can put that back".to_owned() };
            }
            _ => {}
        }
        match (self.change(permit, change, &course, journal.as_ref()).await, course) {
            (Ok(_), Course::FailAfter(fault)) => RevertOutcome::Failed(fault),
            (Ok((intent, receipt)), _) => RevertOutcome::Reverted(self.report(started_at, &intent, &receipt)),
            (Err(Trouble::NotIntended(fault)), _) => RevertOutcome::Failed(fault),
            (Err(Trouble::Unknown { target, detail }), _) => RevertOutcome::Unknown { target, detail },
        }
    }

    async fn fate(&self, _permit: &Permit, call: &CallIntent) -> CallFate {
        self.note(ToolAct::Fate { key: call.idempotency_key.clone() });
        self.fate_of(call)
    }

    fn take_host_calls(&self) -> Vec<HostCallRecord> {
        std::mem::take(&mut lock(&self.state).host_calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeClock;
    use medic_core::approval::{Approval, Proposal, Requirement};
    use medic_core::permit::Ground;
    use medic_core::plan::{ActionItem, ActionPlan};
    use medic_core::tool::ToolCall;
    use medic_core::{ApprovedPlan, IncidentId, Policy, Principal, TimestampMs};

    #[derive(Default)]
    struct Calls(Mutex<Vec<CallRecord>>);

    #[async_trait]
    impl CallJournal for Calls {
        fn known(&self) -> Vec<CallRecord> {
            lock(&self.0).clone()
        }
        async fn intend(&self, intent: CallIntent, pre_image: Option<String>) -> Result<(), Fault> {
            lock(&self.0).push(CallRecord { intent, receipt: None, pre_image });
            Ok(())
        }
        async fn receive(&self, receipt: CallReceipt) -> Result<(), Fault> {
            lock(&self.0).iter_mut().for_each(|record| record.receipt = Some(receipt.clone()));
            Ok(())
        }
    }

    fn host() -> FakeToolHost {
        let clock = FakeClock::new(TimestampMs(1_000));
        FakeToolHost::new(Arc::new(clock), [tool("restart", ToolCategory::Remediation)])
    }

    fn call() -> ToolCall {
        ToolCall { tool: ToolName::from("restart"), args_json: "{}".to_owned() }
    }

    async fn permitted(host: &FakeToolHost) -> (Permit, ToolPlan) {
        let (incident, now) = (IncidentId::from("i1"), TimestampMs(1_000));
        let descriptor = host.describe(&ToolName::from("restart")).unwrap();
        let prepare = Permit::issue(&incident, &descriptor, call(), Ground::Prepare, now).unwrap();
        let planned = host.plan(&prepare).await.unwrap();
        let snapshot = host.capture(&prepare, &planned).await.unwrap();
        let item = ActionItem {
            tool: descriptor.name.clone(),
            component_digest: planned.component_digest.clone(),
            grant_digest: planned.grant_digest.clone(),
            category: descriptor.category,
            args_json: "{}".to_owned(),
            rationale: planned.rationale.clone(),
            steps: planned.steps.clone(),
            snapshot_digest: snapshot.digest(),
            tool_checks: Vec::new(),
        };
        let plan = ActionPlan {
            iteration: 1,
            hypothesis: None,
            evidence: Vec::new(),
            items: vec![item],
            blast_radius: Default::default(),
            verification: Default::default(),
        };
        let digest = plan.digest(&incident);
        let approval = Approval {
            id: "a1".into(),
            principal: Principal::from("token:alice"),
            plan: digest.clone(),
            at: now,
        };
        let proposal = Proposal {
            plan,
            digest,
            requirement: Requirement::OneApprover,
            because: Vec::new(),
            requester: None,
            approvals: vec![approval],
            proposed_at: now,
            expires_at: TimestampMs(9_000),
        };
        let approved = ApprovedPlan::prove(&incident, &proposal, &Policy::default(), now).unwrap();
        let effect = EffectId { incident: incident.clone(), revision: 5, index: 0 };
        let ground = Ground::Apply { plan: &approved, step: StepRef { item: 0, step: 0 }, effect };
        (Permit::issue(&incident, &descriptor, call(), ground, now).unwrap(), planned)
    }

    #[tokio::test]
    async fn step_applied_again_with_its_receipt_is_answered_and_not_repeated() {
        let host = host();
        let (permit, plan) = permitted(&host).await;
        let calls = Arc::new(Calls::default());
        let first = host.apply(&permit, &plan, calls.clone()).await;
        let again = host.apply(&permit, &plan, calls.clone()).await;
        assert!(
            matches!((&first, &again), (StepOutcome::Applied(_), StepOutcome::Applied(_))),
            "{first:?} {again:?}"
        );
        assert_eq!(host.deeds().len(), 1);
    }

    #[tokio::test]
    async fn lost_answer_is_looked_up_by_its_key_and_the_deed_stays_one() {
        let host = host();
        let (permit, plan) = permitted(&host).await;
        let calls = Arc::new(Calls::default());
        host.next_apply("restart", Course::LoseAnswer);
        let first = host.apply(&permit, &plan, calls.clone()).await;
        assert!(matches!(first, StepOutcome::Unknown { .. }), "{first:?}");
        let open = calls.known().remove(0);
        assert_eq!(open.receipt, None);
        assert!(matches!(host.fate(&permit, &open.intent).await, CallFate::Happened { .. }));
        assert!(matches!(host.apply(&permit, &plan, calls).await, StepOutcome::Applied(_)));
        assert_eq!(host.deeds().len(), 1);
    }

    #[tokio::test]
    async fn lost_call_never_happened_and_may_be_sent_again() {
        let host = host();
        let (permit, plan) = permitted(&host).await;
        let calls = Arc::new(Calls::default());
        host.next_apply("restart", Course::LoseCall);
        assert!(matches!(host.apply(&permit, &plan, calls.clone()).await, StepOutcome::Unknown { .. }));
        assert_eq!(host.deeds(), []);
        assert_eq!(host.fate(&permit, &calls.known().remove(0).intent).await, CallFate::NotHappened);
    }

    #[tokio::test]
    async fn permit_for_other_bytes_or_another_grant_does_nothing() {
        let host = host();
        let (permit, plan) = permitted(&host).await;
        let mut other = tool("restart", ToolCategory::Remediation);
        other.descriptor.granted.clear();
        host.put(other.clone());
        let refused = host.apply(&permit, &plan, Arc::new(Calls::default())).await;
        assert!(
            matches!(&refused, StepOutcome::Failed { fault, anything_done: false } if fault.code == "GRANT_CHANGED")
        );
        other.descriptor.digest = Digest::of_bytes(b"other");
        host.put(other);
        let refused = host.apply(&permit, &plan, Arc::new(Calls::default())).await;
        assert!(matches!(&refused, StepOutcome::Failed { fault, .. } if fault.code == "COMPONENT_CHANGED"));
        let reverting =
            host.revert(&permit, &plan, &Snapshot::default(), &[], Arc::new(Calls::default())).await;
        assert!(matches!(reverting, RevertOutcome::Failed(_)), "a permit to apply is none to revert");
        assert_eq!(host.deeds(), []);
    }
}
