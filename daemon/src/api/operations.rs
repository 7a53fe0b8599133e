//! What may be asked at either door, in core's words: who may ask it, what it is checked for, and whom it is passed to.
//!
//! Owns roles and limits of requests, so that gRPC and HTTP cannot differ in them. Never decides about an incident:
//! that is the desk's, and behind it core's.

mod archive;
mod knowledge;
mod logs;
mod mailboxes;
mod status;

pub use archive::StoreCopied;
pub use logs::{AnalyzeAsked, LogsAnswered, LogsReported, Piece};
pub use mailboxes::MailboxesView;
pub use status::StatusView;

use super::auth::{Caller, Role};
use super::custodian::Custodian;
use super::librarian::Librarian;
use super::meter::Meter;
use super::problem::{Problem, ProblemKind};
use super::watch::{self, Sighting, Subject};
use super::{alertmanager, convert};
use futures::Stream;
use medic_agents::Desk;
use medic_agents::desk::DeskError;
use medic_agents::desk::{Execution, ManualIncident, Received, Told};
use medic_core::audit::{ChainFault, ChainHead, ChainVerifier, ChainedRecord};
use medic_core::diagnosis::Diagnosis;
use medic_core::event::EventKind;
use medic_core::evidence::Evidence;
use medic_core::tool::ToolCall;
use medic_core::{
    Approval, ApprovalId, Digest, Incident, IncidentId, Labels, PhaseName, TimestampMs, ToolDescriptor,
    ToolName,
};
use medic_ports::journal::IncidentFilter;
use medic_ports::tools::RejectedPlugin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use tokio::sync::{Semaphore, watch as signal};

/// Characters of a title: a line in a list.
const TITLE_CHARS_MAX: usize = 200;
/// Characters of a reason: it is kept in the history and the audit log.
const REASON_CHARS_MAX: usize = 2_000;
const REQUEST_ID_CHARS_MAX: usize = 200;
/// Bytes of a tool's arguments.
const ARGUMENT_BYTES_MAX: usize = 64 * 1024;
/// Audit records read at a time: bounds what one reader holds in memory.
pub const AUDIT_PAGE_MAX: usize = 1_000;

/// Through which door a word came; kept as its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Webhook,
    Rest,
    Grpc,
}

impl Door {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Rest => "rest",
            Self::Grpc => "grpc",
        }
    }
}

#[derive(Clone)]
pub struct Operations {
    desk: Desk,
    librarian: Option<Arc<dyn Librarian>>,
    custodian: Option<Arc<dyn Custodian>>,
    meter: Arc<Meter>,
    /// Analyses under way. 2: each holds its upload and its records in memory.
    analyses: Arc<Semaphore>,
    /// What Prometheus said when it was last asked whether it is there.
    looked: Arc<Mutex<Option<status::Look>>>,
    shutdown: signal::Receiver<bool>,
}

#[derive(Clone, Debug)]
pub struct DiagnosisView {
    pub incident: IncidentId,
    pub revision: u64,
    pub phase: PhaseName,
    pub diagnosis: Option<Diagnosis>,
    pub evidence: Vec<Evidence>,
}

#[derive(Clone, Debug)]
pub struct ChainReport {
    pub records: u64,
    /// The end, or the last good record before the fault.
    pub head: ChainHead,
    pub fault: Option<ChainFault>,
}

impl Operations {
    pub fn new(
        desk: Desk,
        librarian: Option<Arc<dyn Librarian>>,
        custodian: Option<Arc<dyn Custodian>>,
        meter: Arc<Meter>,
        shutdown: signal::Receiver<bool>,
    ) -> Self {
        Self {
            desk,
            librarian,
            custodian,
            meter,
            analyses: Arc::new(Semaphore::new(2)),
            looked: Arc::default(),
            shutdown,
        }
    }

    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    fn now(&self) -> TimestampMs {
        self.desk.ports().clock.now()
    }

    // Alerts

