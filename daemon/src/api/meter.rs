//! What the daemon counts about its doors, and everything it tells Prometheus.
//!
//! Owns the names of the metrics and their text form. Never measures anything inside the agents: their numbers are read
//! from the desk's status when Prometheus asks.

use super::conditions::MEANINGS;
use super::operations::StatusView;
use medic_agents::Condition;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Upper bounds in seconds. From below a synced write on a fast disk up to a supervisor that takes its whole wait.
const BUCKETS: [f64; 11] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 10.0];

#[derive(Clone, Debug, Default)]
struct Histogram {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    seconds: f64,
}

impl Histogram {
    fn observe(&mut self, seconds: f64) {
        for (bound, bucket) in BUCKETS.iter().zip(&mut self.buckets) {
            if seconds <= *bound {
                *bucket += 1;
            }
        }
        self.count += 1;
        self.seconds += seconds;
    }
}

/// Method, route as registered (never the path as sent: that would be the sender's to fill), status.
type RequestKey = (String, String, u16);

#[derive(Debug, Default)]
pub struct Meter {
    pub alerts_received: AtomicU64,
    /// Deliveries that had been stored before.
    pub deliveries_duplicate: AtomicU64,
    /// By the code of the answer.
    refused: Mutex<BTreeMap<String, u64>>,
    requests: Mutex<BTreeMap<RequestKey, Histogram>>,
    pub watchers: AtomicU64,
    pub requests_in_flight: AtomicU64,
}

