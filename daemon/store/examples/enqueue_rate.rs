//! Durable enqueues per second, beside the engine alone in the same run.
//!
//! `cargo run -p medic-store --example enqueue_rate --release -- [seconds] [dir]`. The engine's figure is one thread that
//! writes synced batches of the same size one by one: what a store without a committer would give.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::type_complexity,
    reason = "a test may be blunt"
)]

use medic_core::mail::{Address, Body, Causation, Lane, Letter};
use medic_core::{AlertBatch, EnvelopeId, TimestampMs};
use medic_ports::journal::{Batch, Slot};
use medic_ports::{Journal, JournalError};
use medic_store::{Store, StoreConfig};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn letter(name: String) -> Letter {
    Letter {
        id: EnvelopeId::new(name.clone()),
        to: Address::Monitor,
        lane: Lane::Normal,
        cause: Causation::Outside { door: "webhook".to_owned(), principal: None },
        at: TimestampMs(1_760_000_000_000),
        dedup: name,
        body: Body::Alerts {
            batch: AlertBatch { group_key: "x".repeat(600), alerts: Vec::new(), truncated: 0 },
            displaced: false,
        },
    }
}

fn report(what: &str, took: Duration, mut waits: Vec<Duration>) {
    waits.sort();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{what:<28} {:>8.0}/s   p50 {:>7.2} ms   p99 {:>7.2} ms   ({} in {:.1} s)",
        waits.len() as f64 / took.as_secs_f64(),
        at(0.5),
        at(0.99),
        waits.len(),
        took.as_secs_f64()
    );
}

fn engine_alone(dir: PathBuf, seconds: u64) {
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    let db = rocksdb::DB::open(&options, dir).unwrap();
    let mut sync = rocksdb::WriteOptions::default();
    sync.set_sync(true);
    let (start, mut waits) = (Instant::now(), Vec::new());
    while start.elapsed() < Duration::from_secs(seconds) {
        let before = Instant::now();
        let mut batch = rocksdb::WriteBatch::default();
        let key = (waits.len() as u64).to_be_bytes();
        batch.put([&b"inbox"[..], &key].concat(), [0x78; 800]);
        batch.put([&b"dedup"[..], &[7; 24], &key].concat(), [0x78; 70]);
        batch.put([&b"head"[..], &key].concat(), [0x78; 200]);
        db.write_opt(batch, &sync).unwrap();
        waits.push(before.elapsed());
    }
    report("engine alone, one by one", start.elapsed(), waits);
}

async fn store_with(dir: PathBuf, clients: usize, seconds: u64) {
    let config = StoreConfig {
        dir,
        mailbox_envelopes_max: 1 << 30,
        mailbox_bytes_max: 1 << 40,
        low_space_bytes: 0,
        ..StoreConfig::default()
    };
    let store = Arc::new(Store::open(&config).unwrap());
    let start = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut waits = Vec::new();
                while start.elapsed() < Duration::from_secs(seconds) {
                    let letter = letter(format!("{client}-{}", waits.len()));
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
    report(&format!("store, {clients} at once"), start.elapsed(), waits);
    // Popping from a mailbox that deep: 64 read and consumed a commit.
    let (start, mut waits, mut handled) = (Instant::now(), Vec::new(), 0);
    while start.elapsed() < Duration::from_secs(seconds.min(2)) {
        let before = Instant::now();
        let mail = store.mail(Address::Monitor, Lane::Normal, 0, 64).unwrap();
        if mail.is_empty() {
            break;
        }
        handled += mail.len();
        let consumed = mail.iter().map(Slot::of).collect();
        let committed: Result<_, JournalError> = store.commit(Batch { consumed, ..Batch::default() }).await;
        committed.unwrap();
        waits.push(before.elapsed());
    }
    let rate = handled as f64 / start.elapsed().as_secs_f64();
    report(&format!("  drained by 64 ({rate:.0}/s)"), start.elapsed(), waits);
    let closing = Instant::now();
    store.shutdown();
    let closed = closing.elapsed();
    let opening = Instant::now();
    drop(store);
    let store = Store::open(&config).unwrap();
    println!(
        "  closed in {:.0} ms, opened in {:.0} ms",
        closed.as_secs_f64() * 1e3,
        opening.elapsed().as_secs_f64() * 1e3
    );
    drop(store);
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().map_or(3, |text| text.parse().unwrap());
    let scratch = tempfile::tempdir().unwrap();
    let root = arguments.next().map_or_else(|| scratch.path().to_owned(), PathBuf::from);
    engine_alone(root.join("engine"), seconds);
    for clients in [1, 64, 256] {
        store_with(root.join(format!("store-{clients}")), clients, seconds).await;
    }
}
