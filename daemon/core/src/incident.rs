//! One incident: everything known of it, in one revision.

use crate::diagnosis::Diagnosis;
use crate::evidence::{Evidence, Finding, Gap};
use crate::mail::Opening;
use crate::phase::{Phase, PhaseName};
use crate::plan::StepRef;
use crate::{
    Alert, AlertFingerprint, AlertStatus, ApprovalId, Component, Digest, EffectId, HypothesisId, IncidentId,
    Principal, Severity, TimestampMs, ToolName,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Lines beyond this push out the oldest tenth. 1,000: what recurs is counted in one line, so that this is many rounds of
/// diagnosis; some 200 KiB.
pub const HISTORY_MAX: usize = 1_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrackedAlert {
    pub alert: Alert,
    /// Deliveries after the first.
    pub repeats: u64,
    pub first_at: TimestampMs,
    pub last_at: TimestampMs,
}

/// A line of the incident's story; `from == to` for a note within a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    pub revision: u64,
    pub at: TimestampMs,
    pub from: PhaseName,
    pub to: PhaseName,
    pub why: String,
}

/// What recurs within a phase is one line of the story, which counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// That the line carries.
    pub revision: u64,
    pub times: u64,
    /// Alerts over all of them.
    pub alerts: u64,
}

/// A remedy that came to nothing. One that was tried is not to be proposed again for the same incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedRemedy {
    pub iteration: u32,
    pub hypothesis: Option<HypothesisId>,
    pub component: Option<Component>,
    pub category: Option<String>,
    pub plan: Digest,
    /// Whether any step of it was carried out: only then has the world answered.
    pub tried: bool,
    pub rolled_back: bool,
    pub why: String,
}

/// One executed action, readable by machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutedAction {
    pub effect: EffectId,
    pub step: StepRef,
    pub reverting: bool,
    pub tool: ToolName,
    pub args_json: String,
    pub target: String,
    pub plan: Digest,
    /// Ids of the approvals it rested on; `auto-…` when the configured rule answered.
    pub approvals: Vec<ApprovalId>,
    /// `applied`, `failed`, `unknown`, `undone`, `not_undoable`, `undo_failed`.
    pub outcome: String,
    pub detail: String,
    pub idempotency_keys: Vec<String>,
    pub receipts: Vec<String>,
    pub started_at: TimestampMs,
    pub finished_at: TimestampMs,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    pub id: IncidentId,
    /// Counts the events that changed it; compared and set by the store.
    pub revision: u64,
    pub opened_at: TimestampMs,
    pub updated_at: TimestampMs,
    pub title: String,
    /// Key of the group its alerts share.
    pub group: String,
    pub phase: Phase,
    /// When the work of this phase must have given a result.
    pub deadline: Option<TimestampMs>,
    pub alerts: BTreeMap<AlertFingerprint, TrackedAlert>,
    /// Firing alerts that are not listed, because the sender left them out or the limit cut them: the view is partial.
    pub alerts_missing: u64,
    /// Of these, those that the limit cut. They are known one by one, so that their end counts too.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub alerts_cut: u64,
    pub requested_by: Option<Principal>,
    /// Rounds of diagnosis begun.
    pub iteration: u32,
    pub evidence: Vec<Evidence>,
    pub findings: Vec<Finding>,
    pub gaps: Vec<Gap>,
    /// One a round, oldest first.
    pub diagnoses: Vec<Diagnosis>,
    pub failed_remedies: Vec<FailedRemedy>,
    pub executed: Vec<ExecutedAction>,
    pub history: Vec<Transition>,
    /// The recurring lines of the current phase: `joined`, `repeated`, `resolved`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counted: BTreeMap<String, Counted>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Incident {
    /// Revision 0, ALERT_RECEIVED, nothing known yet. The first event fills it.
    pub fn open(id: IncidentId, opening: Opening, at: TimestampMs) -> Self {
        Self {
            id,
            revision: 0,
            opened_at: at,
            updated_at: at,
            title: opening.title,
            group: opening.group,
            phase: Phase::AlertReceived,
            deadline: None,
            alerts: BTreeMap::new(),
            alerts_missing: 0,
            alerts_cut: 0,
            requested_by: None,
            iteration: 0,
            evidence: Vec::new(),
            findings: Vec::new(),
            gaps: Vec::new(),
            diagnoses: Vec::new(),
            failed_remedies: Vec::new(),
            executed: Vec::new(),
            history: Vec::new(),
            counted: BTreeMap::new(),
        }
    }

    pub fn is_terminal(&self) -> bool {
        self.phase.is_terminal()
    }

    pub fn severity(&self) -> Severity {
        self.alerts.values().map(|tracked| tracked.alert.severity()).max().unwrap_or(Severity::Unknown)
    }

    pub fn firing(&self) -> impl Iterator<Item = &TrackedAlert> {
        self.alerts.values().filter(|tracked| tracked.alert.status == AlertStatus::Firing)
    }

    pub fn all_resolved(&self) -> bool {
        !self.alerts.is_empty() && self.alerts_missing == 0 && self.firing().next().is_none()
    }

    /// The earliest moment an alert says it began.
    pub fn first_alert_at(&self) -> TimestampMs {
        self.alerts.values().map(|tracked| tracked.alert.starts_at).min().unwrap_or(self.opened_at)
    }

    pub fn diagnosis(&self) -> Option<&Diagnosis> {
        self.diagnoses.last()
    }

    pub fn find_evidence(&self, id: &crate::EvidenceId) -> Option<&Evidence> {
        self.evidence.iter().find(|evidence| evidence.id == *id)
    }
}
