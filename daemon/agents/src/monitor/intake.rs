//! Deliveries become incidents, in one commit for as many as wait.

use crate::shell::WorkError;
use crate::world::World;
use medic_core::audit::AuditRecord;
use medic_core::event::EventKind;
use medic_core::grouping::{Episode, OpenGroup, Placement, place as decide};
use medic_core::mail::{Address, Body, Causation, Envelope, Lane, Letter, Opening};
use medic_core::{Alert, AlertFingerprint, EnvelopeId, Event, IncidentId, TimestampMs};
use medic_ports::journal::{Batch, DocumentWrite, Slot, Table};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// Alerts of one letter. 500: some 300 KB, which every mailbox has room for.
const ALERTS_PER_LETTER_MAX: usize = 500;

pub(super) async fn place(world: &World, envelopes: &[Envelope]) -> Result<(), WorkError> {
    let mut desk = Sorting {
        world,
        now: world.now(),
        episodes: BTreeMap::new(),
        groups: BTreeMap::new(),
        closed: BTreeMap::new(),
        mail: BTreeMap::new(),
    };
    let mut batch = Batch::default();
    for envelope in envelopes {
        batch.consumed.push(Slot::of(envelope));
        let Body::Alerts { batch: delivery, displaced } = &envelope.body else { continue };
        let mut tally: BTreeMap<&str, u32> = BTreeMap::new();
        for alert in &delivery.alerts {
            let what = desk.sort(alert, &delivery.group_key, *displaced, delivery.truncated, envelope)?;
            *tally.entry(what).or_default() += 1;
        }
        batch.audit.push(AuditRecord {
            at: world.now(),
            incident: None,
            actor: match &envelope.cause {
                Causation::Outside { door, .. } => door.clone(),
                _ => "monitor".to_owned(),
            },
            kind: "delivery".to_owned(),
            subject: envelope.id.to_string(),
            rule: None,
            detail: serde_json::json!({ "placed": tally, "truncated": delivery.truncated }),
        });
    }
    desk.write(envelopes, &mut batch)?;
    world.ports.journal.commit(batch).await?;
    Ok(())
}

/// What one commit's deliveries mean for one incident.
#[derive(Default)]
struct Parcel {
    opening: Option<Opening>,
    /// By fingerprint: the last word on each.
    arrived: BTreeMap<AlertFingerprint, Alert>,
    truncated: u64,
    repeated: Vec<AlertFingerprint>,
    resolved: Vec<AlertFingerprint>,
}

struct Sorting<'a> {
    world: &'a World,
    now: TimestampMs,
    /// What this commit will have written, over what the journal holds.
    episodes: BTreeMap<AlertFingerprint, Option<Episode>>,
    groups: BTreeMap<String, Option<OpenGroup>>,
    /// Whether an incident is closed, as the journal said when it was first asked.
    closed: BTreeMap<IncidentId, bool>,
    mail: BTreeMap<IncidentId, Parcel>,
}

