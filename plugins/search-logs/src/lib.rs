//! QUERY: log lines that match a query.

use medic_sdk::prelude::*;

mod logic;

#[derive(ToolArgs)]
pub struct Args {
    /// What to look for, in the query language of the log source; plain words match lines that contain them.
    #[arg(max_length = 512)]
    query: String,
    /// How many minutes to look back.
    #[arg(default = 15, min = 1, max = 1440)]
    minutes: u32,
}

/// Log lines that match a query, newest first. The newest fifty come back as data; when there are more, all that were
/// found (at most a thousand) are kept as an artifact.
#[query_tool(example(
    args = r#"{"query":"timeout","minutes":10}"#,
    when = "an error rate rises and the cause is unknown"
))]
pub fn search_logs(args: Args, host: &QueryHost) -> ToolResult<Output> {
    if args.query.trim().is_empty() {
        return Err(ToolError::invalid_args("/query: is empty"));
    }
    let range = logic::range_before(host.clock().now_ms(), args.minutes);
    let entries = host.logs().search(&args.query, range, logic::ENTRIES_MAX)?;
    logic::check(&entries, range)?;

    let mut output = Output::text(logic::summary(&entries, args.minutes)).data(&logic::data(&entries))?;
    if entries.len() > logic::ENTRIES_SHOWN {
        let reference = host.artifacts().put("lines.txt", "text/plain", logic::text(&entries).as_bytes())?;
        output = output.artifact(reference);
    }
    Ok(output)
}

medic_sdk::export_query_tools!(search_logs);
