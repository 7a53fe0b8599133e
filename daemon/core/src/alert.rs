//! Alerts as Alertmanager speaks of them.

use crate::{AlertFingerprint, Component, Digest, TimestampMs};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Sorted label set. Names and values are hostile text: length and count are limited at the border.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(pub BTreeMap<String, String>);

impl Labels {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Our own, because older senders leave theirs out: the first 16 hex digits of the SHA-256 of the sorted
    /// label pairs.
    pub fn fingerprint(&self) -> AlertFingerprint {
        AlertFingerprint::new(Digest::of(&self.0).as_str().get(7..23).unwrap_or_default())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Labels {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Unknown,
    Info,
    Warning,
    Critical,
}

impl Severity {
    pub fn from_label(value: Option<&str>) -> Self {
        match value.map(str::to_ascii_lowercase).as_deref() {
            Some("critical" | "page" | "emergency" | "error") => Self::Critical,
            Some("warning" | "warn") => Self::Warning,
            Some("info" | "none") => Self::Info,
            _ => Self::Unknown,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertStatus {
    Firing,
    Resolved,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    pub fingerprint: AlertFingerprint,
    pub status: AlertStatus,
    pub labels: Labels,
    pub annotations: Labels,
    /// When the sender says it began; not the onset of the trouble, which is earlier.
    pub starts_at: TimestampMs,
    /// `None` while firing.
    pub ends_at: Option<TimestampMs>,
    /// The PromQL of the rule that fired, where the sender's generator URL carries it.
    pub expression: Option<String>,
}

impl Alert {
    pub fn name(&self) -> &str {
        self.labels.get("alertname").unwrap_or("unnamed alert")
    }
    pub fn severity(&self) -> Severity {
        Severity::from_label(self.labels.get("severity"))
    }
    /// The first of `component_labels` that the alert carries.
    pub fn component(&self, component_labels: &[String]) -> Option<Component> {
        component_labels.iter().find_map(|label| self.labels.get(label)).map(Component::from)
    }
}

/// What one delivery brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertBatch {
    /// The sender's own key of the group; empty for alerts opened by hand.
    pub group_key: String,
    pub alerts: Vec<Alert>,
    /// How many alerts of the group the sender left out: the view is partial.
    pub truncated: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_depends_on_every_pair_and_not_on_their_order() {
        let one = Labels::from([("alertname", "A"), ("service", "checkout")]);
        let same = Labels::from([("service", "checkout"), ("alertname", "A")]);
        let other = Labels::from([("alertname", "A"), ("service", "payments")]);
        let shifted = Labels::from([("alertname", "Aservice"), ("", "checkout")]);
        assert_eq!(one.fingerprint(), same.fingerprint());
        assert_ne!(one.fingerprint(), other.fingerprint());
        assert_ne!(one.fingerprint(), shifted.fingerprint());
        assert_eq!(one.fingerprint().as_str().len(), 16);
    }
}
