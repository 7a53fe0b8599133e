//! Write a Medic tool without seeing WIT.
//!
//! A tool that reads is a function:
//!
//! ```
//! use medic_sdk::prelude::*;
//!
//! #[derive(ToolArgs)]
//! struct Args {
//!     /// Service, as in the `service` label of its metrics.
//!     service: String,
//!     /// How far to look back, such as 5m.
//!     #[arg(default = "5m")]
//!     window: Window,
//! }
//!
//! /// Requests per second that a service answers.
//! #[query_tool]
//! fn request_rate(args: Args, host: &QueryHost) -> ToolResult<Output> {
//!     let expr = promql!("sum(rate(http_requests_total{service=$service}[$window]))", service = args.service, window = args.window);
//!     let rate = host.metrics().query(&expr)?.scalar()?;
//!     Output::text(format!("{rate:.1} requests per second")).data(&json!({ "rate": rate }))
//! }
//!
//! medic_sdk::export_query_tools!(request_rate);
//! ```
//!
//! What a model could not call does not compile: arguments without description, with data in an enum, nested too deep, or
//! of a type that has no place in the schema.
//!
//! ```compile_fail
//! #[derive(medic_sdk::ToolArgs)]
//! struct Args { service: String }
//! ```
//! ```compile_fail
//! #[derive(medic_sdk::ToolArgs)]
//! enum Target { Service(String), Everything }
//! ```
//! ```compile_fail
//! #[derive(medic_sdk::ToolArgs)]
//! struct Args {
//!     /// A map has no fixed properties.
//!     labels: std::collections::BTreeMap<String, String>,
//! }
//! ```
//! ```compile_fail
//! use medic_sdk::ToolArgs;
//! /** One. */ #[derive(ToolArgs)] struct One { /** Down. */ two: Two }
//! #[derive(ToolArgs)] struct Two { /** Down. */ three: Three }
//! #[derive(ToolArgs)] struct Three { /** Down. */ four: Four }
//! #[derive(ToolArgs)] struct Four { /** Too deep. */ leaf: String }
//! ```
//! ```compile_fail
//! use medic_sdk::prelude::*;
//! #[derive(ToolArgs)]
//! struct Args {}
//! #[query_tool]
//! fn without_a_doc_comment(_: Args, _: &QueryHost) -> ToolResult<Output> { Ok(Output::text("")) }
//! ```
//! And a quoted placeholder does not either: it would quote twice, or not at all.
//!
//! ```compile_fail
//! let service = "checkout";
//! medic_sdk::promql!(r#"up{service="$service"}"#);
//! ```
//!
//! A tool that changes something is a struct with a lifecycle: see [`Remediation`] and [`Destructive`].
//!
//! What a tool may do is its category, and its category is what it exports: each category has its own host type, and the
//! component imports only the host functions that its code reaches. Tested natively with `medic-sdk-testkit`, built with
//! `cargo build --target wasm32-unknown-unknown --profile guest`, made a component with `medic-componentize`.

// The macros name the crate from outside, also when they are used inside it.
extern crate self as medic_sdk;

pub mod args;
mod bindings;
pub mod catalog;
pub mod error;
mod export;
mod grant;
pub mod host;
pub mod kubernetes;
mod output;
pub mod plan;
pub mod promql;
pub mod run;
pub mod sys;
pub mod target;
pub mod tool;
pub mod types;

pub use error::ToolResult;
pub use grant::Grant;
#[cfg(not(target_family = "wasm"))]
pub use grant::ScriptedGrant;
pub use host::{ChangeHost, DestroyHost, DiagnosticHost, QueryHost};
pub use medic_sdk_macros::{Tool, ToolArgs, diagnostic_tool, promql, query_tool};
pub use plan::{Change, Plan, Saved};
pub use serde;
pub use serde_json::{self, Value, json};
pub use target::{HttpDeletion, HttpTarget};
pub use tool::{Destructive, Remediation};
pub use types::{
    ChangePlan, HostError, Output, Receipt, ResourceRef, SnapshotItem, Step, StepReport, ToolError, Verdict,
};

/// All that a tool usually names.
pub mod prelude {
    pub use crate::args::{ObjectName, ServiceName, Window};
    pub use crate::host::Vector;
    pub use crate::types::{
        Attr, Health, HostErrorKind, HttpResponse, LogEntry, ProbeOutcome, Series, TimeRange, ToolErrorKind,
    };
    pub use crate::{
        Change, ChangeHost, ChangePlan, DestroyHost, Destructive, DiagnosticHost, Grant, HostError,
        HttpDeletion, HttpTarget, Output, Plan, QueryHost, Receipt, Remediation, ResourceRef, Saved,
        SnapshotItem, Step, StepReport, Tool, ToolArgs, ToolError, ToolResult, Value, Verdict,
        diagnostic_tool, json, promql, query_tool,
    };
}

/// What the export macros and the generated code name; no part of the interface.
#[doc(hidden)]
pub mod __private {
    #[cfg(target_family = "wasm")]
    pub use crate::bindings::imports::medic::host::change::Grant;
    #[cfg(target_family = "wasm")]
    pub use crate::bindings::{catalog, destructive, diagnostic, query, remediation};
    #[cfg(target_family = "wasm")]
    pub use crate::export::log_panics;
    pub use wit_bindgen::rt;

    #[cfg(target_family = "wasm")]
    pub fn host() -> crate::sys::Handle {
        crate::sys::Handle::of_component()
    }

    #[cfg(target_family = "wasm")]
    pub fn lent(grant: &Grant) -> crate::Grant<'_> {
        crate::Grant::lent(grant)
    }
}
