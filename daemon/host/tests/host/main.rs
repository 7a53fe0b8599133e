//! The host against guests that are honest, clumsy or hostile, through its public face alone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may be blunt"
)]

mod changing;
mod contract;
mod keeping;
mod limits;
mod loading;
mod reading;
mod support;
