//! Plugin files, from their bytes alone.

use super::coded;
use anyhow::Context;
use clap::Subcommand;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Subcommand)]
pub enum Command {
    /// What a component could do, from its bytes alone.
    Audit {
        file: PathBuf,
        /// Prints a draft of the grant to review, in place of the report.
        #[arg(long)]
        emit_grant: bool,
        #[arg(long, conflicts_with = "emit_grant")]
        json: bool,
    },
}

pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Audit { file, emit_grant, json } => audit(&file, emit_grant, json),
    }
}

fn audit(file: &Path, emit_grant: bool, json: bool) -> anyhow::Result<ExitCode> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut out = io::stdout().lock();
    if emit_grant {
        // A plugin is named for its file, as the host names it.
        let plugin = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let grant = medic_host::emit_grant(&plugin, &bytes).map_err(|error| coded(error.code, error))?;
        writeln!(out, "{grant}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let report = medic_host::audit(&bytes).map_err(|error| coded(error.code, error))?;
    if json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{report}")?;
    }
    Ok(ExitCode::SUCCESS)
}
