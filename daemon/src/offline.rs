//! What medicd does without being a daemon: on files and on a store that no process has open.
//!
//! Owns the offline command line. Data goes to standard output, talk to standard error; what is not sound ends with exit
//! code 1.

mod audit;
mod incidents;
mod plugin;
mod store;

use anyhow::Context;
use clap::{Args, Subcommand};
use medic_store::StoreConfig;
use medicd::Config;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub const FAILED: u8 = 1;

#[derive(Subcommand)]
pub enum Offline {
    /// Looks at a store that no daemon has open, copies it, puts a copy in its place.
    #[command(subcommand)]
    Store(store::Command),
    /// The audit log, offline: verify an export, take and sign anchors.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Incidents of a store that no daemon has open.
    #[command(subcommand)]
    Incidents(incidents::Command),
    /// Tool plugins, offline.
    #[command(subcommand)]
    Plugin(plugin::Command),
}

impl Offline {
    /// `config`: read only when a command needs it: a broken configuration must not keep anybody from the store.
    pub fn run(self, config: &dyn Fn() -> anyhow::Result<Config>) -> anyhow::Result<ExitCode> {
        match self {
            Self::Store(command) => store::run(command, config),
            Self::Audit(command) => audit::run(command, config),
            Self::Incidents(command) => incidents::run(command, config),
            Self::Plugin(command) => plugin::run(command, config),
        }
    }
}

/// `code` first, as everywhere an operator meets an error.
pub fn coded(code: &str, error: impl std::error::Error + Send + Sync + 'static) -> anyhow::Error {
    anyhow::Error::new(error).context(code.to_owned())
}

#[derive(Args)]
pub struct StoreDir {
    /// Directory of the store. Default: the configured one.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl StoreDir {
    fn config(self, config: &dyn Fn() -> anyhow::Result<Config>) -> anyhow::Result<StoreConfig> {
        match self.dir {
            // A named directory needs no configuration, which may be what is broken.
            Some(dir) => Ok(StoreConfig { dir, ..StoreConfig::default() }),
            None => Ok(config()?.store),
        }
    }
}

/// Writes into a new file that is synced, or to standard output. A file that was not written whole is taken away again.
fn written<T>(
    to: Option<&Path>,
    write: impl FnOnce(&mut dyn Write) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let Some(path) = to else {
        let mut out = BufWriter::new(io::stdout().lock());
        let result = write(&mut out)?;
        out.flush()?;
        return Ok(result);
    };
    // What was written before is evidence too.
    let file = File::create_new(path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut out = BufWriter::new(file);
    let whole = write(&mut out).and_then(|result| {
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(result)
    });
    if whole.is_err() {
        // The error at hand is the one to tell.
        let _ = std::fs::remove_file(path);
    }
    whole
}
