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
mod breaker;
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
mod kube;
mod limits;
mod load;
mod lock;
mod meter;
mod plugin;
mod sandbox;
mod schema;
mod secret;
mod session;
mod shape;
mod signature;
mod state;
mod survey;
mod text;

pub use artifacts::Artifact;
pub use audit::{AuditReport, audit, diff, emit_grant, explain, sarif};
pub use grant::{Grant, GrantError, Grants, GrantsFileError, Profile};
pub use host::{Deps, Host, HostConfig, OpenError};
pub use limits::{LimitOverrides, Limits};
pub use load::{Compiler, LoadError, compile_for_parent, plugin_name, read_component};
pub use lock::{Difference, Lock, LockError, Locked};
pub use schema::{InputSchema, Mismatch};
pub use secret::SecretSource;
pub use shape::{Import, Shape};
pub use signature::{beside as signature_beside, sign, verify as verify_signature};
pub use state::{JournalState, MemoryState, Owner, StateError, StateStore};
pub use survey::{InstallError, Installed, Survey, artifact, install, survey};

#[cfg(doc)]
use sandbox::Sandbox;
