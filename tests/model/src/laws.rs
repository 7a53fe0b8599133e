//! What must always hold, what must come to pass, and what must be seen to happen so that the first two mean something.

use crate::model::Protocol;
use crate::nouns::{Body, EffectState, Key, Phase, Reason, Request, Shelf, StepState, TimerKind};
use crate::outside::timer_key;
use crate::state::{Case, Note, State};
use stateright::Property;

/// The promises. Each is an `always` property of its name; the last one is an `eventually` property besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Law {
    AcknowledgedIsKept,
    HandledOnce,
    NoRepeatWithoutKey,
    ExecutedOnce,
    StartedBeforeDeed,
    ConsentBeforeDeed,
    ConsentIsGiven,
    ConsentConsumedOnce,
    RecordsAreTrue,
    NothingLeftStarted,
    RestoredIsClosed,
    ClockRuns,
    TimerFiresOnce,
    TimerNotEarly,
    EveryIncidentEnds,
}

impl Law {
    pub const ALL: [Self; 15] = [
        Self::AcknowledgedIsKept,
        Self::HandledOnce,
        Self::NoRepeatWithoutKey,
        Self::ExecutedOnce,
        Self::StartedBeforeDeed,
        Self::ConsentBeforeDeed,
        Self::ConsentIsGiven,
        Self::ConsentConsumedOnce,
        Self::RecordsAreTrue,
        Self::NothingLeftStarted,
        Self::RestoredIsClosed,
        Self::ClockRuns,
        Self::TimerFiresOnce,
        Self::TimerNotEarly,
        Self::EveryIncidentEnds,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::AcknowledgedIsKept => {
                "what was acknowledged waits, was handled, or lies in the dead letters"
            }
            Self::HandledOnce => "no letter is handled twice",
            Self::NoRepeatWithoutKey => "no request is repeated at an endpoint that honours no key",
            Self::ExecutedOnce => "no effect is carried out twice on one consent",
            Self::StartedBeforeDeed => "no request leaves before Started and its intent are on disk",
            Self::ConsentBeforeDeed => "no request leaves without the word of enough people, given in time",
            Self::ConsentIsGiven => "a plan under way rests on distinct people's words on that plan, in time",
            Self::ConsentConsumedOnce => "no approval begins two plans",
            Self::RecordsAreTrue => "Done means that it happened, Failed that it did not and will not",
            Self::NothingLeftStarted => "when nothing more goes on, no effect is left Started",
            Self::RestoredIsClosed => "a restored store holds no open effect from before",
            Self::ClockRuns => "an open incident has its timer, or the timer's letter",
            Self::TimerFiresOnce => "a timer that has become a letter is no timer any more",
            Self::TimerNotEarly => "no timer fires before it is due",
            Self::EveryIncidentEnds => "where nothing more can go on by itself, every incident has ended",
        }
    }

    fn property(self) -> Property<Protocol> {
        type Holds = fn(&Protocol, &State) -> bool;
        let holds: Holds = match self {
            Self::AcknowledgedIsKept => |_, state| state.cases.iter().all(acknowledged_is_kept),
            Self::HandledOnce => |_, state| unbroken(state, Self::HandledOnce),
            Self::NoRepeatWithoutKey => |_, state| unbroken(state, Self::NoRepeatWithoutKey),
            Self::ExecutedOnce => |_, state| deeds(state).all(|times| times <= 1),
            Self::StartedBeforeDeed => |_, state| unbroken(state, Self::StartedBeforeDeed),
            Self::ConsentBeforeDeed => |_, state| unbroken(state, Self::ConsentBeforeDeed),
            Self::ConsentIsGiven => |model, state| {
                state.cases.iter().all(|case| consent_is_given(case, model.setup.people_needed))
            },
            Self::ConsentConsumedOnce => |_, state| unbroken(state, Self::ConsentConsumedOnce),
            Self::RecordsAreTrue => |_, state| {
                state.cases.iter().all(|case| records_are_true(case, state.common.endpoint.honours_key))
            },
            Self::NothingLeftStarted => |model, state| {
                let started = |case: &Case| {
                    case.shelf.effects.iter().any(|effect| effect.state == EffectState::Started)
                };
                !state.cases.iter().any(started) || !model.stands_still(state)
            },
            Self::RestoredIsClosed => |_, state| {
                let life = state.common.life;
                let open =
                    |shelf: &Shelf| shelf.effects.iter().any(|effect| effect.life < life && effect.is_open());
                !state.cases.iter().any(|case| open(&case.shelf))
            },
            Self::ClockRuns => |_, state| state.cases.iter().all(|case| clock_runs(&case.shelf)),
            Self::TimerFiresOnce => |_, state| {
                let gone =
                    |shelf: &Shelf| shelf.timers.iter().all(|timer| !shelf.known.contains(timer_key(*timer)));
                state.cases.iter().all(|case| gone(&case.shelf))
            },
            Self::TimerNotEarly => |_, state| unbroken(state, Self::TimerNotEarly),
            Self::EveryIncidentEnds => |model, state| ended(state) || !model.stands_still(state),
        };
        Property::always(self.name(), holds)
    }
}

