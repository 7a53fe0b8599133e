//! Scores of the analysis on labelled sets: predictions out, never a truth file in.
//!
//! One subcommand a task. Each reads the formats as published, runs the very code the daemon runs, and writes predictions
//! that a scorer of its own may judge. Never reads labels or truth.

// A measurement of real time is the point: the bans that keep a daemon's clock behind a port have no meaning here.
#![allow(clippy::disallowed_methods)]

mod change;
mod input;
mod log_anomaly;
mod metric_anomaly;
mod rca;
mod report;
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
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Templates(args) => templates::run(&args),
        Task::LogAnomaly(args) => log_anomaly::run(&args),
        Task::MetricAnomaly(args) => metric_anomaly::run(&args),
        Task::Rca(args) => rca::run(&args),
        Task::Change(args) => change::run(&args),
    }
}
