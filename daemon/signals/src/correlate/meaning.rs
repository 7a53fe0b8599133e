//! What a metric measures and whose it is, told by the generic words of its name and labels.
//!
//! Owns the vocabulary: words that monitoring systems share (cpu, latency, `_total`, `quantile`), never the name of
//! a service or of one product's metric. Never looks at values.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a series speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Cpu,
    Memory,
    Disk,
    /// Connections, sockets, threads, queues, pools: what fills up.
    Saturation,
    Network,
    /// Of requests served, as the server or a caller's view of it sees them.
    Latency,
    /// Of requests made: hurts where the trouble is not.
    ClientLatency,
    /// What a caller waits beyond its callee's own time: the way between them.
    NetworkGap,
    Errors,
    Success,
    Traffic,
    /// Of the machine below: shared by all that runs there.
    Host,
    Other,
    /// Not a metric: a change in what a component logs.
    Logs,
}

impl Kind {
    /// How much a move in this direction says of trouble *at* the component, in [0, 1]. The worse direction of
    /// a resource, a latency or an error rate counts in full. The other direction mostly tells of traffic that
    /// stayed away, which is a consequence.
    pub fn weight(self, up: bool) -> f64 {
        match (self, up) {
            (
                Kind::Cpu | Kind::Memory | Kind::Disk | Kind::Latency | Kind::NetworkGap | Kind::Errors,
                true,
            )
            | (Kind::Success, false)
            | (Kind::Logs, _) => 1.0,
            (Kind::Saturation, true) => 0.8,
            (Kind::Network | Kind::Other, _) => 0.5,
            (Kind::Cpu | Kind::Memory | Kind::Disk | Kind::Saturation, false)
            | (Kind::Traffic | Kind::Host, _) => 0.3,
            (Kind::Latency | Kind::NetworkGap | Kind::Errors, false)
            | (Kind::Success, true)
            | (Kind::ClientLatency, _) => 0.1,
        }
    }

    /// True for what a callee's trouble does to its callers; the rest is the component's own.
    pub fn is_symptom(self) -> bool {
        matches!(
            self,
            Kind::Latency
                | Kind::ClientLatency
                | Kind::Errors
                | Kind::Success
                | Kind::Traffic
                | Kind::Network
                | Kind::Host
                | Kind::Other
                | Kind::Logs
        )
    }

    /// True for what only someone who looks at the component itself can measure.
    pub fn is_resource(self) -> bool {
        matches!(self, Kind::Cpu | Kind::Memory | Kind::Disk | Kind::Saturation)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Cpu => "cpu",
            Kind::Memory => "memory",
            Kind::Disk => "disk",
            Kind::Saturation => "saturation",
            Kind::Network => "network",
            Kind::Latency => "latency",
            Kind::ClientLatency => "client latency",
            Kind::NetworkGap => "network gap",
            Kind::Errors => "errors",
            Kind::Success => "success",
            Kind::Traffic => "traffic",
            Kind::Host => "host",
            Kind::Other => "other",
            Kind::Logs => "logs",
        }
    }
}

/// What the metric of this name and these labels measures.
pub fn kind_of(name: &str, labels: &BTreeMap<String, String>) -> Kind {
    let name = name.to_ascii_lowercase();
    let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    // Long words are told inside others (podserverlatency); short ones only alone.
    let within = |stems: &[&str]| stems.iter().any(|stem| name.contains(stem));
    let alone = |short: &[&str]| words.iter().any(|word| short.contains(word));
    let network = || within(&["network", "receive", "transmit", "bandwidth"]) || alone(&["rx", "tx", "net"]);
    let of_host = within(&["node"]) && !within(&["nodejs"]);
    if of_host && !["node", "host", "instance"].iter().any(|label| labels.contains_key(*label)) {
        Kind::Host
    } else if within(&["cpu"]) {
        Kind::Cpu
    } else if within(&["memory", "heap", "working_set"]) || alone(&["mem", "rss"]) {
        Kind::Memory
    } else if (within(&["network", "caller"]) && within(&["gap", "delay"])) || alone(&["gap", "rtt"]) {
        Kind::NetworkGap
    } else if within(&["latency", "duration", "response_time", "elapsed"])
        || alone(&["p50", "p75", "p90", "p95", "p99", "lat", "rt"])
    {
        if within(&["client", "outbound", "egress"]) { Kind::ClientLatency } else { Kind::Latency }
    } else if within(&["success", "availab"]) || alone(&["up"]) {
        Kind::Success
    } else if within(&["disk", "filesystem", "blkio", "iops", "diskio"]) || alone(&["fs", "io", "volume"]) {
        Kind::Disk
    } else if within(&[
        "socket",
        "connection",
        "thread",
        "queue",
        "pool",
        "descriptor",
        "backlog",
        "goroutine",
    ]) || alone(&["fds", "fd"])
    {
        Kind::Saturation
    } else if network() {
        Kind::Network
    } else if within(&["error", "fail", "5xx", "exception", "timeout", "retr", "dropped"]) || failed(labels) {
        Kind::Errors
    } else if within(&["request", "workload", "throughput", "load", "call"])
        || alone(&["ops", "qps", "rps", "tps", "hits", "count"])
    {
        Kind::Traffic
    } else {
        Kind::Other
    }
}

