//! The customers: a steady, seeded stream of orders at the gateway. Open loop: a slow shop does not slow them down.

use crate::{rng::Rng, service::TRACE_HEADER, topology::Service};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// Articles there are: numbered from 0.
pub const SKUS: u32 = 100;
/// Orders under way at once; beyond, customers turn away at the door.
const UNDER_WAY_MAX: usize = 256;
/// A customer's patience.
const PATIENCE: Duration = Duration::from_secs(5);

/// One order, passed from service to service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub sku: u32,
    pub quantity: u32,
    pub cents: u64,
}

impl Order {
    pub fn random(rng: &mut Rng) -> Self {
        Self {
            sku: rng.between(0, u64::from(SKUS)) as u32,
            quantity: rng.between(1, 5) as u32,
            cents: rng.between(99, 20_000),
        }
    }
}

/// Orders at `rps` a second, jittered by up to 30 % either way, until the process ends.
pub async fn run(gateway_url: &str, rps: u32, seed: u64) -> anyhow::Result<()> {
    anyhow::ensure!((1..=1_000).contains(&rps), "load: 1 to 1000 orders a second, not {rps}");
    crate::install_tls_provider();
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
    let url = format!("{gateway_url}{}", Service::Gateway.path());
    let under_way = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    let mut rng = Rng::new(seed ^ 0x6C6F_6164);
    let mut next = tokio::time::Instant::now();
    loop {
        let jitter = 0.7 + 0.6 * rng.unit();
        next += Duration::from_secs_f64(jitter / f64::from(rps));
        // After a pause of the machine, orders go on from now; a burst of all those missed would be a fault of its own.
        next = next.max(tokio::time::Instant::now() - Duration::from_millis(200));
        tokio::time::sleep_until(next).await;
        let order = Order::random(&mut rng);
        let trace_id = format!("{:016x}", rng.next_u64());
        let Ok(place) = Arc::clone(&under_way).try_acquire_owned() else { continue };
        let request = client.post(&url).header(TRACE_HEADER, trace_id).json(&order);
        tokio::spawn(async move {
            // A customer who gets no answer goes away; the services count what happened.
            let _unheeded = request.send().await;
            drop(place);
        });
    }
}
