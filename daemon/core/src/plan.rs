//! What is proposed to be done, in a form whose digest an approval can be bound to.

use crate::call::Target;
use crate::{Component, Digest, EvidenceId, HypothesisId, ToolCategory, ToolName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// Addresses one step of one item of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepRef {
    pub item: u32,
    pub step: u32,
}

impl fmt::Display for StepRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.item, self.step)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// The tool's own number of the step.
    pub id: u32,
    pub operation: String,
    pub target: Target,
    pub params_json: String,
    /// The tool's words; untrusted text.
    pub summary: String,
}

/// One tool call of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionItem {
    pub tool: ToolName,
    /// Of the component that planned it and must carry it out.
    pub component_digest: Digest,
    /// Of the grant it was planned under; a changed grant voids the approval.
    pub grant_digest: Digest,
    pub category: ToolCategory,
    pub args_json: String,
    /// The tool's words; untrusted text.
    pub rationale: String,
    pub steps: Vec<PlannedStep>,
    /// Of what `capture` read when the plan was made. Captured again before the first step: a difference is drift,
    /// and drift fails closed.
    pub snapshot_digest: Digest,
    /// PromQL the tool offers as a check of its own work; each sample must be 1.
    pub tool_checks: Vec<String>,
}

/// Computed by the host from targets, the dry run and the topology; a tool's prose never enters it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlastRadius {
    /// Components changed directly.
    pub components: BTreeSet<Component>,
    /// Components that call those, directly or not.
    pub dependents: BTreeSet<Component>,
    pub targets: BTreeSet<Target>,
    /// Mutating calls seen in the dry run.
    pub operations: u32,
    /// Whether a step has no undo.
    pub irreversible: bool,
    /// Pods that the changes would start, stop or replace, as the dry run found them. Absent where there are none, so that
    /// plans of other systems keep their digest.
    #[serde(default, skip_serializing_if = "is_none")]
    pub pods: u32,
}

fn is_none(pods: &u32) -> bool {
    *pods == 0
}

/// How it will be known that the remedy helped. PromQL; asked of Prometheus, not of the tool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Must give no sample: the alerts' own expressions.
    pub must_be_silent: Vec<String>,
    /// Must give at least one sample, each of value 1.
    pub must_be_true: Vec<String>,
    /// Waited before the first look.
    pub settle_ms: u64,
    /// All must hold without interruption for this long.
    pub hold_ms: u64,
    /// After this the remedy has failed.
    pub deadline_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionPlan {
    /// 0 when a person asked for the plan without a diagnosis.
    pub iteration: u32,
    pub hypothesis: Option<HypothesisId>,
    /// What the plan rests on.
    pub evidence: Vec<EvidenceId>,
    pub items: Vec<ActionItem>,
    pub blast_radius: BlastRadius,
    pub verification: Verification,
}

impl ActionPlan {
    /// What an approval is bound to: everything in the plan, bound to its incident.
    pub fn digest(&self, incident: &crate::IncidentId) -> Digest {
        Digest::of(&("medic-plan-v1", incident, self))
    }

    pub fn steps(&self) -> impl Iterator<Item = (StepRef, &ActionItem, &PlannedStep)> {
        self.items.iter().enumerate().flat_map(|(index, item)| {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            item.steps.iter().map(move |step| (StepRef { item: index, step: step.id }, item, step))
        })
    }

    pub fn find(&self, at: StepRef) -> Option<(&ActionItem, &PlannedStep)> {
        self.steps().find(|(reference, ..)| *reference == at).map(|(_, item, step)| (item, step))
    }

    /// The strictest category among the items; a plan without items changes nothing.
    pub fn category(&self) -> ToolCategory {
        self.items.iter().map(|item| item.category).max().unwrap_or(ToolCategory::Query)
    }
}
