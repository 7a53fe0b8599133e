//! What the journal costs, beside what the disk and the engine allow in the same run.
//!
//! `medic-store-bench [--dir DIR] [--rounds N] [--round-ms MS] [--only NAME]`: JSON lines on stdout, one a figure. The ceiling
//! is one thread that writes synced batches of the same rows and bytes to a plain RocksDB, in groups as large as the
//! store's were; it alternates with the store, round by round, so that a busy machine is as busy for both.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a measurement ends at the first thing that is not as it should be, and needs a clock"
)]

use medic_core::audit::AuditRecord;
use medic_core::mail::{Address, Body, Causation, Lane, Letter, Opening};
use medic_core::phase::Resolution;
use medic_core::{AlertBatch, EnvelopeId, Incident, IncidentId, Phase, TimestampMs};
use medic_ports::Journal;
use medic_ports::journal::{Batch, IncidentWrite, Slot};
use medic_store::{Store, StoreConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A webhook delivery of one small alert, as stored.
const BODY_BYTES: usize = 600;

struct Args {
    dir: Option<PathBuf>,
    rounds: usize,
    round: Duration,
    only: Option<String>,
}

fn args() -> Args {
    let mut args = Args { dir: None, rounds: 5, round: Duration::from_millis(1_000), only: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().expect("each flag takes a value");
        match word.as_str() {
            "--dir" => args.dir = Some(value.into()),
            "--rounds" => args.rounds = value.parse().expect("a number"),
            "--round-ms" => args.round = Duration::from_millis(value.parse().expect("a number")),
            "--only" => args.only = Some(value),
            other => panic!("unknown flag {other}"),
        }
    }
    args
}

fn tell(name: &str, value: f64, unit: &str, how: &str) {
    let value = (value * 1_000.0).round() / 1_000.0;
    println!("{}", serde_json::json!({ "name": name, "value": value, "unit": unit, "how": how }));
}

fn letter(name: String) -> Letter {
    Letter {
        id: EnvelopeId::new(name.clone()),
        to: Address::Monitor,
        lane: Lane::Normal,
        cause: Causation::Outside { door: "webhook".to_owned(), principal: None },
        at: TimestampMs(1_760_000_000_000),
        dedup: name,
        body: Body::Alerts {
            batch: AlertBatch { group_key: "x".repeat(BODY_BYTES), alerts: Vec::new(), truncated: 0 },
            displaced: false,
        },
    }
}

fn config(dir: &Path) -> StoreConfig {
    StoreConfig {
        dir: dir.to_owned(),
        mailbox_envelopes_max: 1 << 30,
        mailbox_bytes_max: 1 << 40,
        low_space_bytes: 0,
        ..StoreConfig::default()
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn percentile_ms(waits: &mut [Duration], share: f64) -> f64 {
    waits.sort();
    waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3
}

/// One round of `clients` side by side, each with one letter under way: accepts a second, letters a sync, waits.
async fn accepts(store: &Arc<Store>, clients: usize, round: Duration) -> (f64, f64, Vec<Duration>) {
    static NAMES: AtomicU64 = AtomicU64::new(0);
    let (start, syncs) = (Instant::now(), store.syncs());
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let mut waits = Vec::new();
                while start.elapsed() < round {
                    let letter =
                        letter(format!("01K7Z3V9Q2M4N6P8{:010}", NAMES.fetch_add(1, Ordering::Relaxed)));
                    let before = Instant::now();
                    store.enqueue(vec![letter]).await.unwrap();
                    waits.push(before.elapsed());
                }
                waits
            })
        })
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.unwrap());
    }
    let group = waits.len() as f64 / (store.syncs() - syncs).max(1) as f64;
    (waits.len() as f64 / start.elapsed().as_secs_f64(), group, waits)
}

/// The same rows without a store: key and value lengths of a letter, of its dedup key, and of the rows of each group.
struct Ceiling {
    db: rocksdb::DB,
    next: u64,
    envelope: Vec<u8>,
    dedup: Vec<u8>,
    group: Vec<u8>,
}

impl Ceiling {
    fn open(dir: &Path, envelope_bytes: usize) -> Self {
        let mut options = rocksdb::Options::default();
        options.create_if_missing(true);
        let db = rocksdb::DB::open(&options, dir).unwrap();
        let dedup = serde_json::json!({ "id": "01K7Z3V9Q2M4N6P80000000000", "at": 1_760_000_000_000_u64 });
        let dedup = serde_json::to_vec(&dedup).unwrap();
        Self { db, next: 0, envelope: vec![b'x'; envelope_bytes], dedup, group: vec![b'x'; 400] }
    }

