//! Did it help? Prometheus is asked, not the tool alone. And after a rollback: is what was there before there again?

use super::change::Ready;
use super::planning::issue;
use crate::world::World;
use medic_core::approval::ApprovedPlan;
use medic_core::effect::Subject;
use medic_core::event::EventKind;
use medic_core::evidence::{Evidence, EvidenceSource};
use medic_core::permit::Ground;
use medic_core::plan::{StepRef, Verification};
use medic_core::saga::{Saga, StepState};
use medic_core::{Digest, EffectId, EvidenceId, Incident, Labels, TimeRange, TimestampMs};
use medic_ports::tools::ToolHealth;

/// Between two looks. 1 s: the fastest scrape interval people use.
const LOOK_MS: u64 = 1_000;

pub(super) async fn run(
    world: &World,
    incident: &Incident,
    effect: &EffectId,
    subject: Subject,
) -> EventKind {
    let Some(saga) = incident.phase.saga() else {
        return verdict(
            effect,
            subject,
            false,
            Vec::new(),
            "there is nothing under way to verify".to_owned(),
        );
    };
    match subject {
        Subject::Remedy => remedy(world, incident, saga, effect).await,
        Subject::Rollback => rollback(world, incident, saga, effect).await,
    }
}

fn verdict(
    effect: &EffectId,
    subject: Subject,
    healthy: bool,
    evidence: Vec<Evidence>,
    detail: String,
) -> EventKind {
    EventKind::Verified { effect: effect.clone(), subject, healthy, evidence, detail }
}

async fn remedy(world: &World, incident: &Incident, saga: &Saga, effect: &EffectId) -> EventKind {
    let asked = &saga.proposal.plan.verification;
    let clock = &world.ports.clock;
    let began = world.now();
    let tool_only = asked.must_be_silent.is_empty() && asked.must_be_true.is_empty();
    clock.sleep(asked.settle_ms).await;
    // Waited on the clock that does not jump, counted in looks.
    let looks = asked.deadline_ms / LOOK_MS + 1;
    let needed = asked.hold_ms / LOOK_MS + 1;
    let mut held = 0;
    let mut last = Look::default();
    for _ in 0..looks {
        last = look(world, incident, asked).await;
        held = if last.wrong.is_empty() { held + 1 } else { 0 };
        if held >= needed || tool_only {
            break;
        }
        clock.sleep(LOOK_MS).await;
    }
    let (tool_health, tool_said) = tools_word(world, incident, saga).await;
    let mut evidence = evidence(incident, began, world.now(), &last);
    evidence.push(tool_evidence(incident, began, world.now(), &tool_said));
    let held_s = asked.hold_ms / 1000;
    let (healthy, detail) = if tool_only {
        let healthy = tool_health == ToolHealth::Healthy;
        (healthy, format!("no metric is configured to verify with; the tool itself says: {tool_said}"))
    } else if held < needed {
        let within = (asked.settle_ms + asked.deadline_ms) / 1000;
        (
            false,
            format!("not healthy for {held_s} s at a stretch within {within} s: {}", last.wrong.join("; ")),
        )
    } else if tool_health == ToolHealth::Degraded {
        (false, format!("metrics are well, the tool says it is not: {tool_said}"))
    } else {
        (
            true,
            format!("{} check(s) held for {held_s} s", asked.must_be_silent.len() + asked.must_be_true.len()),
        )
    };
    verdict(effect, Subject::Remedy, healthy, evidence, detail)
}

/// One look at every check.
#[derive(Default)]
struct Look {
    wrong: Vec<String>,
    /// Query and what it answered.
    seen: Vec<(String, String)>,
}

async fn look(world: &World, incident: &Incident, asked: &Verification) -> Look {
    let mut look = Look::default();
    for promql in &asked.must_be_silent {
        match world.ports.metrics.query(promql, None).await {
            // Not being able to look is not health.
            Err(fault) => look.wrong.push(format!("{}: {promql}", fault.code)),
            Ok(samples) => {
                let loud: Vec<_> =
                    samples.iter().filter(|sample| concerns(incident, &sample.labels)).collect();
                if let Some(sample) = loud.first() {
                    look.wrong.push(format!("{promql} still holds ({:.4})", sample.value));
                }
                look.seen.push((promql.clone(), format!("{} series", loud.len())));
            }
        }
    }
    for promql in &asked.must_be_true {
        match world.ports.metrics.query(promql, None).await {
            Err(fault) => look.wrong.push(format!("{}: {promql}", fault.code)),
            Ok(samples) => {
                if samples.is_empty() {
                    look.wrong.push(format!("{promql} gives no sample"));
                } else if let Some(sample) = samples.iter().find(|sample| sample.value != 1.0) {
                    look.wrong.push(format!("{promql} is {}", sample.value));
                }
                let values: Vec<String> = samples.iter().map(|sample| sample.value.to_string()).collect();
                look.seen.push((promql.clone(), values.join(" ")));
            }
        }
    }
    look
}