impl Sorting<'_> {
    fn sort(
        &mut self,
        alert: &Alert,
        sender_group: &str,
        displaced: bool,
        truncated: u64,
        envelope: &Envelope,
    ) -> Result<&'static str, WorkError> {
        let now = self.now;
        let group = self.world.grouping.group_of(alert, sender_group);
        let episode = self.episode(&alert.fingerprint)?;
        let open = self.open_group(&group)?;
        let placement = decide(alert, episode.as_ref(), open.as_ref(), displaced, now, &self.world.grouping);
        let (incident, what) = match placement {
            Placement::Repeat(incident) => {
                self.parcel(&incident).repeated.push(alert.fingerprint.clone());
                (incident, "repeat")
            }
            Placement::Join(incident) => {
                self.arrive(&incident, alert, truncated);
                (incident, "join")
            }
            Placement::Open => {
                let incident = self.world.new_incident_id();
                self.parcel(&incident).opening = Some(Opening { group: group.clone(), title: title(alert) });
                self.arrive(&incident, alert, truncated);
                (incident, "open")
            }
            Placement::Resolve(incident) => {
                self.parcel(&incident).resolved.push(alert.fingerprint.clone());
                (incident, "resolve")
            }
            Placement::Stale => return Ok("stale"),
        };
        if matches!(what, "join" | "open") {
            self.groups
                .insert(group, Some(OpenGroup { incident: incident.clone(), last_joined_at: envelope.at }));
        }
        let repeats = match &episode {
            Some(known) if what == "repeat" => known.repeats + 1,
            Some(known) if what == "resolve" => known.repeats,
            _ => 0,
        };
        let status = match (&episode, what) {
            (Some(known), "repeat") => known.status,
            _ => alert.status,
        };
        let starts_at = match (&episode, what) {
            (Some(known), "repeat") => known.starts_at,
            _ => alert.starts_at,
        };
        let fingerprint = alert.fingerprint.clone();
        self.episodes
            .insert(fingerprint.clone(), Some(Episode { fingerprint, starts_at, status, incident, repeats }));
        Ok(what)
    }

    fn parcel(&mut self, incident: &IncidentId) -> &mut Parcel {
        self.mail.entry(incident.clone()).or_default()
    }

    fn arrive(&mut self, incident: &IncidentId, alert: &Alert, truncated: u64) {
        let parcel = self.parcel(incident);
        parcel.truncated = parcel.truncated.max(truncated);
        // Ended again before anybody looked: it has arrived and is over.
        parcel.resolved.retain(|known| *known != alert.fingerprint);
        parcel.arrived.insert(alert.fingerprint.clone(), alert.clone());
    }

    fn episode(&self, fingerprint: &AlertFingerprint) -> Result<Option<Episode>, WorkError> {
        match self.episodes.get(fingerprint) {
            Some(known) => Ok(known.clone()),
            None => read(self.world, Table::Episode, fingerprint.as_str()),
        }
    }

    /// The group's incident while it is live. One that this commit opens, or whose first letter still lies in the
    /// supervisor's mailbox, is not in the journal yet and is live.
    fn open_group(&mut self, group: &str) -> Result<Option<OpenGroup>, WorkError> {
        let known: Option<OpenGroup> = match self.groups.get(group) {
            Some(known) => known.clone(),
            None => read(self.world, Table::Group, group)?,
        };
        let Some(open) = known else { return Ok(None) };
        let closed = match self.closed.get(&open.incident) {
            Some(closed) => *closed,
            None => {
                let stored = self.world.ports.journal.incident(&open.incident)?;
                let closed = stored.is_some_and(|incident| incident.is_terminal());
                self.closed.insert(open.incident.clone(), closed);
                closed
            }
        };
        Ok((!closed).then_some(open))
    }

    fn write(self, envelopes: &[Envelope], batch: &mut Batch) -> Result<(), WorkError> {
        let cause = match envelopes.first() {
            Some(envelope) => Causation::Envelope(envelope.id.clone()),
            None => return Ok(()),
        };
        for (incident, parcel) in self.mail {
            let mut send = |kind: EventKind, opens: Option<Opening>| {
                batch.letters.push(letter(self.world, &incident, kind, opens, &cause, self.now));
            };
            let mut opening = parcel.opening;
            let mut arrived = parcel.arrived.into_values().peekable();
            while arrived.peek().is_some() {
                let alerts: Vec<Alert> = arrived.by_ref().take(ALERTS_PER_LETTER_MAX).collect();
                send(EventKind::AlertsArrived { alerts, truncated: parcel.truncated }, opening.take());
            }
            if !parcel.repeated.is_empty() {
                send(EventKind::AlertsRepeated { fingerprints: parcel.repeated }, None);
            }
            if !parcel.resolved.is_empty() {
                send(EventKind::AlertsResolved { fingerprints: parcel.resolved }, None);
            }
        }
        let episodes =
            self.episodes.iter().map(|(key, row)| document(Table::Episode, key.as_str(), row.as_ref()));
        let groups = self.groups.iter().map(|(key, row)| document(Table::Group, key, row.as_ref()));
        batch.documents.extend(episodes);
        batch.documents.extend(groups);
        Ok(())
    }
}

fn title(alert: &Alert) -> String {
    match alert.annotations.get("summary") {
        // Annotations are hostile text: one line, bounded.
        Some(summary) => summary.chars().filter(|c| !c.is_control()).take(160).collect(),
        None => alert.name().chars().filter(|c| !c.is_control()).take(160).collect(),
    }
}

fn letter(
    world: &World,
    incident: &IncidentId,
    kind: EventKind,
    opens: Option<Opening>,
    cause: &Causation,
    now: TimestampMs,
) -> Letter {
    let id: EnvelopeId = world.new_envelope_id();
    Letter {
        dedup: format!("intake:{id}"),
        id,
        to: Address::Supervisor,
        lane: Lane::Normal,
        cause: cause.clone(),
        at: now,
        body: Body::Occurred { incident: incident.clone(), event: Box::new(Event { at: now, kind }), opens },
    }
}

fn document(table: Table, key: &str, row: Option<&impl Serialize>) -> DocumentWrite {
    let value = row.map(|row| serde_json::to_vec(row).unwrap_or_default());
    DocumentWrite { table, key: key.to_owned(), value }
}

fn read<T: DeserializeOwned>(world: &World, table: Table, key: &str) -> Result<Option<T>, WorkError> {
    let Some(bytes) = world.ports.journal.document(table, key)? else { return Ok(None) };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| WorkError::Failed(format!("cannot read {table:?} {key}: {error}")))
}
