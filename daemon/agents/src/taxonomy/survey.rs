//! What may be looked at, beside the indicators, to find where trouble began.

use serde::Deserialize;

/// Which raw series are gathered around an incident, and what that may cost.
///
/// The defaults suit a Prometheus of some hundred services; `series_max = 0` switches the survey off.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Survey {
    /// Labels that name a component, or the far end of a call, on raw series. The first that a metric carries counts. What
    /// the grouping calls component labels, and labels of the alerts that are commonly used so, are looked for too.
    pub labels: Vec<String>,
    /// Matchers that narrow every selector: `namespace="shop",env="live"`. Empty: none.
    pub matchers: String,
    /// Before the first alert. 60 min: alerts come up to a quarter of an hour late, and three times as much is needed to
    /// know what is usual.
    pub lookback_ms: u64,
    /// Series of one incident. 2,000: a hundred components with twenty each.
    pub series_max: u64,
    /// Series of one metric; more are summed up over the labels that multiply them. 400: a hundred components with four
    /// status codes each.
    pub series_per_metric_max: u64,
    /// Samples of one incident. 1,000,000: 16 MB here, and some 25 MB on the way.
    pub points_max: u64,
    /// How far apart samples lie; 0 finds out.
    pub resolution_ms: u64,
}

impl Default for Survey {
    fn default() -> Self {
        let labels = [
            "service",
            "service_name",
            "destination_workload",
            "destination_service_name",
            "callee",
            "server",
            "app",
            "workload",
            "deployment",
            "component",
            "pod",
            "container",
        ];
        Self {
            labels: labels.map(str::to_owned).to_vec(),
            matchers: String::new(),
            lookback_ms: 60 * 60 * 1000,
            series_max: 2_000,
            series_per_metric_max: 400,
            points_max: 1_000_000,
            resolution_ms: 0,
        }
    }
}