/// The `eventually` property. Its condition holds at the ends of runs only, so that what held once on the way to a state
/// that is reached in two ways counts for neither.
pub const EVERY_RUN_ENDS_WELL: &str = "every run comes to where all incidents have ended";

fn unbroken(state: &State, law: Law) -> bool {
    state.common.note != Note::Breach(law)
}

fn deeds(state: &State) -> impl Iterator<Item = u8> + '_ {
    state.cases.iter().flat_map(|case| &case.deeds).map(|deed| deed.times)
}

fn acknowledged_is_kept(case: &Case) -> bool {
    let shelf = &case.shelf;
    shelf.acked.iter().all(|key| {
        shelf.handled.contains(key)
            || shelf.dead.contains(key)
            || shelf.mail.iter().any(|letter| letter.key == key)
    })
}

fn consent_is_given(case: &Case, people_needed: u8) -> bool {
    let Some(saga) = case.shelf.incident.as_ref().and_then(|incident| incident.phase.saga()) else {
        return true;
    };
    let proposal = &saga.proposal;
    let given = proposal.approvals.iter().all(|approval| {
        approval.plan == proposal.plan
            && case.given.iter().any(|given| {
                (given.by, given.plan, given.life, given.in_time)
                    == (approval.by, approval.plan, approval.life, true)
            })
    });
    let mut people: Vec<_> = proposal.approvals.iter().map(|approval| approval.by).collect();
    people.sort_unstable();
    people.dedup();
    given && people.len() >= usize::from(people_needed)
}

fn records_are_true(case: &Case, by_key: bool) -> bool {
    case.shelf.effects.iter().all(|effect| {
        let same = |order: u8, life: u8| order == effect.id && (life == effect.life || by_key);
        let happened = case.deeds.iter().any(|deed| same(deed.order, deed.life) && deed.work == effect.work);
        let may_still = case.flights.iter().any(|flight| {
            flight.answer.is_none() && same(flight.order, flight.life) && flight.work == effect.work
        });
        match effect.state {
            EffectState::Done => happened,
            EffectState::Failed => !happened && !may_still,
            _ => true,
        }
    })
}

fn clock_runs(shelf: &Shelf) -> bool {
    let Some(incident) = &shelf.incident else { return true };
    let (kind, due) = match &incident.phase {
        Phase::Resolved | Phase::Escalated(_) => return true,
        Phase::AwaitingDecision(proposal) => (TimerKind::ApprovalLifetime, Some(proposal.expires_at)),
        _ => (TimerKind::PhaseDeadline, incident.deadline),
    };
    let Some(due) = due else { return false };
    shelf.timers.iter().any(|timer| (timer.kind, timer.due) == (kind, due))
        || shelf
            .mail
            .iter()
            .any(|letter| [Body::TimerFired { kind, due }, Body::DeadLettered].contains(&letter.body))
}

fn ended(state: &State) -> bool {
    // One whose opening could not be handled never was: it lies in the dead letters, which status counts.
    let stillborn = |case: &Case| case.shelf.dead.iter().any(opens) && case.shelf.incident.is_none();
    state.cases.iter().all(|case| phase(case).is_some_and(Phase::is_terminal) || stillborn(case))
}

fn opens(key: Key) -> bool {
    matches!(key, Key::Asked { request: Request::Open, .. })
}

fn phase(case: &Case) -> Option<&Phase> {
    case.shelf.incident.as_ref().map(|incident| &incident.phase)
}

