//! Injected faults: what each does to this very process or to its files. Their words are in [`crate::fault`].

use super::{Shared, admin::Refused, business, journal::Level, now_ms};
use crate::{fault::Fault, topology::Service};
use parking_lot::Mutex;
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Allocated at once by the leak, bytes; four times a second: 16 MiB a second.
const LEAK_STEP_BYTES: usize = 4 * 1024 * 1024;
const LEAK_EVERY: Duration = Duration::from_millis(250);
/// Where the leak ends, bytes: the lab breaks itself, never its host.
const LEAK_BYTES_MAX: usize = 300 * 1024 * 1024;
/// A timeout that no call to payments can keep, ms.
const BAD_TIMEOUT_MS: u64 = 1;
/// Carts of so many lines take some 170 ms each: 3 workers price 17 a second, 16 price 90.
const LARGE_CART_LINES: u32 = 34;

/// What is wrong inside the process; gone with it.
#[derive(Default)]
pub struct Upset {
    degraded: AtomicBool,
    leaking: AtomicBool,
    leaked: Mutex<Vec<Vec<u8>>>,
    leaked_bytes: AtomicUsize,
}

impl Upset {
    pub fn is_degraded(&self) -> bool {
        self.degraded.load(Ordering::SeqCst)
    }

    /// What the leak costs each request, ms: one and a half for each MiB, as a collector would that scans it all.
    pub fn leak_drag_ms(&self) -> u64 {
        self.leaked_bytes.load(Ordering::SeqCst) as u64 * 3 / (2 * 1024 * 1024)
    }
}

/// Injects or clears a fault. Doing it twice is doing it once.
pub(super) fn set(shared: &Arc<Shared>, fault: Fault, on: bool) -> Result<(), Refused> {
    if fault.service().is_some_and(|home| home != shared.service) {
        return Err(Refused::not_found(format!("{fault} is no fault of {}", shared.service)));
    }
    match fault {
        Fault::BadConfig => bad_config(shared, on)?,
        Fault::Stubborn => {
            bad_config(shared, on)?;
            shared.state.change::<_, Refused>(|durable| {
                durable.pinned_timeout_ms = on.then_some(BAD_TIMEOUT_MS);
                Ok(())
            })?;
        }
        Fault::PoolExhausted => shared.state.change::<_, Refused>(|durable| {
            durable.cart_lines = if on { LARGE_CART_LINES } else { 1 };
            Ok(())
        })?,
        Fault::MemoryLeak if on => leak(shared)?,
        Fault::MemoryLeak => {
            let mut leaked = shared.upset.leaked.lock();
            shared.upset.leaking.store(false, Ordering::SeqCst);
            leaked.clear();
            shared.upset.leaked_bytes.store(0, Ordering::SeqCst);
        }
        Fault::DependencyDown if on => {
            shared.journal.line(Level::Error, "listener closed: too many open files", None, json!({}));
            shared.door.close();
        }
        Fault::DependencyDown => shared.door.open(business::router(shared))?,
        Fault::Latency => shared.upset.degraded.store(on, Ordering::SeqCst),
        Fault::ErrorBurst => {
            if let Some(stock) = &shared.stock {
                // Refilled first, since poisoning what is poisoned would heal it.
                stock.refill();
                if on {
                    stock.poison();
                }
            }
        }
        Fault::QuotaFull => {
            if let Some(storage) = &shared.storage {
                let mut storage = storage.lock();
                if on { storage.fill_with_expired()? } else { storage.delete_expired().map(drop)? }
            }
        }
        Fault::None => {}
    }
    Ok(())
}

/// The faults that this service has now, found by looking and not by remembering what was injected: a cured one is gone.
pub(super) fn active(shared: &Shared) -> Vec<Fault> {
    let state = shared.state.now();
    let hurried = state.config.timeouts_ms.get(&Service::Payments) == Some(&BAD_TIMEOUT_MS);
    let full = shared.storage.as_ref().is_some_and(|storage| {
        let storage = storage.lock();
        storage.used_bytes() * 10 > super::storage::QUOTA_BYTES * 9
    });
    let overrun = state.cart_lines > 1 && state.workers < 16;
    [
        (Fault::BadConfig, hurried && state.pinned_timeout_ms.is_none()),
        (Fault::Stubborn, state.pinned_timeout_ms.is_some()),
        (Fault::PoolExhausted, overrun),
        (Fault::MemoryLeak, shared.upset.leaking.load(Ordering::SeqCst)),
        (Fault::DependencyDown, !shared.door.is_open()),
        (Fault::Latency, shared.upset.is_degraded()),
        (Fault::ErrorBurst, shared.stock.as_ref().is_some_and(super::stock::Stock::is_poisoned)),
        (Fault::QuotaFull, full),
    ]
    .into_iter()
    .filter_map(|(fault, present)| present.then_some(fault))
    .collect()
}

fn bad_config(shared: &Shared, on: bool) -> Result<(), Refused> {
    let revision = shared.state.change::<_, Refused>(|durable| {
        let hurried = durable.config.timeouts_ms.get(&Service::Payments) == Some(&BAD_TIMEOUT_MS);
        if on && !hurried {
            let mut bad = durable.config.clone();
            bad.timeouts_ms.insert(Service::Payments, BAD_TIMEOUT_MS);
            bad.release = format!("{}-r{}", bad.release, durable.config_revision + 1);
            durable.set_config(bad, now_ms());
        } else if !on
            && hurried
            && let Some(good) = durable.previous.last().cloned()
        {
            durable.set_config(good, now_ms());
        }
        Ok(durable.config_revision)
    })?;
    announce_config(shared, revision);
    Ok(())
}

/// Logs that a configuration took effect, as every rollout does, good or bad.
pub(super) fn announce_config(shared: &Shared, revision: u64) {
    shared.journal.line(
        Level::Info,
        &format!("configuration revision {revision} took effect"),
        None,
        json!({"config_revision": revision, "release": shared.state.now().config.release}),
    );
}

fn leak(shared: &Arc<Shared>) -> Result<(), Refused> {
    if shared.upset.leaking.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    let shared = Arc::clone(shared);
    std::thread::Builder::new()
        .name("leak".to_owned())
        .spawn(move || {
            loop {
                {
                    let mut leaked = shared.upset.leaked.lock();
                    let bytes = leaked.len() * LEAK_STEP_BYTES;
                    if !shared.upset.leaking.load(Ordering::SeqCst) || bytes >= LEAK_BYTES_MAX {
                        return;
                    }
                    // Ones, not zeros: zeroed pages would be lent by the kernel and not become resident.
                    leaked.push(vec![1; LEAK_STEP_BYTES]);
                    shared.upset.leaked_bytes.store(bytes + LEAK_STEP_BYTES, Ordering::SeqCst);
                }
                std::thread::sleep(LEAK_EVERY);
            }
        })
        .map_err(anyhow::Error::from)?;
    Ok(())
}
