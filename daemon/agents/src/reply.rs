//! The answer to an order, as a letter to the supervisor.

use medic_core::event::EventKind;
use medic_core::mail::{Address, Body, Causation, Envelope, Lane, Letter};
use medic_core::{EnvelopeId, Event, IncidentId, TimestampMs};

/// Its dedup key is the order's, so that doing the work twice answers once.
pub(crate) fn result(order: &Envelope, kind: EventKind, at: TimestampMs) -> Letter {
    let name = format!("result:{}", order.id);
    let incident = order.body.incident().cloned().unwrap_or_else(|| IncidentId::new(""));
    Letter {
        id: EnvelopeId::new(name.clone()),
        to: Address::Supervisor,
        lane: Lane::Normal,
        cause: Causation::Envelope(order.id.clone()),
        at,
        dedup: name,
        body: Body::Occurred { incident, event: Box::new(Event { at, kind }), opens: None },
    }
}
