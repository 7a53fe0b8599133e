//! Letting go what is over, on a timer.

use medic_ports::Clock;
use medic_store::{Store, SweepReport};
use std::sync::Arc;

/// From the start to the first look. 60 s: a start has enough to do.
const FIRST_MS: u64 = 60 * 1000;
/// Between two looks. 10 min: retention is counted in days.
const EVERY_MS: u64 = 10 * 60 * 1000;
/// Between two pieces of work while there is more. 1 s: the disk belongs to the living.
const MORE_MS: u64 = 1000;

/// Goes on until it is dropped. A piece that is being let go then is finished by the store.
pub(super) async fn keep(store: Arc<Store>, clock: Arc<dyn Clock>) {
    let mut wait_ms = FIRST_MS;
    loop {
        clock.sleep(wait_ms).await;
        let (swept, now) = (store.clone(), clock.now());
        // Archives files and waits for their syncs: off the runtime's threads.
        let report = tokio::task::spawn_blocking(move || swept.sweep(now)).await;
        wait_ms = match report {
            Ok(report) => {
                tell(&report);
                if report.more && report.stopped.is_none() { MORE_MS } else { EVERY_MS }
            }
            Err(error) => {
                tracing::error!(%error, "retention ended badly");
                EVERY_MS
            }
        };
    }
}

fn tell(report: &SweepReport) {
    let SweepReport { incidents, incidents_held, dedup_keys, answers, dead_letters, .. } = report;
    if [incidents, dedup_keys, answers, dead_letters].into_iter().any(|count| *count > 0) {
        tracing::info!(incidents, incidents_held, dedup_keys, answers, dead_letters, "let go what is over");
    }
}
