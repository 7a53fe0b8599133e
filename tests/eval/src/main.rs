//! Scores of the analysis on labelled sets: predictions out, never a truth file in.
//!
//! One subcommand a task. Each reads the formats as published, runs the very code the daemon runs, and writes predictions
//! that a scorer of its own may judge. Never reads labels or truth; only `retrieval`, whose queries carry what is relevant
//! to them, looks at it, after the answer.

// A measurement of real time is the point: the bans that keep a daemon's clock behind a port have no meaning here.
#![allow(clippy::disallowed_methods)]

mod change;
mod input;
mod log_anomaly;
mod metric_anomaly;
mod rca;
mod report;
#[cfg(feature = "retrieval")]
mod retrieval;
#[cfg(feature = "retrieval")]
mod retrieval_speed;
mod templates;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "medic-eval",
    version,
    about = "Runs the analysis over labelled sets and writes its predictions"
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Groups the raw lines of a log by template.
    Templates(templates::Args),
    /// Names the entities of a log (sessions, blocks, requests) that behave unlike those of a normal one.
    LogAnomaly(log_anomaly::Args),
    /// Marks anomalous windows in series.
    MetricAnomaly(metric_anomaly::Args),
    /// Ranks the services of each case by how likely they are its root cause.
    Rca(rca::Args),
    /// Names the change that caused each case, or none.
    Change(change::Args),
    /// Looks up the runbooks for each query of a labelled set, in every mode.
    #[cfg(feature = "retrieval")]
    Retrieval(retrieval::Args),
    /// Fills a knowledge base from a seeded generator and says how fast it is filled and searched. Build it optimised.
    #[cfg(feature = "retrieval")]
    RetrievalSpeed(retrieval_speed::Args),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Templates(args) => templates::run(&args),
        Task::LogAnomaly(args) => log_anomaly::run(&args),
        Task::MetricAnomaly(args) => metric_anomaly::run(&args),
        Task::Rca(args) => rca::run(&args),
        Task::Change(args) => change::run(&args),
        #[cfg(feature = "retrieval")]
        Task::Retrieval(args) => retrieval::run(&args),
        #[cfg(feature = "retrieval")]
        Task::RetrievalSpeed(args) => retrieval_speed::run(&args),
    }
}
