//! medicd: the daemon.
//!
//! The composition root: it reads the configuration, makes every concrete thing, joins them and takes them down in order.
//! Never decides about an incident (core), never runs one (agents), never stores one (store). Tests start it in-process by
//! [`Daemon::start`], the binary does the same.

pub mod adapters;
pub mod api;
pub mod config;
mod daemon;
mod wiring;

pub use config::{Config, ConfigError};
pub use daemon::{Daemon, Ending, StartError, Stopper};
pub use wiring::check_files;
