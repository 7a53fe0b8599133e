//! A scripted API server that keeps state: something to try Kubernetes tools on, without a cluster.
//!
//! Owns the meaning of the few requests that tools make: get, list, log, patch, scale, evict, delete, with and without
//! `dryRun=All`. resourceVersions conflict, disruption budgets hold, tokens have roles, and refusals have the shapes that
//! an API server of version 1.20 was recorded with. What a controller would do about a change is done at once. Every
//! request is in the audit log. It is no API server: no watch, no admission, no schema of any kind.

#![allow(clippy::indexing_slicing, reason = "objects are written with the fields that are set here")]

mod audit;
mod objects;
mod patch;
mod rbac;
mod refusal;
mod request;
mod server;
mod verbs;
mod workload;

pub use audit::Seen;
pub use rbac::{Role, Rule};
pub use server::{Cluster, Manner};
