//! Between the contract's records and core's nouns. The one place where both languages are spoken.
//!
//! What comes from a guest is checked and cleaned here: texts lose what acts on a screen, names that are compared exactly
//! must be clean already.

use std::collections::BTreeSet;

use medic_core::call::Target;
use medic_core::plan::PlannedStep;
use medic_core::saga::StepReport;
use medic_core::{Fault, FaultKind};
use medic_ports::tools::{Snapshot, SnapshotItem, ToolHealth, ToolOutput, ToolPlan, ToolVerdict};

use crate::contract::host::types::{Receipt, ResourceRef};
use crate::contract::tool;
use crate::limits::Limits;
use crate::meter::exceeded;
use crate::text;

/// Steps of one tool's plan. 64: beyond any policy's own limit, which is the one people set.
const STEPS_MAX: usize = 64;
const CHECKS_MAX: usize = 32;
/// Names, operations and other words that identify.
const NAME_BYTES_MAX: usize = 2048;
const PROSE_BYTES_MAX: usize = 4096;
/// Parameters are the body that is sent: as large as a body may be.
const PARAMS_BYTES_MAX: usize = crate::limits::REQUEST_BODY_MAX;
/// All of a snapshot. 4 MiB: it is journalled.
const SNAPSHOT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// # Errors
/// `SANDBOX_OUTPUT`, `TOOL_DATA_MALFORMED`.
pub fn output(output: tool::Output, artifacts: &[String], limits: &Limits) -> Result<ToolOutput, Fault> {
    within("bytes of summary", output.summary.len(), limits.summary)?;
    if let Some(data) = &output.data_json {
        within("bytes of data", data.len(), limits.data_json)?;
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(data) {
            return Err(malformed("TOOL_DATA_MALFORMED", format!("the tool's data is not JSON: {error}")));
        }
    }
    // Only what this call put is an artefact of it, whatever the tool lists.
    let artifacts = output.artifacts.into_iter().filter(|id| artifacts.contains(id)).collect();
    Ok(ToolOutput {
        summary: text::plain(&output.summary, usize::try_from(limits.summary).unwrap_or(usize::MAX)),
        data_json: output.data_json,
        artifacts,
    })
}

/// Steps and checks of a plan as a tool made it.
///
/// # Errors
/// `PLAN_MALFORMED`, naming the step.
pub fn steps(plan: tool::ChangePlan) -> Result<(String, Vec<PlannedStep>, Vec<String>), Fault> {
    let bad = |message: String| malformed("PLAN_MALFORMED", format!("the tool's plan: {message}"));
    if plan.steps.len() > STEPS_MAX || plan.checks.len() > CHECKS_MAX {
        return Err(bad(format!(
            "{} steps and {} checks, the limits are {STEPS_MAX} and {CHECKS_MAX}",
            plan.steps.len(),
            plan.checks.len()
        )));
    }
    let mut ids = BTreeSet::new();
    let mut steps = Vec::new();
    for step in plan.steps {
        if !ids.insert(step.id) {
            return Err(bad(format!("step {} stands in it twice", step.id)));
        }
        let target = target(step.target);
        let words = [&step.operation, &target.cluster, &target.api_version, &target.kind, &target.name];
        // These are compared and approved as they stand: nothing in them may hide from a reader.
        if words
            .into_iter()
            .chain(target.namespace.as_ref())
            .any(|word| text::line(word, NAME_BYTES_MAX) != *word)
        {
            return Err(bad(format!(
                "step {} names something with characters that cannot be shown",
                step.id
            )));
        }
        if step.params_json.len() > PARAMS_BYTES_MAX {
            return Err(bad(format!(
                "the parameters of step {} are longer than {PARAMS_BYTES_MAX} bytes",
                step.id
            )));
        }
        if !step.params_json.is_empty()
            && serde_json::from_str::<serde::de::IgnoredAny>(&step.params_json).is_err()
        {
            return Err(bad(format!("the parameters of step {} are not JSON", step.id)));
        }
        steps.push(PlannedStep {
            id: step.id,
            operation: step.operation,
            target,
            params_json: step.params_json,
            summary: text::plain(&step.summary, PROSE_BYTES_MAX),
        });
    }
    let checks = plan.checks.iter().map(|check| text::plain(check, PROSE_BYTES_MAX)).collect();
    Ok((text::plain(&plan.rationale, PROSE_BYTES_MAX), steps, checks))
}

