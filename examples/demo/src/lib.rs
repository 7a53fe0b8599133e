//! The whole of Medic on one stage: a real lab, a real `medicd` beside it, and what is expected of both.
//!
//! [`Stage::start`] brings up the shop of `medic-lab` with its Prometheus and Alertmanager, writes a configuration and a
//! grant file, and starts the daemon as a process of its own, so that it can also be killed. The demonstration program
//! tells a story on it; the scenario tests hold the laws on it. Everything ends when the [`Stage`] is dropped.
//!
//! Owns: the generated configuration, the cast (who holds which token), the expectation of each fault. Never decides
//! anything itself, and listens nowhere: what it knows of the daemon it has through the public API.

// Real processes and real clocks are what a stage is made of: the bans that keep a daemon's behind ports have no
// meaning here.
#![allow(clippy::disallowed_methods)]

mod cast;
mod client;
mod expectation;
mod medicd;
mod options;
mod programs;
mod settings;
mod stage;
mod verdict;

pub use cast::Person;
pub use client::{Client, ClientError, Problem};
pub use expectation::{Chart, Ending, Expectation, Operation, expectation_of};

pub use options::{LabKind, StageOptions};
pub use stage::{AuditHead, Stage, account, has_ended};
pub use verdict::{Check, verdict};