    /// Answers only once the delivery is durable.
    pub async fn deliver(&self, caller: &Caller, body: &[u8]) -> Result<Received, Problem> {
        let delivered = async {
            caller.needs(Role::Responder)?;
            let batch = alertmanager::parse(body, self.now())?;
            let principal = Some(caller.principal.clone());
            Ok(self.desk.receive_alerts(batch, Door::Webhook.as_str(), principal).await?)
        };
        let delivered: Result<Received, Problem> = delivered.await;
        match &delivered {
            Ok(received) => {
                self.meter.alerts_received.fetch_add(received.alerts as u64, Ordering::Relaxed);
                if received.duplicate {
                    self.meter.deliveries_duplicate.fetch_add(1, Ordering::Relaxed);
                }
            }
            Err(problem) => self.meter.delivery_refused(&problem.code),
        }
        delivered
    }

    // Incidents

    pub async fn create(
        &self,
        caller: &Caller,
        door: Door,
        manual: ManualIncident,
    ) -> Result<IncidentId, Problem> {
        caller.needs(Role::Responder)?;
        bounded("title", &manual.title, 1, TITLE_CHARS_MAX)?;
        labels_bounded("labels", &manual.labels)?;
        labels_bounded("annotations", &manual.annotations)?;
        if manual.labels.0.is_empty() {
            let message = "at least the label that names the component is needed";
            return Err(Problem::invalid("MISSING_FIELD", message).at("labels"));
        }
        let request_id = request_id(manual.request_id)?;
        let manual = ManualIncident { request_id, ..manual };
        Ok(self.desk.open_incident(manual, door.as_str(), caller.principal.clone()).await?)
    }

    pub fn get(&self, caller: &Caller, id: &IncidentId) -> Result<Incident, Problem> {
        caller.needs(Role::Viewer)?;
        let found = self.desk.ports().journal.incident(id)?;
        found.ok_or_else(|| DeskError::NoSuchIncident(id.clone()).into())
    }

    pub fn list(&self, caller: &Caller, filter: &IncidentFilter) -> Result<Vec<Incident>, Problem> {
        caller.needs(Role::Viewer)?;
        Ok(self.desk.ports().journal.incidents(filter)?)
    }

