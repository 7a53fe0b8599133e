//! Dies at every write and every sync, starts again, and holds the promises.
//!
//! Lives whole stories of the real agents over the real store in processes of their own, cuts them short wherever a
//! system call changes a file or a step lies between two commits, lets them go on, and holds what then lies on disk
//! against what the world saw and what people outside were told. Never replaces a part of the daemon: only what is
//! around it is a twin.
//!
//! `faultfs` is where a life is cut, `tape` what it did, `image` the disk after a power loss. `story` is what happens,
//! `life` one process, `world` and `outside` the witnesses, `laws` the judgement. `point` is one cut story, `sweep` many
//! of them, `mutants` the planted bugs that show that the sweep can fail.

#![allow(
    clippy::disallowed_methods,
    reason = "not the daemon: it starts processes to kill them, and measures on the wall clock"
)]

mod again;
mod chaos;
mod faultfs;
mod image;
mod laws;
mod life;
mod mutants;
mod outside;
mod point;
mod seed;
mod soak;
mod story;
mod sweep;
mod tape;
mod waking;
mod watched;
mod world;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};
use faultfs::{Fault, Mode};
use mutants::Mutant;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use sweep::{Plan, Way};

/// Crash the daemon's heart everywhere, and look whether it keeps its promises.
#[derive(Parser)]
#[command(name = "medic-crash", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Cut stories short at many places and judge what comes of it.
    Sweep {
        /// kill, torn, power, eio, enospc, logic, pairs or all.
        #[arg(long, default_value = "all")]
        mode: String,
        /// Points a mode; `all`: every boundary of every story once.
        #[arg(long, default_value = "100")]
        points: String,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Stories, each with an order of events of its own.
        #[arg(long, default_value_t = 4)]
        stories: u64,
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// The report as JSON on stdout.
        #[arg(long)]
        json: bool,
    },
    /// Look for each planted bug until it is found.
    Mutants {
        /// Only these; all without it.
        names: Vec<String>,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Points spent on one bug at most.
        #[arg(long, default_value_t = 400)]
        points: u64,
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// Look first where the bug has its seam.
        #[arg(long)]
        near: bool,
        #[arg(long)]
        json: bool,
    },
    /// Live one point again and tell everything about it.
    Point {
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// `mode:at:seed`, one a life.
        #[arg(long = "fault")]
        faults: Vec<String>,
        #[arg(long)]
        mutant: Option<String>,
        /// Threads interleave anew each time: live it so often.
        #[arg(long, default_value_t = 1)]
        times: u32,
    },
    /// Live on and on while everything misbehaves: crashes every few seconds, a slow disk, clocks that jump, a hung and a
    /// lying Prometheus, a hung model, panics, duplicates; judged after each generation of incidents.
    Soak {
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Seconds.
        #[arg(long = "for", default_value_t = 60)]
        seconds: u64,
        #[arg(long)]
        json: bool,
    },
    /// Hold the tape of an undisturbed life against the files it left.
    Tape {
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Print the whole tape.
        #[arg(long)]
        all: bool,
    },
    /// One life, as the others start it.
    #[command(hide = true)]
    Life { orders: PathBuf },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("medic-crash: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Sweep { mode, points, seed, stories, jobs, json } => {
            let ways = match mode.as_str() {
                "all" => Way::all(),
                one => vec![Way::parse(one).with_context(|| format!("there is no mode {one}"))?],
            };
            let points = if points == "all" { None } else { Some(points.parse()?) };
            let report = sweep::sweep(&Plan { ways, points, seed, jobs, stories })?;
            if json {
                print(&serde_json::to_string(&report)?);
            } else {
                print(&table(&report));
            }
            Ok(verdict(report.violations == 0))
        }
        Command::Mutants { names, seed, points, jobs, near, json } => {
            let which = match names.as_slice() {
                [] => Mutant::ALL.to_vec(),
                names => names.iter().map(|name| mutant(name)).collect::<Result<_>>()?,
            };
            let found = sweep::mutants(&which, seed, points, jobs, near)?;
            let missed = found.iter().filter(|one| one.by.is_none()).count();
            if json {
                print(&serde_json::to_string(&found)?);
            } else {
                print(&format!("{} of {} planted bugs found", found.len() - missed, found.len()));
            }
            Ok(verdict(missed == 0))
        }
        Command::Point { seed, faults, mutant: planted, times } => {
            let faults = faults.iter().map(|fault| parse_fault(fault)).collect::<Result<_>>()?;
            let mutant = planted.map(|name| mutant(&name)).transpose()?;
            let point = point::Point { seed, faults, mutant };
            let mut holds = true;
            for _ in 0..times {
                let outcome = point::run(&point)?;
                print(&point.command());
                print(&serde_json::to_string_pretty(&outcome)?);
                holds &= outcome.holds();
            }
            Ok(verdict(holds))
        }
        Command::Soak { seed, seconds, json } => {
            let report = soak::soak(seed, std::time::Duration::from_secs(seconds))?;
            print(&if json { serde_json::to_string(&report)? } else { report.to_string() });
            Ok(verdict(report.faults.is_empty()))
        }
        Command::Tape { seed, all } => {
            let (counts, differences, entries) = point::tape_against_disk(seed)?;
            if all {
                entries.iter().for_each(|entry| print(&entry.to_string()));
            }
            print(&serde_json::to_string(&counts)?);
            differences.iter().for_each(|difference| print(difference));
            Ok(verdict(differences.is_empty()))
        }
        Command::Life { orders } => {
            let orders = serde_json::from_slice(&std::fs::read(orders)?)?;
            let code = life::live(orders)?;
            Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
        }
    }
}

fn verdict(holds: bool) -> ExitCode {
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whoever reads may have gone: that is no reason to panic.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn mutant(name: &str) -> Result<Mutant> {
    Mutant::parse(name).with_context(|| {
        let known: Vec<&str> = Mutant::ALL.iter().map(|mutant| mutant.name()).collect();
        format!("there is no planted bug {name}; there are {}", known.join(", "))
    })
}

fn parse_fault(text: &str) -> Result<Fault> {
    let [mode, at, seed] = text.split(':').collect::<Vec<_>>()[..] else {
        bail!("a fault is mode:at:seed, not {text}")
    };
    let mode = Mode::ALL.into_iter().find(|known| known.name() == mode);
    let mode = mode.with_context(|| format!("there is no mode in {text}"))?;
    Ok(Fault { mode, at: at.parse()?, seed: seed.parse()? })
}

fn table(report: &sweep::Report) -> String {
    let mut table = format!(
        "{:<8} {:>7} {:>7} {:>10} {:>9} {:>10}\n",
        "mode", "points", "struck", "violations", "unknown", "disk lost"
    );
    for (way, row) in &report.rows {
        table += &format!(
            "{way:<8} {:>7} {:>7} {:>10} {:>9} {:>10}\n",
            row.points, row.struck, row.violations, row.unknown_outcomes, row.lives_without_storage
        );
    }
    table += &format!("{} points, {} violations, {} s", report.points, report.violations, report.took_s);
    table += &format!("; seed {}", report.seed);
    table
}
