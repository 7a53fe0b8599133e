//! What random stories are made of.

use medic_core::approval::Approval;
use medic_core::call::Target;
use medic_core::diagnosis::{Diagnosis, Hypothesis, HypothesisSource, Verdict};
use medic_core::effect::{Subject, TimerKind};
use medic_core::evidence::Confidence;
use medic_core::mail::Opening;
use medic_core::plan::{ActionItem, BlastRadius, PlannedStep, StepRef, Verification};
use medic_core::policy::AutoApprove;
use medic_core::saga::StepReport;
use medic_core::tool::ToolCall;
use medic_core::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// One move of a random story; what it means depends on where the incident stands.
#[derive(Clone, Debug)]
pub struct Move {
    pub kind: u8,
    pub choice: u8,
    pub wait_ms: u32,
}

pub fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = (0u8..40, any::<u8>(), 0u32..120_000).prop_map(|(kind, choice, wait_ms)| Move {
        kind,
        choice,
        wait_ms,
    });
    prop::collection::vec(one, 1..80)
}

pub fn policy(choice: u8) -> Policy {
    let auto = (choice & 1 == 1).then(|| AutoApprove {
        tools: BTreeSet::from([ToolName::new("restart_service")]),
        components_max: 1,
    });
    Policy { auto_approve: auto, ..Policy::default() }
}

pub fn alert(n: u8, starts_at: u64) -> Alert {
    let labels = Labels::from([("alertname", "HighErrorRate"), ("service", &format!("s{}", n % 4))]);
    Alert {
        fingerprint: labels.fingerprint(),
        status: AlertStatus::Firing,
        labels,
        annotations: Labels::default(),
        starts_at: TimestampMs(starts_at),
        ends_at: None,
        expression: None,
    }
}

pub fn plan(category: ToolCategory, iteration: u32, steps: u32) -> ActionPlan {
    let step = |id| PlannedStep {
        id,
        operation: "http.post".into(),
        target: Target {
            cluster: "checkout-admin".into(),
            api_version: "http".into(),
            kind: "POST".into(),
            namespace: None,
            name: format!("/admin/{id}"),
        },
        params_json: "{}".into(),
        summary: String::new(),
    };
    let tool = if category == ToolCategory::Destructive { "purge_expired" } else { "restart_service" };
    ActionPlan {
        iteration,
        hypothesis: (iteration > 0).then(|| HypothesisId::new(format!("h{iteration}-1"))),
        evidence: vec![],
        items: vec![ActionItem {
            tool: tool.into(),
            component_digest: Digest::of_bytes(b"component"),
            grant_digest: Digest::of_bytes(b"grant"),
            category,
            args_json: "{}".into(),
            rationale: String::new(),
            steps: (0..steps).map(step).collect(),
            snapshot_digest: Digest::of_bytes(b"snapshot"),
            tool_checks: vec![],
        }],
        blast_radius: BlastRadius {
            components: BTreeSet::from([Component::new("checkout")]),
            ..BlastRadius::default()
        },
        verification: Verification { deadline_ms: 60_000, ..Verification::default() },
    }
}

pub fn diagnosis(iteration: u32, confidence: f64, concluded: bool) -> Diagnosis {
    let id = HypothesisId::new(format!("h{iteration}-1"));
    Diagnosis {
        iteration,
        hypotheses: vec![Hypothesis {
            id: id.clone(),
            component: "checkout".into(),
            category: "bad-config".into(),
            statement: "checkout runs with a bad configuration".into(),
            confidence: Confidence::new(confidence),
            supporting: vec![],
            against: vec![],
            source: HypothesisSource::Rule,
        }],
        verdict: if concluded {
            Verdict::Concluded { hypothesis: id }
        } else {
            Verdict::Abstained { reason: "two causes fit".into() }
        },
        critiques: vec![],
        references: vec![],
        knowledge_version: None,
        model_note: None,
    }
}

