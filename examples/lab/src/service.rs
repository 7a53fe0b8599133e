//! One service of the shop: a business listener that does its share of an order, and an admin listener by which it is
//! watched and healed.
//!
//! The two listeners have a runtime each: a service whose business side is saturated or closed still answers its
//! operator and its scraper. What must outlive a restart is in [`state`]; everything else dies with the process, which
//! is why a restart heals some faults and not others.

mod admin;
mod business;
pub mod config;
mod door;
mod faults;
mod journal;
mod metrics;
mod peers;
mod pool;
pub mod state;
mod stock;
mod storage;

pub use peers::TRACE_HEADER;

use crate::{plan::Plan, rng::Rng, topology::Service};
use anyhow::Context;
use door::Door;
use faults::Upset;
use journal::{Journal, Level};
use metrics::Metrics;
use parking_lot::Mutex;
use pool::Pool;
use serde_json::json;
use state::State;
use std::{path::Path, sync::Arc, time::Duration};
use stock::Stock;
use storage::Storage;
use tokio::{net::TcpListener, sync::Notify};

/// How long the answer to a restart has to leave before the process does.
const RESTART_GRACE: Duration = Duration::from_millis(50);

/// Everything a service's handlers share.
struct Shared {
    service: Service,
    plan: Plan,
    admin_token: String,
    started_at_ms: i64,
    state: State,
    pool: Pool,
    metrics: Metrics,
    journal: Journal,
    client: reqwest::Client,
    door: Door,
    /// Inventory's only.
    stock: Option<Stock>,
    /// Store's only.
    storage: Option<Mutex<Storage>>,
    upset: Upset,
    rng: Mutex<Rng>,
    exit: Notify,
}

/// Milliseconds since the epoch, UTC.
fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Runs the service until it is told to restart, then returns; the keeper starts the next one.
pub fn run(service: Service, dir: &Path) -> anyhow::Result<()> {
    crate::install_tls_provider();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the admin runtime")?;
    let shared = Arc::new(open(service, dir)?);
    let outcome = runtime.block_on(serve(&shared));
    shared.door.close();
    outcome
}

fn open(service: Service, dir: &Path) -> anyhow::Result<Shared> {
    let plan = Plan::read(dir)?;
    let admin_token = plan.read_admin_token()?;
    let started_at_ms = now_ms();
    let state_dir = plan.state_dir(service);
    std::fs::create_dir_all(&state_dir).with_context(|| format!("cannot create {}", state_dir.display()))?;
    let state = State::open(&state_dir.join("state.json"), service, started_at_ms)?;
    let storage = match service {
        Service::Store => Some(Mutex::new(Storage::open(&state_dir.join("segments"))?)),
        Service::Gateway | Service::Checkout | Service::Inventory | Service::Payments => None,
    };
    // Every start of every service jitters differently, and the same way for the same seed at the first start.
    let seed = plan.seed ^ ((service as u64) << 32) ^ state.now().config_revision;
    Ok(Shared {
        service,
        admin_token,
        started_at_ms,
        pool: Pool::new(state.now().workers),
        metrics: Metrics::default(),
        journal: Journal::open(&plan.log_dir(), service)?,
        client: reqwest::Client::builder().no_proxy().build().context("cannot build the HTTP client")?,
        door: Door::new(plan.business_address(service)),
        stock: (service == Service::Inventory).then(Stock::fresh),
        storage,
        upset: Upset::default(),
        rng: Mutex::new(Rng::new(seed)),
        exit: Notify::new(),
        state,
        plan,
    })
}

async fn serve(shared: &Arc<Shared>) -> anyhow::Result<()> {
    let address = shared.plan.admin_address(shared.service);
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} for the admin API"))?;
    shared.door.open(business::router(shared))?;
    shared.journal.line(
        Level::Info,
        "service started",
        None,
        json!({"config_revision": shared.state.now().config_revision, "workers": shared.state.now().workers}),
    );
    tokio::select! {
        outcome = axum::serve(listener, admin::router(shared)) => outcome.context("the admin listener ended"),
        () = murmur(shared) => Ok(()),
        () = shared.exit.notified() => {
            shared.journal.line(Level::Info, "service stopping", None, json!({}));
            tokio::time::sleep(RESTART_GRACE).await;
            Ok(())
        }
    }
}

/// The harmless warning that every system has and nobody has ever removed.
async fn murmur(shared: &Shared) {
    loop {
        let (pause_ms, took_ms) = {
            let mut rng = shared.rng.lock();
            (rng.between(8_000, 20_000), rng.between(110, 190))
        };
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        shared.journal.line(
            Level::Warn,
            &format!("housekeeping sweep took {took_ms} ms, longer than the usual 100 ms"),
            None,
            json!({"took_ms": took_ms}),
        );
    }
}
