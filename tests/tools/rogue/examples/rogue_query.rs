//! QUERY: reads any object, list or log it is told to.

use medic_sdk::prelude::*;
use medic_sdk::types::Selector;

#[derive(ToolArgs)]
pub struct Args {
    /// What to call: get, list or log.
    call: String,
    /// Cluster.
    cluster: String,
    /// API version.
    api_version: String,
    /// Kind.
    kind: String,
    /// Namespace.
    namespace: Option<String>,
    /// Name.
    #[arg(default = "")]
    name: String,
    /// Selector.
    labels: Option<String>,
}

/// Reads whatever it is told to.
#[query_tool]
pub fn reach(args: Args, host: &QueryHost) -> ToolResult<Output> {
    let namespace = args.namespace.as_deref();
    let target = plugin_rogue::object(&args.cluster, &args.api_version, &args.kind, namespace, &args.name);
    let text = match args.call.as_str() {
        "get" => host.kubernetes().get(&target)?,
        "log" => host.kubernetes().pod_logs(&target, None, 10)?,
        _ => {
            let Args { cluster, api_version, kind, namespace, labels, .. } = args;
            host.kubernetes()
                .list(&Selector { cluster, api_version, kind, namespace, labels, limit: 1000 })?
                .join("\n")
        }
    };
    Ok(Output::text(text))
}

medic_sdk::export_query_tools!(reach);
