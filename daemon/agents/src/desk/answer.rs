//! What callers are told, and those who wait for it.

use crate::shell::lock;
use medic_core::{EnvelopeId, Incident, IncidentId, PhaseName, Refusal};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Mutex;
use tokio::sync::oneshot;

/// The supervisor's answer as it is kept for callers that ask again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub(crate) enum Answer {
    Told { incident: IncidentId, revision: u64, phase: PhaseName },
    Refused(Refusal),
    NoSuchIncident,
}

impl Answer {
    pub fn told(incident: &Incident) -> Self {
        Self::Told {
            incident: incident.id.clone(),
            revision: incident.revision,
            phase: incident.phase.name(),
        }
    }
}

/// Callers that wait for an answer. Volatile on purpose: the answer itself is a row in the journal.
#[derive(Default)]
pub(crate) struct Waiters(Mutex<HashMap<EnvelopeId, Vec<oneshot::Sender<Answer>>>>);

impl Waiters {
    pub(super) fn wait(&self, id: &EnvelopeId) -> oneshot::Receiver<Answer> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = lock(&self.0);
        let entry = waiting.entry(id.clone()).or_default();
        entry.retain(|sender| !sender.is_closed());
        entry.push(sender);
        receiver
    }
    pub(super) fn forget(&self, id: &EnvelopeId) {
        let mut waiting = lock(&self.0);
        if let Some(entry) = waiting.get_mut(id) {
            entry.retain(|sender| !sender.is_closed());
            if entry.is_empty() {
                waiting.remove(id);
            }
        }
    }
    pub fn answer(&self, id: &EnvelopeId, answer: Answer) {
        for sender in lock(&self.0).remove(id).unwrap_or_default() {
            // A caller that has given up finds the answer in the journal.
            let _ = sender.send(answer.clone());
        }
    }
}