/// Turns a move into an event that is likely, not certain, to be legal here.
pub fn event(incident: &Incident, next: &Move, at: TimestampMs) -> Event {
    let stray = EffectId { incident: incident.id.clone(), revision: 999_999, index: 0 };
    let effect = if next.choice.is_multiple_of(16) {
        stray
    } else {
        incident.phase.awaiting().cloned().unwrap_or(stray)
    };
    let step = StepRef { item: 0, step: u32::from(next.choice % 3) };
    let step = incident
        .phase
        .saga()
        .and_then(|saga| {
            saga.steps.iter().find(|s| {
                matches!(&s.state,
                    medic_core::saga::StepState::Ordered { effect: e } | medic_core::saga::StepState::Undoing { effect: e, .. } if *e == effect)
            })
        })
        .map_or(step, |s| s.at);
    let fault = Fault::new(outcome::FaultKind::Upstream, "TEST", "it broke");
    let principal = Principal::new(
        ["token:alice", "token:bob", "agent:medic", "policy:auto-approve"][usize::from(next.choice % 4)],
    );
    let category = match next.choice % 5 {
        0 => ToolCategory::Destructive,
        1 => ToolCategory::Query,
        _ => ToolCategory::Remediation,
    };
    let kind = match next.kind {
        0..3 => EventKind::AlertsArrived {
            alerts: vec![alert(next.choice, at.0)],
            truncated: u64::from(next.choice == 77),
        },
        3 => EventKind::AlertsRepeated { fingerprints: incident.alerts.keys().cloned().collect() },
        4 => EventKind::AlertsResolved {
            fingerprints: incident.alerts.keys().take(usize::from(next.choice % 3)).cloned().collect(),
        },
        5 => EventKind::RemedyRequested {
            call: ToolCall { tool: "restart_service".into(), args_json: "{}".into() },
            by: principal,
            title: "asked".into(),
        },
        6..11 => EventKind::Gathered { effect, evidence: vec![], findings: vec![], gaps: vec![] },
        11..16 => EventKind::Diagnosed {
            effect,
            diagnosis: Box::new(diagnosis(
                incident.iteration,
                f64::from(next.choice) / 160.0,
                !next.choice.is_multiple_of(11),
            )),
            evidence: vec![],
        },
        16..20 => {
            let requested = matches!(&incident.phase, Phase::Diagnosing { requested_by: Some(_), .. });
            let iteration = if requested { 0 } else { incident.iteration };
            EventKind::Planned {
                effect,
                plan: Box::new(plan(category, iteration, u32::from(next.choice % 4))),
            }
        }
        20 => EventKind::PlanFailed { effect, fault },
        21 => EventKind::WorkFailed { effect, fault },
        22..27 => {
            let digest = match &incident.phase {
                Phase::AwaitingDecision { proposal } if !next.choice.is_multiple_of(7) => {
                    proposal.digest.clone()
                }
                _ => Digest::of_bytes(b"another plan"),
            };
            let id = ApprovalId::new(format!("a{}", next.choice % 32));
            EventKind::Approved { approval: Approval { id, principal, plan: digest, at } }
        }
        27 if next.choice < 60 => EventKind::Rejected { by: principal, reason: "no".into() },
        28 if next.choice < 30 => EventKind::EscalationRequested { by: principal, reason: "mine".into() },
        29 => EventKind::DiagnosisRequested { by: principal },
        30..33 => EventKind::StepApplied { effect, step, report: StepReport::default() },
        33 => EventKind::StepFailed { effect, step, fault, anything_done: next.choice.is_multiple_of(2) },
        34 if next.choice < 60 => {
            EventKind::StepUnknown { effect, step, target: "t".into(), detail: "connection reset".into() }
        }
        35 => EventKind::StepReverted { effect, step, report: StepReport::default() },
        36 => match next.choice % 3 {
            0 => EventKind::RevertFailed { effect, step, fault },
            _ => EventKind::StepNotUndoable { effect, step, why: "a restart leaves nothing".into() },
        },
        37 => {
            let subject = match &incident.phase {
                Phase::Verifying { subject, .. } => *subject,
                _ => Subject::Remedy,
            };
            EventKind::Verified {
                effect,
                subject,
                healthy: next.choice.is_multiple_of(3),
                evidence: vec![],
                detail: "asked".into(),
            }
        }
        38 => {
            let due = incident.deadline.unwrap_or(at);
            EventKind::TimerFired { kind: TimerKind::PhaseDeadline, due }
        }
        _ => {
            let due = match &incident.phase {
                Phase::AwaitingDecision { proposal } => proposal.expires_at,
                _ => at,
            };
            EventKind::TimerFired { kind: TimerKind::ApprovalLifetime, due }
        }
    };
    Event { at, kind }
}

pub fn opened() -> Incident {
    Incident::open(
        "01TEST".into(),
        Opening { group: "cluster=lab".into(), title: "test".into() },
        TimestampMs(1_000),
    )
}
