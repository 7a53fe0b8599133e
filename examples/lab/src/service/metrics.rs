//! The service's metrics and their text form (Prometheus exposition format 0.0.4). The `service` label is the
//! scraper's to add, as it is for any program that does not know what it is called in the fleet.

use super::{Shared, storage};
use crate::topology::Service;
use parking_lot::Mutex;
use std::{collections::BTreeMap, fmt::Write, time::Duration};

/// Upper bounds, seconds: the shop answers in tens of milliseconds when well, in seconds when not.
const BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// Counters and histograms; gauges are read when asked for.
#[derive(Default)]
pub struct Metrics {
    served: Mutex<BTreeMap<u16, u64>>,
    served_seconds: Mutex<Histogram>,
    called: Mutex<BTreeMap<(Service, String), u64>>,
    called_seconds: Mutex<BTreeMap<Service, Histogram>>,
}

#[derive(Default, Clone)]
struct Histogram {
    /// Per bucket, not yet cumulated; the last is +Inf.
    counts: [u64; BUCKETS.len() + 1],
    sum_seconds: f64,
}

impl Histogram {
    fn observe(&mut self, seconds: f64) {
        let index = BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len());
        if let Some(count) = self.counts.get_mut(index) {
            *count += 1;
        }
        self.sum_seconds += seconds;
    }
}

impl Metrics {
    /// A request was answered with `code` (499: its client had gone).
    pub fn served(&self, code: u16, took: Duration) {
        *self.served.lock().entry(code).or_default() += 1;
        self.served_seconds.lock().observe(took.as_secs_f64());
    }

    /// A call to `peer` ended: `code` is an HTTP status, `timeout`, `connect_error` or `error`.
    pub fn called(&self, peer: Service, code: &str, took: Duration) {
        *self.called.lock().entry((peer, code.to_owned())).or_default() += 1;
        self.called_seconds.lock().entry(peer).or_default().observe(took.as_secs_f64());
    }
}

/// The whole page.
pub(super) fn page(shared: &Shared) -> String {
    let mut page = Page::default();
    let metrics = &shared.metrics;

    page.family(
        "http_requests_total",
        "counter",
        "Requests answered, by status code; 499: the client had gone.",
    );
    for (code, count) in metrics.served.lock().iter() {
        page.sample("http_requests_total", &[("code", &code.to_string())], *count as f64);
    }
    page.family("http_request_duration_seconds", "histogram", "Time to answer a request.");
    let served_seconds = metrics.served_seconds.lock().clone();
    page.histogram("http_request_duration_seconds", &[], &served_seconds);

    page.family("http_client_requests_total", "counter", "Calls to other services, by how they ended.");
    for ((peer, code), count) in metrics.called.lock().iter() {
        page.sample("http_client_requests_total", &[("peer", peer.name()), ("code", code)], *count as f64);
    }
    page.family(
        "http_client_request_duration_seconds",
        "histogram",
        "Time that calls to other services took.",
    );
    for (peer, histogram) in metrics.called_seconds.lock().iter() {
        page.histogram("http_client_request_duration_seconds", &[("peer", peer.name())], histogram);
    }

    if let Some(bytes) = resident_memory_bytes() {
        page.gauge("process_resident_memory_bytes", "Resident memory of the process.", bytes as f64);
    }
    page.gauge(
        "process_start_time_seconds",
        "Start of the process, seconds since epoch.",
        shared.started_at_ms as f64 / 1_000.0,
    );

    page.gauge("worker_pool_size", "Workers there are.", f64::from(shared.pool.size()));
    page.gauge("worker_pool_busy", "Workers at work.", f64::from(shared.pool.busy()));
    page.gauge("worker_queue_depth", "Requests waiting for a worker.", f64::from(shared.pool.waiting()));

    let state = shared.state.now();
    page.gauge("config_revision", "Changes of the configuration, from 1.", state.config_revision as f64);
    page.gauge(
        "config_last_change_timestamp_seconds",
        "Last change of the configuration, seconds since epoch.",
        state.config_changed_at_ms as f64 / 1_000.0,
    );
    if let Some(storage) = &shared.storage {
        page.gauge("storage_used_bytes", "Bytes in segment files.", storage.lock().used_bytes() as f64);
        page.gauge("storage_quota_bytes", "Bytes that segment files may have.", storage::QUOTA_BYTES as f64);
    }
    page.text
}

/// The process's resident memory, bytes, as the kernel tells it.
pub fn resident_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    // Writing to a String cannot fail; the results below are dropped for that reason.

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    /// Label values here are service names and status words: nothing that would need escaping.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let _ = match labels.is_empty() {
            true => writeln!(self.text, "{name} {value}"),
            false => writeln!(self.text, "{name}{{{}}} {value}", labels.join(",")),
        };
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let bounds = BUCKETS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        let mut total = 0;
        for (bound, count) in bounds.zip(histogram.counts) {
            total += count;
            let mut with_bound = labels.to_vec();
            with_bound.push(("le", &bound));
            self.sample(&format!("{name}_bucket"), &with_bound, total as f64);
        }
        self.sample(&format!("{name}_sum"), labels, histogram.sum_seconds);
        self.sample(&format!("{name}_count"), labels, total as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_end_at_the_count() {
        let mut histogram = Histogram::default();
        for seconds in [0.005, 0.03, 0.04, 99.0] {
            histogram.observe(seconds);
        }
        let mut page = Page::default();
        page.histogram("t", &[("peer", "store")], &histogram);
        let lines: Vec<_> = page.text.lines().collect();
        assert_eq!(lines[0], r#"t_bucket{peer="store",le="0.005"} 1"#, "a bound includes itself");
        assert_eq!(lines[3], r#"t_bucket{peer="store",le="0.05"} 3"#);
        assert_eq!(lines[10], r#"t_bucket{peer="store",le="+Inf"} 4"#);
        assert_eq!(lines[12], r#"t_count{peer="store"} 4"#);
    }

    #[test]
    fn memory_is_read_from_the_kernel() {
        let before = resident_memory_bytes().unwrap();
        let held = vec![1_u8; 32 * 1024 * 1024];
        let after = resident_memory_bytes().unwrap();
        assert!(after > before + 24 * 1024 * 1024, "{before} then {after} with {} more", held.len());
    }
}
