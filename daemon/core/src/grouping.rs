//! Which incident an alert belongs to. Pure: what is remembered of episodes and groups comes in, the decision goes out.
//!
//! An *episode* is one uninterrupted firing of one alert: the pair (fingerprint, startsAt). The same episode delivered
//! again is a heartbeat; a new startsAt is a new episode, also of an alert whose last incident is closed.

use crate::{Alert, AlertFingerprint, AlertStatus, IncidentId, TimestampMs};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GroupingPolicy {
    /// Alerts that agree on all of these labels belong together; an alert that lacks one of them is grouped by the
    /// sender's own group key.
    pub group_labels: Vec<String>,
    /// An alert joins a live incident of its group while the last one joined less than this ago. 10 min: longer than
    /// Alertmanager's default group_interval (5 min), short enough that unrelated trouble gets its own incident.
    pub join_window_ms: u64,
    /// Labels that name the component of an alert, most telling first.
    pub component_labels: Vec<String>,
}

impl Default for GroupingPolicy {
    fn default() -> Self {
        let labels = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            group_labels: labels(&["cluster"]),
            join_window_ms: 10 * 60 * 1000,
            component_labels: labels(&["service", "app", "deployment", "job"]),
        }
    }
}

impl GroupingPolicy {
    /// Key of the group `alert` falls into.
    pub fn group_of(&self, alert: &Alert, sender_group: &str) -> String {
        let values: Option<Vec<String>> = self
            .group_labels
            .iter()
            .map(|label| alert.labels.get(label).map(|value| format!("{label}={value:?}")))
            .collect();
        match values {
            Some(values) if !values.is_empty() => values.join(","),
            _ if sender_group.is_empty() => format!("alert={}", alert.fingerprint),
            _ => format!("sender={sender_group}"),
        }
    }
}

/// The last known episode of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episode {
    pub fingerprint: AlertFingerprint,
    pub starts_at: TimestampMs,
    pub status: AlertStatus,
    pub incident: IncidentId,
    pub repeats: u64,
}

/// The incident that a group's next alert would join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenGroup {
    pub incident: IncidentId,
    pub last_joined_at: TimestampMs,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Known: count it.
    Repeat(IncidentId),
    /// A new episode that belongs to a live incident.
    Join(IncidentId),
    /// A new episode, and nothing live to join.
    Open,
    /// The firing episode of this incident has ended.
    Resolve(IncidentId),
    /// A resolved message about nothing known, or about an episode already over.
    Stale,
}

/// `group`: only when its incident is not terminal. `displaced`: the alert's incident closed before it could join.
pub fn place(
    alert: &Alert,
    episode: Option<&Episode>,
    group: Option<&OpenGroup>,
    displaced: bool,
    now: TimestampMs,
    policy: &GroupingPolicy,
) -> Placement {
    let same_episode = episode.filter(|known| known.starts_at == alert.starts_at);
    match alert.status {
        AlertStatus::Firing => {
            if let Some(known) = same_episode
                && !displaced
            {
                return Placement::Repeat(known.incident.clone());
            }
            // Older than what is known: a delivery that was overtaken by a later one.
            if let Some(known) = episode
                && alert.starts_at < known.starts_at
                && !displaced
            {
                return Placement::Repeat(known.incident.clone());
            }
            match group {
                Some(open) if now.since_ms(open.last_joined_at) < policy.join_window_ms => {
                    Placement::Join(open.incident.clone())
                }
                _ => Placement::Open,
            }
        }
        AlertStatus::Resolved => match same_episode {
            Some(known) if known.status == AlertStatus::Firing => Placement::Resolve(known.incident.clone()),
            _ => Placement::Stale,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Labels;

    fn alert(status: AlertStatus, starts_at: u64) -> Alert {
        let labels = Labels::from([("alertname", "A"), ("cluster", "lab")]);
        Alert {
            fingerprint: labels.fingerprint(),
            status,
            labels,
            annotations: Labels::default(),
            starts_at: TimestampMs(starts_at),
            ends_at: None,
            expression: None,
        }
    }
    fn episode(status: AlertStatus, starts_at: u64) -> Episode {
        Episode {
            fingerprint: alert(status, 0).fingerprint,
            starts_at: TimestampMs(starts_at),
            status,
            incident: "known".into(),
            repeats: 0,
        }
    }
    fn open_group(at: u64) -> OpenGroup {
        OpenGroup { incident: "live".into(), last_joined_at: TimestampMs(at) }
    }

    #[test]
    fn every_kind_of_delivery_is_placed_by_the_webhook_rules() {
        use AlertStatus::{Firing, Resolved};
        let policy = GroupingPolicy::default();
        let now = TimestampMs(1_000_000);
        let known = |id: &str| IncidentId::new(id);
        let cases = [
            ("first firing", alert(Firing, 10), None, None, false, Placement::Open),
            (
                "joins its group",
                alert(Firing, 10),
                None,
                Some(open_group(999_000)),
                false,
                Placement::Join(known("live")),
            ),
            (
                "group has gone quiet",
                alert(Firing, 10),
                None,
                Some(open_group(399_999)),
                false,
                Placement::Open,
            ),
            (
                "redelivery",
                alert(Firing, 10),
                Some(episode(Firing, 10)),
                None,
                false,
                Placement::Repeat(known("known")),
            ),
            (
                "firing after its end, overtaken",
                alert(Firing, 10),
                Some(episode(Resolved, 10)),
                None,
                false,
                Placement::Repeat(known("known")),
            ),
            (
                "an older episode, overtaken",
                alert(Firing, 5),
                Some(episode(Firing, 10)),
                None,
                false,
                Placement::Repeat(known("known")),
            ),
            ("re-fire", alert(Firing, 20), Some(episode(Resolved, 10)), None, false, Placement::Open),
            ("displaced", alert(Firing, 10), Some(episode(Firing, 10)), None, true, Placement::Open),
            (
                "ends",
                alert(Resolved, 10),
                Some(episode(Firing, 10)),
                None,
                false,
                Placement::Resolve(known("known")),
            ),
            ("ends again", alert(Resolved, 10), Some(episode(Resolved, 10)), None, false, Placement::Stale),
            ("ends unknown", alert(Resolved, 10), None, Some(open_group(999_000)), false, Placement::Stale),
            (
                "an old end after a re-fire",
                alert(Resolved, 10),
                Some(episode(Firing, 20)),
                None,
                false,
                Placement::Stale,
            ),
        ];
        for (name, alert, episode, group, displaced, expected) in cases {
            let placed = place(&alert, episode.as_ref(), group.as_ref(), displaced, now, &policy);
            assert_eq!(placed, expected, "{name}");
        }
    }

    #[test]
    fn group_falls_back_to_the_senders_key_when_a_label_is_missing() {
        let policy =
            GroupingPolicy { group_labels: vec!["cluster".into(), "team".into()], ..Default::default() };
        let mut alert = alert(AlertStatus::Firing, 1);
        assert_eq!(policy.group_of(&alert, "{}:x"), "sender={}:x");
        alert.labels.0.insert("team".into(), "sre".into());
        assert_eq!(policy.group_of(&alert, "{}:x"), "cluster=\"lab\",team=\"sre\"");
    }
}
