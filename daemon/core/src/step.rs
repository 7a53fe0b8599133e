//! The one function that decides what happens next.
//!
//! Total: every (phase, event) pair has an answer, and an event that is replayed is never an error. Handlers are
//! grouped by what they speak of in the files below; all of them build one [`Draft`].

mod decide;
mod draft;
mod execute;
mod intake;
mod investigate;

use crate::audit::AuditRecord;
use crate::effect::TimerChange;
use crate::event::EventKind;
use crate::{Effect, EffectId, Event, Incident, Policy, Refusal};

/// What one event makes of an incident.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Advanced(Box<Advance>),
    /// A duplicate, a stale timer, a late result: acknowledge and forget.
    Unchanged,
    /// Illegal in this phase: acknowledge, audit, answer the caller.
    Refused(Refusal),
}

/// To be committed as one batch, and only then performed.
#[derive(Clone, Debug, PartialEq)]
pub struct Advance {
    pub next: Incident,
    /// Each has the id (incident, `next.revision`, its index here).
    pub effects: Vec<Effect>,
    pub timers: Vec<TimerChange>,
    pub records: Vec<AuditRecord>,
}

impl Advance {
    pub fn effects_with_ids(&self) -> impl Iterator<Item = (EffectId, &Effect)> {
        self.effects.iter().enumerate().map(|(index, effect)| {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            (EffectId { incident: self.next.id.clone(), revision: self.next.revision, index }, effect)
        })
    }
}

/// Decides. `event.at` is the only clock, `policy` the only opinion.
pub fn step(incident: &Incident, event: &Event, policy: &Policy) -> Step {
    if let Some(effect) = event.kind.effect() {
        // Results count only while they are awaited. What a deed came to is kept even when it comes too late.
        if incident.phase.awaiting() != Some(effect) {
            return execute::late_result(incident, event);
        }
    }
    match &event.kind {
        EventKind::AlertsArrived { .. }
        | EventKind::AlertsRepeated { .. }
        | EventKind::AlertsResolved { .. } => intake::step(incident, event, policy),
        EventKind::Gathered { .. }
        | EventKind::Diagnosed { .. }
        | EventKind::Planned { .. }
        | EventKind::PlanFailed { .. }
        | EventKind::WorkFailed { .. }
        | EventKind::DiagnosisRequested { .. }
        | EventKind::RemedyRequested { .. } => investigate::step(incident, event, policy),
        EventKind::Approved { .. }
        | EventKind::Rejected { .. }
        | EventKind::EscalationRequested { .. }
        | EventKind::TimerFired { .. }
        | EventKind::DeadLettered { .. } => decide::step(incident, event, policy),
        EventKind::StepApplied { .. }
        | EventKind::StepFailed { .. }
        | EventKind::StepUnknown { .. }
        | EventKind::StepReverted { .. }
        | EventKind::StepNotUndoable { .. }
        | EventKind::RevertFailed { .. }
        | EventKind::Verified { .. } => execute::step(incident, event, policy),
    }
}

fn wrong_phase(incident: &Incident, event: &Event) -> Step {
    Step::Refused(Refusal::WrongPhase {
        event: event.kind.name().to_owned(),
        phase: incident.phase.name().to_string(),
    })
}
