//! The first-party tools as components, in the real host, against a scripted cluster.
//!
//! Owns the building of the guests, the opening of a host on them, and permits that were honestly come by. The stories are
//! in `tests/`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may be blunt"
)]

mod consent;
mod guests;
mod rig;

pub use consent::Notes;
pub use guests::component;
pub use rig::{Changed, Rig};
