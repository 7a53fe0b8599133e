//! Owns dns_lookup.

use std::net::IpAddr;

use medic_sdk::prelude::*;

/// Addresses given back: a name behind more is a load balancer, and the first tell as much.
const ADDRESSES_SHOWN: usize = 32;

#[derive(ToolArgs)]
pub struct Args {
    /// Name of an endpoint in the grant file, or the host name of one.
    #[arg(max_length = 253, pattern = "^[a-zA-Z0-9][a-zA-Z0-9._-]*$")]
    name: String,
}

/// Addresses that a name of a granted endpoint resolves to, as the daemon's machine sees it. That it does not resolve is
/// a finding, not an error.
#[diagnostic_tool(example(
    args = r#"{"name":"checkout-admin"}"#,
    when = "a service cannot be reached, and its name may resolve to nothing or to the wrong place"
))]
pub fn dns_lookup(args: Args, host: &DiagnosticHost) -> ToolResult<Output> {
    let found = match host.probe().dns(&args.name) {
        Ok(found) => found,
        Err(HostError { kind: HostErrorKind::NotFound, message, .. }) => {
            let summary = format!("{} does not resolve: {}", args.name, crate::plain(&message, 200));
            return Output::text(summary).data(&json!({ "resolves": false, "addresses": [] }));
        }
        Err(error) => return Err(error.into()),
    };
    let mut addresses = found
        .iter()
        .map(|text| text.parse::<IpAddr>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| ToolError::upstream("ADDRESS_MALFORMED", "what was answered is no address"))?;
    addresses.sort_unstable();
    addresses.dedup();
    let shown: Vec<String> = addresses.iter().take(ADDRESSES_SHOWN).map(ToString::to_string).collect();
    let summary = match shown.as_slice() {
        [] => format!("{} resolves to no address", args.name),
        shown => format!("{} resolves to {}", args.name, shown.join(", ")),
    };
    Output::text(summary)
        .data(&json!({ "resolves": !addresses.is_empty(), "total": addresses.len(), "addresses": shown }))
}
