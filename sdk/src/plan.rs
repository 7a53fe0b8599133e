//! Owns what a tool that changes something says before and after: its plan, what it saved, its report, its verdict.

use serde_json::{Value, json};

use crate::error::ToolResult;
use crate::target::{HttpDeletion, HttpTarget};
use crate::types::{
    ChangePlan, Health, Receipt, ResourceRef, SnapshotItem, Step, StepReport, ToolError, Verdict,
};

/// What a tool proposes. An approval is bound to every word of it, so it must not say what changes by itself (the time,
/// a counter): planned twice in the same situation, it must be the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    rationale: String,
    changes: Vec<Change>,
    checks: Vec<String>,
}

impl Plan {
    /// A plan without steps; `rationale` says to the approver why it should help.
    pub fn new(rationale: impl Into<String>) -> Self {
        Self { rationale: rationale.into(), changes: Vec::new(), checks: Vec::new() }
    }

    /// Adds a step. Steps are carried out in this order, one call of `apply` each, and undone in the reverse.
    #[must_use]
    pub fn change(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }

    /// Adds a check: a PromQL boolean expression that holds when the remedy helped. It holds when it has at least one
    /// sample and every sample is 1, so write `… == bool 0`, and mind that an absent metric never holds.
    #[must_use]
    pub fn check(mut self, promql: impl Into<String>) -> Self {
        self.checks.push(promql.into());
        self
    }

    /// The plan as the contract writes it. Steps are numbered from 1.
    pub(crate) fn written(self, tool: &str, args_json: &str) -> ToolResult<ChangePlan> {
        if self.changes.is_empty() {
            return Err(ToolError::internal(
                "EMPTY_PLAN",
                "a plan without a step changes nothing; answer an error instead",
            ));
        }
        let steps = (1..).zip(self.changes).map(|(id, change)| change.numbered(id)).collect();
        Ok(ChangePlan {
            tool: tool.to_owned(),
            args_json: args_json.to_owned(),
            rationale: self.rationale,
            steps,
            checks: self.checks,
        })
    }
}

/// One step of a plan, before it has a number.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    operation: String,
    target: ResourceRef,
    params: Value,
    summary: String,
}

impl Change {
    /// A change of any target. `operation` is a short name for receipts and the audit, as in `scale-workers`; for a
    /// change of a cluster it is the name of the call, and the host holds it to that.
    pub fn new(operation: impl Into<String>, target: ResourceRef) -> Self {
        Self { operation: operation.into(), target, params: Value::Null, summary: String::new() }
    }

    /// A change over HTTP; its parameters are the body. Carry it out with `host.http_change().perform(grant, step)`.
    pub fn http(operation: impl Into<String>, target: &HttpTarget) -> Self {
        Self::new(operation, target.resource())
    }

    /// A deletion over HTTP. Carry it out with `host.http_destroy().perform(grant, step)`.
    pub fn http_delete(operation: impl Into<String>, target: &HttpDeletion) -> Self {
        Self::new(operation, target.resource())
    }

    /// Sets the number of replicas of a workload. Carry it out with `host.kubernetes_change().perform_scale(grant, step)`.
    pub fn scale(target: &ResourceRef, replicas: u32) -> Self {
        Self::new("scale", target.clone()).params(json!({ "replicas": replicas }))
    }

    /// Restarts the pods of a workload one after the other. Carry it out with `perform_rollout_restart`.
    pub fn rollout_restart(target: &ResourceRef) -> Self {
        Self::new("rollout-restart", target.clone())
    }

    /// Goes back to an earlier revision of a Deployment. Carry it out with `perform_rollout_undo`.
    pub fn rollout_undo(target: &ResourceRef, to_revision: u64) -> Self {
        Self::new("rollout-undo", target.clone()).params(json!({ "to_revision": to_revision }))
    }

    /// Applies a JSON merge patch, which is the parameters. Carry it out with `perform_patch`.
    pub fn kubernetes_patch(target: &ResourceRef, merge_patch: impl Into<Value>) -> Self {
        Self::new("patch", target.clone()).params(merge_patch)
    }

    /// Restarts one pod that a controller replaces. Carry it out with `perform_restart_pod`.
    pub fn restart_pod(target: &ResourceRef) -> Self {
        Self::new("restart-pod", target.clone())
    }

    /// Keeps new pods off a node, or lets them on again. Carry it out with `perform_cordon`.
    pub fn cordon(target: &ResourceRef, unschedulable: bool) -> Self {
        Self::new("cordon", target.clone()).params(json!({ "unschedulable": unschedulable }))
    }

