//! Each first-party tool in the real sandbox, and every way around its grant.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may be blunt"
)]

mod changing;
mod http;
mod reading;
mod straying;
mod support;
