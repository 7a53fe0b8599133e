//! Supervisor, Monitor, Diagnoser and Executor: supervised actors over durable mailboxes.
//!
//! The shell around medic-core: it takes letters from the journal, lets core decide, commits, and performs what was
//! committed. Never decides what is allowed, never writes a byte anywhere but through the ports, and knows no database,
//! no HTTP and no WebAssembly.

mod audit;
mod careful;
mod conditions;
pub mod desk;
mod diagnoser;
mod executor;
mod guard;
mod monitor;
mod notices;
mod origin;
mod pace;
mod reply;
mod restored;
mod root;
mod safe_mode;
mod setbacks;
mod shell;
mod steady;
mod stop;
mod supervisor;
pub mod taxonomy;
mod timekeeper;
mod watchdog;
mod world;

pub use conditions::Condition;
pub use desk::Desk;
pub use pace::Pace;
pub use root::RestartPolicy;
pub use safe_mode::SafeMode;
pub use stop::Stop;
pub use taxonomy::Taxonomy;
pub use world::Ports;

use desk::Waiters;
use medic_core::Policy;
use medic_core::grouping::GroupingPolicy;
use medic_ports::Clock as _;
use ractor::{Actor, ActorRef};
use root::{Root, RootMessage, Spec};
use shell::{Shell, Worker};
use std::sync::{Arc, Mutex};
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
    world: Arc<world::World>,
}

/// Starts everything and wakes it: what the journal holds unfinished goes on at once.
///
/// # Errors
/// [`StartError`] when the journal cannot be read or the root actor cannot start.
pub async fn start(config: AgentsConfig, ports: Ports) -> Result<Agents, StartError> {
    start_paced(config, ports, Pace::default()).await
}

/// [`start`], taking up no more at once than `pace` allows.
///
/// # Errors
/// As [`start`].
pub async fn start_paced(config: AgentsConfig, ports: Ports, pace: Pace) -> Result<Agents, StartError> {
    let restart = config.restart.clone();
    let world = Arc::new(world::World::new(config, ports));
    let probation = careful::begin(&world).await.map_err(|error| StartError(error.to_string()))?;
    let waiters = Arc::new(Waiters::default());
    let supervisor = Arc::new(supervisor::Supervisor::new(world.clone(), waiters.clone()));
    restored::hand_over(&world, &supervisor)
        .await
        .map_err(|error| StartError(format!("cannot hand restored incidents over: {error:?}")))?;
    let workers: Vec<Arc<dyn Worker>> = vec![
        supervisor,
        Arc::new(monitor::Monitor { world: world.clone() }),
        Arc::new(diagnoser::Diagnoser { world: world.clone() }),
        Arc::new(executor::Executor { world: world.clone() }),
        Arc::new(notices::Notices { world: world.clone() }),
    ];
    let shells: Vec<Shell> =
        workers.into_iter().map(|worker| Shell::new(world.clone(), worker, pace)).collect();
    let desk = Desk::new(world.clone(), waiters, shells.clone());
    let mut children: Vec<Spec> = shells.iter().cloned().map(Spec::Mail).collect();
    children.push(Spec::Time(timekeeper::Timekeeper::new(world.clone())));
    children.push(Spec::Watch(watchdog::Watchdog {
        world: world.clone(),
        shells: shells.clone(),
        probation: Arc::new(Mutex::new(probation)),
    }));
    let root = Root {
        children,
        policy: restart,
        clock: world.steady.clone(),
        safe_mode: world.safe_mode.clone(),
        conditions: world.conditions.clone(),
    };
    let (root, ended) = Actor::spawn(None, root, ()).await.map_err(|error| StartError(error.to_string()))?;
    Ok(Agents { desk, root, ended, shells, world })
}

impl Agents {
    pub fn desk(&self) -> Desk {
        self.desk.clone()
    }

    /// For whoever hears the second signal while [`Agents::stop`] is under way.
    pub fn stopper(&self) -> Stop {
        self.world.stop.clone()
    }

    /// Stops taking mail, then lets what is in flight finish for at most `grace_ms`, or until [`Stop::at_once`]; what does
    /// not is ended and goes on from the journal at the next start. Returns whether everything finished.
    pub async fn stop(self, grace_ms: u64) -> bool {
        self.world.stop.ask();
        let enough = || async {
            tokio::select! {
                biased;
                () = self.world.stop.no_more_waiting() => {}
                () = self.world.steady.sleep(grace_ms) => {}
            }
        };
        self.root.stop(None);
        let drained = self.shells.iter().map(|shell| shell.drained(enough()));
        // The root's end is the end of its children; a child that waits for a disk that does not answer is left behind.
        let ended = async {
            tokio::select! { biased; ended = self.ended => ended.is_ok(), () = enough() => false }
        };
        let (drained, ended) = futures::future::join(futures::future::join_all(drained), ended).await;
        ended && drained.into_iter().all(|done| done)
    }
}
