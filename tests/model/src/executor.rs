//! The executor and the host under it: prove, compare, commit `Started`, commit the call, send, commit the receipt, commit the
//! outcome. Each of these is a step of its own, so that a crash may fall between any two.

use crate::laws::Law;
use crate::nouns::{Body, Call, Effect, EffectState, Key, Letter, Order, Phase, Subject, Told, Work};
use crate::setup::{Mutant, Setup};
use crate::state::{Case, Common, Flight, Hand, Move, Note};
use crate::supervisor;

/// What may be done next with the order at the head.
pub fn moves(setup: &Setup, common: &Common, case: &Case, out: &mut Vec<Move>) {
    let Some(order) = case.order() else { return };
    if common.left.panics > 0 {
        out.push(Move::WorkPanics);
    }
    if !order.work.changes() {
        for told in answers(setup, case, order) {
            out.push(Move::Read(told));
        }
        return;
    }
    match case.hand {
        None => out.push(Move::Begin),
        Some(Hand::Proven) if setup.is(Mutant::SendBeforeStarted) => out.push(Move::Send),
        Some(Hand::Proven) => out.push(Move::Start),
        Some(Hand::Begun) => out.push(Move::Intend),
        Some(Hand::Intended) => out.push(Move::Send),
        Some(Hand::Waiting { copy, .. }) => {
            let flight = case.flights.iter().find(|flight| flight.order == order.id && flight.copy == copy);
            if flight.is_some_and(|flight| flight.answer.is_some()) {
                out.push(Move::Hear);
            }
            if common.left.losses > 0 {
                out.push(Move::TimeOut);
            }
        }
        Some(Hand::Answered { .. }) => out.push(Move::WriteReceipt),
        Some(Hand::Lost { .. }) => {
            out.push(Move::AskFate);
            if common.left.losses > 0 && common.endpoint.has_receipts {
                out.push(Move::AskFateInVain);
            }
        }
        Some(Hand::Receipted | Hand::Unclear) => out.push(Move::Finish),
    }
}

/// What a read-only order may come to. One nobody waits for any more comes to one thing: it is consumed.
fn answers(setup: &Setup, case: &Case, order: Order) -> Vec<Told> {
    let awaited = awaited(case, order);
    match order.work {
        Work::Investigate => {
            let mut told = vec![Told::Planned { snapshot: case.value }];
            if setup.setbacks && awaited {
                told.push(Told::Abstained);
            }
            told
        }
        Work::Verify(Subject::Remedy) => {
            let mut told = vec![Told::Verified { healthy: true }];
            if setup.setbacks && awaited {
                told.push(Told::Verified { healthy: false });
            }
            told
        }
        // What was there before is read again and compared.
        Work::Verify(Subject::Rollback) => {
            let saga = case.shelf.incident.as_ref().and_then(|incident| incident.phase.saga());
            let healthy = saga.is_some_and(|saga| saga.proposal.snapshot == case.value);
            vec![Told::Verified { healthy }]
        }
        Work::Apply { .. } | Work::Revert { .. } => Vec::new(),
    }
}

fn awaited(case: &Case, order: Order) -> bool {
    case.shelf.incident.as_ref().is_some_and(|incident| incident.phase.awaiting() == Some(order.id))
}

