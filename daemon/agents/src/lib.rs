//! Supervisor, Monitor, Diagnoser and Executor: supervised actors over durable mailboxes.
//!
//! The shell around medic-core: it takes letters from the journal, lets core decide, commits, and performs what was
//! committed. Never decides what is allowed, never writes a byte anywhere but through the ports, and knows no database,
//! no HTTP and no WebAssembly.

mod audit;
pub mod desk;
mod diagnoser;
mod executor;
mod monitor;
mod notices;
mod reply;
mod root;
mod safe_mode;
mod shell;
mod supervisor;
pub mod taxonomy;
mod timekeeper;
mod world;

pub use desk::Desk;
pub use root::RestartPolicy;
pub use safe_mode::SafeMode;
pub use taxonomy::Taxonomy;
pub use world::Ports;

use desk::Waiters;
use medic_core::Policy;
use medic_core::grouping::GroupingPolicy;
use ractor::{Actor, ActorRef};
use root::{Root, RootMessage, Spec};
use shell::{Shell, Worker};
use std::sync::Arc;
use thiserror::Error;
use tokio::task::JoinHandle;

/// What the agents are configured with.
#[derive(Clone, Debug)]
pub struct AgentsConfig {
    pub policy: Policy,
    pub grouping: GroupingPolicy,
    pub restart: RestartPolicy,
    pub taxonomy: Taxonomy,
}

#[derive(Debug, Error)]
#[error("cannot start the agents: {0}")]
pub struct StartError(String);

/// The running agents. Dropping it does not stop them; [`Agents::stop`] does.
pub struct Agents {
    desk: Desk,
    root: ActorRef<RootMessage>,
    ended: JoinHandle<()>,
    shells: Vec<Shell>,
}

/// Starts everything and wakes it: what the journal holds unfinished goes on at once.
///
/// # Errors
/// [`StartError`] when the root actor cannot start.
pub async fn start(config: AgentsConfig, ports: Ports) -> Result<Agents, StartError> {
    let clock = ports.clock.clone();
    let safe_mode = SafeMode::default();
    let world = Arc::new(world::World {
        ports,
        policy: config.policy,
        grouping: config.grouping,
        taxonomy: config.taxonomy,
        safe_mode: safe_mode.clone(),
    });
    let waiters = Arc::new(Waiters::default());
    let workers: Vec<Arc<dyn Worker>> = vec![
        Arc::new(supervisor::Supervisor { world: world.clone(), waiters: waiters.clone() }),
        Arc::new(monitor::Monitor { world: world.clone() }),
        Arc::new(diagnoser::Diagnoser { world: world.clone() }),
        Arc::new(executor::Executor { world: world.clone() }),
        Arc::new(notices::Notices { world: world.clone() }),
    ];
    let shells: Vec<Shell> = workers.into_iter().map(|worker| Shell::new(world.clone(), worker)).collect();
    let desk = Desk::new(world.clone(), waiters, shells.iter().map(Shell::status).collect());
    let mut children: Vec<Spec> = shells.iter().map(|shell| Spec::Mail(shell.again())).collect();
    children.push(Spec::Time(timekeeper::Timekeeper { world }));
    let root = Root { children, policy: config.restart, clock, safe_mode };
    let (root, ended) = Actor::spawn(None, root, ()).await.map_err(|error| StartError(error.to_string()))?;
    Ok(Agents { desk, root, ended, shells })
}

impl Agents {
    pub fn desk(&self) -> Desk {
        self.desk.clone()
    }

    /// Stops taking mail, then lets what is in flight finish for at most `grace_ms`; what does not is ended and goes on
    /// from the journal at the next start. Returns whether everything finished.
    pub async fn stop(self, grace_ms: u64) -> bool {
        self.root.stop(None);
        // The root's end is the end of its children; a join error here says only that it was ended harder.
        let _ = self.ended.await;
        let drained = self.shells.iter().map(|shell| shell.drained(grace_ms));
        futures::future::join_all(drained).await.into_iter().all(|done| done)
    }
}
