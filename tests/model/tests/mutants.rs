//! Planted bugs. Each must break the promise it is an attack on, and every promise must be breakable: a check that cannot
//! fail proves nothing.

#![allow(clippy::indexing_slicing, reason = "a test may be blunt")]

use medic_model::laws::{self, Law};
use medic_model::{Action, Endpoint, Faults, Mutant, Protocol, Setup, State};
use stateright::{Checker, Model};
use std::collections::HashSet;

/// The smallest world in which the bug can show itself, and the promise that it breaks first or must break.
fn attack(mutant: Mutant) -> (Law, Setup) {
    let calm = Setup { rounds_max: 1, setbacks: false, ..Setup::calm() };
    let faults = |change: fn(&mut Faults)| {
        let mut faults = Faults::default();
        change(&mut faults);
        faults
    };
    let crash = faults(|f| f.crashes = 1);
    let restore = faults(|f| (f.crashes, f.restores) = (1, 1));
    let at = |endpoint: Endpoint| vec![endpoint];
    let (law, setup) = match mutant {
        Mutant::BlindRerun => (Law::NoRepeatWithoutKey, Setup { faults: crash, ..calm }),
        Mutant::AckBeforeWrite => (Law::AcknowledgedIsKept, calm),
        Mutant::NoDedup => (Law::HandledOnce, Setup { faults: faults(|f| f.duplicates = 1), ..calm }),
        Mutant::DequeueApart => (Law::HandledOnce, Setup { faults: crash, ..calm }),
        Mutant::SendBeforeStarted => (Law::StartedBeforeDeed, calm),
        Mutant::TimeoutIsFailure => (Law::RecordsAreTrue, Setup { faults: faults(|f| f.losses = 1), ..calm }),
        Mutant::ApprovalUnbound => (Law::ConsentIsGiven, Setup { rounds_max: 2, look_again: true, ..calm }),
        Mutant::ExpiryIgnored => (Law::ConsentBeforeDeed, calm),
        Mutant::OneVoiceTwice => (Law::ConsentIsGiven, Setup { voices: 2, people_needed: 2, ..calm }),
        Mutant::ApprovalKept => (Law::ConsentConsumedOnce, Setup { rounds_max: 2, setbacks: true, ..calm }),
        Mutant::ClockGoesBack => (Law::ConsentIsGiven, Setup { faults: faults(|f| f.jumps = 1), ..calm }),
        Mutant::VerifyThenRerun => {
            let (faults, endpoints) = (faults(|f| f.losses = 1), at(Endpoint::RECEIPTS));
            (Law::ExecutedOnce, Setup { faults, endpoints, ..calm })
        }
        Mutant::RepeatRefusalBelieved => {
            let (faults, endpoints) = (faults(|f| (f.losses, f.refusals) = (1, 1)), at(Endpoint::KEYED));
            (Law::RecordsAreTrue, Setup { faults, endpoints, ..calm })
        }
        Mutant::RefusalTakenForDone => {
            let faults = faults(|f| (f.crashes, f.refusals) = (1, 1));
            (Law::RecordsAreTrue, Setup { faults, ..calm })
        }
        Mutant::OrderConsumedAtStart => (Law::NothingLeftStarted, Setup { faults: crash, ..calm }),
        Mutant::DeadlineForgotten => (Law::EveryIncidentEnds, calm),
        Mutant::DeadLetterLeavesStarted => {
            (Law::NothingLeftStarted, Setup { faults: faults(|f| f.panics = 2), ..calm })
        }
        Mutant::TimerNotConsumed => (Law::TimerFiresOnce, calm),
        Mutant::TimerLost => (Law::ClockRuns, Setup { faults: crash, ..calm }),
        Mutant::TimerEarly => (Law::TimerNotEarly, calm),
        Mutant::RestoreLeavesOpen => (Law::RestoredIsClosed, Setup { faults: restore, ..calm }),
        Mutant::RestoreTrustsConsent => (Law::ConsentBeforeDeed, Setup { faults: restore, ..calm }),
    };
    (law, Setup { mutant: Some(mutant), ..setup })
}

/// A shortest way to a state that breaks the law, and how many states were looked at. Breadth first, and checked when a state
/// is first reached, so that nothing shorter exists.
fn counter_example(law: Law, setup: Setup) -> (Option<Vec<Action>>, usize) {
    let model = Protocol::new(setup);
    let holds = model.property(law.name()).condition;
    let mut reached: HashSet<State> = HashSet::new();
    // Each with the place of the one before it, and the step between.
    let mut ways: Vec<(State, Option<(usize, Action)>)> =
        model.init_states().into_iter().map(|state| (state, None)).collect();
    let mut next = 0;
    while let Some((state, _)) = ways.get(next).cloned() {
        if !holds(&model, &state) {
            let mut steps = Vec::new();
            let mut at = next;
            while let Some((before, action)) = ways[at].1 {
                steps.push(action);
                at = before;
            }
            steps.reverse();
            return (Some(steps), next + 1);
        }
        for (action, following) in model.next_steps(&state) {
            if reached.insert(following.clone()) {
                ways.push((following, Some((next, action))));
            }
        }
        next += 1;
    }
    (None, next)
}

#[test]
fn every_planted_bug_is_found() {
    let mut missed = Vec::new();
    for mutant in Mutant::ALL {
        let (law, setup) = attack(mutant);
        let (found, looked_at) = counter_example(law, setup);
        match found {
            Some(steps) => {
                let (length, last) = (steps.len(), steps.last());
                println!(
                    "{mutant:?}: {length} steps, {looked_at} states: not kept: {}; last: {last:?}",
                    law.name()
                );
            }
            None => missed.push(mutant),
        }
    }
    assert!(missed.is_empty(), "planted bugs that no promise noticed: {missed:?}");
}

#[test]
fn every_promise_can_be_broken() {
    let mut attacked: Vec<_> = Mutant::ALL.into_iter().map(|mutant| attack(mutant).0).collect();
    attacked.sort_unstable();
    attacked.dedup();
    assert_eq!(attacked, Law::ALL, "a promise that no planted bug breaks");
}

/// Without the bug the same small worlds keep that promise, to the last state: it is the bug that is found, not the world.
#[test]
fn the_worlds_of_the_planted_bugs_are_sound_without_them() {
    for mutant in Mutant::ALL.into_iter().filter(|mutant| !LARGE.contains(mutant)) {
        let (law, setup) = attack(mutant);
        let (found, _) = counter_example(law, Setup { mutant: None, ..setup });
        assert_eq!(found, None, "{mutant:?}'s world breaks without it: {}", law.name());
    }
}

/// Their worlds hold up to 250,000 states each; they are among those of `promises.rs`.
const LARGE: [Mutant; 5] = [
    Mutant::ApprovalUnbound,
    Mutant::ApprovalKept,
    Mutant::RefusalTakenForDone,
    Mutant::RestoreLeavesOpen,
    Mutant::RestoreTrustsConsent,
];

/// `always` properties speak of states; this one speaks of whole runs, and is broken by a run that ends badly.
#[test]
fn a_run_that_ends_badly_is_noticed() {
    let setup = attack(Mutant::DeadlineForgotten).1;
    let search = Protocol::new(setup).checker().spawn_dfs().join();
    assert!(search.discovery(laws::EVERY_RUN_ENDS_WELL).is_some());
}
