//! Incidents as they change, for whoever keeps looking.
//!
//! Owns the promise of a watch: a snapshot first, then every newer revision that could be read; a slow reader misses
//! revisions in between, never the newest one. Never queues more than one snapshot's worth for a reader.

use super::problem::Problem;
use futures::Stream;
use medic_core::{Digest, Incident, IncidentId, Phase};
use medic_ports::Journal;
use medic_ports::journal::{Change, IncidentFilter};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

/// Live incidents told in a snapshot of all. More than that is a storm that no list helps with.
const SNAPSHOT_MAX: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SightingKind {
    /// Seen for the first time.
    Snapshot,
    Change,
    /// A plan now waits for people. Told once for each plan, after the snapshot or change that brought it.
    ApprovalRequest,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    pub kind: SightingKind,
    pub incident: Arc<Incident>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `after_revision`: the newest revision the reader has seen.
    One { incident: IncidentId, after_revision: Option<u64> },
    /// Those that live now, and whatever changes from now on.
    All,
}

struct Watch {
    journal: Arc<dyn Journal>,
    subject: Subject,
    changes: broadcast::Receiver<Change>,
    shutdown: watch::Receiver<bool>,
    queue: VecDeque<Sighting>,
    /// Newest revision told of each; closed incidents are forgotten.
    seen: BTreeMap<IncidentId, u64>,
    announced: BTreeMap<IncidentId, Digest>,
    ended: bool,
}

/// Ends when `shutdown` turns true, or after an error.
///
/// # Errors
/// `NO_SUCH_INCIDENT`, or that the journal cannot be read.
pub fn watch(
    journal: Arc<dyn Journal>,
    subject: Subject,
    shutdown: watch::Receiver<bool>,
) -> Result<impl Stream<Item = Result<Sighting, Problem>> + Send + 'static, Problem> {
    // Subscribed before the snapshot is read: what changes in between is told, not lost.
    let changes = journal.changes();
    let mut watch = Watch {
        journal,
        subject,
        changes,
        shutdown,
        queue: VecDeque::new(),
        seen: BTreeMap::new(),
        announced: BTreeMap::new(),
        ended: false,
    };
    watch.snapshot()?;
    Ok(futures::stream::unfold(watch, |mut watch| async move {
        let item = watch.next().await?;
        watch.ended = item.is_err();
        Some((item, watch))
    }))
}

impl Watch {
    fn snapshot(&mut self) -> Result<(), Problem> {
        match self.subject.clone() {
            Subject::One { incident: id, after_revision } => {
                let Some(incident) = self.journal.incident(&id)? else {
                    return Err(medic_agents::desk::DeskError::NoSuchIncident(id).into());
                };
                match after_revision {
                    Some(known) if incident.revision <= known => {
                        self.seen.insert(id.clone(), incident.revision);
                        if let Phase::AwaitingDecision { proposal } = &incident.phase {
                            self.announced.insert(id, proposal.digest.clone());
                        }
                    }
                    _ => self.tell(incident),
                }
            }
            Subject::All => {
                let filter =
                    IncidentFilter { live_only: true, limit: SNAPSHOT_MAX, ..IncidentFilter::default() };
                // Oldest first, as they would have been told.
                for incident in self.journal.incidents(&filter)?.into_iter().rev() {
                    self.tell(incident);
                }
            }
        }
        Ok(())
    }

    async fn next(&mut self) -> Option<Result<Sighting, Problem>> {
        loop {
            if let Some(sighting) = self.queue.pop_front() {
                return Some(Ok(sighting));
            }
            if self.ended || *self.shutdown.borrow() {
                return None;
            }
            let change = tokio::select! {
                // A sender that is gone is a daemon that is going.
                _ = self.shutdown.wait_for(|stop| *stop) => return None,
                change = self.changes.recv() => change,
            };
            let read = match change {
                Ok(change) => self.changed(&change),
                Err(RecvError::Lagged(_)) => self.again(),
                Err(RecvError::Closed) => return None,
            };
            if let Err(problem) = read {
                return Some(Err(problem));
            }
        }
    }

    fn changed(&mut self, change: &Change) -> Result<(), Problem> {
        if matches!(&self.subject, Subject::One { incident, .. } if *incident != change.incident) {
            return Ok(());
        }
        if self.seen.get(&change.incident).is_some_and(|seen| *seen >= change.revision) {
            return Ok(());
        }
        if let Some(incident) = self.journal.incident(&change.incident)? {
            self.tell(incident);
        }
        Ok(())
    }

    /// Some changes were missed: everything that may have changed is read again.
    fn again(&mut self) -> Result<(), Problem> {
        let known: Vec<IncidentId> = self.seen.keys().cloned().collect();
        for id in known {
            if let Some(incident) = self.journal.incident(&id)? {
                self.tell(incident);
            }
        }
        if self.subject == Subject::All { self.snapshot() } else { Ok(()) }
    }

    fn tell(&mut self, incident: Incident) {
        let kind = match self.seen.get(&incident.id) {
            Some(seen) if *seen >= incident.revision => return,
            Some(_) => SightingKind::Change,
            None => SightingKind::Snapshot,
        };
        let forget = incident.is_terminal() && self.subject == Subject::All;
        if forget {
            self.seen.remove(&incident.id);
        } else {
            self.seen.insert(incident.id.clone(), incident.revision);
        }
        let waiting = match &incident.phase {
            Phase::AwaitingDecision { proposal } => Some(proposal.digest.clone()),
            _ => None,
        };
        let incident = Arc::new(incident);
        self.queue.push_back(Sighting { kind, incident: incident.clone() });
        match waiting {
            Some(digest) if self.announced.get(&incident.id) != Some(&digest) => {
                self.announced.insert(incident.id.clone(), digest);
                self.queue.push_back(Sighting { kind: SightingKind::ApprovalRequest, incident });
            }
            Some(_) => {}
            None => {
                self.announced.remove(&incident.id);
            }
        }
    }
}
