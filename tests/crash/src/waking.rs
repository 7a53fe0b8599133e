//! What must hold at the moment a daemon wakes up, before it has done anything: nobody waits for what will never come.
//!
//! An incident that waits for work has its order, its result or its dead letter; one with a deadline or a proposal has
//! its timer, or the letter that the timer became.

use anyhow::Result;
use medic_core::effect::TimerKind;
use medic_core::event::EventKind;
use medic_core::mail::{Address, Body, Envelope, Lane};
use medic_core::{Incident, Phase, TimestampMs};
use medic_ports::journal::{DueTimer, IncidentFilter, Journal};

struct Found {
    mail: Vec<Envelope>,
    dead: Vec<Envelope>,
    timers: Vec<DueTimer>,
}

/// Faults, one a line.
///
/// # Errors
/// When the journal cannot be read.
pub fn judge(journal: &dyn Journal) -> Result<Vec<String>> {
    let mut mail = Vec::new();
    for to in Address::ALL {
        for lane in [Lane::Control, Lane::Approval, Lane::Normal] {
            mail.extend(journal.mail(to, lane, 0, usize::MAX)?);
        }
    }
    let dead = journal.dead_letters(usize::MAX)?.into_iter().map(|dead| dead.envelope).collect();
    let timers = journal.timers_due(TimestampMs(u64::MAX), usize::MAX)?;
    let found = Found { mail, dead, timers };
    let filter = IncidentFilter { live_only: true, limit: usize::MAX, ..IncidentFilter::default() };
    let live = journal.incidents(&filter)?;
    Ok(live.iter().flat_map(|incident| of_incident(incident, &found)).collect())
}

fn of_incident(incident: &Incident, found: &Found) -> Vec<String> {
    let mut faults = Vec::new();
    let group = &incident.group;
    if let Some(effect) = incident.phase.awaiting() {
        let (order, result) = (format!("order:{effect}"), format!("result:order:{effect}"));
        let named = |letter: &&Envelope| letter.id.as_str() == order || letter.id.as_str() == result;
        if !found.mail.iter().chain(&found.dead).any(|letter| named(&letter)) {
            faults.push(format!("{group} waits for effect {effect} and nobody was told to do it"));
        }
    }
    if incident.deadline.is_some() && !will_ring(incident, TimerKind::PhaseDeadline, found) {
        faults.push(format!("{group} is {} without its deadline's timer", incident.phase.name()));
    }
    if matches!(incident.phase, Phase::AwaitingDecision { .. })
        && !will_ring(incident, TimerKind::ApprovalLifetime, found)
    {
        faults.push(format!("{group} waits for people without the timer of their time"));
    }
    faults
}

fn will_ring(incident: &Incident, kind: TimerKind, found: &Found) -> bool {
    let rings = |letter: &Envelope| match &letter.body {
        Body::Occurred { incident: of, event, .. } => {
            *of == incident.id
                && matches!(event.kind, EventKind::TimerFired { kind: fired, .. } if fired == kind)
        }
        _ => false,
    };
    found.timers.iter().any(|timer| timer.incident == incident.id && timer.kind == kind)
        || found.mail.iter().chain(&found.dead).any(rings)
}