    /// Deletes an object. Carry it out with `host.kubernetes_destroy().perform_delete(grant, step)`.
    pub fn delete(target: &ResourceRef, grace_seconds: Option<u32>) -> Self {
        let params = grace_seconds.map_or(Value::Null, |seconds| json!({ "grace_seconds": seconds }));
        Self::new("delete", target.clone()).params(params)
    }

    /// Evicts a pod. Carry it out with `perform_evict`.
    pub fn evict(target: &ResourceRef) -> Self {
        Self::new("evict", target.clone())
    }

    /// What exactly will be asked for: the approver sees it, and the approval covers it.
    #[must_use]
    pub fn params(mut self, params: impl Into<Value>) -> Self {
        self.params = params.into();
        self
    }

    /// The step in one line, for the approver.
    #[must_use]
    pub fn summary(mut self, summary: impl Into<String>) -> Self {
        self.summary = summary.into();
        self
    }

    fn numbered(self, id: u32) -> Step {
        Step {
            id,
            operation: self.operation,
            target: self.target,
            params_json: self.params.to_string(),
            summary: self.summary,
        }
    }
}

impl ChangePlan {
    /// The step with this number.
    ///
    /// # Errors
    /// `UNKNOWN_STEP` when the plan has none.
    pub fn step(&self, id: u32) -> ToolResult<&Step> {
        self.steps.iter().find(|step| step.id == id).ok_or_else(|| {
            ToolError::internal(
                "UNKNOWN_STEP",
                format!("the plan has {} steps, none with number {id}", self.steps.len()),
            )
        })
    }
}

impl Step {
    /// What was planned to be asked for.
    ///
    /// # Errors
    /// `PARAMS_NOT_JSON` when it is not what `T` expects.
    pub fn params<T: serde::de::DeserializeOwned>(&self) -> ToolResult<T> {
        serde_json::from_str(&self.params_json).map_err(|error| {
            ToolError::internal(
                "PARAMS_NOT_JSON",
                format!("cannot read the parameters of step {}: {error}", self.id),
            )
        })
    }
}

impl SnapshotItem {
    /// Bytes to put back when `step` is undone.
    ///
    /// Captured once when the plan is made and once before the first step; a difference stops the plan. Save what the
    /// step would overwrite, and nothing that moves by itself.
    pub fn of(step: &Step, key: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        Self { step_id: step.id, key: key.into(), data: data.into() }
    }
}

/// What was saved for one step.
#[derive(Debug, Clone, Copy)]
pub struct Saved<'s> {
    step_id: u32,
    items: &'s [SnapshotItem],
}

impl<'s> Saved<'s> {
    pub(crate) fn of(step: &Step, items: &'s [SnapshotItem]) -> Self {
        Self { step_id: step.id, items }
    }

    /// The bytes saved under `key`.
    ///
    /// # Errors
    /// `SNAPSHOT_MISSING` when nothing was: a revert that guesses does harm.
    pub fn bytes(&self, key: &str) -> ToolResult<&'s [u8]> {
        let found = self.items.iter().find(|item| item.step_id == self.step_id && item.key == key);
        found.map(|item| item.data.as_slice()).ok_or_else(|| {
            let message = format!("nothing was saved for step {} under `{key}`", self.step_id);
            ToolError::precondition("SNAPSHOT_MISSING", message)
        })
    }
}

impl StepReport {
    /// A step that was carried out with one call.
    pub fn of(step: &Step, receipt: Receipt) -> Self {
        Self { step_id: step.id, receipts: vec![receipt], notes: String::new() }
    }

    /// A step that needed no call; `notes` says why.
    pub fn nothing(step: &Step, notes: impl Into<String>) -> Self {
        Self { step_id: step.id, receipts: Vec::new(), notes: notes.into() }
    }

    /// Adds words for the record.
    #[must_use]
    pub fn note(mut self, notes: impl Into<String>) -> Self {
        self.notes = notes.into();
        self
    }
}

impl Verdict {
    /// It helped.
    pub fn healthy(evidence: impl Into<String>) -> Self {
        Self { health: Health::Healthy, evidence: evidence.into(), data_json: None }
    }

    /// It did not help, or not yet.
    pub fn degraded(evidence: impl Into<String>) -> Self {
        Self { health: Health::Degraded, evidence: evidence.into(), data_json: None }
    }

    /// It cannot be told.
    pub fn unknown(evidence: impl Into<String>) -> Self {
        Self { health: Health::Unknown, evidence: evidence.into(), data_json: None }
    }
}