/// Whether a series of an alert's expression is about this incident: no label of it contradicts one of its alerts.
fn concerns(incident: &Incident, labels: &Labels) -> bool {
    incident.alerts.values().any(|tracked| {
        let alert = &tracked.alert.labels;
        labels.0.iter().all(|(name, value)| alert.get(name).is_none_or(|own| own == value))
    })
}

/// What the tools say of their own work: worst first.
async fn tools_word(world: &World, incident: &Incident, saga: &Saga) -> (ToolHealth, String) {
    let mut health = ToolHealth::Healthy;
    let mut said = Vec::new();
    for (n, item) in saga.proposal.plan.items.iter().enumerate() {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        let done: Vec<_> = saga
            .steps
            .iter()
            .filter(|step| step.at.item == n)
            .filter_map(|step| match &step.state {
                StepState::Applied { report, .. } => Some(report.clone()),
                _ => None,
            })
            .collect();
        let answer = async {
            let approved = ApprovedPlan::prove(&incident.id, &saga.proposal, &world.policy, saga.started_at)
                .map_err(|refusal| super::planning::refused(&refusal))?;
            let first = item.steps.first().map(|step| step.id).unwrap_or_default();
            let ready = Ready::of_item(world, approved, StepRef { item: n, step: first })?;
            let permit = issue(world, incident, &ready.tool, &ready.call, Ground::Prepare)?;
            world.ports.tools.verify(&permit, &ready.plan, &done).await
        };
        match answer.await {
            Ok(verdict) => {
                if verdict.health == ToolHealth::Degraded
                    || (verdict.health == ToolHealth::Unknown && health == ToolHealth::Healthy)
                {
                    health = verdict.health;
                }
                said.push(format!("{}: {:?}, {}", item.tool, verdict.health, verdict.evidence));
            }
            Err(fault) => {
                if health == ToolHealth::Healthy {
                    health = ToolHealth::Unknown;
                }
                said.push(format!("{}: {fault}", item.tool));
            }
        }
    }
    (health, said.join("; "))
}

/// The tools capture again, and what they read must be what they read before the plan.
async fn rollback(world: &World, incident: &Incident, saga: &Saga, effect: &EffectId) -> EventKind {
    let began = world.now();
    let mut different = Vec::new();
    let mut compared = 0;
    for (n, item) in saga.proposal.plan.items.iter().enumerate() {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        let undone =
            saga.steps.iter().any(|step| step.at.item == n && matches!(step.state, StepState::Undone { .. }));
        if !undone {
            continue;
        }
        compared += 1;
        let checked = async {
            let approved = ApprovedPlan::prove(&incident.id, &saga.proposal, &world.policy, saga.started_at)
                .map_err(|refusal| super::planning::refused(&refusal))?;
            let first = item.steps.first().map(|step| step.id).unwrap_or_default();
            Ready::of_item(world, approved, StepRef { item: n, step: first })?
                .unchanged(world, incident)
                .await
        };
        if let Err(fault) = checked.await {
            different.push(format!("{}: {fault}", item.tool));
        }
    }
    let healthy = different.is_empty();
    let detail = if healthy {
        format!("{compared} snapshot(s) read again and equal to those taken before")
    } else {
        different.join("; ")
    };
    let evidence = vec![tool_evidence(incident, began, world.now(), &detail)];
    verdict(effect, Subject::Rollback, healthy, evidence, detail)
}

fn evidence(incident: &Incident, began: TimestampMs, now: TimestampMs, look: &Look) -> Vec<Evidence> {
    look.seen
        .iter()
        .enumerate()
        .map(|(n, (query, answer))| Evidence {
            id: EvidenceId::new(format!("v{}-{}", incident.revision, n + 1)),
            source: EvidenceSource::Metrics,
            query: query.clone(),
            window: TimeRange::new(began, now),
            digest: Digest::of(answer),
            summary: format!("verification: {answer}"),
            excerpt: String::new(),
        })
        .collect()
}

fn tool_evidence(incident: &Incident, began: TimestampMs, now: TimestampMs, said: &str) -> Evidence {
    Evidence {
        id: EvidenceId::new(format!("v{}-t", incident.revision)),
        source: EvidenceSource::Tool,
        query: "verify".to_owned(),
        window: TimeRange::new(began, now),
        digest: Digest::of_bytes(said.as_bytes()),
        summary: said.chars().take(400).collect(),
        excerpt: String::new(),
    }
}
