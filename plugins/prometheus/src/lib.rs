//! QUERY: PromQL, at one time or compared over two windows.

mod compare;
mod query;

pub use compare::compare_windows;
pub use query::query_metrics;

use medic_sdk::prelude::*;

medic_sdk::export_query_tools!(query_metrics, compare_windows);

/// `{service="checkout",code="500"}`, as Prometheus writes it.
fn labels(series: &Series) -> String {
    let pairs: Vec<String> = series
        .labels
        .iter()
        .map(|label| format!("{}={:?}", label.name, label.value.chars().take(100).collect::<String>()))
        .collect();
    format!("{{{}}}", pairs.join(","))
}

/// Refuses what no metrics server answers: names that are none mean that the answer was not understood.
fn check(series: &[Series]) -> ToolResult<()> {
    let malformed = series.iter().flat_map(|series| &series.labels).any(|label| label.name.is_empty());
    match malformed {
        true => Err(ToolError::upstream("SERIES_MALFORMED", "a series has a label without a name")),
        false => Ok(()),
    }
}
