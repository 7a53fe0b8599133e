//! The store from outside: what a caller, a crash and a tamperer meet.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may be blunt"
)]

mod backup;
mod contract;
mod export;
mod groups;
mod images;
mod kill;
mod one_incident;
mod restoring;
mod retention;
mod support;
