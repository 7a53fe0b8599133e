//! The first start on a store that came from a backup.
//!
//! The world has moved on since: what was ordered, approved or done after the backup is not in it. Everything that rests on a
//! consent goes to a human before any worker runs, so that nothing is done a second time on an old yes.

use crate::shell::{WorkError, Worker};
use crate::supervisor::Supervisor;
use crate::world::World;
use medic_core::event::EventKind;
use medic_core::mail::{Address, Body, Causation, Lane, Letter};
use medic_core::{EnvelopeId, Event, IncidentId, PhaseName, Principal};
use medic_ports::journal::{IncidentFilter, JournalError};

/// Phases in which a plan is proposed, approved or carried out.
const CONSENTED: [PhaseName; 3] = [PhaseName::AwaitingDecision, PhaseName::Executing, PhaseName::Verifying];
const REASON: &str = "the store was restored from a backup: what was decided and done since is not in it";
/// Incidents looked at in one page.
const PAGE: usize = 256;
/// Begins the id of every such letter, so that one left over by a crash is known at the next start.
const NAME: &str = "restored:";

/// Escalates them, and returns when that is committed. Also finishes what an earlier start left of it.
pub(crate) async fn hand_over(world: &World, supervisor: &Supervisor) -> Result<(), WorkError> {
    let journal = &world.ports.journal;
    let boot = journal.boot();
    if boot.restored {
        let mut letters = Vec::new();
        for phase in CONSENTED {
            letters.extend(
                ids_in(world, phase)?.into_iter().map(|incident| letter(world, boot.epoch, incident)),
            );
        }
        tracing::warn!(incidents = letters.len(), "the store was restored: consented plans go to a human");
        if !letters.is_empty() {
            journal.commit(medic_ports::Batch { letters, ..Default::default() }).await?;
        }
    }
    let mut from_seq = 0;
    loop {
        let page = journal.mail(Address::Supervisor, Lane::Control, from_seq, PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        from_seq = last.seq + 1;
        for envelope in page.iter().filter(|envelope| envelope.id.as_str().starts_with(NAME)) {
            supervisor.handle(std::slice::from_ref(envelope)).await?;
        }
    }
}

fn ids_in(world: &World, phase: PhaseName) -> Result<Vec<IncidentId>, JournalError> {
    let (mut ids, mut before) = (Vec::new(), None);
    loop {
        let filter = IncidentFilter { phase: Some(phase), before, limit: PAGE, live_only: true };
        let page = world.ports.journal.incidents(&filter)?;
        let Some(last) = page.last() else { return Ok(ids) };
        before = Some(last.id.clone());
        ids.extend(page.into_iter().map(|incident| incident.id));
    }
}

fn letter(world: &World, epoch: u64, incident: IncidentId) -> Letter {
    let (name, at) = (format!("{NAME}{epoch}:{incident}"), world.now());
    let kind = EventKind::EscalationRequested { by: Principal::agent(), reason: REASON.to_owned() };
    Letter {
        id: EnvelopeId::new(name.clone()),
        to: Address::Supervisor,
        lane: Lane::Control,
        cause: Causation::Restart,
        at,
        dedup: name,
        body: Body::Occurred { incident, event: Box::new(Event { at, kind }), opens: None },
    }
}
