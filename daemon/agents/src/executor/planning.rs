//! From a cause to a plan: the taxonomy's remedy, planned by its tool, dry-run by the host, measured by us. Changes nothing.

use crate::diagnoser::topology;
use crate::taxonomy::Remedy;
use crate::world::World;
use medic_core::effect::PlanSource;
use medic_core::event::EventKind;
use medic_core::outcome::FaultKind;
use medic_core::permit::Ground;
use medic_core::plan::{ActionItem, BlastRadius, Verification};
use medic_core::tool::{ToolCall, ToolDescriptor};
use medic_core::{
    ActionPlan, Component, EffectId, EvidenceId, Fault, HypothesisId, Incident, Permit, Refusal,
};
use medic_ports::Batch;
use medic_ports::journal::{DocumentWrite, Table};
use medic_ports::tools::{DryRun, Snapshot, ToolPlan};
use medic_signals::topology::Topology;
use std::collections::BTreeSet;

/// Plans and answers with what the supervisor should hear. The snapshot goes into `batch`: it is kept before the plan is.
pub(super) async fn run(
    world: &World,
    incident: &Incident,
    effect: &EffectId,
    source: &PlanSource,
    batch: &mut Batch,
) -> EventKind {
    match make(world, incident, effect, source, batch).await {
        Ok(plan) => EventKind::Planned { effect: effect.clone(), plan: Box::new(plan) },
        Err(fault) => EventKind::PlanFailed { effect: effect.clone(), fault },
    }
}

/// What is to be done and why.
struct Intention<'a> {
    call: ToolCall,
    component: Option<Component>,
    hypothesis: Option<HypothesisId>,
    evidence: Vec<EvidenceId>,
    iteration: u32,
    remedy: Option<&'a Remedy>,
}

async fn make(
    world: &World,
    incident: &Incident,
    effect: &EffectId,
    source: &PlanSource,
    batch: &mut Batch,
) -> Result<ActionPlan, Fault> {
    let intention = intention(world, incident, source)?;
    let host = &world.ports.tools;
    let tool = host.describe(&intention.call.tool).ok_or_else(|| {
        let text = format!("the tool {} is not loaded", intention.call.tool);
        Fault::new(FaultKind::Denied, "TOOL_NOT_LOADED", text)
    })?;
    if !tool.category.changes_systems() {
        let text = format!("{} is a {} tool and remedies nothing", tool.name, tool.category);
        return Err(Fault::new(FaultKind::InvalidArguments, "TOOL_IS_NO_REMEDY", text));
    }
    let permit = |ground| issue(world, incident, &tool, &intention.call, ground);
    let planned = host.plan(&permit(Ground::Prepare)?).await?;
    if planned.steps.is_empty() {
        return Err(Fault::new(FaultKind::InvalidArguments, "EMPTY_PLAN", "the tool planned no step"));
    }
    let dry_run = host.dry_run(&permit(Ground::DryRun)?, &planned).await?;
    within_plan(&planned, &dry_run)?;
    let snapshot = host.capture(&permit(Ground::Prepare)?, &planned).await?;
    let snapshot_digest = snapshot.digest();
    batch.documents.push(keep(effect, &snapshot)?);

    let graph = topology(world).await;
    let blast_radius = blast_radius(&planned, &dry_run, intention.component.as_ref(), &graph);
    let verification = verification(incident, intention.remedy, intention.component.as_ref(), &planned);
    let item = ActionItem {
        tool: tool.name.clone(),
        component_digest: tool.digest.clone(),
        grant_digest: planned.grant_digest,
        category: tool.category,
        args_json: intention.call.args_json,
        rationale: planned.rationale,
        steps: planned.steps,
        snapshot_digest,
        tool_checks: planned.checks,
    };
    Ok(ActionPlan {
        iteration: intention.iteration,
        hypothesis: intention.hypothesis,
        evidence: intention.evidence,
        items: vec![item],
        blast_radius,
        verification,
    })
}

fn intention<'a>(world: &'a World, incident: &Incident, source: &PlanSource) -> Result<Intention<'a>, Fault> {
    match source {
        PlanSource::Request(call) => {
            let component = component_of_args(&call.args_json);
            Ok(Intention {
                call: call.clone(),
                component,
                hypothesis: None,
                evidence: Vec::new(),
                iteration: 0,
                remedy: world
                    .taxonomy
                    .categories
                    .iter()
                    .filter_map(|category| category.remedy.as_ref())
                    .find(|remedy| remedy.tool == call.tool),
            })
        }
        PlanSource::Diagnosis => {
            let diagnosis = incident.diagnosis();
            let best = diagnosis.and_then(|diagnosis| diagnosis.concluded()).ok_or_else(|| {
                Fault::new(
                    FaultKind::Internal,
                    "NO_CONCLUSION",
                    "the diagnosis concluded nothing to plan for",
                )
            })?;
            let remedy = world
                .taxonomy
                .category(&best.category)
                .and_then(|category| category.remedy.as_ref())
                .ok_or_else(|| {
                    let text = format!("no remedy is configured for {}", best.category);
                    Fault::new(FaultKind::Denied, "NO_REMEDY_CONFIGURED", text)
                })?;
            Ok(Intention {
                call: ToolCall { tool: remedy.tool.clone(), args_json: remedy.args_json(&best.component) },
                component: Some(best.component.clone()),
                hypothesis: Some(best.id.clone()),
                evidence: best.supporting.iter().map(|citation| citation.evidence.clone()).collect(),
                iteration: incident.iteration,
                remedy: Some(remedy),
            })
        }
    }
}

