//! The folder that plugins are installed into, seen without a daemon.

use crate::offline::{FAILED, coded};
use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use medic_core::TimestampMs;
use medic_host::{HostConfig, Survey};
use medic_ports::Clock as _;
use medicd::Config;
use medicd::adapters::SystemClock;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Where plugins are. Without these the configuration's `[tools]` says it.
#[derive(Args)]
pub struct Place {
    #[arg(long, value_name = "DIR", requires = "grants")]
    plugins_dir: Option<PathBuf>,
    /// The grant file; `plugins.lock` is beside it.
    #[arg(long, value_name = "FILE", requires = "plugins_dir")]
    grants: Option<PathBuf>,
}

#[derive(Args)]
#[command(
    after_help = "A component that could do more than what was reviewed of its plugin is not installed without \
                        --accept-widening, and the version that is installed goes on.\nRights are given in the grant file, \
                        which no command writes."
)]
pub struct Install {
    file: PathBuf,
    /// What it can do more than before was read and agreed to.
    #[arg(long)]
    accept_widening: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub struct List {
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub struct Artifact {
    /// As a tool's answer names it: `artifact:` and 64 hex digits.
    id: String,
    /// Default: the configured folder.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Place {
    fn config(self, config: &dyn Fn() -> anyhow::Result<Config>) -> anyhow::Result<HostConfig> {
        match (self.plugins_dir, self.grants) {
            (Some(plugins_dir), Some(grants)) => Ok(HostConfig::new(plugins_dir, grants)),
            _ => match config()?.tools {
                Some(tools) => Ok(tools.host()),
                None => bail!("the configuration has no [tools]; name --plugins-dir and --grants"),
            },
        }
    }
}

fn now() -> TimestampMs {
    SystemClock.now()
}

pub fn install(asked: Install, config: &dyn Fn() -> anyhow::Result<Config>) -> anyhow::Result<ExitCode> {
    let host = asked.place.config(config)?;
    let installed = medic_host::install(&host, &asked.file, asked.accept_widening, now())
        .map_err(|error| coded(error.code(), error))?;
    let (name, locked) = (&installed.name, &installed.locked);
    let mut out = io::stdout().lock();
    writeln!(out, "{name}  {}  {}  {}", locked.category, locked.digest, installed.difference.as_str())?;
    for words in installed.difference.words() {
        writeln!(out, "    {words}")?;
    }
    writeln!(out, "    {}", installed.provenance)?;
    writeln!(out, "installed as {}", installed.path.display())?;
    if !installed.granted {
        writeln!(
            io::stderr(),
            "it is not granted: put digest = \"{}\" under [plugin.{name}] into {}; `medic plugin audit {} --emit-grant` \
             drafts the rest",
            locked.digest,
            host.grants_file.display(),
            asked.file.display()
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

pub fn list(asked: List, config: &dyn Fn() -> anyhow::Result<Config>) -> anyhow::Result<ExitCode> {
    let host = asked.place.config(config)?;
    let survey = medic_host::survey(&host, now()).map_err(|error| coded(error.code(), error))?;
    let mut out = io::stdout().lock();
    if asked.json {
        serde_json::to_writer_pretty(&mut out, &survey)?;
        writeln!(out)?;
    } else {
        print(&survey, &mut out)?;
    }
    Ok(if survey.rejected.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn print(survey: &Survey, out: &mut dyn Write) -> io::Result<()> {
    for plugin in &survey.plugins {
        let digest = plugin.digest.get(..19).unwrap_or(&plugin.digest);
        writeln!(out, "{:<24} {:<12} {digest}…  {}", plugin.name, plugin.category, plugin.tools.join(", "))?;
        let functions: Vec<String> = plugin
            .functions
            .iter()
            .map(|(function, granted)| if *granted { function.clone() } else { format!("({function})") })
            .collect();
        if !functions.is_empty() {
            writeln!(out, "    {}", functions.join(", "))?;
        }
        let recorded = if plugin.recorded { "" } else { "; not in plugins.lock yet" };
        writeln!(out, "    {}{recorded}", plugin.provenance)?;
    }
    for rejected in &survey.rejected {
        writeln!(out, "not loaded: {} {}: {}", rejected.file, rejected.code, rejected.reason)?;
    }
    if survey.plugins.iter().any(|plugin| plugin.functions.iter().any(|(_, granted)| !granted)) {
        writeln!(out, "(in brackets: imported and not granted)")?;
    }
    Ok(())
}

pub fn artifact(asked: Artifact, config: &dyn Fn() -> anyhow::Result<Config>) -> anyhow::Result<ExitCode> {
    let configured = || -> anyhow::Result<PathBuf> {
        let dir = config()?.tools.and_then(|tools| tools.host().artifacts_dir);
        dir.context("the configuration has no [tools]; name --dir")
    };
    let dir = asked.dir.map_or_else(configured, Ok)?;
    let found = medic_host::artifact(&dir, &asked.id)
        .with_context(|| format!("cannot use {}", dir.display()))
        .context("ARTIFACTS_UNUSABLE")?;
    let Some(artifact) = found else {
        let message = format!("{} holds no {}; the oldest make room for new ones", dir.display(), asked.id);
        return Err(anyhow!(message).context("NO_SUCH_ARTIFACT"));
    };
    let words = format!(
        "{}: {} ({}), {} B",
        artifact.plugin,
        artifact.name,
        artifact.media_type,
        artifact.data.len()
    );
    writeln!(io::stderr(), "{words}")?;
    io::stdout().lock().write_all(&artifact.data)?;
    Ok(ExitCode::SUCCESS)
}
