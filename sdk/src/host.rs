//! Owns the four hosts, one a category. Each reaches what the one before it reaches and more, as the worlds of the
//! contract do; what a category may not ask for is not on its host, and calling it does not compile:
//!
//! ```compile_fail
//! fn a_query_changes_nothing(host: &medic_sdk::QueryHost, grant: &medic_sdk::Grant) {
//!     let _ = host.http_change().post(grant, "checkout-admin", "/admin/restart", &[]);
//! }
//! ```
//! ```compile_fail
//! fn a_query_does_not_probe(host: &medic_sdk::QueryHost) {
//!     let _ = host.probe().tcp("checkout-admin", 500);
//! }
//! ```
//! ```compile_fail
//! fn a_remediation_deletes_nothing(host: &medic_sdk::ChangeHost, grant: &medic_sdk::Grant, step: &medic_sdk::Step) {
//!     let _ = host.http_destroy().perform(grant, step);
//! }
//! ```
//! With the host that may, the same calls do:
//!
//! ```
//! fn a_remediation_changes(host: &medic_sdk::ChangeHost, grant: &medic_sdk::Grant, step: &medic_sdk::Step) {
//!     let _ = host.http_change().perform(grant, step);
//!     let _ = host.probe().tcp("checkout-admin", 500);
//! }
//! fn a_destructive_tool_deletes(host: &medic_sdk::DestroyHost, grant: &medic_sdk::Grant, step: &medic_sdk::Step) {
//!     let _ = host.http_destroy().perform(grant, step);
//! }
//! ```
//! A grant has no constructor in a component; the host lends it to `apply` and `revert` alone.

mod ambient;
mod changes;
mod http;
mod kubernetes;
mod logs;
mod metrics;
mod probes;

use std::ops::Deref;

use crate::sys::Handle;
use crate::types::CallContext;

pub use ambient::{Artifacts, Clock, Knowledge, Log, State};
pub use changes::{HttpChange, HttpDestroy, KubernetesChange, KubernetesDestroy};
pub use http::Http;
pub use kubernetes::Kubernetes;
pub use logs::Logs;
pub use metrics::{Metrics, Vector};
pub use probes::Probe;

/// What a QUERY tool may ask for: reads, and what is always there.
pub struct QueryHost {
    handle: Handle,
    call: CallContext,
}

/// What a DIAGNOSTIC tool may ask for: a query's reads, and active probes.
pub struct DiagnosticHost(QueryHost);

/// What a REMEDIATION tool may ask for while it holds a grant: also changes that can be undone.
pub struct ChangeHost(DiagnosticHost);

/// What a DESTRUCTIVE tool may ask for while it holds a grant: also what cannot be undone.
pub struct DestroyHost(ChangeHost);

/// A host as one call of a tool meets it.
pub trait Host: Sized {
    /// Binds a way out to one call.
    #[doc(hidden)]
    fn bind(handle: Handle, call: CallContext) -> Self;
}

impl Host for QueryHost {
    fn bind(handle: Handle, call: CallContext) -> Self {
        Self { handle, call }
    }
}

macro_rules! reaches_further {
    ($($host:ident: $inner:ident),+) => { $(
        impl Host for $host {
            fn bind(handle: Handle, call: CallContext) -> Self {
                Self($inner::bind(handle, call))
            }
        }

        impl Deref for $host {
            type Target = $inner;

            fn deref(&self) -> &$inner {
                &self.0
            }
        }
    )+ };
}
reaches_further!(DiagnosticHost: QueryHost, ChangeHost: DiagnosticHost, DestroyHost: ChangeHost);

impl QueryHost {
    /// The incident, the call and the attempt this call belongs to.
    pub fn call(&self) -> &CallContext {
        &self.call
    }

    /// The tool's log lines and its progress.
    pub fn log(&self) -> Log<'_> {
        Log(&self.handle)
    }

    /// The time, and what is left of it.
    pub fn clock(&self) -> Clock<'_> {
        Clock(&self.handle)
    }

    /// What this tool wants to remember between calls.
    pub fn state(&self) -> State<'_> {
        State(&self.handle)
    }

    /// Where large output goes.
    pub fn artifacts(&self) -> Artifacts<'_> {
        Artifacts(&self.handle)
    }

    /// PromQL.
    pub fn metrics(&self) -> Metrics<'_> {
        Metrics(&self.handle)
    }

    /// Log lines.
    pub fn logs(&self) -> Logs<'_> {
        Logs(&self.handle)
    }

    /// Kubernetes objects; never a Secret.
    pub fn kubernetes(&self) -> Kubernetes<'_> {
        Kubernetes(&self.handle)
    }

    /// GET and HEAD on an endpoint that the grant names.
    pub fn http(&self) -> Http<'_> {
        Http(&self.handle)
    }

    /// Runbooks and past incidents.
    pub fn knowledge(&self) -> Knowledge<'_> {
        Knowledge(&self.handle)
    }
}

impl DiagnosticHost {
    /// Connects, and looks what answers.
    pub fn probe(&self) -> Probe<'_> {
        Probe(&self.0.handle)
    }
}

impl ChangeHost {
    /// Changes of Kubernetes objects that can be undone.
    pub fn kubernetes_change(&self) -> KubernetesChange<'_> {
        KubernetesChange(&self.handle)
    }

    /// POST, PUT and PATCH on an endpoint that the grant names.
    pub fn http_change(&self) -> HttpChange<'_> {
        HttpChange(&self.handle)
    }
}

impl DestroyHost {
    /// Deletion and eviction.
    pub fn kubernetes_destroy(&self) -> KubernetesDestroy<'_> {
        KubernetesDestroy(&self.handle)
    }

    /// DELETE on an endpoint that the grant names.
    pub fn http_destroy(&self) -> HttpDestroy<'_> {
        HttpDestroy(&self.handle)
    }
}