/// A request names its component as the tools do: in an argument called `service` or `component`.
fn component_of_args(args_json: &str) -> Option<Component> {
    let args: serde_json::Value = serde_json::from_str(args_json).ok()?;
    ["service", "component"].iter().find_map(|name| args.get(name)?.as_str()).map(Component::from)
}

pub(super) fn issue(
    world: &World,
    incident: &Incident,
    tool: &ToolDescriptor,
    call: &ToolCall,
    ground: Ground<'_>,
) -> Result<Permit, Fault> {
    Permit::issue(&incident.id, tool, call.clone(), ground, world.now()).map_err(|refusal| refused(&refusal))
}

pub(super) fn refused(refusal: &Refusal) -> Fault {
    Fault::new(FaultKind::Denied, refusal.code(), refusal.to_string())
}

/// Every call the dry run saw must be one the plan names: seen ⊄ planned is a plan that hides something.
fn within_plan(plan: &ToolPlan, dry_run: &DryRun) -> Result<(), Fault> {
    for call in &dry_run.calls {
        let named = plan.steps.iter().any(|step| step.id == call.step_id && step.target == call.target);
        if !named {
            let text = format!(
                "step {} would call {} on {}, which its plan does not name",
                call.step_id, call.function, call.target
            );
            return Err(Fault::new(FaultKind::Denied, "OUTSIDE_PLAN", text));
        }
    }
    Ok(())
}

fn blast_radius(
    plan: &ToolPlan,
    dry_run: &DryRun,
    component: Option<&Component>,
    topology: &Topology,
) -> BlastRadius {
    let mut components: BTreeSet<Component> = component.into_iter().cloned().collect();
    // A target that names a component of the call graph touches it, whatever the arguments said.
    for target in
        plan.steps.iter().map(|step| &step.target).chain(dry_run.calls.iter().map(|call| &call.target))
    {
        for known in topology.components() {
            if target.cluster == known
                || target.cluster.strip_suffix("-admin") == Some(known)
                || target.name == known
            {
                components.insert(Component::from(known));
            }
        }
    }
    let mut dependents = BTreeSet::new();
    let mut open: Vec<Component> = components.iter().cloned().collect();
    while let Some(next) = open.pop() {
        for caller in topology.callers_of(next.as_str()) {
            let caller = Component::from(caller);
            if !components.contains(&caller) && dependents.insert(caller.clone()) {
                open.push(caller);
            }
        }
    }
    BlastRadius {
        components,
        dependents,
        targets: plan.steps.iter().map(|step| step.target.clone()).collect(),
        operations: u32::try_from(dry_run.calls.len()).unwrap_or(u32::MAX),
        irreversible: dry_run.calls.iter().any(|call| !call.reversible),
        pods: dry_run.calls.iter().fold(0, |pods: u32, call| pods.saturating_add(call.pods)),
    }
}

fn verification(
    incident: &Incident,
    remedy: Option<&Remedy>,
    component: Option<&Component>,
    plan: &ToolPlan,
) -> Verification {
    let mut silent: Vec<String> = incident.firing().filter_map(|t| t.alert.expression.clone()).collect();
    silent.sort();
    silent.dedup();
    let mut holds: Vec<String> = match (remedy, component) {
        (Some(remedy), Some(component)) => remedy.checks(component),
        _ => Vec::new(),
    };
    holds.extend(plan.checks.iter().cloned());
    Verification {
        must_be_silent: silent,
        must_be_true: holds,
        settle_ms: remedy.map_or(5_000, |remedy| remedy.settle_ms),
        hold_ms: remedy.map_or(10_000, |remedy| remedy.hold_ms),
        deadline_ms: remedy.map_or(180_000, |remedy| remedy.deadline_ms),
    }
}

/// Snapshots are kept under the planning effect's incident and the snapshot's own digest.
pub(super) fn snapshot_key(incident: &medic_core::IncidentId, digest: &medic_core::Digest) -> String {
    format!("{incident}/{digest}")
}

fn keep(effect: &EffectId, snapshot: &Snapshot) -> Result<DocumentWrite, Fault> {
    let value = serde_json::to_vec(snapshot)
        .map_err(|error| Fault::new(FaultKind::Internal, "SNAPSHOT_UNREADABLE", error.to_string()))?;
    let key = snapshot_key(&effect.incident, &snapshot.digest());
    Ok(DocumentWrite { table: Table::Snapshot, key, value: Some(value) })
}
