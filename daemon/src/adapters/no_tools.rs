//! The tool host of a daemon without plugins: nothing to list, nothing to call.

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

#[derive(Clone, Copy, Debug, Default)]
pub struct NoTools;

/// No permit can name a tool of this host; one may have been issued under an earlier configuration.
fn none() -> Fault {
    Fault::new(FaultKind::Denied, "NO_TOOLS", "no plugins are configured")
}

#[async_trait]
impl ToolHost for NoTools {
    fn list(&self) -> Vec<ToolDescriptor> {
        Vec::new()
    }
    fn describe(&self, _: &ToolName) -> Option<ToolDescriptor> {
        None
    }
    fn rejected(&self) -> Vec<RejectedPlugin> {
        Vec::new()
    }
    async fn invoke(&self, _: &Permit) -> Result<ToolOutput, Fault> {
        Err(none())
    }
    async fn plan(&self, _: &Permit) -> Result<ToolPlan, Fault> {
        Err(none())
    }
    async fn capture(&self, _: &Permit, _: &ToolPlan) -> Result<Snapshot, Fault> {
        Err(none())
    }
    async fn dry_run(&self, _: &Permit, _: &ToolPlan) -> Result<DryRun, Fault> {
        Err(none())
    }
    async fn apply(&self, _: &Permit, _: &ToolPlan, _: Arc<dyn CallJournal>) -> StepOutcome {
        StepOutcome::Failed { fault: none(), anything_done: false }
    }
    async fn verify(&self, _: &Permit, _: &ToolPlan, _: &[StepReport]) -> Result<ToolVerdict, Fault> {
        Err(none())
    }
    async fn revert(
        &self,
        _: &Permit,
        _: &ToolPlan,
        _: &Snapshot,
        _: &[CallRecord],
        _: Arc<dyn CallJournal>,
    ) -> RevertOutcome {
        RevertOutcome::Failed(none())
    }
    async fn fate(&self, _: &Permit, _: &CallIntent) -> CallFate {
        CallFate::Unknown { detail: none().message }
    }
    fn take_host_calls(&self) -> Vec<HostCallRecord> {
        Vec::new()
    }
}
