//! What a reviewer asks of a component's bytes. Nothing of it is run.

use crate::offline::{FAILED, coded};
use clap::Args;
use medic_host::{AuditReport, Difference, LoadError, Lock};
use medicd::Config;
use serde_json::json;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
#[command(
    after_help = "With the daemon's configuration, or --lock, the report says how the component differs from what was \
                        reviewed of its plugin.\n\nExamples:\n  medic plugin audit restart.wasm\n  \
                        medic plugin audit restart.wasm --emit-grant >> grants.toml\n  \
                        medic plugin audit restart.wasm --sarif > restart.sarif"
)]
pub struct Audit {
    file: PathBuf,
    /// Prints a draft of the least grant, in place of the report.
    #[arg(long)]
    emit_grant: bool,
    #[arg(long, conflicts_with = "emit_grant")]
    json: bool,
    /// SARIF 2.1.0, for tools that show findings.
    #[arg(long, conflicts_with_all = ["emit_grant", "json"])]
    sarif: bool,
    /// A `plugins.lock` to compare with. Default: the configured one.
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
}

#[derive(Args)]
pub struct Check {
    file: PathBuf,
}

#[derive(Args)]
pub struct Diff {
    before: PathBuf,
    after: PathBuf,
    #[arg(long)]
    json: bool,
}

pub fn audit(asked: Audit, config: &dyn Fn() -> anyhow::Result<Config>) -> anyhow::Result<ExitCode> {
    let bytes = read(&asked.file)?;
    let mut out = io::stdout().lock();
    // A plugin is named for its file, as the host names it.
    let plugin = asked.file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    if asked.emit_grant {
        let grant = medic_host::emit_grant(&plugin, &bytes).map_err(|error| coded(error.code, error))?;
        writeln!(out, "{grant}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut report = medic_host::audit(&bytes);
    if let (Ok(report), Some(lock)) = (&mut report, lock_of(asked.lock, config)?) {
        report.compare(lock.get(&plugin));
    }
    if asked.sarif {
        let file = asked.file.file_name().map(|name| name.to_string_lossy().into_owned());
        let sarif = medic_host::sarif(&file.unwrap_or_default(), &bytes, report.as_ref());
        serde_json::to_writer_pretty(&mut out, &sarif)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let report = report.map_err(|error| coded(error.code, error))?;
    if asked.json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{report}")?;
    }
    Ok(ExitCode::SUCCESS)
}

pub fn check(asked: &Check) -> anyhow::Result<ExitCode> {
    let report = report_of(&asked.file)?;
    let mut out = io::stdout().lock();
    write!(out, "{}", report.explained())?;
    match &report.refused {
        None => {
            let category = report.category.map_or("none", |category| category.as_str());
            writeln!(out, "loads as a {category} tool, once it is granted")?;
            Ok(ExitCode::SUCCESS)
        }
        Some(refused) => {
            writeln!(out, "REFUSED {}: {}", refused.code, refused.reason)?;
            Ok(ExitCode::from(FAILED))
        }
    }
}

pub fn diff(asked: &Diff) -> anyhow::Result<ExitCode> {
    let (before, after) = (report_of(&asked.before)?, report_of(&asked.after)?);
    let (difference, text) = medic_host::diff(&before, &after);
    let mut out = io::stdout().lock();
    if asked.json {
        let json = json!({ "difference": difference, "before": before, "after": after });
        serde_json::to_writer_pretty(&mut out, &json)?;
        writeln!(out)?;
    } else {
        write!(out, "{text}")?;
        for words in difference.words() {
            writeln!(out, "{}: {words}", difference.as_str())?;
        }
        if difference.words().is_empty() {
            writeln!(out, "{}", difference.as_str())?;
        }
    }
    let wider = matches!(difference, Difference::Widened { .. } | Difference::New);
    Ok(if wider { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

fn report_of(file: &Path) -> anyhow::Result<AuditReport> {
    medic_host::audit(&read(file)?).map_err(|error| coded(error.code, error))
}

pub fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    medic_host::read_component(file).map_err(|error| {
        let message = format!("{}: {}", file.display(), error.message);
        coded(error.code, LoadError { message, ..error })
    })
}

/// The lock that was named, or the configured one when there is a configuration with plugins.
fn lock_of(
    named: Option<PathBuf>,
    config: &dyn Fn() -> anyhow::Result<Config>,
) -> anyhow::Result<Option<Lock>> {
    // A broken configuration must not keep anybody from reading a component.
    let configured = || config().ok()?.tools.map(|tools| tools.host().lock_path());
    let Some(path) = named.or_else(configured) else { return Ok(None) };
    Lock::read(&path).map(Some).map_err(|error| coded(error.code(), error))
}
