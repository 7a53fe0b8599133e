//! One running daemon: started whole or not at all, and stopped in order.

mod ending;
mod entrance;
mod retention;

pub use ending::Stopper;

use crate::adapters::ClientError;
use crate::api::{self, ApiError, RequestsInFlight};
use crate::config::{Config, ConfigError};
use crate::wiring::{self, Wired};
use ending::Phases;
use entrance::Entrance;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use medic_agents::taxonomy::TaxonomyError;
use medic_agents::{Agents, Desk};
use medic_ports::{Clock, Journal};
use medic_store::Store;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often the store is asked whether it can still be written. 500 ms: the agents refuse work at once by themselves;
/// this only ends the process.
const STORAGE_LOOK_MS: u64 = 500;
/// Left to the agents when the requests have used up the time: enough to hand back what they are at.
const AGENTS_MS_MIN: u64 = 200;

#[derive(Debug, Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Store(#[from] medic_store::OpenError),
    #[error(transparent)]
    Knowledge(#[from] medic_knowledge::Error),
    #[error(transparent)]
    Tools(#[from] medic_host::OpenError),
    #[error("cannot use {section}")]
    Client { section: &'static str, source: ClientError },
    #[error("cannot read {what} in {path}")]
    File { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("the taxonomy {name} is not valid")]
    Taxonomy { name: String, source: TaxonomyError },
    #[error("cannot read the topology in {path}")]
    Topology { path: PathBuf, source: medic_signals::topology::ReadError },
    #[error(transparent)]
    Agents(#[from] medic_agents::StartError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the operating system gives no threads to answer on")]
    Threads(#[source] std::io::Error),
    #[error("a part of the start was ended")]
    Ended(#[from] tokio::task::JoinError),
}

impl StartError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Knowledge(error) => error.code(),
            Self::Tools(error) => error.code(),
            Self::Client { .. } => "CLIENT_INVALID",
            Self::File { .. } => "FILE_UNREADABLE",
            Self::Taxonomy { .. } => "TAXONOMY_INVALID",
            Self::Topology { source, .. } => source.code(),
            Self::Agents(_) => "AGENTS_FAILED",
            Self::Api(error) => error.code(),
            Self::Threads(_) => "NO_THREADS",
            Self::Ended(_) => "START_ENDED",
        }
    }

    /// Whether the disk is to blame: nothing is gained by starting again at once.
    pub fn is_storage(&self) -> bool {
        matches!(self, Self::Store(_))
    }
}

/// Why a daemon cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A write failed. What is acknowledged is on disk; what is not is unknown until the next start reads it.
    StorageFailed,
    /// A listener fell shut by itself.
    ApiStopped(String),
}

/// Dropping it leaves everything running or hanging as it is: end it by [`Daemon::shutdown`].
pub struct Daemon {
    grpc_addr: SocketAddr,
    http_addr: SocketAddr,
    closing: watch::Sender<bool>,
    doors: Shared<BoxFuture<'static, Result<(), String>>>,
    requests: RequestsInFlight,
    agents: Agents,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    background: JoinSet<()>,
    stopper: Stopper,
    shutdown_ms: u64,
    /// Last, so that it outlives what is served on it.
    entrance: Entrance,
}

impl Daemon {
    /// Opens the store, starts the agents on what it holds unfinished, and opens the doors last. Whatever fails, what was
    /// started before it is stopped again.
    ///
    /// # Errors
    /// [`StartError`] with the part that could not be started.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        config.check()?;
        let api = wiring::api(&config)?;
        let store_config = config.store.clone();
        // Replays a log: off the runtime's threads.
        let store = Arc::new(tokio::task::spawn_blocking(move || Store::open(&store_config)).await??);
        match Self::start_on(store.clone(), config, api).await {
            Ok(daemon) => Ok(daemon),
            Err(error) => {
                close(store).await;
                Err(error)
            }
        }
    }

    async fn start_on(
        store: Arc<Store>,
        config: Config,
        mut api: api::ApiConfig,
    ) -> Result<Self, StartError> {
        let shutdown_ms = config.shutdown_ms;
        let Wired { agents, ports, librarian, custodian, mut background } =
            wiring::wire(store.clone(), &config).await?;
        (api.librarian, api.custodian) = (librarian, Some(custodian));
        let clock = ports.clock.clone();
        let entrance = Entrance::build().map_err(StartError::Threads)?;
        let agents = medic_agents::start(agents, ports).await?;
        let (closing, closed) = watch::channel(false);
        let served = entrance.run(api::serve(api, agents.desk(), closed)).await;
        match served.map_err(StartError::from).and_then(|served| Ok(served?)) {
            Ok(serving) => {
                let (grpc_addr, http_addr) = (serving.grpc_addr(), serving.http_addr());
                tracing::info!(grpc = %grpc_addr, http = %http_addr, "listening");
                background.spawn(retention::keep(store.clone(), clock.clone()));
                let stopper = Stopper::new(agents.stopper());
                let requests = serving.requests_in_flight();
                let doors =
                    serving.join().map(|ended| ended.map_err(|error| error.to_string())).boxed().shared();
                Ok(Self {
                    grpc_addr,
                    http_addr,
                    closing,
                    doors,
                    requests,
                    agents,
                    store,
                    clock,
                    background,
                    stopper,
                    shutdown_ms,
                    entrance,
                })
            }
            Err(error) => {
                agents.stop(shutdown_ms).await;
                Err(error)
            }
        }
    }

    pub fn grpc_addr(&self) -> SocketAddr {
        self.grpc_addr
    }
    pub fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }
    pub fn desk(&self) -> Desk {
        self.agents.desk()
    }

    /// Returns when the daemon cannot go on by itself.
    pub async fn ended(&self) -> Ending {
        let storage = async {
            while self.store.health().writable {
                self.clock.sleep(STORAGE_LOOK_MS).await;
            }
        };
        tokio::select! {
            () = storage => Ending::StorageFailed,
            ended = self.doors.clone() => {
                Ending::ApiStopped(ended.err().unwrap_or_else(|| "the listeners were closed".to_owned()))
            }
        }
    }

    /// Cuts a [`shutdown`](Self::shutdown) short.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Ends in order: no new request, the agents finish what they are at, the store is closed last. What takes longer than
    /// the configured time, all together, is left to the journal, which goes on with it at the next start.
    ///
    /// Returns whether everything finished in time.
    pub async fn shutdown(mut self) -> bool {
        let time = Duration::from_millis(self.shutdown_ms);
        let phases = Phases::begin(self.agents.desk(), self.requests, self.stopper, time);
        self.closing.send_replace(true);
        let doors = phases.wait("requests", self.doors).await.is_some();
        if !doors {
            tracing::warn!("requests under way were cut off");
        }
        self.background.shutdown().await;
        let agents = self.agents.stop(phases.left_ms().max(AGENTS_MS_MIN));
        let agents = phases.telling("agents", agents).await;
        if !agents {
            tracing::warn!("work in flight was cut off and goes on from the journal at the next start");
        }
        drop(self.entrance);
        phases.telling("store", close(self.store)).await;
        phases.over(doors && agents);
        doors && agents
    }
}

async fn close(store: Arc<Store>) {
    let closed = tokio::task::spawn_blocking(move || store.shutdown()).await;
    if let Err(error) = closed {
        tracing::error!(%error, "closing the store failed");
    }
}

#[cfg(test)]
mod tests;