    pub fn watch(
        &self,
        caller: &Caller,
        subject: Subject,
    ) -> Result<impl Stream<Item = Result<Sighting, Problem>> + Send + 'static, Problem> {
        caller.needs(Role::Viewer)?;
        let stream = watch::watch(self.desk.ports().journal.clone(), subject, self.shutdown.clone())?;
        Ok(Counted::new(stream, self.meter.clone()))
    }

    /// `plan`: the digest the approver has read. Whose word it is, the credential says.
    pub async fn approve(
        &self,
        caller: &Caller,
        door: Door,
        id: &IncidentId,
        plan: &str,
        request: Option<String>,
    ) -> Result<Told, Problem> {
        caller.needs(Role::Approver)?;
        let request = request_id(request)?;
        let plan = Digest::parse(plan).ok_or_else(|| {
            let message = "an approval names its plan: `sha256:` and 64 lower-case hex digits";
            Problem::invalid("INVALID_DIGEST", message).at("plan_digest")
        })?;
        let at = self.now();
        // A retry under the same request id is the same approval; a second word without one is not.
        let once = request.clone().unwrap_or_else(|| at.0.to_string());
        let digest = Digest::of(&("approval", id, &plan, &caller.principal, once));
        let approval = Approval {
            id: ApprovalId::new(format!("ap-{}", digest.as_str().get(7..23).unwrap_or_default())),
            principal: caller.principal.clone(),
            plan,
            at,
        };
        let kind = EventKind::Approved { approval };
        Ok(self.desk.tell(id, kind, door.as_str(), caller.principal.clone(), request).await?)
    }

    pub async fn reject(
        &self,
        caller: &Caller,
        door: Door,
        id: &IncidentId,
        reason: String,
        request: Option<String>,
    ) -> Result<Told, Problem> {
        caller.needs(Role::Approver)?;
        bounded("reason", &reason, 1, REASON_CHARS_MAX)?;
        let kind = EventKind::Rejected { by: caller.principal.clone(), reason };
        Ok(self.desk.tell(id, kind, door.as_str(), caller.principal.clone(), request_id(request)?).await?)
    }

    pub async fn escalate(
        &self,
        caller: &Caller,
        door: Door,
        id: &IncidentId,
        reason: String,
        request: Option<String>,
    ) -> Result<Told, Problem> {
        caller.needs(Role::Responder)?;
        bounded("reason", &reason, 1, REASON_CHARS_MAX)?;
        let kind = EventKind::EscalationRequested { by: caller.principal.clone(), reason };
        Ok(self.desk.tell(id, kind, door.as_str(), caller.principal.clone(), request_id(request)?).await?)
    }

    /// # Errors
    /// `NO_DIAGNOSIS_YET` while nothing has been concluded or abstained from.
    pub fn diagnosis(&self, caller: &Caller, id: &IncidentId) -> Result<DiagnosisView, Problem> {
        let view = view_of(self.get(caller, id)?);
        if view.diagnosis.is_none() {
            let message = format!("the incident is {} and has no diagnosis yet", view.phase);
            return Err(Problem::new(ProblemKind::Conflict, "NO_DIAGNOSIS_YET", message));
        }
        Ok(view)
    }

    /// Asks for a fresh look. The view holds what is known so far.
    pub async fn diagnose(
        &self,
        caller: &Caller,
        door: Door,
        id: &IncidentId,
        request: Option<String>,
    ) -> Result<DiagnosisView, Problem> {
        caller.needs(Role::Responder)?;
        let kind = EventKind::DiagnosisRequested { by: caller.principal.clone() };
        self.desk.tell(id, kind, door.as_str(), caller.principal.clone(), request_id(request)?).await?;
        Ok(view_of(self.get(caller, id)?))
    }

    // Tools

    pub fn tools(&self, caller: &Caller) -> Result<(Vec<ToolDescriptor>, Vec<RejectedPlugin>), Problem> {
        caller.needs(Role::Viewer)?;
        let tools = &self.desk.ports().tools;
        Ok((tools.list(), tools.rejected()))
    }

    pub fn tool(&self, caller: &Caller, name: &str) -> Result<ToolDescriptor, Problem> {
        caller.needs(Role::Viewer)?;
        let found = self.desk.ports().tools.describe(&ToolName::new(name));
        found.ok_or_else(|| DeskError::NoSuchTool(name.escape_debug().to_string()).into())
    }

    /// A change only proposes: it needs an approval like any other.
    pub async fn execute(
        &self,
        caller: &Caller,
        door: Door,
        tool: &str,
        args_json: &str,
        incident: Option<IncidentId>,
    ) -> Result<Execution, Problem> {
        caller.needs(Role::Responder)?;
        self.tool(caller, tool)?;
        if args_json.len() > ARGUMENT_BYTES_MAX {
            let message = format!("{} bytes, at most {ARGUMENT_BYTES_MAX} are taken", args_json.len());
            return Err(Problem::invalid("LIMIT_EXCEEDED", message).at("args"));
        }
        if let Some(id) = &incident {
            self.get(caller, id)?;
        }
        let call: ToolCall = convert::call(tool, args_json)?;
        Ok(self.desk.execute(call, incident, door.as_str(), caller.principal.clone()).await?)
    }

    // Audit

    /// Records from `from_seq` on, at most [`AUDIT_PAGE_MAX`] at a time.
    pub fn audit(&self, caller: &Caller, from_seq: u64, limit: usize) -> Result<Vec<ChainedRecord>, Problem> {
        caller.needs(Role::Viewer)?;
        Ok(self.desk.ports().journal.audit(from_seq.max(1), limit.min(AUDIT_PAGE_MAX))?)
    }

    /// Recomputes the whole chain, up to the head that stands when it is asked.
    pub async fn verify_audit(&self, caller: &Caller) -> Result<ChainReport, Problem> {
        caller.needs(Role::Viewer)?;
        let journal = self.desk.ports().journal.clone();
        let checked = tokio::task::spawn_blocking(move || -> Result<ChainReport, Problem> {
            let stands = journal.health().audit_head;
            let mut verifier = ChainVerifier::default();
            let mut head = ChainHead::genesis();
            while head.seq < stands.seq {
                let page = journal.audit(head.seq + 1, AUDIT_PAGE_MAX)?;
                if page.is_empty() {
                    break;
                }
                for record in page.iter().take_while(|record| record.seq <= stands.seq) {
                    if let Err(fault) = verifier.push(record) {
                        return Ok(ChainReport { records: head.seq, head, fault: Some(fault) });
                    }
                    head = ChainHead { seq: record.seq, hash: record.hash.clone() };
                }
            }
            let fault = verifier.finish(Some(&stands)).err();
            Ok(ChainReport { records: head.seq, head, fault })
        });
        checked.await.map_err(|error| Problem::new(ProblemKind::Internal, "INTERNAL", error.to_string()))?
    }
}

