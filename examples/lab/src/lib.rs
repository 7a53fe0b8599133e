//! A small shop to break and heal, with a real Prometheus and Alertmanager beside it.
//!
//! Five services, one process each, call one another over loopback; a load generator keeps them busy; a keeper starts
//! what exits. [`Lab::start`] brings all of it up, [`Lab::inject`] breaks it, and the services' admin API is how it
//! is healed. Dropping the [`Lab`] ends every process.
//!
//! Owns: the shop's behaviour, its faults, its metrics, logs and alert rules. It never listens off loopback, never
//! changes anything outside its own directory, and knows nothing of who heals it.

// The lab is a world of its own, with real clocks and real processes: the bans that keep a daemon's clock and
// processes behind ports have no meaning here.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::indexing_slicing, reason = "a JSON value answers an unknown key with null")]

pub mod fault;
pub mod keeper;
mod lab;
pub mod load;
mod observe;
mod plan;
mod probe;
mod rng;
pub mod service;
pub mod tether;
pub mod topology;
mod whole_file;

pub use fault::Fault;
pub use lab::{Lab, LabOptions, Remote};
pub use plan::{KeeperState, Plan};
pub use probe::Probe;
pub use service::state::Operation;
pub use topology::Service;

/// Installs the process's TLS provider, without which the HTTP client refuses to be built. A second call does nothing.
pub fn install_tls_provider() {
    // An error here means that a provider is there already, which is what is wanted.
    let _already_there = rustls::crypto::ring::default_provider().install_default();
}
