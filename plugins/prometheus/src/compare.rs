//! Owns compare_windows.

use std::collections::BTreeMap;

use medic_sdk::prelude::*;

use crate::{check, labels};

/// Points in each window: enough for a mean and a peak.
const POINTS: u64 = 60;
const SERIES_SHOWN: usize = 20;
const STEP_MS_MIN: u64 = 1_000;

#[derive(ToolArgs)]
pub struct Args {
    /// A PromQL expression that has a value at each time, such as a rate.
    #[arg(max_length = 2000)]
    query: String,
    /// Length of both windows; the later one ends now.
    #[arg(default = "15m")]
    window: Window,
    /// How long before the later window the earlier one is. One day finds what is unusual for the hour.
    #[arg(default = "1h")]
    before: Window,
}

/// Compares an expression over the last minutes with the same length of time earlier: mean and peak of each series in
/// both windows, the largest change first. Series that came or went are told as such.
#[query_tool(example(
    args = r#"{"query":"sum by (service) (rate(http_requests_total[1m]))","window":"15m","before":"1d"}"#,
    when = "something is different from before, and it is not known what"
))]
pub fn compare_windows(args: Args, host: &QueryHost) -> ToolResult<Output> {
    if args.query.trim().is_empty() {
        return Err(ToolError::invalid_args("/query: is empty"));
    }
    let (length, before) = (args.window.as_millis(), args.before.as_millis());
    let end = host.clock().now_ms();
    let range = |end_ms: u64| TimeRange { start_ms: end_ms.saturating_sub(length), end_ms };
    let step = (length / POINTS).max(STEP_MS_MIN);
    let metrics = host.metrics();
    let later = metrics.query_range(&args.query, range(end), step)?;
    let earlier = metrics.query_range(&args.query, range(end.saturating_sub(before)), step)?;
    check(&later)?;
    check(&earlier)?;
    let (later, earlier) = (figures(&later), figures(&earlier));
    let mut changes: Vec<Change> = later
        .keys()
        .chain(earlier.keys().filter(|name| !later.contains_key(*name)))
        .map(|name| Change {
            name: name.clone(),
            earlier: earlier.get(name).copied(),
            later: later.get(name).copied(),
        })
        .collect();
    changes.sort_by(|a, b| b.weight().total_cmp(&a.weight()));
    let summary = match changes.first() {
        None => "no series matches in either window".to_owned(),
        Some(first) => format!("{} series; most changed: {}", changes.len(), first.words()),
    };
    let shown: Vec<Value> = changes.iter().take(SERIES_SHOWN).map(Change::data).collect();
    Output::text(summary).data(&json!({ "total": changes.len(), "step_ms": step, "series": shown }))
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Figures {
    mean: f64,
    peak: f64,
}

struct Change {
    name: String,
    earlier: Option<Figures>,
    later: Option<Figures>,
}

/// Of each series that has a finite value in the window.
fn figures(all: &[Series]) -> BTreeMap<String, Figures> {
    let of = |series: &Series| {
        let values: Vec<f64> =
            series.samples.iter().map(|sample| sample.value).filter(|v| v.is_finite()).collect();
        if values.is_empty() {
            return None;
        }
        #[allow(clippy::cast_precision_loss, reason = "a window has some sixty points")]
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let peak = values.iter().copied().fold(f64::MIN, f64::max);
        Some((labels(series), Figures { mean, peak }))
    };
    all.iter().filter_map(of).collect()
}

impl Change {
    /// By how much the mean changed, relative to the larger of the two: 0 not at all, 1 as much as can be. Series that
    /// came or went weigh most.
    fn weight(&self) -> f64 {
        match (self.earlier, self.later) {
            (Some(earlier), Some(later)) => {
                let larger = earlier.mean.abs().max(later.mean.abs());
                if larger > 0.0 { (later.mean - earlier.mean).abs() / larger } else { 0.0 }
            }
            _ => 2.0,
        }
    }

    fn words(&self) -> String {
        match (self.earlier, self.later) {
            (Some(earlier), Some(later)) => {
                format!(
                    "{} from {:.4} to {:.4} (peak {:.4})",
                    self.name, earlier.mean, later.mean, later.peak
                )
            }
            (None, Some(later)) => format!("{} is new, with {:.4}", self.name, later.mean),
            _ => format!("{} is gone", self.name),
        }
    }

    fn data(&self) -> Value {
        let figures = |figures: Option<Figures>| figures.map(|f| json!({ "mean": f.mean, "peak": f.peak }));
        json!({ "series": self.name, "earlier": figures(self.earlier), "later": figures(self.later) })
    }
}