    fn round(&mut self, group: usize, round: Duration) -> f64 {
        let mut sync = rocksdb::WriteOptions::default();
        sync.set_sync(true);
        let (start, first) = (Instant::now(), self.next);
        while start.elapsed() < round {
            let mut batch = rocksdb::WriteBatch::default();
            for _ in 0..group {
                self.next += 1;
                // Places come in order; dedup keys are digests and come in none.
                let mut place = [0; 10];
                place[2..].copy_from_slice(&self.next.to_be_bytes());
                let mut digest = [7; 33];
                digest[1..9].copy_from_slice(&self.next.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
                batch.put(place, &self.envelope);
                batch.put(digest, &self.dedup);
            }
            batch.put(b"head", &self.group);
            self.db.write_opt(batch, &sync).unwrap();
        }
        (self.next - first) as f64 / start.elapsed().as_secs_f64()
    }
}

async fn durable_accepts(root: &Path, args: &Args) {
    let store = Arc::new(Store::open(&config(&root.join("store"))).unwrap());
    store.enqueue(vec![letter("01K7Z3V9Q2M4N6P8-size-0000".to_owned())]).await.unwrap();
    let depth = store.health().mailboxes.into_iter().find(|depth| depth.envelopes == 1).unwrap();
    let mut ceiling = Ceiling::open(&root.join("engine"), usize::try_from(depth.bytes).unwrap());
    for clients in [1, 16, 256] {
        let (mut rates, mut tops, mut shares, mut groups, mut waits) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for round in 0..=args.rounds {
            let (rate, group, waited) = accepts(&store, clients, args.round).await;
            let top = ceiling.round((group.round() as usize).max(1), args.round);
            // The first round warms both up.
            if round > 0 {
                rates.push(rate);
                tops.push(top);
                shares.push(rate / top);
                groups.push(group);
                waits.extend(waited);
            }
        }
        let how = format!(
            "{clients} async clients, one letter each under way; {} rounds of {} ms, median",
            args.rounds,
            args.round.as_millis()
        );
        tell(&format!("journal.accepts.{clients}"), median(rates), "1/s", &how);
        tell(&format!("journal.accepts.{clients}.p50"), percentile_ms(&mut waits, 0.5), "ms", &how);
        tell(&format!("journal.accepts.{clients}.p99"), percentile_ms(&mut waits, 0.99), "ms", &how);
        let how = format!("plain RocksDB, the same bytes, {:.1} letters a synced batch", median(groups));
        tell(&format!("journal.ceiling.{clients}"), median(tops), "1/s", &how);
        let how = "store against ceiling, round by round, median; goal at least 0.5";
        tell(&format!("journal.share.{clients}"), median(shares), "of the ceiling", how);
    }
}

/// The directory as a kill leaves it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (source, to) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if source.is_dir() {
            copy(&source, &to);
        } else {
            std::fs::copy(source, to).unwrap();
        }
    }
}

fn opening_ms(dir: &Path) -> f64 {
    let start = Instant::now();
    let store = Store::open(&config(dir)).unwrap();
    let took = start.elapsed().as_secs_f64() * 1e3;
    drop(store);
    took
}

async fn restarts(root: &Path) {
    for pending in [10_000_usize, 100_000] {
        let (dir, image) = (root.join(format!("pending-{pending}")), root.join(format!("image-{pending}")));
        let store = Store::open(&config(&dir)).unwrap();
        for first in (0..pending).step_by(500) {
            let letters = (first..first + 500).map(|n| letter(format!("pending-{n:010}"))).collect();
            store.enqueue(letters).await.unwrap();
        }
        copy(&dir, &image);
        drop(store);
        let opened = opening_ms(&image);
        tell(
            &format!("journal.restart.{pending}"),
            opened,
            "ms",
            "opening after a kill: log replayed, mailboxes counted",
        );
        tell(
            &format!("journal.restart.{pending}.orderly"),
            opening_ms(&dir),
            "ms",
            "opening after an orderly end",
        );
    }
}