impl Meter {
    pub fn delivery_refused(&self, code: &str) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused.entry(code.to_owned()).or_default() += 1;
    }

    pub fn request(&self, method: &str, route: &str, status: u16, seconds: f64) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.entry((method.to_owned(), route.to_owned(), status)).or_default().observe(seconds);
    }

    /// Prometheus' text format, version 0.0.4.
    pub fn render(&self, view: &StatusView) -> String {
        let mut page = Page::default();
        let status = &view.status;
        let journal = &status.journal;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);

        page.head("medic_build_info", "gauge", "Version of the running daemon.");
        page.line("medic_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        page.head("medic_start_time_seconds", "gauge", "When the daemon started, since the epoch.");
        page.float("medic_start_time_seconds", &[], status.started_at.0 as f64 / 1000.0);
        page.head("medic_uptime_seconds", "gauge", "How long the daemon has run.");
        page.float("medic_uptime_seconds", &[], view.now.since_ms(status.started_at) as f64 / 1000.0);
        page.head("medic_ready", "gauge", "1 while alerts are taken in and can be acted on.");
        page.line("medic_ready", &[], u64::from(view.not_ready_because.is_empty()));
        page.head("medic_condition", "gauge", "1 while something works worse than it should, by its code.");
        for (code, _) in MEANINGS {
            let lasts = |condition: &Condition| condition.code == code && condition.healed_at.is_none();
            let lasting = status.conditions.iter().any(lasts);
            page.line("medic_condition", &[("code", code)], u64::from(lasting));
        }
        page.head("medic_safe_mode", "gauge", "1 while only queries run and approvals are frozen.");
        page.line("medic_safe_mode", &[], u64::from(status.safe_mode.is_some()));

        page.head("medic_incidents", "gauge", "Incidents in the store by phase.");
        for (phase, count) in &view.by_phase {
            page.line("medic_incidents", &[("phase", phase.as_str())], *count);
        }
        page.head("medic_incidents_live", "gauge", "Incidents neither resolved nor escalated.");
        page.line("medic_incidents_live", &[], status.live_incidents as u64);

        page.head("medic_alerts_received_total", "counter", "Alerts stored, repeats included.");
        page.line("medic_alerts_received_total", &[], load(&self.alerts_received));
        page.head("medic_deliveries_duplicate_total", "counter", "Deliveries that had been stored before.");
        page.line("medic_deliveries_duplicate_total", &[], load(&self.deliveries_duplicate));
        page.head(
            "medic_deliveries_refused_total",
            "counter",
            "Deliveries of which nothing was stored, by code.",
        );
        for (code, count) in self.refused.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            page.line("medic_deliveries_refused_total", &[("code", code)], *count);
        }

        page.head("medic_mailbox_envelopes", "gauge", "Messages stored and not yet handled.");
        for mailbox in &journal.mailboxes {
            page.line("medic_mailbox_envelopes", &[("mailbox", mailbox.to.as_str())], mailbox.envelopes);
        }
        page.head("medic_mailbox_bytes", "gauge", "Bytes of those messages.");
        for mailbox in &journal.mailboxes {
            page.line("medic_mailbox_bytes", &[("mailbox", mailbox.to.as_str())], mailbox.bytes);
        }
        page.head("medic_journal_writable", "gauge", "0 once storage has failed.");
        page.line("medic_journal_writable", &[], u64::from(journal.writable));
        page.head("medic_journal_low_space", "gauge", "1 while intake is refused for want of disk space.");
        page.line("medic_journal_low_space", &[], u64::from(journal.low_space));
        page.head("medic_journal_commits_total", "counter", "Batches committed since the store was made.");
        page.line("medic_journal_commits_total", &[], journal.commit_seq);
        page.head("medic_audit_records_total", "counter", "Records in the audit chain.");
        page.line("medic_audit_records_total", &[], journal.audit_head.seq);
        page.head("medic_journal_sync_seconds", "gauge", "How long the last write took to be on disk.");
        page.float("medic_journal_sync_seconds", &[], journal.sync_ms as f64 / 1000.0);
        page.head("medic_journal_sync_slow", "gauge", "1 while writes take longer than is normal.");
        page.line("medic_journal_sync_slow", &[], u64::from(journal.sync_slow));
        page.head("medic_open_effects", "gauge", "Changes ordered or begun without a known outcome yet.");
        page.line("medic_open_effects", &[], journal.open_effects);
        page.head("medic_dead_letters", "gauge", "Messages that could not be handled.");
        page.line("medic_dead_letters", &[], journal.dead_letters);

        page.head("medic_actor_up", "gauge", "1 while the actor runs.");
        for actor in &status.actors {
            page.line("medic_actor_up", &[("actor", &actor.name)], u64::from(actor.state == "running"));
        }
        page.head("medic_actor_restarts_total", "counter", "Restarts after a panic or a failure.");
        for actor in &status.actors {
            page.line("medic_actor_restarts_total", &[("actor", &actor.name)], actor.restarts);
        }
        page.head("medic_actor_in_flight", "gauge", "Letters being handled.");
        for actor in &status.actors {
            page.line("medic_actor_in_flight", &[("actor", &actor.name)], actor.in_flight as u64);
        }
        page.head("medic_actor_oldest_in_flight_seconds", "gauge", "How long the oldest of them is in hand.");
        for actor in &status.actors {
            let seconds = actor.oldest_in_flight_ms as f64 / 1000.0;
            page.float("medic_actor_oldest_in_flight_seconds", &[("actor", &actor.name)], seconds);
        }
        page.head("medic_actor_stuck", "gauge", "1 while a letter is in hand for longer than it may take.");
        for actor in &status.actors {
            page.line("medic_actor_stuck", &[("actor", &actor.name)], u64::from(actor.stuck));
        }
        page.head("medic_tools", "gauge", "Tools loaded.");
        page.line("medic_tools", &[], status.tools as u64);
        page.head("medic_plugins_rejected", "gauge", "Plugins found and not loaded.");
        page.line("medic_plugins_rejected", &[], status.rejected_plugins.len() as u64);
        page.head("medic_http_requests_in_flight", "gauge", "Requests whose answer has not begun.");
        page.line("medic_http_requests_in_flight", &[], load(&self.requests_in_flight));
        page.head("medic_watchers", "gauge", "Open streams of incidents.");
        page.line("medic_watchers", &[], load(&self.watchers));

        let name = "medic_http_request_duration_seconds";
        page.head(name, "histogram", "Time from a request's head to its answer's head.");
        let bucket = format!("{name}_bucket");
        for ((method, route, status), histogram) in
            self.requests.lock().unwrap_or_else(PoisonError::into_inner).iter()
        {
            let status = status.to_string();
            let labels = [("method", method.as_str()), ("route", route), ("status", &status)];
            let [method, route, status] = labels;
            for (bound, count) in BUCKETS.iter().zip(&histogram.buckets) {
                page.line(&bucket, &[method, route, status, ("le", &bound.to_string())], *count);
            }
            page.line(&bucket, &[method, route, status, ("le", "+Inf")], histogram.count);
            page.float(&format!("{name}_sum"), &labels, histogram.seconds);
            page.line(&format!("{name}_count"), &labels, histogram.count);
        }
        page.0
    }
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }
    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.sample(name, labels, &value.to_string());
    }
    fn float(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.sample(name, labels, &value.to_string());
    }
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: &str) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{escaped}\"", if index == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_hostile_labels_stay_on_their_line() {
        let mut histogram = Histogram::default();
        for seconds in [0.0005, 0.003, 99.0] {
            histogram.observe(seconds);
        }
        assert_eq!(histogram.buckets, [1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2]);
        assert_eq!(histogram.count, 3);

        let mut page = Page::default();
        page.line("m", &[("a", "x\"}\n\\y"), ("b", "")], 7);
        page.line("n", &[], 1);
        assert_eq!(page.0, "m{a=\"x\\\"}\\n\\\\y\",b=\"\"} 7\nn 1\n");
    }
}
