//! The front desk: what people and machines outside may ask of the agents.
//!
//! Every word that could change an incident becomes a durable letter first and is answered second. Reads go straight to
//! the journal. Never decides anything: that is core's `step`, run by the supervisor.

mod answer;
mod mailbox;
mod status;

use crate::safe_mode::SafeMode;
use crate::shell::Shell;
use crate::world::{Ports, World};
use medic_core::alert::AlertStatus;
use medic_core::event::EventKind;
use medic_core::grouping::GroupingPolicy;
use medic_core::mail::{Address, Body, Causation, Lane, Letter, Opening};
use medic_core::permit::Ground;
use medic_core::tool::ToolCall;
use medic_core::{
    Alert, AlertBatch, Digest, EnvelopeId, Event, Fault, IncidentId, Labels, Permit, PhaseName, Policy,
    Principal, Refusal, TimestampMs,
};
use medic_ports::journal::{Accepted, JournalError, Table};
use medic_ports::tools::ToolOutput;
use std::sync::Arc;

pub(crate) use answer::{Answer, Waiters};
pub use mailbox::MailboxView;
pub use status::{ActorStatus, Status};

/// How long a caller is kept waiting for the supervisor's answer. 10 s: far above a commit on a slow disk; the letter
/// is stored all the same.
const ANSWER_WAIT_MS: u64 = 10_000;
/// Told to callers while the daemon ends. 5 s: its successor is up by then.
const STOPPING_RETRY_MS: u64 = 5_000;
/// Bytes of a title or a reason given by a caller. 2 KiB: a paragraph.
const TEXT_BYTES_MAX: usize = 2 * 1024;
/// Labels, and annotations, of an incident opened by hand. 64, as many as Prometheus allows a series.
const LABELS_MAX: usize = 64;

/// An incident opened by hand.
#[derive(Clone, Debug)]
pub struct ManualIncident {
    pub title: String,
    /// At least the component's label, so that there is something to look at.
    pub labels: Labels,
    pub annotations: Labels,
    /// Chosen by the caller: sending the same request twice opens one incident.
    pub request_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The delivery had been stored before; nothing was stored again.
    pub duplicate: bool,
    pub alerts: usize,
}

