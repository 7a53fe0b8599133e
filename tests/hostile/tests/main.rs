//! The hostile corpus: each kind of attack on the sandbox is one guest with the verdict it must get, and between them an
//! honest tool is asked, which must answer as if nothing had happened.
//!
//! `files`: what must not load, and why. `calls`: what loads and misbehaves. `reach`: for every capability a guest that
//! tries to get around it; all denied, and all in the audit records. `crowd`: many at once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may be blunt"
)]

mod calls;
mod crowd;
mod files;
mod reach;
#[path = "../../../daemon/host/tests/host/support.rs"]
mod support;