/// A plan in the words in which the tool gave it.
pub fn change_plan(tool: &str, args_json: &str, plan: &ToolPlan) -> tool::ChangePlan {
    tool::ChangePlan {
        tool: tool.to_owned(),
        args_json: args_json.to_owned(),
        rationale: plan.rationale.clone(),
        steps: plan.steps.iter().map(wit_step).collect(),
        checks: plan.checks.clone(),
    }
}

fn wit_step(step: &PlannedStep) -> tool::Step {
    let target = step.target.clone();
    tool::Step {
        id: step.id,
        operation: step.operation.clone(),
        target: ResourceRef {
            cluster: target.cluster,
            api_version: target.api_version,
            kind: target.kind,
            namespace: target.namespace,
            name: target.name,
        },
        params_json: step.params_json.clone(),
        summary: step.summary.clone(),
    }
}

fn target(target: ResourceRef) -> Target {
    Target {
        cluster: target.cluster,
        api_version: target.api_version,
        kind: target.kind,
        namespace: target.namespace,
        name: target.name,
    }
}

/// # Errors
/// `SNAPSHOT_MALFORMED`, `SANDBOX_OUTPUT`.
pub fn snapshot(items: Vec<tool::SnapshotItem>, plan: &ToolPlan) -> Result<Snapshot, Fault> {
    let bytes = items.iter().map(|item| item.data.len() + item.key.len()).sum();
    within("bytes of snapshot", bytes, SNAPSHOT_BYTES_MAX as u64)?;
    if let Some(item) = items.iter().find(|item| plan.steps.iter().all(|step| step.id != item.step_id)) {
        let message =
            format!("the tool captured something for step {}, which its plan does not have", item.step_id);
        return Err(malformed("SNAPSHOT_MALFORMED", message));
    }
    let items =
        items.into_iter().map(|item| SnapshotItem { step_id: item.step_id, key: item.key, data: item.data });
    Ok(Snapshot { items: items.collect() })
}

pub fn wit_snapshot(saved: &Snapshot) -> Vec<tool::SnapshotItem> {
    let item = |item: &SnapshotItem| tool::SnapshotItem {
        step_id: item.step_id,
        key: item.key.clone(),
        data: item.data.clone(),
    };
    saved.items.iter().map(item).collect()
}

/// Reports of the steps done, which stand in the order of the plan.
pub fn wit_reports(done: &[StepReport], plan: &ToolPlan) -> Vec<tool::StepReport> {
    let report = |(report, step): (&StepReport, &PlannedStep)| tool::StepReport {
        step_id: step.id,
        receipts: (0..)
            .zip(&report.receipts)
            .map(|(operation_id, detail)| Receipt {
                operation_id,
                snapshot_id: None,
                detail_json: detail.clone(),
            })
            .collect(),
        notes: report.notes.clone(),
    };
    done.iter().zip(&plan.steps).map(report).collect()
}

pub fn verdict(verdict: tool::Verdict) -> ToolVerdict {
    let health = match verdict.health {
        tool::Health::Healthy => ToolHealth::Healthy,
        tool::Health::Degraded => ToolHealth::Degraded,
        tool::Health::Unknown => ToolHealth::Unknown,
    };
    ToolVerdict { health, evidence: text::plain(&verdict.evidence, PROSE_BYTES_MAX) }
}

pub fn notes(notes: &str) -> String {
    text::plain(notes, PROSE_BYTES_MAX)
}

fn within(what: &str, used: usize, limit: u64) -> Result<(), Fault> {
    if used as u64 > limit {
        return Err(exceeded("SANDBOX_OUTPUT", what, used as u64, limit));
    }
    Ok(())
}

fn malformed(code: &str, message: String) -> Fault {
    Fault::new(FaultKind::Malformed, code, message)
}
