//! The sandboxed tools. Every call needs a [`Permit`]; without one there is nothing to call.

use async_trait::async_trait;
use medic_core::call::{CallIntent, CallReceipt, CallRecord, Target};
use medic_core::plan::PlannedStep;
use medic_core::saga::StepReport;
use medic_core::{Digest, Fault, Permit, ToolDescriptor, ToolName};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolOutput {
    /// Untrusted text, control characters removed.
    pub summary: String,
    pub data_json: Option<String>,
    pub artifacts: Vec<String>,
}

/// A change plan as a tool made it, with the grant it was made under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolPlan {
    pub rationale: String,
    pub steps: Vec<PlannedStep>,
    /// PromQL; each sample must be 1.
    pub checks: Vec<String>,
    pub component_digest: Digest,
    /// Of the grant in force, canonical.
    pub grant_digest: Digest,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotItem {
    pub step_id: u32,
    pub key: String,
    pub data: Vec<u8>,
}

/// What a tool read before a change, to put back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub items: Vec<SnapshotItem>,
}

impl Snapshot {
    pub fn digest(&self) -> Digest {
        Digest::of(self)
    }
}

/// A mutating call that a dry run recorded and did not carry out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedCall {
    pub step_id: u32,
    pub function: String,
    pub target: Target,
    /// Whether the grant names a way back for it.
    pub reversible: bool,
    /// Pods that it would start, stop or replace.
    #[serde(default)]
    pub pods: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DryRun {
    pub calls: Vec<ObservedCall>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepOutcome {
    Applied(StepReport),
    /// `anything_done`: some mutating call has a receipt.
    Failed {
        fault: Fault,
        anything_done: bool,
    },
    Unknown {
        target: String,
        detail: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevertOutcome {
    Reverted(StepReport),
    NothingToRevert { why: String },
    Failed(Fault),
    Unknown { target: String, detail: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolHealth {
    Healthy,
    Degraded,
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolVerdict {
    pub health: ToolHealth,
    /// Untrusted text.
    pub evidence: String,
}

/// What became of a call whose receipt is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallFate {
    Happened {
        detail_json: String,
    },
    /// The endpoint says so and honours the key: sending it again with the same key is safe.
    NotHappened,
    Unknown {
        detail: String,
    },
}

/// Where the host writes down a mutating call around the deed. Given by the executor for exactly one effect.
#[async_trait]
pub trait CallJournal: Send + Sync {
    /// What is known of this effect's calls from before a crash.
    fn known(&self) -> Vec<CallRecord>;
    /// Committed and synced when this returns; only then may a byte leave.
    async fn intend(&self, intent: CallIntent, pre_image: Option<String>) -> Result<(), Fault>;
    async fn receive(&self, receipt: CallReceipt) -> Result<(), Fault>;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedPlugin {
    pub file: String,
    pub code: String,
    pub reason: String,
}

/// What a host call was and how the broker answered. One is audited for every call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCallRecord {
    pub incident: String,
    pub plugin: String,
    pub tool: String,
    pub function: String,
    pub subject: String,
    pub allowed: bool,
    /// Id of the rule that decided.
    pub rule: String,
}

#[async_trait]
pub trait ToolHost: Send + Sync + 'static {
    fn list(&self) -> Vec<ToolDescriptor>;
    fn describe(&self, tool: &ToolName) -> Option<ToolDescriptor>;
    /// Plugins that were found and not loaded, and why.
    fn rejected(&self) -> Vec<RejectedPlugin>;

    /// A query or diagnostic tool.
    async fn invoke(&self, permit: &Permit) -> Result<ToolOutput, Fault>;

    async fn plan(&self, permit: &Permit) -> Result<ToolPlan, Fault>;
    async fn capture(&self, permit: &Permit, plan: &ToolPlan) -> Result<Snapshot, Fault>;
    /// `apply` of every step with a grant that records.
    async fn dry_run(&self, permit: &Permit, plan: &ToolPlan) -> Result<DryRun, Fault>;
    /// The step of the permit. Calls that `journal` knows the receipt of are answered from there and not repeated.
    async fn apply(&self, permit: &Permit, plan: &ToolPlan, journal: Arc<dyn CallJournal>) -> StepOutcome;
    async fn verify(
        &self,
        permit: &Permit,
        plan: &ToolPlan,
        done: &[StepReport],
    ) -> Result<ToolVerdict, Fault>;
    /// The tool's own revert; where that fails, the host's pre-images of `applied` in reverse.
    async fn revert(
        &self,
        permit: &Permit,
        plan: &ToolPlan,
        saved: &Snapshot,
        applied: &[CallRecord],
        journal: Arc<dyn CallJournal>,
    ) -> RevertOutcome;
    /// Asks the endpoint what became of a call.
    async fn fate(&self, permit: &Permit, call: &CallIntent) -> CallFate;
    /// Host calls decided since the last time this was asked; for the audit log.
    fn take_host_calls(&self) -> Vec<HostCallRecord>;
}