fn incident(id: &str, finished: bool) -> Incident {
    let opening = Opening { group: format!("group of {id}"), title: "HighLatency on checkout".to_owned() };
    let mut incident = Incident::open(IncidentId::from(id), opening, TimestampMs(1_760_000_000_000));
    incident.revision = 1;
    if finished {
        incident.phase = Phase::Resolved { at: TimestampMs(1_760_000_600_000), how: Resolution::Remedied };
    }
    incident
}

async fn many_incidents(root: &Path) {
    const FINISHED: usize = 10_000;
    const LIVE: usize = 100;
    const RECORDS: usize = 20;
    let (dir, image) = (root.join("incidents"), root.join("incidents-image"));
    let store = Store::open(&config(&dir)).unwrap();
    let all: Vec<usize> = (0..FINISHED + LIVE).collect();
    for group in all.chunks(50) {
        let mut batch = Batch::default();
        for n in group {
            let id = format!("01K7Z3V9Q2M4N6P8{n:010}");
            let record = AuditRecord {
                at: TimestampMs(1_760_000_000_000),
                incident: Some(IncidentId::from(id.as_str())),
                actor: "supervisor".to_owned(),
                kind: "phase".to_owned(),
                subject: "GATHERING_INFO".to_owned(),
                rule: None,
                detail: serde_json::json!({ "why": "alerts arrived", "from": "ALERT_RECEIVED" }),
            };
            batch.audit.extend(std::iter::repeat_n(record, RECORDS));
            let next = incident(&id, *n < FINISHED);
            batch.incidents.push(IncidentWrite { next, expected_revision: None });
        }
        store.commit(batch).await.unwrap();
    }
    copy(&dir, &image);
    let start = Instant::now();
    let health = store.health();
    tell("journal.health", start.elapsed().as_secs_f64() * 1e6, "us", "counts by phase of 10,100 incidents");
    assert_eq!(health.incidents.values().sum::<u64>(), (FINISHED + LIVE) as u64);
    drop(store);
    let how = "10,000 finished and 100 live incidents, 202,000 audit records";
    tell("journal.start", opening_ms(&image), "ms", &format!("opening after a kill: {how}"));
    tell("journal.start.orderly", opening_ms(&dir), "ms", &format!("opening after an orderly end: {how}"));
}

async fn deep_mailbox(root: &Path) {
    const THROUGH: u64 = 1_000_000;
    const AT_ONCE: usize = 500;
    let store = Store::open(&config(&root.join("deep"))).unwrap();
    let start = Instant::now();
    let (mut sent, mut handled, mut reads) = (0, 0, Vec::new());
    while handled < THROUGH {
        let letters = (0..AT_ONCE as u64).map(|n| letter(format!("through-{:010}", sent + n))).collect();
        store.enqueue(letters).await.unwrap();
        sent += AT_ONCE as u64;
        let mail = store.mail(Address::Monitor, Lane::Normal, 0, AT_ONCE).unwrap();
        handled += mail.len() as u64;
        let consumed = mail.iter().map(Slot::of).collect();
        store.commit(Batch { consumed, ..Batch::default() }).await.unwrap();
    }
    let took = start.elapsed().as_secs_f64();
    tell(
        "journal.through",
        THROUGH as f64 / took,
        "1/s",
        "one mailbox, 500 in and 500 out at a time, one after the other",
    );
    store.enqueue((0..100).map(|n| letter(format!("last-{n}"))).collect()).await.unwrap();
    for _ in 0..2_000 {
        let start = Instant::now();
        let head = store.mail(Address::Monitor, Lane::Normal, 0, 1).unwrap();
        reads.push(start.elapsed());
        assert_eq!(head.len(), 1);
    }
    let how = "reading the head of that mailbox after a million letters went through it";
    tell("journal.head.p50", percentile_ms(&mut reads, 0.5) * 1e3, "us", how);
    tell("journal.head.p99", percentile_ms(&mut reads, 0.99) * 1e3, "us", how);
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let args = args();
    let scratch = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let root = scratch.join(format!("medic-store-bench-{}", std::process::id()));
    std::fs::create_dir_all(&root).unwrap();
    let wanted = |name: &str| args.only.as_deref().is_none_or(|only| only == name);
    if wanted("accepts") {
        durable_accepts(&root, &args).await;
    }
    if wanted("restart") {
        restarts(&root).await;
    }
    if wanted("start") {
        many_incidents(&root).await;
    }
    if wanted("head") {
        deep_mailbox(&root).await;
    }
    std::fs::remove_dir_all(&root).unwrap();
}
