//! What is not the daemon: senders and people, the wire, the endpoint. And the two edges where the daemon meets them: the front
//! desk, which answers when a letter is on disk, and the timekeeper, which meets the clock.

use crate::laws::Law;
use crate::nouns::{Body, Key, Letter, Person, Request, Timer, TimerKind, Work};
use crate::setup::{Mutant, Setup};
use crate::state::{Arriving, Case, Common, Deed, Given, Half, Hand, Move, Note, Stage};

/// Requests, their storing and their answers.
pub fn desk_moves(setup: &Setup, common: &Common, case: &Case, out: &mut Vec<Move>) {
    for arriving in &case.arriving {
        let early = setup.is(Mutant::AckBeforeWrite);
        out.push(match (arriving.stage, early) {
            (Stage::Received, false) | (Stage::Answered, _) => Move::Write(arriving.request),
            (Stage::Received, true) | (Stage::Written, _) => Move::Acknowledge(arriving.request),
        });
    }
    if case.arriving.len() >= usize::from(setup.at_the_door) {
        return;
    }
    let here = |request: Request| case.arriving.iter().any(|arriving| arriving.request == request);
    let mut offer = |request: Request| {
        if here(request) {
            return;
        }
        let key = Key::Asked { request, life: common.life };
        if !case.shelf.acked.contains(key) {
            out.push(Move::Receive(request));
        } else if common.left.duplicates > 0 {
            out.push(Move::Duplicate(request));
        }
    };
    // Alerts are sent until they are answered; after a restore only those that the copy does not know.
    if common.life == 0 || case.shelf.incident.is_none() {
        offer(Request::Open);
    }
    // Of a closed incident nobody asks anything any more; what was asked before may still come to be handled.
    if case.shelf.incident.as_ref().is_none_or(|incident| incident.phase.is_terminal()) {
        return;
    }
    let mut shown_now = false;
    for (plan, life, _) in case.shown.iter() {
        if life == common.life {
            shown_now = true;
            for by in Person::ALL.into_iter().take(usize::from(setup.people)) {
                for nth in 0..setup.voices {
                    offer(Request::Approve { by, plan, nth });
                }
            }
        }
    }
    if setup.look_again && shown_now {
        offer(Request::LookAgain);
    }
    if setup.take_over {
        offer(Request::TakeOver);
    }
}

/// The wire and the endpoint; they go on while the daemon is down.
pub fn wire_moves(common: &Common, case: &Case, out: &mut Vec<Move>) {
    for (place, flight) in case.flights.iter().enumerate() {
        if flight.answer.is_some() {
            continue;
        }
        let place = u8::try_from(place).unwrap_or(u8::MAX);
        out.push(Move::Land { flight: place, happened: true });
        if common.left.refusals > 0 {
            out.push(Move::Land { flight: place, happened: false });
        }
        if common.left.losses > 0 {
            out.push(Move::LoseRequest { flight: place });
        }
    }
}

pub fn timer_moves(setup: &Setup, common: &Common, case: &Case, out: &mut Vec<Move>) {
    let early = u8::from(setup.is(Mutant::TimerEarly));
    let due = case.shelf.timers.iter().filter(|timer| timer.due <= common.now(setup) + early);
    out.extend(due.map(|timer| Move::Fire(timer.kind)));
}

pub fn step(setup: &Setup, common: &mut Common, case: &mut Case, what: Move) {
    match what {
        Move::Receive(request) => receive(setup, common, case, request),
        Move::Duplicate(request) => {
            common.left.duplicates -= 1;
            receive(setup, common, case, request);
        }
        Move::Write(request) => write(setup, common, case, request),
        Move::Acknowledge(request) => acknowledge(common, case, request),
        Move::Fire(kind) => fire(setup, common, case, kind),
        Move::SecondHalf => second_half(setup, common, case),
        Move::Land { flight, happened } => land(setup, common, case, usize::from(flight), happened),
        Move::LoseRequest { flight } => {
            common.left.losses -= 1;
            let lost = case.flights.remove(usize::from(flight));
            if let Some(again) = waited_for(case, lost.order, lost.copy) {
                case.hand = Some(Hand::Lost { again });
            }
        }
        _ => {}
    }
}

fn receive(setup: &Setup, common: &Common, case: &mut Case, request: Request) {
    let in_time = match request {
        Request::Approve { plan, .. } => {
            let offered = case.shown.iter().find(|(shown, life, _)| (*shown, *life) == (plan, common.life));
            offered.is_some_and(|(.., until)| common.known() < until)
        }
        _ => true,
    };
    case.arriving.push(Arriving { request, at: common.now(setup), in_time, stage: Stage::Received });
    case.arriving.sort_unstable();
}

