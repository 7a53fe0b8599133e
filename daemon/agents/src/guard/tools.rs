//! The tool host, with an eye on tools whose sandbox ends them.

use crate::conditions::{Code, Conditions};
use async_trait::async_trait;
use medic_core::call::{CallIntent, CallRecord};
use medic_core::saga::StepReport;
use medic_core::{Fault, FaultKind, Permit, ToolDescriptor, ToolName};
use medic_ports::ToolHost;
use medic_ports::tools::{
    CallFate, CallJournal, DryRun, HostCallRecord, RejectedPlugin, RevertOutcome, Snapshot, StepOutcome,
    ToolOutput, ToolPlan, ToolVerdict,
};
use std::sync::Arc;

pub(super) struct GuardedTools {
    pub inner: Arc<dyn ToolHost>,
    pub conditions: Conditions,
}

impl GuardedTools {
    /// A tool that trapped or used up its limits is failing until a run of it ends otherwise.
    fn note(&self, permit: &Permit, fault: Option<&Fault>) {
        let tool = permit.call().tool.as_str();
        match fault {
            Some(fault) if fault.kind == FaultKind::Sandbox => {
                self.conditions.set(Code::PluginFailing, tool, &format!("{tool}: {}: {fault}", fault.code));
            }
            _ => self.conditions.heal(Code::PluginFailing, tool),
        }
    }

    fn noted<T>(&self, permit: &Permit, answer: Result<T, Fault>) -> Result<T, Fault> {
        self.note(permit, answer.as_ref().err());
        answer
    }
}

#[async_trait]
impl ToolHost for GuardedTools {
    fn list(&self) -> Vec<ToolDescriptor> {
        self.inner.list()
    }
    fn describe(&self, tool: &ToolName) -> Option<ToolDescriptor> {
        self.inner.describe(tool)
    }
    fn rejected(&self) -> Vec<RejectedPlugin> {
        self.inner.rejected()
    }
    async fn invoke(&self, permit: &Permit) -> Result<ToolOutput, Fault> {
        self.noted(permit, self.inner.invoke(permit).await)
    }
    async fn plan(&self, permit: &Permit) -> Result<ToolPlan, Fault> {
        self.noted(permit, self.inner.plan(permit).await)
    }
    async fn capture(&self, permit: &Permit, plan: &ToolPlan) -> Result<Snapshot, Fault> {
        self.noted(permit, self.inner.capture(permit, plan).await)
    }
    async fn dry_run(&self, permit: &Permit, plan: &ToolPlan) -> Result<DryRun, Fault> {
        self.noted(permit, self.inner.dry_run(permit, plan).await)
    }
    async fn apply(&self, permit: &Permit, plan: &ToolPlan, journal: Arc<dyn CallJournal>) -> StepOutcome {
        let outcome = self.inner.apply(permit, plan, journal).await;
        let fault = match &outcome {
            StepOutcome::Failed { fault, .. } => Some(fault),
            StepOutcome::Applied(_) | StepOutcome::Unknown { .. } => None,
        };
        self.note(permit, fault);
        outcome
    }
    async fn verify(
        &self,
        permit: &Permit,
        plan: &ToolPlan,
        done: &[StepReport],
    ) -> Result<ToolVerdict, Fault> {
        self.noted(permit, self.inner.verify(permit, plan, done).await)
    }
    async fn revert(
        &self,
        permit: &Permit,
        plan: &ToolPlan,
        saved: &Snapshot,
        applied: &[CallRecord],
        journal: Arc<dyn CallJournal>,
    ) -> RevertOutcome {
        let outcome = self.inner.revert(permit, plan, saved, applied, journal).await;
        let fault = match &outcome {
            RevertOutcome::Failed(fault) => Some(fault),
            _ => None,
        };
        self.note(permit, fault);
        outcome
    }
    async fn fate(&self, permit: &Permit, call: &CallIntent) -> CallFate {
        self.inner.fate(permit, call).await
    }
    fn take_host_calls(&self) -> Vec<HostCallRecord> {
        self.inner.take_host_calls()
    }
}