/// What the supervisor made of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub incident: IncidentId,
    pub revision: u64,
    pub phase: PhaseName,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Execution {
    /// A query or diagnostic: it has run.
    Output(ToolOutput),
    /// A change: a plan is being made under this incident and will ask for its approvals.
    Proposed(IncidentId),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    #[error("there is no incident {0}")]
    NoSuchIncident(IncidentId),
    #[error("there is no tool {0}")]
    NoSuchTool(String),
    #[error("there is no dead letter {0}")]
    NoSuchLetter(EnvelopeId),
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Refused(Refusal),
    #[error("{0}")]
    Failed(Fault),
    /// Nothing was stored; try again after that time.
    #[error("{message}")]
    Unavailable { code: &'static str, message: String, retry_after_ms: u64 },
    /// Stored, and will be acted on; no answer came in time.
    #[error("the request is stored and not yet acted on")]
    Pending,
}

impl From<JournalError> for DeskError {
    fn from(error: JournalError) -> Self {
        let retry_after_ms = match &error {
            JournalError::Full { retry_after_ms, .. } | JournalError::LowSpace { retry_after_ms } => {
                *retry_after_ms
            }
            // After a failed write only a restart helps; a supervisor needs about that long.
            _ => 5_000,
        };
        Self::Unavailable { code: error.code(), message: error.to_string(), retry_after_ms }
    }
}

#[derive(Clone)]
pub struct Desk {
    world: Arc<World>,
    waiters: Arc<Waiters>,
    shells: Arc<Vec<Shell>>,
    started_at: TimestampMs,
}

impl Desk {
    pub(crate) fn new(world: Arc<World>, waiters: Arc<Waiters>, shells: Vec<Shell>) -> Self {
        let started_at = world.now();
        Self { world, waiters, shells: Arc::new(shells), started_at }
    }

    pub fn ports(&self) -> &Ports {
        &self.world.ports
    }
    pub fn policy(&self) -> &Policy {
        &self.world.policy
    }
    pub fn grouping(&self) -> &GroupingPolicy {
        &self.world.grouping
    }
    pub fn safe_mode(&self) -> &SafeMode {
        &self.world.safe_mode
    }

    /// Whether anything new is taken in.
    fn open(&self) -> Result<(), DeskError> {
        if !self.world.stop.is_asked() {
            return Ok(());
        }
        let message = "the daemon is stopping".to_owned();
        Err(DeskError::Unavailable { code: "STOPPING", message, retry_after_ms: STOPPING_RETRY_MS })
    }

    /// Stores one delivery. `Ok` means durable; the investigation comes later.
    ///
    /// # Errors
    /// [`DeskError::Unavailable`] and nothing stored.
    pub async fn receive_alerts(
        &self,
        batch: AlertBatch,
        door: &str,
        principal: Option<Principal>,
    ) -> Result<Received, DeskError> {
        self.open()?;
        let alerts = batch.alerts.len();
        // The delivery's own identity: the same episodes in the same state are the same message, whoever of an HA pair
        // sends them and however often. A group that says more or less is another one.
        let known: Vec<_> = batch.alerts.iter().map(|a| (&a.fingerprint, a.starts_at, a.status)).collect();
        let identity = Digest::of(&(&batch.group_key, known, batch.truncated));
        // Repeats within one minute are retries; later ones are heartbeats, which are counted.
        let minute = self.world.now().0 / 60_000;
        let letter = Letter {
            id: self.world.new_envelope_id(),
            to: Address::Monitor,
            lane: Lane::Normal,
            cause: Causation::Outside { door: door.to_owned(), principal },
            at: self.world.now(),
            dedup: format!("alerts:{identity}:{minute}"),
            body: Body::Alerts { batch, displaced: false },
        };
        let accepted = self.world.ports.journal.enqueue(vec![letter]).await?;
        Ok(Received { duplicate: accepted.iter().all(|one| one.duplicate), alerts })
    }

    /// Opens an incident by hand. It joins no group: whoever opens it means a new one.
    pub async fn open_incident(
        &self,
        manual: ManualIncident,
        door: &str,
        principal: Principal,
    ) -> Result<IncidentId, DeskError> {
        self.open()?;
        within("the title", manual.title.len(), TEXT_BYTES_MAX)?;
        within("the number of labels", manual.labels.0.len(), LABELS_MAX)?;
        within("the number of annotations", manual.annotations.0.len(), LABELS_MAX)?;
        if manual.title.trim().is_empty() {
            return Err(DeskError::Invalid("an incident needs a title".to_owned()));
        }
        if manual.labels.0.is_empty() {
            return Err(DeskError::Invalid(format!(
                "an incident needs labels that say what is affected, such as {:?}",
                self.world.grouping.component_labels
            )));
        }
        let now = self.world.now();
        let mut labels = manual.labels;
        labels.0.entry("alertname".to_owned()).or_insert_with(|| manual.title.clone());
        let alert = Alert {
            fingerprint: labels.fingerprint(),
            status: AlertStatus::Firing,
            labels,
            annotations: manual.annotations,
            starts_at: now,
            ends_at: None,
            expression: None,
        };
        let id = self.incident_id_for(&principal, manual.request_id.as_deref());
        let opening = Opening { group: format!("manual={id}"), title: manual.title };
        let kind = EventKind::AlertsArrived { alerts: vec![alert], truncated: 0 };
        let told = self.send(&id, kind, Some(opening), door, principal, manual.request_id).await?;
        Ok(told.incident)
    }

    /// Approved, Rejected, EscalationRequested, DiagnosisRequested. `request_id` makes a retry harmless.
    pub async fn tell(
        &self,
        incident: &IncidentId,
        kind: EventKind,
        door: &str,
        principal: Principal,
        request_id: Option<String>,
    ) -> Result<Told, DeskError> {
        self.open()?;
        let deciding = matches!(
            kind,
            EventKind::Approved { .. }
                | EventKind::Rejected { .. }
                | EventKind::EscalationRequested { .. }
                | EventKind::DiagnosisRequested { .. }
                | EventKind::RemedyRequested { .. }
        );
        if let EventKind::Rejected { reason, .. } | EventKind::EscalationRequested { reason, .. } = &kind {
            within("the reason", reason.len(), TEXT_BYTES_MAX)?;
        }
        if !deciding {
            return Err(DeskError::Invalid(format!("{} is not for people to say", kind.name())));
        }
        if let (EventKind::Approved { .. } | EventKind::RemedyRequested { .. }, Some(reason)) =
            (&kind, self.world.safe_mode.reason())
        {
            return Err(DeskError::Refused(Refusal::SafeMode { reason: reason.to_owned() }));
        }
        if self.world.ports.journal.incident(incident)?.is_none() {
            return Err(DeskError::NoSuchIncident(incident.clone()));
        }
        self.send(incident, kind, None, door, principal, request_id).await
    }

    /// Runs a query or diagnostic; for a change, opens the way to its approval.
    pub async fn execute(
        &self,
        call: ToolCall,
        incident: Option<IncidentId>,
        door: &str,
        principal: Principal,
    ) -> Result<Execution, DeskError> {
        self.open()?;
        let tools = &self.world.ports.tools;
        let tool = tools.describe(&call.tool).ok_or_else(|| DeskError::NoSuchTool(call.tool.to_string()))?;
        match serde_json::from_str::<serde_json::Value>(&call.args_json) {
            Ok(serde_json::Value::Object(_)) => {}
            Ok(_) => return Err(DeskError::Invalid("the arguments must be a JSON object".to_owned())),
            Err(error) => return Err(DeskError::Invalid(format!("the arguments are not JSON: {error}"))),
        }
        if tool.category.changes_systems() {
            let title = format!("{} requested by {principal}", call.tool);
            let kind = EventKind::RemedyRequested { call, by: principal.clone(), title: title.clone() };
            let told = match incident {
                Some(incident) => self.tell(&incident, kind, door, principal, None).await?,
                None => {
                    if let Some(reason) = self.world.safe_mode.reason() {
                        return Err(DeskError::Refused(Refusal::SafeMode { reason: reason.to_owned() }));
                    }
                    let id = self.world.new_incident_id();
                    let opening = Opening { group: format!("manual={id}"), title };
                    self.send(&id, kind, Some(opening), door, principal, None).await?
                }
            };
            return Ok(Execution::Proposed(told.incident));
        }
        let incident =
            incident.unwrap_or_else(|| IncidentId::new(format!("call-{}", self.world.new_envelope_id())));
        let permit = Permit::issue(&incident, &tool, call, Ground::Invoke, self.world.now())
            .map_err(DeskError::Refused)?;
        let output = tools.invoke(&permit).await;
        let audit = crate::audit::tool_run(&self.world, &permit, principal.as_str(), &output);
        let batch = medic_ports::Batch { audit, ..Default::default() };
        self.world.ports.journal.commit(batch).await?;
        output.map(Execution::Output).map_err(DeskError::Failed)
    }

    /// The same caller's same request id gives the same incident, also after a restart.
    fn incident_id_for(&self, principal: &Principal, request_id: Option<&str>) -> IncidentId {
        match request_id {
            Some(request) => {
                let digest = Digest::of(&("request", principal, request));
                IncidentId::new(format!(
                    "R{}",
                    digest.as_str().get(7..32).unwrap_or_default().to_ascii_uppercase()
                ))
            }
            None => self.world.new_incident_id(),
        }
    }

    async fn send(
        &self,
        incident: &IncidentId,
        kind: EventKind,
        opens: Option<Opening>,
        door: &str,
        principal: Principal,
        request_id: Option<String>,
    ) -> Result<Told, DeskError> {
        let now = self.world.now();
        let lane = match &kind {
            EventKind::AlertsArrived { .. } => Lane::Normal,
            _ => Lane::Approval,
        };
        let id = self.world.new_envelope_id();
        let dedup = match request_id {
            // Bound to who asked and for what: one caller's id never answers for another's word.
            Some(request) => format!("request:{principal}:{incident}:{}:{request}", kind.name()),
            None => format!("request:{id}"),
        };
        let letter = Letter {
            id,
            to: Address::Supervisor,
            lane,
            cause: Causation::Outside { door: door.to_owned(), principal: Some(principal) },
            at: now,
            dedup,
            body: Body::Occurred {
                incident: incident.clone(),
                event: Box::new(Event { at: now, kind }),
                opens,
            },
        };
        // Registered before it is stored, so that a fast answer finds somebody.
        let mut receiver = self.waiters.wait(&letter.id);
        let mut asked = letter.id.clone();
        let accepted = self.world.ports.journal.enqueue(vec![letter]).await;
        match accepted.map(|accepted| accepted.into_iter().next()) {
            Err(error) => {
                drop(receiver);
                self.waiters.forget(&asked);
                return Err(error.into());
            }
            Ok(Some(Accepted { id, duplicate: true })) => {
                drop(receiver);
                self.waiters.forget(&asked);
                receiver = self.waiters.wait(&id);
                asked = id;
                if let Some(stored) = self.world.ports.journal.document(Table::Answer, asked.as_str())? {
                    let answer = serde_json::from_slice(&stored)
                        .map_err(|error| DeskError::from(JournalError::Corrupt(error.to_string())))?;
                    return into_told(incident, answer);
                }
            }
            Ok(_) => {}
        }
        let answer = tokio::select! {
            answer = &mut receiver => answer.ok(),
            () = self.world.ports.clock.sleep(ANSWER_WAIT_MS) => None,
        };
        drop(receiver);
        self.waiters.forget(&asked);
        match answer {
            Some(answer) => into_told(incident, answer),
            None => Err(DeskError::Pending),
        }
    }
}

fn within(what: &str, found: usize, limit: usize) -> Result<(), DeskError> {
    if found <= limit {
        return Ok(());
    }
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    Err(DeskError::Refused(Refusal::LimitExceeded { what: what.to_owned(), limit }))
}

fn into_told(incident: &IncidentId, answer: Answer) -> Result<Told, DeskError> {
    match answer {
        Answer::Told { incident, revision, phase } => Ok(Told { incident, revision, phase }),
        Answer::Refused(refusal) => Err(DeskError::Refused(refusal)),
        Answer::NoSuchIncident => Err(DeskError::NoSuchIncident(incident.clone())),
    }
}
