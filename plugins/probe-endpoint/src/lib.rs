//! DIAGNOSTIC: whether an endpoint accepts connections and serves.

use medic_sdk::prelude::*;

mod logic;

use logic::Finding;

#[derive(ToolArgs)]
pub struct Args {
    /// Name of the endpoint in the grant file, such as checkout-admin; never a URL.
    #[arg(max_length = 128, pattern = "^[a-z0-9][a-z0-9._-]*$")]
    endpoint: String,
}

/// Connects to an endpoint and asks for its health: tells a machine that is gone from a process that hangs, and a process
/// that runs from one that serves.
#[diagnostic_tool(example(
    args = r#"{"endpoint":"checkout-admin"}"#,
    when = "a dependency may be unreachable"
))]
pub fn probe_endpoint(args: Args, host: &DiagnosticHost) -> ToolResult<Output> {
    let connection = host.probe().tcp(&args.endpoint, logic::CONNECT_TIMEOUT_MS)?;
    logic::check(&connection)?;
    let finding = if connection.ok {
        logic::finding(host.http().get(&args.endpoint, "/admin/health"))?
    } else {
        Finding::Unreachable(connection.detail.clone())
    };
    let summary = format!("{}: {}", args.endpoint, finding.sentence());
    Output::text(summary).data(&json!({
        "finding": finding.name(),
        "connects": connection.ok,
        "connect_us": connection.latency_us,
    }))
}

medic_sdk::export_diagnostic_tools!(probe_endpoint);
