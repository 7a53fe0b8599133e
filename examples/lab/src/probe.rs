//! A look at the shop from a customer's side: a few orders of one's own, counted and timed.

use crate::{load::Order, rng::Rng, topology::Service};
use std::time::{Duration, Instant};

/// What a few orders saw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Probe {
    pub sent: u32,
    pub failed: u32,
    /// Mean time to an answer, good or bad, ms.
    pub mean_ms: f64,
}

impl Probe {
    /// At most one in ten failed and the mean was below 300 ms: where the alert rules draw the line for latency, and a
    /// stricter one for errors.
    pub fn is_good(&self) -> bool {
        self.failed * 10 <= self.sent && self.mean_ms < 300.0
    }
}

/// Sends `count` orders to the gateway, four at a time.
pub async fn probe(client: &reqwest::Client, gateway_url: &str, count: u32, seed: u64) -> Probe {
    use futures::StreamExt;
    let mut rng = Rng::new(seed);
    let orders: Vec<_> = (0..count).map(|_| Order::random(&mut rng)).collect();
    let url = format!("{gateway_url}{}", Service::Gateway.path());
    let answers: Vec<(bool, Duration)> = futures::stream::iter(orders)
        .map(|order| {
            let request = client.post(&url).timeout(Duration::from_secs(5)).json(&order);
            async move {
                let started = Instant::now();
                let good = request.send().await.is_ok_and(|answer| answer.status().is_success());
                (good, started.elapsed())
            }
        })
        .buffer_unordered(4)
        .collect()
        .await;
    let total: Duration = answers.iter().map(|(_, took)| *took).sum();
    Probe {
        sent: count,
        failed: answers.iter().filter(|(good, _)| !good).count() as u32,
        mean_ms: total.as_secs_f64() * 1_000.0 / f64::from(count.max(1)),
    }
}
