//! Incidents of a store that no process has open.

use super::{StoreDir, coded, written};
use clap::Subcommand;
use medic_core::IncidentId;
use medic_ports::Journal as _;
use medic_ports::journal::IncidentFilter;
use medic_store::Reader;
use medicd::Config;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Subcommand)]
pub enum Command {
    /// Ids and phases, newest first.
    List {
        #[command(flatten)]
        store: StoreDir,
        /// At most this many.
        #[arg(long, short = 'n', default_value_t = 50)]
        limit: usize,
    },
    /// Writes everything that was decided on one incident as JSON lines, for `medic replay`.
    Export {
        id: String,
        #[command(flatten)]
        store: StoreDir,
        /// Default: stdout.
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
}

pub fn run(command: Command, config: &dyn Fn() -> anyhow::Result<Config>) -> anyhow::Result<ExitCode> {
    match command {
        Command::List { store, limit } => {
            let reader = open(&store.config(config)?.dir)?;
            let filter = IncidentFilter { limit, ..IncidentFilter::default() };
            let incidents = reader.incidents(&filter).map_err(|error| coded(error.code(), error))?;
            let mut out = io::stdout().lock();
            for incident in incidents {
                // Without its title, which the world outside has written.
                let (id, phase, revision) = (&incident.id, incident.phase.name(), incident.revision);
                writeln!(out, "{id}  {phase:<17}  revision {revision}")?;
            }
        }
        Command::Export { id, store, to } => {
            let (reader, id) = (open(&store.config(config)?.dir)?, IncidentId::new(id));
            let held = written(to.as_deref(), |mut out| {
                medic_store::export_incident(&reader, &id, &mut out)
                    .map_err(|error| coded(error.code(), error))
            })?;
            writeln!(io::stderr(), "revision {}, {} audit records", held.revision, held.records)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn open(dir: &Path) -> anyhow::Result<Reader> {
    Reader::open(dir).map_err(|error| coded(error.code(), error))
}
