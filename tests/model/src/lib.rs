#![doc = include_str!("../README.md")]

mod executor;
pub mod laws;
mod model;
mod nouns;
mod outside;
mod set;
mod setup;
mod state;
mod supervisor;
mod tidy;

pub use model::Protocol;
pub use setup::{Endpoint, Faults, Mutant, Setup};
pub use state::{Action, Move, State};