/// One synced batch: the letter and its dedup key.
fn write(setup: &Setup, common: &mut Common, case: &mut Case, request: Request) {
    let Some(place) = case.arriving.iter().position(|arriving| arriving.request == request) else { return };
    let Some(arriving) = case.arriving.get_mut(place) else { return };
    let key = Key::Asked { request, life: common.life };
    let letter = Letter::new(key, arriving.at, Body::Asked(request));
    let in_time = arriving.in_time;
    if arriving.stage == Stage::Answered {
        case.arriving.remove(place);
    } else {
        arriving.stage = Stage::Written;
    }
    let new = !case.shelf.known.contains(key);
    case.shelf.enqueue(letter, !setup.is(Mutant::NoDedup));
    if !new {
        common.note = Note::DuplicateAcknowledged;
    } else if let Request::Approve { by, plan, .. } = request {
        case.given.insert(Given { by, plan, life: common.life, in_time });
    }
}

fn acknowledge(common: &Common, case: &mut Case, request: Request) {
    let Some(place) = case.arriving.iter().position(|arriving| arriving.request == request) else { return };
    let Some(arriving) = case.arriving.get_mut(place) else { return };
    if arriving.stage == Stage::Written {
        case.arriving.remove(place);
    } else {
        arriving.stage = Stage::Answered;
    }
    case.shelf.acked.insert(Key::Asked { request, life: common.life });
}

/// The row goes and the letter comes in one batch.
fn fire(setup: &Setup, common: &mut Common, case: &mut Case, kind: TimerKind) {
    let Some(timer) = case.shelf.timers.iter().find(|timer| timer.kind == kind).copied() else { return };
    if common.known() < timer.due {
        common.note = Note::Breach(Law::TimerNotEarly);
    } else if common.known() > timer.due {
        common.note = Note::FiredOverdue;
    }
    if !setup.is(Mutant::TimerNotConsumed) {
        case.shelf.cancel_timer(kind);
    }
    if setup.is(Mutant::TimerLost) {
        case.half = Some(Half::TimerLetter(timer));
    } else {
        case.shelf.enqueue(letter_of(setup, common, timer), true);
    }
}

fn letter_of(setup: &Setup, common: &Common, timer: Timer) -> Letter {
    let body = Body::TimerFired { kind: timer.kind, due: timer.due };
    Letter::new(timer_key(timer), common.now(setup), body)
}

pub fn timer_key(timer: Timer) -> Key {
    Key::Timer { kind: timer.kind, due: timer.due, revision: timer.revision }
}

fn second_half(setup: &Setup, common: &Common, case: &mut Case) {
    match case.half.take() {
        Some(Half::Dequeue(key)) => {
            if let Some(place) = case.shelf.mail.iter().position(|letter| letter.key == key) {
                case.shelf.mail.remove(place);
            }
        }
        Some(Half::TimerLetter(timer)) => {
            case.shelf.enqueue(letter_of(setup, common, timer), true);
        }
        None => {}
    }
}

/// Whether the executor waits for this very request, and whether it was a repeat.
fn waited_for(case: &Case, order: u8, copy: u8) -> Option<bool> {
    match case.hand {
        Some(Hand::Waiting { copy: waited, again })
            if waited == copy && case.order().is_some_and(|head| head.id == order) =>
        {
            Some(again)
        }
        _ => None,
    }
}

/// The endpoint gets the request, and answers. A refusal is not remembered by its key.
fn land(setup: &Setup, common: &mut Common, case: &mut Case, place: usize, happened: bool) {
    let mut flight = case.flights.remove(place);
    let over = case.shelf.incident.as_ref().is_some_and(|incident| incident.phase.is_terminal());
    let by_key = common.endpoint.honours_key && case.done(flight.order, flight.work, flight.plan);
    if by_key && happened {
        common.note = Note::AnsweredByKey;
    } else if happened {
        carry_out(setup, case, flight.order, flight.work, flight.plan, flight.life);
    } else {
        common.left.refusals -= 1;
    }
    let waited = waited_for(case, flight.order, flight.copy);
    if let Some(again) = waited.filter(|_| common.left.losses == 0) {
        // Nothing can happen to the answer any more.
        case.hand = Some(Hand::Answered { again, happened });
    } else if waited.is_some() {
        flight.answer = Some(happened);
        case.flights.push(flight);
        case.flights.sort_unstable();
    } else if happened && common.note == Note::Nothing {
        common.note = if over { Note::LandedAfterTheEnd } else { Note::LandedLate };
    }
}

fn carry_out(setup: &Setup, case: &mut Case, order: u8, work: Work, plan: u8, life: u8) {
    let bit = |step: u8| 1u8 << (plan.saturating_sub(1) * setup.steps + step).min(7);
    match work {
        Work::Apply { step } => case.value |= bit(step),
        Work::Revert { step } => case.value &= !bit(step),
        _ => {}
    }
    let same = |deed: &&mut Deed| (deed.order, deed.work, deed.plan, deed.life) == (order, work, plan, life);
    match case.deeds.iter_mut().find(same) {
        Some(deed) => deed.times += 1,
        None => {
            case.deeds.push(Deed { order, work, plan, life, times: 1 });
            case.deeds.sort_unstable();
        }
    }
}
