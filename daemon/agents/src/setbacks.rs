//! Letters that could not be handled: put off, or set aside after too many tries.

use crate::world::World;
use medic_core::audit::AuditRecord;
use medic_core::event::EventKind;
use medic_core::mail::{Address, Body, Causation, Envelope, Lane, Letter};
use medic_core::{EnvelopeId, Event, IncidentId, TimestampMs};
use medic_ports::journal::{Batch, DeadLetter, EffectRecord, EffectState, JournalError, Retry, Slot};
use serde_json::json;

/// Failed handlings before a letter is set aside. 3: twice may be bad luck.
pub(crate) const ATTEMPTS_MAX: u32 = 3;
/// Wait before the second try; quadruples. 500 ms: outlives a Prometheus reload.
const RETRY_FIRST_MS: u64 = 500;

/// Counts a failed attempt in `batch`: the letter waits, or after the last one lies in the dead letters.
///
/// # Errors
/// When the journal cannot be read.
pub(crate) fn put_off(
    world: &World,
    envelope: Envelope,
    error: &str,
    batch: &mut Batch,
) -> Result<(), JournalError> {
    let attempts = envelope.attempts + 1;
    if attempts >= ATTEMPTS_MAX {
        let cause = Causation::Envelope(envelope.id.clone());
        return bury(world, envelope, error, cause, batch);
    }
    let wait_ms = RETRY_FIRST_MS.saturating_mul(4u64.saturating_pow(attempts - 1));
    tracing::warn!(actor = %envelope.to, letter = %envelope.id, attempts, wait_ms, error, "letter put off");
    let now = world.now();
    batch.audit.push(record("retry", &envelope, attempts, error, now));
    batch.retries.push(Retry { slot: Slot::of(&envelope), attempts, visible_at: now.after_ms(wait_ms) });
    Ok(())
}

/// Sets a letter aside in `batch` and tells its incident. What it may have begun and nobody will finish is unknown.
///
/// # Errors
/// When the journal cannot be read.
pub(crate) fn bury(
    world: &World,
    envelope: Envelope,
    error: &str,
    cause: Causation,
    batch: &mut Batch,
) -> Result<(), JournalError> {
    tracing::error!(actor = %envelope.to, letter = %envelope.id, error, "letter set aside");
    let now = world.now();
    batch.audit.push(record("dead_letter", &envelope, envelope.attempts + 1, error, now));
    let left = left_open(world, &envelope, error, now)?;
    if let Some(incident) = envelope.body.incident() {
        let begun = left.as_ref().filter(|record| record.state == EffectState::Unknown);
        batch.letters.push(notice(incident, &envelope, error, begun, cause, now));
    }
    batch.effects.extend(left);
    batch.dead.push((Slot::of(&envelope), DeadLetter { envelope, error: error.to_owned(), at: now }));
    Ok(())
}

/// The last word on a changing effect whose letter will not be handled any more.
fn left_open(
    world: &World,
    envelope: &Envelope,
    error: &str,
    at: TimestampMs,
) -> Result<Option<EffectRecord>, JournalError> {
    let Body::Order { id, effect } = &envelope.body else { return Ok(None) };
    if !effect.changes_systems() {
        return Ok(None);
    }
    let known = world.ports.journal.effect(id)?;
    Ok(known.and_then(|record| {
        let state = match record.state {
            EffectState::Intent => EffectState::Failed,
            EffectState::Started => EffectState::Unknown,
            _ => return None,
        };
        Some(EffectRecord { state, at, detail: error.to_owned(), ..record })
    }))
}

fn record(kind: &str, envelope: &Envelope, attempts: u32, error: &str, at: TimestampMs) -> AuditRecord {
    AuditRecord {
        at,
        incident: envelope.body.incident().cloned(),
        actor: envelope.to.to_string(),
        kind: kind.to_owned(),
        subject: envelope.id.to_string(),
        rule: None,
        detail: json!({ "attempts": attempts, "error": error }),
    }
}

/// Tells the incident that a letter of it could not be handled. When that letter was to open the incident, this opens it:
/// a group of alerts that nobody hears of pages nobody. When that very notice cannot be handled, nobody is told
/// again: it lies in the dead letters, which status counts.
fn notice(
    incident: &IncidentId,
    envelope: &Envelope,
    error: &str,
    begun: Option<&EffectRecord>,
    cause: Causation,
    now: TimestampMs,
) -> Letter {
    let mut detail = format!("{} for {}: {error}", envelope.id, envelope.to);
    if let Some(begun) = begun {
        let targets: Vec<String> = begun.calls.iter().map(|call| call.intent.target.to_string()).collect();
        let on = if targets.is_empty() { "its target".to_owned() } else { targets.join(", ") };
        detail = format!("{detail}; it had begun and may or may not have changed {on}");
    }
    // One a burial: a letter that an operator sent again and that failed again is told of again.
    let name = format!("dead:{}:{}", envelope.id, envelope.seq);
    let opens = match &envelope.body {
        Body::Occurred { opens, .. } => opens.clone(),
        _ => None,
    };
    Letter {
        id: EnvelopeId::new(name.clone()),
        to: Address::Supervisor,
        lane: Lane::Control,
        cause,
        at: now,
        dedup: name,
        body: Body::Occurred {
            incident: incident.clone(),
            event: Box::new(Event { at: now, kind: EventKind::DeadLettered { detail } }),
            opens,
        },
    }
}

#[cfg(test)]
#[allow(clippy::panic, reason = "a test may be blunt")]
mod tests {
    use super::*;
    use medic_core::mail::Opening;
    use medic_core::phase::PhaseName;
    use medic_core::{Effect, Incident, Policy, Step, step};

    #[test]
    fn a_lost_letter_that_was_to_open_an_incident_pages_somebody() {
        let now = TimestampMs(1_760_000_000_000);
        let incident = IncidentId::from("i1");
        let opening = Opening { group: "checkout".to_owned(), title: "HighErrorRate".to_owned() };
        let lost = Envelope {
            seq: 7,
            id: EnvelopeId::new("opens"),
            to: Address::Supervisor,
            lane: Lane::Normal,
            cause: Causation::Restart,
            at: now,
            attempts: 2,
            visible_at: now,
            body: Body::Occurred {
                incident: incident.clone(),
                event: Box::new(Event { at: now, kind: EventKind::DeadLettered { detail: String::new() } }),
                opens: Some(opening.clone()),
            },
        };
        let told = notice(&incident, &lost, "panicked", None, Causation::Restart, now);
        let Body::Occurred { event, opens: Some(opens), .. } = told.body else { panic!("{told:?}") };
        assert_eq!(opens, opening);
        let Step::Advanced(advance) = step(&Incident::open(incident, opens, now), &event, &Policy::default())
        else {
            panic!("a dead letter is heard in every phase")
        };
        assert_eq!(advance.next.phase.name(), PhaseName::Escalated);
        assert!(advance.effects.iter().any(|effect| matches!(effect, Effect::Notify { .. })));
    }
}
