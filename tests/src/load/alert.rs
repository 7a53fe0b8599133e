//! Deliveries as Alertmanager makes them, no two alike.

use std::sync::atomic::{AtomicU64, Ordering};

/// Makes deliveries of alerts, numbered: distinct in their labels, and so in their fingerprint.
pub struct Alerts {
    next: AtomicU64,
    /// RFC 3339.
    starts_at: String,
}

impl Default for Alerts {
    fn default() -> Self {
        Self { next: AtomicU64::new(0), starts_at: jiff::Timestamp::now().to_string() }
    }
}

impl Alerts {
    /// The next alert, of `cluster`: alerts of one cluster belong together and become one incident.
    pub fn next(&self, cluster: &str) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        delivery(number..number + 1, cluster, &self.starts_at)
    }

    /// The next `count` alerts in one delivery, all of `cluster`.
    pub fn next_many(&self, cluster: &str, count: u64) -> String {
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        delivery(first..first + count, cluster, &self.starts_at)
    }

    /// Those numbered so, as they were made before: the same episodes again.
    pub fn again(&self, cluster: &str, numbers: std::ops::Range<u64>) -> String {
        delivery(numbers, cluster, &self.starts_at)
    }

    /// Spread over `clusters` of that name, in turn.
    pub fn next_of(&self, name: &str, clusters: u64) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        delivery(number..number + 1, &format!("{name}-{}", number % clusters), &self.starts_at)
    }
}

/// Fields, labels and sizes of a webhook body, version 4: some 800 bytes an alert, and 500 for the rest.
fn delivery(numbers: std::ops::Range<u64>, cluster: &str, starts_at: &str) -> String {
    let alerts: Vec<String> = numbers.clone().map(|number| alert(number, cluster, starts_at)).collect();
    // What all alerts of a group share; of one alone, all there is.
    let labels = match numbers.end - numbers.start {
        1 => labels(numbers.start, cluster),
        _ => format!(
            r#"{{"alertname":"HighErrorRate","cluster":"{cluster}","severity":"critical","team":"sre"}}"#
        ),
    };
    let annotations = r#"{"runbook_url":"https://runbooks.example/high-error-rate"}"#;
    let alerts = alerts.join(",");
    format!(
        r#"{{"receiver":"medic","status":"firing","alerts":[{alerts}],"groupLabels":{{"alertname":"HighErrorRate","cluster":"{cluster}"}},"commonLabels":{labels},"commonAnnotations":{annotations},"externalURL":"http://alertmanager.example:9093","version":"4","groupKey":"{{}}:{{alertname=\"HighErrorRate\", cluster=\"{cluster}\"}}","truncatedAlerts":0}}"#
    )
}

fn labels(number: u64, cluster: &str) -> String {
    format!(
        r#"{{"alertname":"HighErrorRate","cluster":"{cluster}","instance":"10.0.{}.{}:9100","job":"node","service":"checkout-{number}","severity":"critical","team":"sre"}}"#,
        number / 250 % 250,
        number % 250,
    )
}

fn alert(number: u64, cluster: &str, starts_at: &str) -> String {
    let labels = labels(number, cluster);
    let annotations = format!(
        r#"{{"description":"checkout-{number} answers more than 5 % of its requests with an error","runbook_url":"https://runbooks.example/high-error-rate","summary":"checkout-{number} fails"}}"#
    );
    format!(
        r#"{{"status":"firing","labels":{labels},"annotations":{annotations},"startsAt":"{starts_at}","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://prometheus.example:9090/graph?g0.expr=error_ratio+%3E+0.05&g0.tab=1","fingerprint":"{number:016x}"}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeSet;

    #[test]
    fn every_delivery_is_whole_json_and_another_alert() {
        let alerts = Alerts::default();
        let mut seen = BTreeSet::new();
        for _ in 0..600 {
            let body: Value = serde_json::from_str(&alerts.next_of("c", 20)).unwrap();
            assert_eq!(body["version"], "4");
            assert_eq!(body["alerts"][0]["labels"], body["commonLabels"]);
            assert!(seen.insert(body["alerts"][0]["labels"].to_string()), "{body}");
        }
    }

    #[test]
    fn a_delivery_has_the_fields_of_a_real_one() {
        let real: Value =
            serde_json::from_str(include_str!("../../fixtures/alertmanager/firing_single.json")).unwrap();
        let many: Value = serde_json::from_str(&Alerts::default().next_many("c", 3)).unwrap();
        assert_eq!(many["alerts"].as_array().unwrap().len(), 3);
        let ours: Value = serde_json::from_str(&Alerts::default().next("c")).unwrap();
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(names(&ours), names(&real));
        assert_eq!(names(&ours["alerts"][0]), names(&real["alerts"][0]));
    }
}
