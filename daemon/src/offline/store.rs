//! A store that no process has open.

use super::{FAILED, StoreDir, coded, written};
use anyhow::bail;
use clap::Subcommand;
use medic_store::{CheckReport, Store};
use medicd::Config;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Subcommand)]
pub enum Command {
    /// Reads everything and lists what is not as it should be.
    Check {
        #[command(flatten)]
        store: StoreDir,
        #[arg(long)]
        json: bool,
    },
    /// Writes the audit log as JSON lines, for `audit verify`.
    Export {
        #[command(flatten)]
        store: StoreDir,
        /// Default: stdout.
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Copies the store into a new directory.
    Backup {
        #[command(flatten)]
        store: StoreDir,
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
    /// Puts a copy in place as a store: verified before, verified after, never over another store.
    #[command(
        after_help = "The world went on since the copy was taken: when the daemon first opens it, every change that was open \
                      in it is unknown, and its incident is escalated for a person to look."
    )]
    Restore {
        /// The copy.
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        #[command(flatten)]
        store: StoreDir,
        #[arg(long)]
        json: bool,
    },
}

pub fn run(command: Command, config: &dyn Fn() -> anyhow::Result<Config>) -> anyhow::Result<ExitCode> {
    match command {
        Command::Check { store, json } => check(store, config, json),
        Command::Export { store, to } => {
            let dir = store.config(config)?.dir;
            let head = written(to.as_deref(), |mut out| {
                medic_store::export_audit(&dir, &mut out).map_err(|error| coded(error.code(), error))
            })?;
            writeln!(io::stderr(), "{} records, head {}", head.seq, head.hash)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Backup { store, to } => {
            let config = store.config(config)?;
            if !config.dir.is_dir() {
                bail!("there is no store in {}", config.dir.display());
            }
            let store = Store::open(&config).map_err(|error| coded(error.code(), error))?;
            let copied = store.backup(&to).map_err(|error| coded(error.code(), error));
            store.shutdown();
            copied?;
            writeln!(io::stderr(), "copied to {}", to.display())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Restore { from, store, json } => restore(&from, &store.config(config)?.dir, json),
    }
}

fn restore(from: &Path, to: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let report = medic_store::restore(from, to).map_err(|error| coded(error.code(), error))?;
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "restored to {}: commit {}, audit record {}",
        to.display(),
        report.commit_seq,
        report.audit_head.seq
    )?;
    if report.open_effects > 0 {
        writeln!(out, "{} changes were open in it and are unknown now", report.open_effects)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn check(
    store: StoreDir,
    config: &dyn Fn() -> anyhow::Result<Config>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let dir = store.config(config)?.dir;
    let report = medic_store::check(&dir).map_err(|error| coded(error.code(), error))?;
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        print(&report, &mut out)?;
    }
    Ok(if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn print(report: &CheckReport, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "commit {}, audit record {}", report.commit_seq, report.audit_head.seq)?;
    for (table, rows) in &report.rows {
        writeln!(out, "{table:<16} {rows:>10} rows")?;
    }
    for fault in &report.faults {
        writeln!(out, "{}: {}", fault.code, fault.detail)?;
    }
    writeln!(out, "{}", if report.is_whole() { "whole" } else { "NOT WHOLE" })
}
