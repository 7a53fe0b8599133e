//! An incident, told whole and in one line.

use super::plan;
use crate::api::watch::{Sighting, SightingKind};
use medic_core::alert::AlertStatus;
use medic_core::diagnosis::{Citation, Diagnosis, Hypothesis, HypothesisSource, Verdict};
use medic_core::evidence::{Bearing, Evidence, EvidenceSource, Finding};
use medic_core::incident::{ExecutedAction, FailedRemedy, TrackedAlert};
use medic_core::phase::Resolution;
use medic_core::{Incident, Phase, Severity};
use medic_proto::v1;

pub fn sighting(sighting: &Sighting) -> v1::IncidentUpdate {
    let kind = match sighting.kind {
        SightingKind::Snapshot => "snapshot",
        SightingKind::Change => "change",
        SightingKind::ApprovalRequest => "approval_request",
    };
    v1::IncidentUpdate { kind: kind.to_owned(), incident: Some(incident(&sighting.incident)) }
}

pub fn summary(incident: &Incident) -> v1::IncidentSummary {
    let first = incident.diagnosis().and_then(|diagnosis| diagnosis.hypotheses.first());
    v1::IncidentSummary {
        id: incident.id.to_string(),
        revision: incident.revision,
        title: incident.title.clone(),
        phase: incident.phase.name().to_string(),
        severity: severity(incident.severity()),
        opened_at_ms: incident.opened_at.0,
        updated_at_ms: incident.updated_at.0,
        alerts: count(incident.alerts.len()),
        alerts_firing: count(incident.firing().count()),
        component: first.map(|hypothesis| hypothesis.component.to_string()).unwrap_or_default(),
        category: first.map(|hypothesis| hypothesis.category.clone()).unwrap_or_default(),
        confidence: first.map(|hypothesis| hypothesis.confidence.value()).unwrap_or_default(),
        plan_digest: match &incident.phase {
            Phase::AwaitingDecision { proposal } => proposal.digest.to_string(),
            _ => String::new(),
        },
        escalation_code: match &incident.phase {
            Phase::Escalated { why, .. } => why.code().to_owned(),
            _ => String::new(),
        },
    }
}

pub fn incident(incident: &Incident) -> v1::Incident {
    let saga = incident.phase.saga();
    let proposal = match &incident.phase {
        Phase::AwaitingDecision { proposal } => Some(proposal.as_ref()),
        _ => saga.map(|saga| &saga.proposal),
    };
    v1::Incident {
        id: incident.id.to_string(),
        revision: incident.revision,
        title: incident.title.clone(),
        phase: incident.phase.name().to_string(),
        severity: severity(incident.severity()),
        opened_at_ms: incident.opened_at.0,
        updated_at_ms: incident.updated_at.0,
        deadline_ms: incident.deadline.map(|at| at.0),
        group: incident.group.clone(),
        alerts: incident.alerts.values().map(alert).collect(),
        alerts_missing: incident.alerts_missing,
        requested_by: incident.requested_by.as_ref().map(ToString::to_string),
        iteration: incident.iteration,
        evidence: incident.evidence.iter().map(evidence).collect(),
        findings: incident.findings.iter().map(finding).collect(),
        gaps: incident
            .gaps
            .iter()
            .map(|gap| v1::Gap {
                query: gap.query.clone(),
                code: gap.code.clone(),
                detail: gap.detail.clone(),
            })
            .collect(),
        diagnoses: incident.diagnoses.iter().map(diagnosis).collect(),
        proposal: proposal.map(plan::proposal),
        execution: saga.map(|saga| plan::execution(saga, &incident.phase)),
        escalation: match &incident.phase {
            Phase::Escalated { at, why, left } => Some(v1::Escalation {
                code: why.code().to_owned(),
                message: why.to_string(),
                left_phase: left.to_string(),
                at_ms: at.0,
            }),
            _ => None,
        },
        resolution: match &incident.phase {
            Phase::Resolved { at, how } => Some(v1::Resolution {
                how: match how {
                    Resolution::Remedied => "remedied",
                    Resolution::ByItself => "by_itself",
                }
                .to_owned(),
                at_ms: at.0,
            }),
            _ => None,
        },
        failed_remedies: incident.failed_remedies.iter().map(failed_remedy).collect(),
        executed: incident.executed.iter().map(executed_action).collect(),
        history: incident
            .history
            .iter()
            .map(|line| v1::Transition {
                revision: line.revision,
                at_ms: line.at.0,
                from: line.from.to_string(),
                to: line.to.to_string(),
                why: line.why.clone(),
            })
            .collect(),
    }
}

fn alert(tracked: &TrackedAlert) -> v1::Alert {
    let alert = &tracked.alert;
    v1::Alert {
        fingerprint: alert.fingerprint.to_string(),
        name: alert.name().to_owned(),
        status: match alert.status {
            AlertStatus::Firing => "firing",
            AlertStatus::Resolved => "resolved",
        }
        .to_owned(),
        severity: severity(alert.severity()),
        labels: alert.labels.0.clone(),
        annotations: alert.annotations.0.clone(),
        starts_at_ms: alert.starts_at.0,
        ends_at_ms: alert.ends_at.map(|at| at.0),
        expression: alert.expression.clone(),
        repeats: tracked.repeats,
        first_received_at_ms: tracked.first_at.0,
        last_received_at_ms: tracked.last_at.0,
    }
}

