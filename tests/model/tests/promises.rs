//! Every promise in every world, and every sight somewhere. The quick worlds are searched whole each time; the large ones on
//! demand: `cargo test -p medic-model --release -- --ignored --nocapture`.

#![allow(clippy::panic, reason = "a test may be blunt")]

use medic_model::laws;
use medic_model::{Endpoint, Faults, Protocol, Setup, State};
use stateright::{Checker, Model};
use std::collections::{BTreeSet, HashMap};

/// What the large worlds must come to together.
const STATES_MIN: usize = 1_000_000;

const NONE: Faults =
    Faults { crashes: 0, duplicates: 0, losses: 0, refusals: 0, panics: 0, jumps: 0, restores: 0 };

fn one_round() -> Setup {
    Setup { rounds_max: 1, setbacks: false, ..Setup::calm() }
}

/// Each in a second or two without optimisation.
fn quick() -> Vec<(&'static str, Setup)> {
    let one = one_round();
    vec![
        ("nothing fails outside, remedies may not help", Setup { setbacks: true, ..one.clone() }),
        ("the process dies once", Setup { faults: Faults { crashes: 1, ..NONE }, ..one.clone() }),
        (
            "an answer is lost, a request refused, at each kind of endpoint",
            Setup {
                endpoints: Endpoint::ALL.to_vec(),
                faults: Faults { losses: 1, refusals: 1, ..NONE },
                ..one.clone()
            },
        ),
        ("handlers panic twice", Setup { faults: Faults { panics: 2, ..NONE }, ..one.clone() }),
        ("the clock jumps", Setup { faults: Faults { jumps: 1, ..NONE }, ..one.clone() }),
        ("two people must agree", Setup { people: 2, people_needed: 2, ..one }),
    ]
}

fn large() -> Vec<(&'static str, Setup)> {
    let one = one_round();
    let hard = Setup { setbacks: true, ..one.clone() };
    vec![
        (
            "two rounds, the process dies once",
            Setup { rounds_max: 2, faults: Faults { crashes: 1, ..NONE }, ..hard.clone() },
        ),
        (
            "the process dies twice, deliveries come twice",
            Setup { faults: Faults { crashes: 2, duplicates: 1, ..NONE }, ..one.clone() },
        ),
        (
            "it dies and an answer is lost and a request refused, at each kind of endpoint",
            Setup {
                endpoints: Endpoint::ALL.to_vec(),
                faults: Faults { crashes: 1, losses: 1, refusals: 1, ..NONE },
                ..one.clone()
            },
        ),
        (
            "it dies twice and two answers are lost, where the key is honoured",
            Setup {
                endpoints: vec![Endpoint::KEYED],
                faults: Faults { crashes: 2, losses: 2, ..NONE },
                ..one.clone()
            },
        ),
        (
            "two steps, one refused, the remedy may not help",
            Setup { steps: 2, faults: Faults { refusals: 1, ..NONE }, ..hard.clone() },
        ),
        (
            "two steps, the process dies",
            Setup { steps: 2, faults: Faults { crashes: 1, ..NONE }, ..one.clone() },
        ),
        (
            "a person asks for a fresh look, the process dies",
            Setup { rounds_max: 2, look_again: true, faults: Faults { crashes: 1, ..NONE }, ..one.clone() },
        ),
        (
            "a person takes over, the process dies, a request is refused",
            Setup { take_over: true, faults: Faults { crashes: 1, refusals: 1, ..NONE }, ..one.clone() },
        ),
        (
            "handlers panic and the process dies",
            Setup { faults: Faults { crashes: 1, panics: 2, ..NONE }, ..one.clone() },
        ),
        (
            "the clock jumps twice and the process dies",
            Setup { faults: Faults { crashes: 1, jumps: 2, ..NONE }, ..one.clone() },
        ),
        ("a backup is restored", Setup { faults: Faults { crashes: 1, restores: 1, ..NONE }, ..one.clone() }),
        (
            "something destructive, two people, the process dies, deliveries come twice",
            Setup {
                people: 2,
                people_needed: 2,
                faults: Faults { crashes: 1, duplicates: 1, ..NONE },
                ..one.clone()
            },
        ),
        ("two people, each says it twice", Setup { people: 2, people_needed: 2, voices: 2, ..one.clone() }),
        ("two incidents side by side", Setup { incidents: 2, ..one }),
    ]
}

