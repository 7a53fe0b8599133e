//! How many incidents the agents carry side by side, and where one outage's alerts go: over a journal in memory whose
//! syncs take a given time. `cargo run --release -p medic-agents --example storm -- [INCIDENTS] [SYNC_MS]`.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement has a clock of its own, and ends where it fails"
)]

#[path = "../tests/stories/disk.rs"]
mod disk;

use async_trait::async_trait;
use disk::SlowDisk;
use medic_agents::{AgentsConfig, Pace, Ports, RestartPolicy, Taxonomy};
use medic_core::grouping::GroupingPolicy;
use medic_core::{Alert, AlertBatch, AlertStatus, Labels, PhaseName, Policy, TimestampMs};
use medic_ports::fake::journal::Caps;
use medic_ports::fake::{FakeJournal, FakeLogs, FakeMetrics, FakeNotifier, FakeToolHost};
use medic_ports::{Clock, Journal as _};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

struct Machine(Instant);

#[async_trait]
impl Clock for Machine {
    fn now(&self) -> TimestampMs {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        TimestampMs(u64::try_from(since.as_millis()).unwrap())
    }
    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap()
    }
    async fn sleep(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

fn alert(name: &str, cluster: &str) -> Alert {
    let labels = Labels::from([("alertname", name), ("service", "checkout"), ("cluster", cluster)]);
    Alert {
        fingerprint: labels.fingerprint(),
        status: AlertStatus::Firing,
        annotations: Labels::from([("summary", "Something is wrong with the checkout of this cluster")]),
        labels,
        starts_at: TimestampMs(1),
        ends_at: None,
        expression: None,
    }
}

struct Figures {
    seconds: f64,
    commits: u64,
    incidents: u64,
}

/// Posts the deliveries, waits until everything is carried to its end.
async fn carry(deliveries: Vec<Vec<Alert>>, incidents: u64, sync_ms: u64, pace: Pace) -> Figures {
    let clock: Arc<dyn Clock> = Arc::new(Machine(Instant::now()));
    let caps = Caps { envelopes_max: 1_000_000, bytes_max: 4 << 30 };
    let journal = FakeJournal::with_caps(caps);
    let disk = SlowDisk::new(journal.clone(), clock.clone(), Arc::new(AtomicU64::new(sync_ms)));
    let ports = Ports {
        journal: Arc::new(disk),
        clock: clock.clone(),
        metrics: Arc::new(FakeMetrics::new()),
        logs: Arc::new(FakeLogs::new()),
        tools: Arc::new(FakeToolHost::new(clock, [])),
        notifier: Arc::new(FakeNotifier::new()),
        knowledge: None,
        model: None,
    };
    let config = AgentsConfig {
        policy: Policy { patience_ms: 0, ..Policy::default() },
        grouping: GroupingPolicy::default(),
        restart: RestartPolicy::default(),
        taxonomy: Taxonomy::parse("").unwrap(),
    };
    let agents = medic_agents::start_paced(config, ports, pace).await.unwrap();
    let (desk, began) = (agents.desk(), Instant::now());
    let mut posting = tokio::task::JoinSet::new();
    // 64 connections, as a busy Alertmanager pair keeps.
    let deliveries = Arc::new(std::sync::Mutex::new(deliveries));
    for _ in 0..64 {
        let (desk, deliveries) = (desk.clone(), deliveries.clone());
        posting.spawn(async move {
            loop {
                let Some(alerts) = deliveries.lock().unwrap().pop() else { return };
                let batch = AlertBatch { group_key: "g".into(), alerts, truncated: 0 };
                while desk.receive_alerts(batch.clone(), "bench", None).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
    }
    posting.join_all().await;
    loop {
        let health = journal.health();
        let empty = health.mailboxes.iter().all(|mailbox| mailbox.envelopes == 0);
        let done = health.incidents.get(&PhaseName::Escalated).copied().unwrap_or_default();
        if empty && done >= incidents {
            let seconds = began.elapsed().as_secs_f64();
            agents.stop(0).await;
            return Figures { seconds, commits: health.commit_seq, incidents: done };
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>().unwrap());
    let (incidents, sync_ms) = (args.next().unwrap_or(2_000), args.next().unwrap_or(2));
    let different = |count: u64| (0..count).map(|n| vec![alert("Odd", &format!("c{n}"))]).collect::<Vec<_>>();
    println!("different troubles, {sync_ms} ms a sync");
    let mut rates = Vec::new();
    // The slow way is given fewer, so that both take a while.
    for (name, pace, count) in
        [("one by one", Pace::one_by_one(), incidents / 10), ("side by side", Pace::default(), incidents)]
    {
        let found = carry(different(count), count, sync_ms, pace).await;
        let rate = found.incidents as f64 / found.seconds;
        println!(
            "  {name:<13} {:>6} incidents in {:>6.2} s: {rate:>8.0}/s, {} commits",
            found.incidents, found.seconds, found.commits
        );
        rates.push(rate);
    }
    if let [slow, fast] = rates.as_slice() {
        println!("  ratio {:.1}", fast / slow);
    }
    let storm: Vec<Vec<Alert>> = (0..10_000).map(|n| vec![alert(&format!("Alert{n}"), "one")]).collect();
    let found = carry(storm, 1, sync_ms, Pace::default()).await;
    println!(
        "one outage: 10000 deliveries in {:.2} s: {:.0} alerts/s, {} commits",
        found.seconds,
        10_000.0 / found.seconds,
        found.commits
    );
}
