//! Makes states equal that differ in nothing anybody will look at again: two pasts with the same future are one state.
//!
//! Time counts from the oldest tick that still matters; an offer that is over is just over; the keys of letters that cannot
//! come again are forgotten. Under a planted bug that makes such a letter come again nothing is forgotten.

use crate::nouns::{Body, Incident, Key, Letter, Phase, Proposal, Shelf, Tick};
use crate::setup::{Mutant, Setup};
use crate::state::{Case, Half, State};

/// An offer that is over.
const OVER: Tick = 0;

pub fn tidy(setup: &Setup, state: &mut State) {
    if setup.faults.jumps == 0 && !setup.is(Mutant::ClockGoesBack) {
        // Only a clock that was set back stands behind what was written.
        state.common.latest = OVER;
    }
    // Where clocks are set back, only what is on disk is known for ever.
    let known = if setup.faults.jumps == 0 { state.common.known() } else { state.common.latest };
    for case in &mut state.cases {
        forget(setup, &mut case.shelf);
        over(case, known, state.common.life);
    }
    let mut oldest = Tick::MAX;
    each_tick(state, &mut |tick| {
        if *tick != OVER {
            oldest = oldest.min(*tick);
        }
    });
    let shift = oldest.saturating_sub(Setup::BEGINNING);
    if shift > 0 && oldest != Tick::MAX {
        each_tick(state, &mut |tick| *tick = tick.saturating_sub(shift));
    }
}

/// A timer's key names the revision that set it, and an order's result the order: neither is given twice.
fn forget(setup: &Setup, shelf: &mut Shelf) {
    let comes_again = [Mutant::DequeueApart, Mutant::TimerNotConsumed, Mutant::NoDedup];
    if setup.mutant.is_some_and(|mutant| comes_again.contains(&mutant)) {
        return;
    }
    let Shelf { mail, known, handled, .. } = shelf;
    let waits = |key: &Key| mail.iter().any(|letter| letter.key == *key);
    let once = |key: &Key| matches!(key, Key::Timer { .. } | Key::Result(_));
    known.retain(|key| !once(key) || waits(key));
    handled.retain(|key| !once(key));
}

fn over(case: &mut Case, known: Tick, life: u8) {
    let ended = match &mut case.shelf.incident {
        Some(incident) if incident.phase.is_terminal() => {
            incident.updated_at = OVER;
            true
        }
        _ => false,
    };
    case.shown.change(|(plan, of_life, until)| {
        let over = ended || of_life != life || until <= known;
        (plan, of_life, if over { OVER } else { until })
    });
}

fn each_tick(state: &mut State, look: &mut impl FnMut(&mut Tick)) {
    look(&mut state.common.wall);
    look(&mut state.common.latest);
    if state.common.up {
        look(&mut state.common.seen);
    }
    for case in &mut state.cases {
        each_of_shelf(&mut case.shelf, look);
        for arriving in &mut case.arriving {
            look(&mut arriving.at);
        }
        if let Some(Half::TimerLetter(timer)) = &mut case.half {
            look(&mut timer.due);
        }
        case.shown.change(|(plan, life, mut until)| {
            look(&mut until);
            (plan, life, until)
        });
    }
    if let Some(backup) = &mut state.backup {
        look(&mut backup.latest);
        for shelf in &mut backup.shelves {
            each_of_shelf(shelf, look);
        }
    }
}

fn each_of_shelf(shelf: &mut Shelf, look: &mut impl FnMut(&mut Tick)) {
    for Letter { key, at, body, .. } in &mut shelf.mail {
        look(at);
        each_of_key(key, look);
        if let Body::TimerFired { due, .. } = body {
            look(due);
        }
    }
    for timer in &mut shelf.timers {
        look(&mut timer.due);
    }
    for keys in [&mut shelf.known, &mut shelf.acked, &mut shelf.handled, &mut shelf.dead] {
        keys.change(|mut key| {
            each_of_key(&mut key, look);
            key
        });
    }
    let Some(Incident { updated_at, deadline, phase, .. }) = &mut shelf.incident else { return };
    look(updated_at);
    if let Some(deadline) = deadline {
        look(deadline);
    }
    let mut offer = |proposal: &mut Proposal| look(&mut proposal.expires_at);
    match phase {
        Phase::AwaitingDecision(proposal) => offer(proposal),
        Phase::Executing { saga, .. } | Phase::Verifying { saga, .. } => {
            // The offer was taken: when it would have ended matters no more.
            saga.proposal.expires_at = OVER;
            look(&mut saga.decided_at);
        }
        _ => {}
    }
}

fn each_of_key(key: &mut Key, look: &mut impl FnMut(&mut Tick)) {
    if let Key::Timer { due, .. } = key {
        look(due);
    }
}
