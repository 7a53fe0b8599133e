//! `medic-lab`: the lab on the command line. Standard output is data, standard error is talk.

// See the library: real clocks and real processes are what a lab is made of.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::indexing_slicing, reason = "a JSON value answers an unknown key with null")]

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use medic_lab::{Fault, Lab, LabOptions, Remote, Service, keeper, load, service, tether};
use serde_json::json;
use std::{ffi::OsString, path::PathBuf};
use tokio::signal::unix::{SignalKind, signal};

/// A small shop to break and heal.
///
/// Five services (gateway → checkout → inventory and payments → store), one process each, under a steady load, with a
/// real Prometheus and Alertmanager beside them. Everything listens on 127.0.0.1 only and ends with `up`.
#[derive(Parser)]
#[command(name = "medic-lab", version)]
#[command(after_help = "Try:\n  \
    medic-lab up &                      start; one JSON line says where everything is\n  \
    medic-lab fault bad_config          break it\n  \
    medic-lab status                    look: faults, alerts, restarts\n  \
    medic-lab fault bad_config --off    mend it from outside\n  \
    medic-lab down                      stop")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Where {
    /// The lab's directory: state, logs, configurations.
    #[arg(long, default_value_os_t = std::env::temp_dir().join("medic-lab"))]
    dir: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Start a lab, print one JSON line when it is ready, run until SIGTERM, SIGINT or `down`.
    Up {
        #[command(flatten)]
        place: Where,
        /// Where Alertmanager sends alerts.
        #[arg(long)]
        webhook_url: Option<String>,
        /// A file with the bearer token that Alertmanager sends along.
        #[arg(long, requires = "webhook_url")]
        webhook_token_file: Option<PathBuf>,
        /// Seed of orders, jitter and noise: the same seed, the same customers.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Orders a second.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(20..=40))]
        rps: u32,
        /// Without Prometheus and Alertmanager.
        #[arg(long, conflicts_with = "webhook_url")]
        no_prometheus: bool,
    },
    /// Inject a fault, or clear it with --off.
    #[command(after_help = faults_help())]
    Fault {
        name: Fault,
        /// Clear it, whatever its cure would be.
        #[arg(long)]
        off: bool,
        #[command(flatten)]
        place: Where,
    },
    /// Say how the lab is, as JSON: addresses, faults, firing alerts, restarts, and what a customer sees.
    Status {
        #[command(flatten)]
        place: Where,
    },
    /// Have Alertmanager send to another address from now on.
    Webhook {
        url: String,
        /// A file with the bearer token to send along.
        #[arg(long)]
        token_file: Option<PathBuf>,
        #[command(flatten)]
        place: Where,
    },
    /// Stop the lab.
    Down {
        #[command(flatten)]
        place: Where,
    },
    /// Send orders to a gateway until stopped (the lab does this by itself).
    Load {
        #[arg(long)]
        url: String,
        #[arg(long, default_value_t = 30)]
        rps: u32,
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Be one service of the lab in a directory (the lab does this by itself).
    Service {
        #[arg(long)]
        name: Service,
        #[command(flatten)]
        place: Where,
    },
    #[command(hide = true)]
    Keeper { dir: PathBuf },
    #[command(hide = true, disable_help_flag = true)]
    Tether {
        parent: i32,
        program: OsString,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

fn faults_help() -> String {
    let mut help = "Faults:\n".to_owned();
    for fault in Fault::ALL {
        let home = fault.service().map_or_else(String::new, |service| format!(" (on {service})"));
        help.push_str(&format!(
            "  {fault}{home}\n    seen as: {}\n    cure:    {}\n",
            fault.symptom(),
            fault.cure()
        ));
    }
    help
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Tether { parent, program, arguments } => {
            tether::become_tethered(parent, &program, &arguments)
        }
        Command::Keeper { dir } => keeper::run(&dir),
        Command::Service { name, place } => service::run(name, &place.dir),
        command => tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(command)),
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Up { place, webhook_url, webhook_token_file, seed, rps, no_prometheus } => {
            up(LabOptions {
                dir: Some(place.dir),
                webhook_url,
                webhook_token: webhook_token_file.map(read_token).transpose()?,
                seed,
                load_rps: rps,
                prometheus: !no_prometheus,
            })
            .await
        }
        Command::Fault { name, off, place } => {
            let lab = Remote::open(&place.dir)?;
            if off { lab.clear(name).await } else { lab.inject(name).await }
        }
        Command::Status { place } => status(&Remote::open(&place.dir)?).await,
        Command::Webhook { url, token_file, place } => {
            let token = token_file.map(read_token).transpose()?;
            Remote::open(&place.dir)?.set_webhook(&url, token.as_deref()).await
        }
        Command::Down { place } => Remote::open(&place.dir)?.take_down().await,
        Command::Load { url, rps, seed } => load::run(url.trim_end_matches('/'), rps, seed).await,
        Command::Service { .. } | Command::Keeper { .. } | Command::Tether { .. } => {
            anyhow::bail!("these run without a shared runtime")
        }
    }
}

async fn up(options: LabOptions) -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    eprintln!("starting the lab…");
    let mut lab = tokio::select! {
        lab = Lab::start(options) => lab?,
        _ = terminated.recv() => return Ok(()),
        _ = interrupted.recv() => return Ok(()),
    };
    println!("{}", lab.describe());
    tokio::select! {
        () = lab.ended() => eprintln!("the lab was taken down"),
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    lab.stop();
    Ok(())
}

async fn status(lab: &Remote) -> anyhow::Result<()> {
    let mut restarts = serde_json::Map::new();
    for service in lab.services() {
        restarts.insert(service.name().to_owned(), lab.restarts(service)?.into());
    }
    let probe = lab.probe(10).await;
    let mut status = lab.describe();
    // A lab without Prometheus has no alerts to tell of.
    status["firing_alerts"] = json!(lab.firing_alerts().await.unwrap_or_default());
    status["active_faults"] = json!(lab.active_faults().await.unwrap_or_default());
    status["restarts"] = restarts.into();
    status["orders"] = json!({"sent": probe.sent, "failed": probe.failed, "mean_ms": probe.mean_ms.round()});
    status["healthy"] = json!(lab.is_healthy().await?);
    println!("{}", serde_json::to_string_pretty(&status)?);
    Ok(())
}

fn read_token(path: PathBuf) -> anyhow::Result<String> {
    let token = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(token.trim().to_owned())
}