pub fn step(setup: &Setup, common: &mut Common, case: &mut Case, what: Move) {
    let Some(order) = case.order() else { return };
    match what {
        Move::Read(told) => read(setup, common, case, order, told),
        Move::Begin => begin(setup, common, case, order),
        Move::Start => {
            case.shelf.change_effect(order.id, |effect| effect.state = EffectState::Started);
            common.audited(common.now(setup));
            case.hand = Some(Hand::Begun);
        }
        Move::Intend => {
            case.shelf.change_effect(order.id, |effect| effect.call = Call::Open);
            common.audited(common.now(setup));
            case.hand = Some(Hand::Intended);
        }
        Move::Send => send(setup, common, case, order, false),
        Move::Hear => {
            let Some(Hand::Waiting { copy, again }) = case.hand else { return };
            let place =
                case.flights.iter().position(|flight| flight.order == order.id && flight.copy == copy);
            let Some(place) = place else { return };
            let flight = case.flights.remove(place);
            case.hand = flight.answer.map(|happened| Hand::Answered { again, happened });
        }
        Move::TimeOut => {
            let Some(Hand::Waiting { again, .. }) = case.hand else { return };
            common.left.losses -= 1;
            case.flights.retain(|flight| flight.answer.is_none());
            case.hand = Some(if setup.is(Mutant::TimeoutIsFailure) {
                Hand::Answered { again: false, happened: false }
            } else {
                Hand::Lost { again }
            });
        }
        Move::WriteReceipt => {
            let Some(Hand::Answered { again, happened }) = case.hand else { return };
            // The refusal of a repeat says nothing about the first one, which may still land.
            if !happened && again && !setup.is(Mutant::RepeatRefusalBelieved) {
                case.hand = Some(Hand::Unclear);
                return;
            }
            let call = if happened { Call::Happened } else { Call::Refused };
            case.shelf.change_effect(order.id, |effect| effect.call = call);
            common.audited(common.now(setup));
            case.hand = Some(Hand::Receipted);
        }
        Move::AskFate => ask_fate(setup, common, case, order),
        Move::AskFateInVain => {
            common.left.losses -= 1;
            common.note = Note::NobodyCanSay;
            case.hand = Some(Hand::Unclear);
        }
        Move::Finish => {
            let outcome = match (case.hand, case.current().map(|effect| effect.call)) {
                (Some(Hand::Receipted), Some(Call::Happened)) => (EffectState::Done, Told::Done),
                (Some(Hand::Receipted), _) => (EffectState::Failed, Told::Failed),
                _ => (EffectState::Unknown, Told::Unknown),
            };
            finish(setup, common, case, order, outcome);
        }
        Move::WorkPanics => panicked(setup, common, case, order),
        _ => {}
    }
}

/// Reading is done again after a crash; its answer is stored once.
fn read(setup: &Setup, common: &mut Common, case: &mut Case, order: Order, told: Told) {
    case.shelf.orders.remove(0);
    if awaited(case, order) {
        let body = Body::Told { order: order.id, told };
        case.shelf.enqueue(Letter::new(Key::Result(order.id), common.now(setup), body), true);
    }
}

/// What the record says of how far an earlier life came, and whether the order still stands.
fn begin(setup: &Setup, common: &mut Common, case: &mut Case, order: Order) {
    let Some(effect) = case.shelf.effect(order.id) else { return };
    let awaited = awaited(case, order);
    match (effect.state, effect.call) {
        (EffectState::Started, call) if !awaited => {
            // Taken over, and then the process died: nothing is called any more, what the record shows is told.
            common.note = Note::BroughtToItsEnd;
            let refused = if setup.is(Mutant::RefusalTakenForDone) {
                (EffectState::Done, Told::Done)
            } else {
                (EffectState::Failed, Told::Failed)
            };
            let outcome = match call {
                Call::None => (EffectState::Failed, Told::Failed),
                Call::Open => (EffectState::Unknown, Told::Unknown),
                Call::Happened => (EffectState::Done, Told::Done),
                Call::Refused => refused,
            };
            finish(setup, common, case, order, outcome);
        }
        _ if !awaited => {
            common.note = Note::WithdrawnBeforeBegun;
            case.shelf.orders.remove(0);
        }
        // Nothing has left: go on.
        (EffectState::Started, Call::None) => case.hand = Some(Hand::Begun),
        (EffectState::Started, Call::Open) => {
            let blind = setup.is(Mutant::BlindRerun);
            case.hand = Some(if blind { Hand::Intended } else { Hand::Lost { again: false } });
        }
        (EffectState::Started, Call::Happened | Call::Refused) => case.hand = Some(Hand::Receipted),
        (EffectState::Intent, _) => prove(setup, common, case, order, &effect),
        // A restored store says so.
        _ => finish(setup, common, case, order, (EffectState::Unknown, Told::Unknown)),
    }
}

