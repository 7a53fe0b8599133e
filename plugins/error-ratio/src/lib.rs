//! QUERY: the share of a service's requests that failed.

use medic_sdk::prelude::*;

#[derive(ToolArgs)]
pub struct Args {
    /// Service, as in the `service` label of its metrics.
    #[arg(max_length = 128)]
    service: String,
    /// How far to look back, from 1s to 30d, such as 5m.
    #[arg(default = "5m")]
    window: Window,
}

/// Share of the requests to a service that it answered with a server error (5xx), from 0 to 1.
#[query_tool(example(
    args = r#"{"service":"checkout","window":"5m"}"#,
    when = "an alert says that a service fails"
))]
pub fn error_ratio(args: Args, host: &QueryHost) -> ToolResult<Output> {
    let Args { service, window } = args;
    let answers = host.metrics().query_many(&[
        promql!(r#"sum(rate(http_requests_total{service=$service,code=~"5.."}[$window]))"#),
        promql!("sum(rate(http_requests_total{service=$service}[$window]))"),
    ]);
    let [failed, all] = <[_; 2]>::try_from(answers).map_err(|answers| {
        ToolError::upstream(
            "ANSWERS_MISSING",
            format!("asked 2 questions, the host answered {}", answers.len()),
        )
    })?;
    // No series of failures is a service without failures; no series at all is a service nobody measures.
    let (failed, all) = (failed?.optional_scalar()?.unwrap_or(0.0), all?.scalar()?);
    if failed < 0.0 || all < failed {
        return Err(ToolError::upstream(
            "RATES_CONTRADICT",
            format!("{failed} failed of {all} requests per second"),
        ));
    }
    let ratio = if all > 0.0 { failed / all } else { 0.0 };
    let summary = format!("{:.2} % of {all:.1} requests/s to {service} failed over {window}", ratio * 100.0);
    Output::text(summary).data(&json!({ "ratio": ratio, "failed_per_s": failed, "requests_per_s": all }))
}

medic_sdk::export_query_tools!(error_ratio);
