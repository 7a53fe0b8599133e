//! What kinds of cause there are, how each shows itself, and what treats it. Configuration, not code: another system's
//! operators write their own file.

mod survey;

pub use survey::Survey;

use medic_core::evidence::Bearing;
use medic_core::{Component, ToolName};
use regex::Regex;
use serde::Deserialize;
use std::collections::BTreeMap;
use thiserror::Error;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taxonomy {
    /// PromQL whose result series carry `caller_label` and `callee_label`: who calls whom.
    #[serde(default)]
    pub edges: Vec<EdgeQuery>,
    /// Edges known without asking, as `[caller, callee]`.
    #[serde(default)]
    pub static_edges: Vec<(String, String)>,
    /// What is looked at beside the indicators, to find where trouble began.
    #[serde(default)]
    pub survey: Survey,
    #[serde(rename = "category", default)]
    pub categories: Vec<Category>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeQuery {
    pub promql: String,
    pub caller_label: String,
    pub callee_label: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// `memory-leak`.
    pub name: String,
    /// A sentence with `{component}` in it.
    pub statement: String,
    #[serde(rename = "indicator", default)]
    pub indicators: Vec<Indicator>,
    #[serde(rename = "log", default)]
    pub logs: Vec<LogIndicator>,
    #[serde(rename = "alert", default)]
    pub alerts: Vec<AlertIndicator>,
    /// A way of failing rather than a reason for it, such as being slow: where a component shows a specific category, it
    /// counts there as a symptom.
    #[serde(default)]
    pub generic: bool,
    pub remedy: Option<Remedy>,
}

/// A way a category shows itself in metrics.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Indicator {
    pub name: String,
    /// A range query whose result series carry `component_label`.
    pub promql: String,
    #[serde(default = "service_label")]
    pub component_label: String,
    pub shape: Shape,
    pub bearing: Bearing,
    /// How telling it is when it shows, in `[0, 1]`.
    pub weight: f64,
}

/// What to look for in a series. All but `above` are free of scale.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "snake_case")]
pub enum Shape {
    /// A lasting shift upwards.
    Rise,
    Fall,
    /// Steady growth over the window.
    Growth,
    /// The value changed at all, as a revision counter does.
    Changed,
    /// The last values lie above this: for ratios, whose scale is known.
    Above {
        threshold: f64,
    },
}

/// A way a category shows itself in log lines.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogIndicator {
    pub name: String,
    /// A regular expression over the message; a named group `component` moves the blame to what it captured.
    #[serde(with = "pattern")]
    pub pattern: Regex,
    pub bearing: Bearing,
    pub weight: f64,
}

/// An alert whose very name tells the category: somebody wrote a rule for it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertIndicator {
    /// A regular expression over the alert's name.
    #[serde(with = "pattern")]
    pub pattern: Regex,
    pub weight: f64,
}

/// What treats a category.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remedy {
    pub tool: ToolName,
    /// `{component}` is replaced in text values.
    #[serde(default)]
    pub args: BTreeMap<String, toml::Value>,
    /// PromQL with `{component}`; each must give at least one sample, all of value 1. Beside the alerts' own expressions.
    #[serde(default)]
    pub verify: Vec<String>,
    #[serde(default = "settle_ms")]
    pub settle_ms: u64,
    #[serde(default = "hold_ms")]
    pub hold_ms: u64,
    #[serde(default = "deadline_ms")]
    pub deadline_ms: u64,
}

fn service_label() -> String {
    "service".to_owned()
}
/// 5 s: one or two scrapes at common intervals.
fn settle_ms() -> u64 {
    5_000
}
/// 10 s without interruption: a single good sample proves nothing.
fn hold_ms() -> u64 {
    10_000
}
/// 3 min: `for:` of common rules plus their rate windows.
fn deadline_ms() -> u64 {
    180_000
}

mod pattern {
    use serde::{Deserialize, Deserializer, de};

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<regex::Regex, D::Error> {
        let text = String::deserialize(deserializer)?;
        // Linear-time by construction; the size limit bounds what a configuration may ask for.
        regex::RegexBuilder::new(&text)
            .case_insensitive(true)
            .size_limit(1 << 20)
            .build()
            .map_err(de::Error::custom)
    }
}

#[derive(Debug, Error)]
pub enum TaxonomyError {
    #[error("cannot read the taxonomy: {0}")]
    Syntax(#[from] toml::de::Error),
    #[error("the taxonomy names category {0} twice")]
    Twice(String),
    #[error("weight {weight} of {indicator} in category {category} is not in [0, 1]")]
    Weight { category: String, indicator: String, weight: f64 },
}

/// The categories of common service faults over common metric names; see the file for which.
pub const DEFAULT: &str = include_str!("taxonomy/default.toml");

impl Taxonomy {
    /// # Errors
    /// [`TaxonomyError`] naming the line or the category.
    pub fn parse(text: &str) -> Result<Self, TaxonomyError> {
        let taxonomy: Self = toml::from_str(text)?;
        let mut seen = std::collections::BTreeSet::new();
        for category in &taxonomy.categories {
            if !seen.insert(&category.name) {
                return Err(TaxonomyError::Twice(category.name.clone()));
            }
            let weights = category.indicators.iter().map(|i| (&i.name, i.weight));
            let logs = category.logs.iter().map(|log| (&log.name, log.weight));
            let alerts = category.alerts.iter().map(|alert| (&category.name, alert.weight));
            for (indicator, weight) in weights.chain(logs).chain(alerts) {
                if !(0.0..=1.0).contains(&weight) {
                    return Err(TaxonomyError::Weight {
                        category: category.name.clone(),
                        indicator: indicator.clone(),
                        weight,
                    });
                }
            }
        }
        Ok(taxonomy)
    }

    /// The category that an alert's name tells, and how strongly.
    pub fn of_alert(&self, name: &str) -> Option<(&Category, f64)> {
        self.categories.iter().find_map(|category| {
            let told = category.alerts.iter().find(|alert| alert.pattern.is_match(name))?;
            Some((category, told.weight))
        })
    }

    pub fn category(&self, name: &str) -> Option<&Category> {
        self.categories.iter().find(|category| category.name == name)
    }
}

impl Category {
    pub fn statement_for(&self, component: &Component) -> String {
        self.statement.replace("{component}", component.as_str())
    }
}

impl Remedy {
    /// Arguments as canonical JSON text.
    pub fn args_json(&self, component: &Component) -> String {
        let fill = |value: &toml::Value| match value {
            toml::Value::String(text) => {
                serde_json::Value::String(text.replace("{component}", component.as_str()))
            }
            other => serde_json::to_value(other).unwrap_or_default(),
        };
        let args: BTreeMap<&String, serde_json::Value> =
            self.args.iter().map(|(name, value)| (name, fill(value))).collect();
        serde_json::to_string(&args).unwrap_or_default()
    }

    pub fn checks(&self, component: &Component) -> Vec<String> {
        // Inside a PromQL string literal a component's name must not end the literal.
        let escaped = component.as_str().replace('\\', "\\\\").replace('"', "\\\"");
        self.verify.iter().map(|check| check.replace("{component}", &escaped)).collect()
    }
}
