//! Owns query_metrics.

use medic_sdk::prelude::*;

use crate::{check, labels};

/// Series given back: more is a dashboard, not an answer.
const SERIES_SHOWN: usize = 30;
const IN_SUMMARY: usize = 5;

#[derive(ToolArgs)]
pub struct Args {
    /// A PromQL expression.
    #[arg(max_length = 2000)]
    query: String,
    /// How many minutes ago to evaluate it.
    #[arg(default = 0, max = 43200)]
    minutes_ago: u32,
}

/// The value of a PromQL expression, now or some minutes ago, for each of its series; the largest first. Values that are
/// no number are counted apart.
#[query_tool(example(
    args = r#"{"query":"sum by (service) (rate(http_requests_total{code=~\"5..\"}[5m]))"}"#,
    when = "a figure is needed that no other tool gives"
))]
pub fn query_metrics(args: Args, host: &QueryHost) -> ToolResult<Output> {
    if args.query.trim().is_empty() {
        return Err(ToolError::invalid_args("/query: is empty"));
    }
    let metrics = host.metrics();
    let answer = match args.minutes_ago {
        0 => metrics.query(&args.query)?,
        minutes => metrics
            .query_at(&args.query, host.clock().now_ms().saturating_sub(u64::from(minutes) * 60_000))?,
    };
    let all: Vec<(&Series, f64)> = answer.samples().map(|(series, sample)| (series, sample.value)).collect();
    for (series, _) in &all {
        check(std::slice::from_ref(series))?;
    }
    let (mut numbers, odd): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, value)| !value.is_nan());
    numbers.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let shown = |(series, value): &(&Series, f64)| format!("{} {value}", labels(series));
    let summary = match numbers.as_slice() {
        [] if odd.is_empty() => "no series matches".to_owned(),
        [] => format!("{} series, none of them a number", odd.len()),
        [(_, value)] if odd.is_empty() => format!("{value}"),
        several => {
            let first: Vec<String> = several.iter().take(IN_SUMMARY).map(shown).collect();
            format!("{} series: {}", several.len(), first.join("; "))
        }
    };
    let data: Vec<Value> = numbers
        .iter()
        .take(SERIES_SHOWN)
        .map(|(series, value)| json!({ "series": labels(series), "value": number(*value) }))
        .collect();
    Output::text(summary).data(&json!({ "total": numbers.len(), "not_numbers": odd.len(), "series": data }))
}

/// JSON has no infinity.
fn number(value: f64) -> Value {
    if value.is_finite() { json!(value) } else { json!(value.to_string()) }
}