fn view_of(incident: Incident) -> DiagnosisView {
    let diagnosis = incident.diagnosis().cloned();
    let cited: Vec<_> = diagnosis
        .iter()
        .flat_map(|diagnosis| &diagnosis.hypotheses)
        .flat_map(|hypothesis| hypothesis.supporting.iter().chain(&hypothesis.against))
        .map(|citation| citation.evidence.clone())
        .collect();
    DiagnosisView {
        revision: incident.revision,
        phase: incident.phase.name(),
        evidence: incident.evidence.into_iter().filter(|evidence| cited.contains(&evidence.id)).collect(),
        incident: incident.id,
        diagnosis,
    }
}

fn bounded(path: &str, text: &str, chars_min: usize, chars_max: usize) -> Result<(), Problem> {
    let chars = text.trim().chars().count();
    if chars < chars_min {
        return Err(Problem::invalid("MISSING_FIELD", format!("{path} is missing")).at(path));
    }
    if chars > chars_max {
        let message = format!("{chars} characters, at most {chars_max} are taken");
        return Err(Problem::invalid("LIMIT_EXCEEDED", message).at(path));
    }
    Ok(())
}

fn request_id(id: Option<String>) -> Result<Option<String>, Problem> {
    let Some(id) = id.filter(|id| !id.is_empty()) else {
        return Ok(None);
    };
    bounded("request_id", &id, 1, REQUEST_ID_CHARS_MAX)?;
    Ok(Some(id))
}

fn labels_bounded(path: &str, labels: &Labels) -> Result<(), Problem> {
    let limit = |what: String, found: usize, max: usize| {
        if found <= max {
            return Ok(());
        }
        Err(Problem::invalid("LIMIT_EXCEEDED", format!("{found}, at most {max} are taken")).at(what))
    };
    limit(path.to_owned(), labels.0.len(), alertmanager::LABELS_MAX)?;
    for (name, value) in &labels.0 {
        limit(path.to_owned(), name.len(), alertmanager::LABEL_NAME_BYTES_MAX)?;
        limit(path.to_owned(), value.len(), alertmanager::LABEL_VALUE_BYTES_MAX)?;
    }
    Ok(())
}

/// Counts itself among the open streams for as long as it lives.
struct Counted<S> {
    inner: std::pin::Pin<Box<S>>,
    meter: Arc<Meter>,
}

impl<S> Counted<S> {
    fn new(inner: S, meter: Arc<Meter>) -> Self {
        meter.watchers.fetch_add(1, Ordering::Relaxed);
        Self { inner: Box::pin(inner), meter }
    }
}

impl<S: Stream> Stream for Counted<S> {
    type Item = S::Item;
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<S::Item>> {
        self.inner.as_mut().poll_next(context)
    }
}

impl<S> Drop for Counted<S> {
    fn drop(&mut self) {
        self.meter.watchers.fetch_sub(1, Ordering::Relaxed);
    }
}
