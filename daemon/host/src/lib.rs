//! The sandbox of the tools: load, audit, grant, run.
//!
//! What a tool may do is the ceiling of its category's world, cut down to what its bytes import and what the operator
//! granted. This crate owns the checking of all three, the running of guests within their limits, and every host call
//! they make. It never decides *whether* a tool should run: it demands a [`medic_core::Permit`] and takes the authority
//! from there. No credential, address or file of the daemon is ever visible to a guest.
//!
//! A call's way: [`Host`] checks the permit against plugin, digest and grant → [`sandbox`](Sandbox) makes a fresh
//! instance → the guest calls a host function → the session counts it and asks the broker → the function does it, for a
//! change with an intent journalled before and a receipt after.

mod artifacts;
mod audit;
mod broker;
#[allow(
    clippy::all,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "generated from the contract"
)]
mod contract;
mod convert;
mod deed;
mod functions;
mod grant;
mod host;
mod http;
mod limits;
mod load;
mod meter;
mod plugin;
mod sandbox;
mod schema;
mod secret;
mod session;
mod shape;
mod state;
mod text;

pub use artifacts::Artifact;
pub use audit::{AuditReport, audit, emit_grant};
pub use grant::{Grant, GrantError, Grants, GrantsFileError, Profile};
pub use host::{Deps, Host, HostConfig, OpenError};
pub use limits::{LimitOverrides, Limits};
pub use load::LoadError;
pub use schema::{InputSchema, Mismatch};
pub use secret::SecretSource;
pub use shape::{Import, Shape};

#[cfg(doc)]
use sandbox::Sandbox;
