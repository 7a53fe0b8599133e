//! Owns get_pod_logs.

use medic_sdk::kubernetes::resource;
use medic_sdk::prelude::*;

use crate::plain;

/// Lines given back as data; all of them are in the artifact.
const LINES_SHOWN: usize = 50;
const LINE_CHARS: usize = 500;
const EXCERPT_CHARS: usize = 160;

#[derive(ToolArgs)]
pub struct Args {
    /// Cluster, by its name in the grant file.
    cluster: ServiceName,
    /// Namespace of the pod.
    namespace: ObjectName,
    /// Pod whose log to read.
    pod: ObjectName,
    /// Container of the pod; needed where it has several.
    container: Option<ObjectName>,
    /// How many of its last lines.
    #[arg(default = 200, min = 1, max = 5000)]
    lines: u32,
}

/// The last lines that a pod wrote. The last fifty come back as data; where there are more, all are kept as an artifact.
#[query_tool(example(
    args = r#"{"cluster":"prod-eu","namespace":"shop","pod":"checkout-6c959dc85d-vxxff","lines":200}"#,
    when = "a pod restarts or answers errors, and its own words are needed"
))]
pub fn get_pod_logs(args: Args, host: &QueryHost) -> ToolResult<Output> {
    let pod = resource(args.cluster.as_str(), "v1", "Pod", Some(args.namespace.as_str()), args.pod.as_str());
    let container = args.container.as_ref().map(ObjectName::as_str);
    let text = host.kubernetes().pod_logs(&pod, container, args.lines)?;
    if text.contains('\0') {
        return Err(ToolError::upstream("LOG_MALFORMED", "what was answered is no text"));
    }
    let lines: Vec<&str> = text.lines().collect();
    let shown = lines.iter().skip(lines.len().saturating_sub(LINES_SHOWN));
    let shown: Vec<String> = shown.map(|line| plain(line, LINE_CHARS)).collect();
    let summary = match lines.last() {
        None => format!("{} has written nothing", args.pod),
        Some(last) => {
            format!("{} lines of {}; the last: {}", lines.len(), args.pod, plain(last, EXCERPT_CHARS))
        }
    };
    let output = Output::text(summary).data(&json!({ "total": lines.len(), "lines": shown }))?;
    if lines.len() <= LINES_SHOWN {
        return Ok(output);
    }
    let whole: String = lines.iter().map(|line| format!("{}\n", plain(line, LINE_CHARS))).collect();
    Ok(output.artifact(host.artifacts().put("pod.log", "text/plain", whole.as_bytes())?))
}
