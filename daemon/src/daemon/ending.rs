//! The end of a daemon: in phases, each told with what is still in flight, none longer than its time.

use crate::api::RequestsInFlight;
use medic_agents::{Desk, Stop};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Between two lines on what is still waited for.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// For whoever hears the second signal. Clones are handles on one wish.
#[derive(Clone, Debug)]
pub struct Stopper {
    agents: Stop,
    at_once: Arc<watch::Sender<bool>>,
}

impl Stopper {
    pub(super) fn new(agents: Stop) -> Self {
        Self { agents, at_once: Arc::new(watch::Sender::new(false)) }
    }

    /// Nothing is waited for any more. What runs goes on from the journal at the next start; the store is still closed.
    pub fn at_once(&self) {
        self.at_once.send_replace(true);
        self.agents.at_once();
    }

    async fn said(&self) {
        // The sender lives in `self`: waiting cannot fail.
        let _ = self.at_once.subscribe().wait_for(|said| *said).await;
    }
}

/// What one phase of the end is bounded by.
pub(super) struct Phases {
    desk: Desk,
    requests: RequestsInFlight,
    stopper: Stopper,
    began: Instant,
    until: Instant,
}

impl Phases {
    pub fn begin(desk: Desk, requests: RequestsInFlight, stopper: Stopper, time: Duration) -> Self {
        let began = Instant::now();
        Self { desk, requests, stopper, began, until: began + time }
    }

    pub fn left_ms(&self) -> u64 {
        let left = self.until.saturating_duration_since(Instant::now());
        u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
    }

    /// Waits for `work` until the time is up or nobody wants to wait: `None` then.
    pub async fn wait<T>(&self, phase: &'static str, work: impl Future<Output = T>) -> Option<T> {
        tracing::info!(phase, in_flight = self.in_flight(), "stopping");
        tokio::select! {
            biased;
            done = self.telling(phase, work) => Some(done),
            () = self.stopper.said() => None,
            () = tokio::time::sleep_until(self.until) => None,
        }
    }

    /// As [`wait`](Self::wait) for work that keeps its own time.
    pub async fn telling<T>(&self, phase: &'static str, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(TELL_EVERY) => {
                    tracing::info!(phase, in_flight = self.in_flight(), "still waiting");
                }
            }
        }
    }

    pub fn over(&self, in_time: bool) {
        let took_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if in_time {
            tracing::info!(took_ms, "stopped");
        } else {
            tracing::warn!(took_ms, "stopped; what was cut off goes on from the journal at the next start");
        }
    }

    /// `2 requests, executor 1 (12 s), monitor 3 (0 s)`; `nothing`.
    fn in_flight(&self) -> String {
        let actors = self.desk.status().map(|status| status.actors).unwrap_or_default();
        let requests = Some(self.requests.count()).filter(|count| *count > 0);
        let mut busy: Vec<String> = requests.map(|count| format!("{count} requests")).into_iter().collect();
        let working = actors.iter().filter(|actor| actor.in_flight > 0).map(|actor| {
            format!("{} {} ({} s)", actor.name, actor.in_flight, actor.oldest_in_flight_ms / 1000)
        });
        busy.extend(working);
        if busy.is_empty() { "nothing".to_owned() } else { busy.join(", ") }
    }
}