fn any(state: &State, wanted: fn(&Phase) -> bool) -> bool {
    state.cases.iter().filter_map(phase).any(wanted)
}

macro_rules! noted {
    ($($name:literal => $note:ident),* $(,)?) => {
        vec![$(Property::sometimes($name, |_: &Protocol, state: &State| state.common.note == Note::$note)),*]
    };
}

macro_rules! reached {
    ($($name:literal => $pattern:pat),* $(,)?) => {
        vec![$(Property::sometimes($name, |_: &Protocol, state: &State| any(state, |phase| matches!(phase, $pattern)))),*]
    };
}

/// Every promise.
pub fn promises() -> Vec<Property<Protocol>> {
    let mut all: Vec<_> = Law::ALL.into_iter().map(Law::property).collect();
    all.push(Property::eventually(EVERY_RUN_ENDS_WELL, |model: &Protocol, state: &State| {
        ended(state) && model.stands_still(state)
    }));
    all
}

/// What a run must have seen, or its silence says nothing.
pub fn sights() -> Vec<Property<Protocol>> {
    let mut all = reached! {
        "an incident is resolved" => Phase::Resolved,
        "nobody decides" => Phase::Escalated(Reason::ApprovalTimeout),
        "work takes too long" => Phase::Escalated(Reason::Deadline),
        "an outcome stays unknown" => Phase::Escalated(Reason::UnknownOutcome),
        "the rounds are used up" => Phase::Escalated(Reason::IterationLimit),
        "a rollback fails" => Phase::Escalated(Reason::RollbackFailed),
        "a diagnosis abstains" => Phase::Escalated(Reason::Abstained),
        "a letter cannot be handled" => Phase::Escalated(Reason::DeadLetter),
        "a person takes over" => Phase::Escalated(Reason::Human),
        "a restored copy gives up what was consented to" => Phase::Escalated(Reason::Restored),
    };
    all.extend(noted! {
        "a duplicate is acknowledged" => DuplicateAcknowledged,
        "a crash between the batch and the answer" => CrashedBeforeAck,
        "a crash between the proof and Started" => CrashedBeforeStarted,
        "a crash between Started and the call's intent" => CrashedBeforeCall,
        "a crash between the call's intent and the request" => CrashedBeforeSending,
        "a crash while a request is out" => CrashedWhileWaiting,
        "a crash between the answer and its receipt" => CrashedBeforeReceipt,
        "a crash between the receipt and the outcome" => CrashedBeforeOutcome,
        "a request lands that nobody waits for" => LandedLate,
        "a request lands when its incident is closed" => LandedAfterTheEnd,
        "the endpoint answers a repeat from its key" => AnsweredByKey,
        "a lost answer is found by its key" => FoundByReceipt,
        "a request is repeated where the key is honoured" => SentAgainWithKey,
        "nobody can say what happened" => NobodyCanSay,
        "an approval comes too late" => RefusedLate,
        "an approval names another plan" => RefusedOtherPlan,
        "a person says the same twice" => RefusedSecondVoice,
        "an order is withdrawn before it is begun" => WithdrawnBeforeBegun,
        "an effect of a closed incident is brought to its end" => BroughtToItsEnd,
        "consent is too old to begin on" => ConsentStale,
        "the target is not as it was" => Drifted,
        "a result comes after its incident was closed" => LateResult,
        "a rollback is verified" => RolledBack,
        "a second plan is begun" => SecondPlanBegun,
        "a timer fires overdue" => FiredOverdue,
        "a timer's letter is stale" => StaleTimer,
        "a letter is set aside" => SetAside,
        "a backup is restored with an open effect" => RestoredOpenEffect,
    });
    all.push(Property::sometimes("two people's words carry one plan", |_: &Protocol, state: &State| {
        any(state, |phase| phase.saga().is_some_and(|saga| saga.proposal.approvals.len() == 2))
    }));
    all.push(Property::sometimes(
        "a step is put back while another was never begun",
        |_: &Protocol, state: &State| {
            any(state, |phase| {
                phase.saga().is_some_and(|saga| {
                    saga.unwinding
                        && saga.steps.contains(&StepState::Undoing)
                        && saga.steps.contains(&StepState::Failed)
                })
            })
        },
    ));
    all
}
