//! What waits and what was set aside.

use crate::api::operations::MailboxesView;
use medic_core::mail::{Body, Envelope, Lane};
use medic_ports::journal::DeadLetter;
use medic_proto::v1;

pub fn mailboxes(view: &MailboxesView) -> v1::ListMailboxesResponse {
    v1::ListMailboxesResponse {
        mailboxes: view
            .mailboxes
            .iter()
            .map(|mailbox| v1::MailboxView {
                name: mailbox.to.to_string(),
                envelopes: mailbox.envelopes,
                bytes: mailbox.bytes,
                oldest_at_ms: mailbox.oldest_at.map(|at| at.0),
                attempts_max: mailbox.attempts_max,
                failing: mailbox.failing,
                dead_letters: mailbox.dead_letters,
            })
            .collect(),
        waiting: view.waiting.iter().map(letter).collect(),
        dead: view.dead.iter().map(dead_letter).collect(),
        dead_letters: view.dead_letters,
    }
}

/// Without its text: a list is read at a glance.
fn letter(envelope: &Envelope) -> v1::Letter {
    v1::Letter {
        id: envelope.id.to_string(),
        mailbox: envelope.to.to_string(),
        lane: match envelope.lane {
            Lane::Control => "control",
            Lane::Approval => "approval",
            Lane::Normal => "normal",
        }
        .to_owned(),
        incident_id: envelope.body.incident().map(ToString::to_string),
        kind: match &envelope.body {
            Body::Alerts { .. } => "alerts",
            Body::Occurred { event, .. } => event.kind.name(),
            Body::Order { effect, .. } => effect.name(),
        }
        .to_owned(),
        attempts: envelope.attempts,
        sent_at_ms: envelope.at.0,
        died_at_ms: None,
        error: String::new(),
        letter_json: String::new(),
    }
}

fn dead_letter(dead: &DeadLetter) -> v1::Letter {
    let error = dead.error.clone();
    v1::Letter { died_at_ms: Some(dead.at.0), error, ..letter(&dead.envelope) }
}

pub fn whole_letter(dead: &DeadLetter) -> v1::Letter {
    let letter_json = serde_json::to_string(&dead.envelope).unwrap_or_default();
    v1::Letter { letter_json, ..dead_letter(dead) }
}

pub fn settled(dead: &DeadLetter) -> v1::LetterResponse {
    v1::LetterResponse { id: dead.envelope.id.to_string(), mailbox: dead.envelope.to.to_string() }
}