pub fn evidence(evidence: &Evidence) -> v1::Evidence {
    v1::Evidence {
        id: evidence.id.to_string(),
        source: match evidence.source {
            EvidenceSource::Alert => "alert",
            EvidenceSource::Metrics => "metrics",
            EvidenceSource::Logs => "logs",
            EvidenceSource::Knowledge => "knowledge",
            EvidenceSource::Tool => "tool",
        }
        .to_owned(),
        query: evidence.query.clone(),
        window_start_ms: evidence.window.start.0,
        window_end_ms: evidence.window.end.0,
        digest: evidence.digest.to_string(),
        summary: evidence.summary.clone(),
        excerpt: evidence.excerpt.clone(),
    }
}

fn finding(finding: &Finding) -> v1::Finding {
    v1::Finding {
        evidence_id: finding.evidence.to_string(),
        component: finding.component.to_string(),
        category: finding.category.clone(),
        bearing: match finding.bearing {
            Bearing::Cause => "cause",
            Bearing::Symptom => "symptom",
        }
        .to_owned(),
        strength: finding.strength.value(),
        onset_ms: finding.onset.map(|at| at.0),
        onset_uncertainty_ms: finding.onset_uncertainty_ms,
        statement: finding.statement.clone(),
    }
}

pub fn diagnosis(diagnosis: &Diagnosis) -> v1::Diagnosis {
    let (verdict, concluded_id, abstained_because) = match &diagnosis.verdict {
        Verdict::Concluded { hypothesis } => ("concluded", Some(hypothesis.to_string()), None),
        Verdict::Abstained { reason } => ("abstained", None, Some(reason.clone())),
    };
    v1::Diagnosis {
        iteration: diagnosis.iteration,
        hypotheses: diagnosis.hypotheses.iter().map(hypothesis).collect(),
        verdict: verdict.to_owned(),
        concluded_id,
        abstained_because,
        critiques: diagnosis
            .critiques
            .iter()
            .map(|critique| v1::Critique {
                hypothesis_id: critique.hypothesis.as_ref().map(ToString::to_string),
                text: critique.text.clone(),
            })
            .collect(),
        references: diagnosis
            .references
            .iter()
            .map(|reference| v1::Reference {
                document: reference.document.clone(),
                title: reference.title.clone(),
                heading: reference.heading.clone(),
                score: reference.score,
            })
            .collect(),
        knowledge_version: diagnosis.knowledge_version.clone(),
        model_note: diagnosis.model_note.clone(),
    }
}

fn hypothesis(hypothesis: &Hypothesis) -> v1::Hypothesis {
    v1::Hypothesis {
        id: hypothesis.id.to_string(),
        component: hypothesis.component.to_string(),
        category: hypothesis.category.clone(),
        statement: hypothesis.statement.clone(),
        confidence: hypothesis.confidence.value(),
        supporting: hypothesis.supporting.iter().map(citation).collect(),
        against: hypothesis.against.iter().map(citation).collect(),
        source: match hypothesis.source {
            HypothesisSource::Rule => "rule",
            HypothesisSource::Model => "model",
        }
        .to_owned(),
    }
}

fn citation(citation: &Citation) -> v1::Citation {
    v1::Citation { evidence_id: citation.evidence.to_string(), why: citation.why.clone() }
}

fn failed_remedy(failed: &FailedRemedy) -> v1::FailedRemedy {
    v1::FailedRemedy {
        iteration: failed.iteration,
        hypothesis_id: failed.hypothesis.as_ref().map(ToString::to_string),
        component: failed.component.as_ref().map(ToString::to_string),
        category: failed.category.clone(),
        plan_digest: failed.plan.to_string(),
        rolled_back: failed.rolled_back,
        why: failed.why.clone(),
    }
}

fn executed_action(action: &ExecutedAction) -> v1::ExecutedAction {
    v1::ExecutedAction {
        effect_id: action.effect.to_string(),
        step: action.step.to_string(),
        reverting: action.reverting,
        tool: action.tool.to_string(),
        args_json: action.args_json.clone(),
        target: action.target.clone(),
        plan_digest: action.plan.to_string(),
        approval_ids: action.approvals.iter().map(ToString::to_string).collect(),
        outcome: action.outcome.clone(),
        detail: action.detail.clone(),
        idempotency_keys: action.idempotency_keys.clone(),
        receipts: action.receipts.clone(),
        started_at_ms: action.started_at.0,
        finished_at_ms: action.finished_at.0,
    }
}

fn severity(severity: Severity) -> String {
    match severity {
        Severity::Unknown => "unknown",
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
    .to_owned()
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