fn prove(setup: &Setup, common: &mut Common, case: &mut Case, order: Order, effect: &Effect) {
    let saga = case.shelf.incident.as_ref().and_then(|incident| match &incident.phase {
        Phase::Executing { saga, .. } => Some(saga),
        _ => None,
    });
    let Some(saga) = saga else { return };
    let forward = matches!(effect.work, Work::Apply { .. });
    // An undo is owed even when the window has closed; only new deeds grow stale.
    let stale = forward && common.now(setup) > saga.decided_at + Setup::EXECUTION_WINDOW;
    let drifted = effect.work == Work::Apply { step: 0 } && saga.proposal.snapshot != case.value;
    if stale || drifted {
        common.note = if stale { Note::ConsentStale } else { Note::Drifted };
        finish(setup, common, case, order, (EffectState::Failed, Told::Failed));
        return;
    }
    case.hand = Some(Hand::Proven);
}

fn send(setup: &Setup, common: &mut Common, case: &mut Case, order: Order, again: bool) {
    let Some(effect) = case.shelf.effect(order.id) else { return };
    let plan = plan_of(case);
    if !case.sent.insert((order.id, effect.life)) && !common.endpoint.honours_key {
        common.note = Note::Breach(Law::NoRepeatWithoutKey);
    }
    if effect.state != EffectState::Started || effect.call != Call::Open {
        common.note = Note::Breach(Law::StartedBeforeDeed);
    }
    if !consented(setup, case, plan, effect.life) {
        common.note = Note::Breach(Law::ConsentBeforeDeed);
    }
    // Tells apart requests of one effect that are on the wire at the same time; nobody but the model sees it.
    let flying =
        case.flights.iter().filter(|flight| flight.order == order.id).map(|flight| flight.copy).max();
    let copy = flying.map_or(1, |copy| copy + 1);
    case.flights.push(Flight {
        order: order.id,
        work: order.work,
        plan,
        life: effect.life,
        copy,
        answer: None,
    });
    case.flights.sort_unstable();
    case.hand = Some(Hand::Waiting { copy, again });
}

/// The plan the order belongs to: while a change is under way, the incident's round.
fn plan_of(case: &Case) -> u8 {
    case.shelf.incident.as_ref().map(|incident| incident.round).unwrap_or_default()
}

/// Asked of what people said, not of what the incident holds.
fn consented(setup: &Setup, case: &Case, plan: u8, life: u8) -> bool {
    let voices = case.given.iter().filter(|given| given.plan == plan && given.in_time && given.life == life);
    let mut people: Vec<_> = voices.map(|given| given.by).collect();
    people.sort_unstable();
    people.dedup();
    people.len() >= usize::from(setup.people_needed)
}

fn ask_fate(setup: &Setup, common: &mut Common, case: &mut Case, order: Order) {
    let Some(Hand::Lost { again }) = case.hand else { return };
    let receipts = common.endpoint.has_receipts;
    if receipts && case.done(order.id, order.work, plan_of(case)) {
        common.note = Note::FoundByReceipt;
        case.hand = Some(Hand::Answered { again, happened: true });
    } else if receipts && !again && (common.endpoint.honours_key || setup.is(Mutant::VerifyThenRerun)) {
        common.note = Note::SentAgainWithKey;
        send(setup, common, case, order, true);
    } else {
        common.note = Note::NobodyCanSay;
        case.hand = Some(Hand::Unclear);
    }
}

/// The effect's last state, the answer's letter and the order's end in one batch.
fn finish(setup: &Setup, common: &mut Common, case: &mut Case, order: Order, outcome: (EffectState, Told)) {
    let (state, told) = outcome;
    case.shelf.change_effect(order.id, |effect| effect.state = state);
    case.shelf.orders.remove(0);
    let body = Body::Told { order: order.id, told };
    case.shelf.enqueue(Letter::new(Key::Result(order.id), common.now(setup), body), true);
    common.audited(common.now(setup));
    case.hand = None;
}

fn panicked(setup: &Setup, common: &mut Common, case: &mut Case, order: Order) {
    case.hand = None;
    common.left.panics -= 1;
    case.flights.retain(|flight| flight.answer.is_none());
    let Some(head) = case.shelf.orders.first_mut() else { return };
    head.attempts += 1;
    if head.attempts >= Setup::ATTEMPTS_MAX {
        case.shelf.orders.remove(0);
        if !setup.is(Mutant::DeadLetterLeavesStarted) {
            case.shelf.change_effect(order.id, |effect| {
                if effect.is_open() {
                    effect.state = EffectState::Unknown;
                }
            });
        }
        supervisor::tell_dead(common, &mut case.shelf);
    }
}
