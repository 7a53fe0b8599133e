//! The tests that need more than one package.
//!
//! `scenarios`: stories on real parts — the lab, its Prometheus and Alertmanager, `medicd` as a process. Needs the programs
//! `medicd` and `medic-lab` and the tools to be built (`make build plugins`); one lab at a time, some six minutes in all.
//! `-- --ignored` adds every fault of the lab.
//!
//! `tidy`: what the compiler does not hold: which package may know which, how long a file may be, which words are not
//! written. Needs nothing.
//!
//! `codes`: every code that shipped source can say is explained in `daemon/CODES.md`. Needs nothing.
//!
//! `medic-bench` (`make bench`): figures, each with how it was measured. What it and the scenarios send is in [`load`].
//!
//! In folders of their own, because they need less: `crash` (die at every write, start again), `model` (a state model of the
//! protocol), `eval` (the analysis on labelled sets).

// Real processes and real clocks are what is tried here: the bans that keep a daemon's behind ports have no meaning.
#![allow(clippy::disallowed_methods)]

pub mod load;