/// Searches one world to its last state. Returns the number of states and the sights seen.
fn search(name: &str, setup: Setup) -> (usize, Vec<&'static str>) {
    let sights: Vec<_> = laws::sights().into_iter().map(|sight| sight.name).collect();
    let model = Protocol { setup, sights: sights.clone() };
    let search = model.checker().threads(2).spawn_dfs().join();
    let states = search.unique_state_count();
    println!("{states:>9} states, at most {} steps: {name}", search.max_depth());
    for promise in laws::promises() {
        if let Some(path) = search.discovery(promise.name) {
            let steps = path.into_actions();
            panic!("{name}: not kept: {}\nafter {} steps: {steps:#?}", promise.name, steps.len());
        }
    }
    let found = search.discoveries();
    (states, sights.into_iter().filter(|sight| found.contains_key(sight)).collect())
}

fn search_all(worlds: Vec<(&'static str, Setup)>) -> (usize, BTreeSet<&'static str>) {
    let mut states = 0;
    let mut seen = BTreeSet::new();
    for (name, setup) in worlds {
        let (of_world, sights) = search(name, setup);
        states += of_world;
        seen.extend(sights);
    }
    println!("{states:>9} states together, {} of {} sights", seen.len(), laws::sights().len());
    (states, seen)
}

fn unseen(seen: &BTreeSet<&'static str>) -> Vec<&'static str> {
    laws::sights().into_iter().map(|sight| sight.name).filter(|name| !seen.contains(name)).collect()
}

#[test]
fn the_promises_hold_in_the_quick_worlds() {
    let (_, seen) = search_all(quick());
    assert_eq!(unseen(&seen), LARGE_ONLY, "what is seen in the quick worlds has changed");
}

/// What takes a second round, a second step, a second voice, a backup or a person who takes over to be seen.
const LARGE_ONLY: [&str; 9] = [
    "a rollback fails",
    "a person takes over",
    "a restored copy gives up what was consented to",
    "an approval names another plan",
    "a person says the same twice",
    "the target is not as it was",
    "a second plan is begun",
    "a backup is restored with an open effect",
    "a step is put back while another was never begun",
];

#[test]
#[ignore = "minutes; millions of states"]
fn the_promises_hold_in_the_large_worlds_and_everything_is_seen() {
    let (states, mut seen) = search_all(large());
    assert!(states >= STATES_MIN, "only {states} states");
    seen.extend(search_all(quick()).1);
    assert_eq!(unseen(&seen), Vec::<&str>::new(), "never seen: the model does not come there");
}

/// Runs are finite: then "where nothing can go on" is where every run that is not helped by a person or a fault ends, and
/// that all incidents have ended there is liveness and not merely safety.
#[test]
fn no_state_comes_again() {
    for (name, setup) in quick() {
        assert!(!has_cycle(&Protocol::new(setup)), "{name}: a run can go on for ever");
    }
}

fn has_cycle(model: &Protocol) -> bool {
    // `true` while the state is on the way that is being walked.
    let mut walked: HashMap<State, bool> = HashMap::new();
    for beginning in model.init_states() {
        let mut way = vec![(beginning.clone(), model.next_states(&beginning))];
        walked.insert(beginning, true);
        while let Some((state, following)) = way.last_mut() {
            match following.pop() {
                None => {
                    walked.insert(state.clone(), false);
                    way.pop();
                }
                Some(next) => match walked.get(&next) {
                    Some(true) => return true,
                    Some(false) => {}
                    None => {
                        walked.insert(next.clone(), true);
                        let after = model.next_states(&next);
                        way.push((next, after));
                    }
                },
            }
        }
    }
    false
}