/// True for labels that single out failed requests: a 5xx code, a gRPC status that is not OK.
fn failed(labels: &BTreeMap<String, String>) -> bool {
    labels.iter().any(|(label, value)| match label.as_str() {
        "code" | "status" | "status_code" | "response_code" | "http_status" | "http_code" => {
            value.starts_with('5') || value.eq_ignore_ascii_case("error")
        }
        "grpc_code" | "grpc_status" | "grpc_response_status" => {
            !matches!(value.as_str(), "0" | "OK" | "ok" | "")
        }
        _ => false,
    })
}

/// Labels that name a component, the most telling first. A container comes after its pod: containers are often
/// all called alike, or are sidecars.
pub const COMPONENT_LABELS: [&str; 26] = [
    "service",
    "service_name",
    "destination_service_name",
    "destination_workload",
    "destination_app",
    "destination_service",
    "app",
    "application",
    "app_kubernetes_io_name",
    "microservice",
    "workload",
    "deployment",
    "component",
    "pod",
    "pod_name",
    "kubernetes_pod_name",
    "container",
    "container_name",
    "container_label_com_docker_compose_service",
    "name",
    "node",
    "job",
    "host",
    "hostname",
    "instance",
    "entity",
];

/// Labels that say which statistic of a thing a series is; two statistics of one metric have noise of their own.
pub const STATISTIC_LABELS: [&str; 10] = [
    "stat",
    "statistic",
    "quantile",
    "percentile",
    "le",
    "direction",
    "unit",
    "aggregation",
    "mode",
    "state",
];

/// Which end of a call measured a series that speaks of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Caller,
    Callee,
}

/// The end that measured, as service meshes label it.
pub fn side_of(labels: &BTreeMap<String, String>) -> Option<Side> {
    ["side", "reporter", "span_kind", "kind"].iter().find_map(|label| {
        match labels.get(*label)?.to_ascii_lowercase().as_str() {
            "source" | "client" | "caller" | "outbound" | "span_kind_client" => Some(Side::Caller),
            "destination" | "server" | "callee" | "inbound" | "span_kind_server" => Some(Side::Callee),
            _ => None,
        }
    })
}

/// A component's name from a pod's: `cart-5c66d57d58-6mp2b` and `cart-0` are `cart`. Other names stay as they are.
pub fn without_pod_suffix(name: &str) -> &str {
    // The alphabet of generated suffixes has no vowels and none of 0, 1, 3 (apimachinery's rand.SafeEncodeString),
    // but recordings from elsewhere do; five characters with a digit among them, or after a hash, are enough.
    let is_tail = |part: &str| {
        part.len() == 5 && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let is_hash = |part: &str| {
        (6..=10).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            && part.bytes().any(|byte| byte.is_ascii_digit())
    };
    let Some((head, last)) = name.rsplit_once('-') else { return name };
    if !head.is_empty()
        && !last.is_empty()
        && last.len() <= 3
        && last.bytes().all(|byte| byte.is_ascii_digit())
    {
        return head;
    }
    if let Some((base, hash)) = head.rsplit_once('-')
        && !base.is_empty()
        && is_tail(last)
        && is_hash(hash)
    {
        return base;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str) -> Kind {
        kind_of(name, &BTreeMap::new())
    }

    #[test]
    fn names_of_many_systems_are_understood() {
        for (name, expected) in [
            ("container_cpu_usage_seconds_total", Kind::Cpu),
            ("process_resident_memory_bytes", Kind::Memory),
            ("jvm_heap_used", Kind::Memory),
            ("container_fs_writes_bytes_total", Kind::Disk),
            ("pod_nodecpu_usage", Kind::Host),
            ("nodejs_heap_size_used_bytes", Kind::Memory),
            ("container_sockets", Kind::Saturation),
            ("hikaricp_connections_pending", Kind::Saturation),
            ("container_network_receive_errors_total", Kind::Network),
            ("http_request_duration_seconds", Kind::Latency),
            ("podserverlatencyp99", Kind::Latency),
            ("pod_podclientlatencyp90_seconds", Kind::ClientLatency),
            ("net_gap_p90_us", Kind::NetworkGap),
            ("callee_p50_us", Kind::Latency),
            ("http_requests_failed_total", Kind::Errors),
            ("app_availability", Kind::Success),
            ("istio_requests_total", Kind::Traffic),
            ("workload_ops", Kind::Traffic),
            ("jvm_gc_pause", Kind::Other),
        ] {
            assert_eq!(kind(name), expected, "{name}");
        }
    }

    #[test]
    fn a_machines_metric_is_its_own_only_under_its_own_name() {
        let labels = BTreeMap::from([("instance".to_owned(), "10.0.0.1:9100".to_owned())]);
        assert_eq!(kind_of("node_disk_io_time_seconds_total", &labels), Kind::Disk);
        assert_eq!(kind("node_disk_io_time_seconds_total"), Kind::Host);
    }

    #[test]
    fn a_status_label_makes_a_request_counter_one_of_errors() {
        let labels = |code: &str| BTreeMap::from([("status_code".to_owned(), code.to_owned())]);
        assert_eq!(kind_of("http_requests_total", &labels("503")), Kind::Errors);
        assert_eq!(kind_of("http_requests_total", &labels("200")), Kind::Traffic);
    }

    #[test]
    fn a_pods_suffix_goes_and_a_name_with_dashes_stays() {
        for (pod, component) in [
            ("cart-5c66d57d58-6mp2b", "cart"),
            ("ledger-writer-7f4f5f6f77-5qb6j", "ledger-writer"),
            ("store-0", "store"),
            ("order-other-service", "order-other-service"),
            ("front-end", "front-end"),
            ("-0", "-0"),
            ("a", "a"),
            ("", ""),
        ] {
            assert_eq!(without_pod_suffix(pod), component);
        }
    }
}
