//! medicd: flags and exit codes.
//!
//! Exit codes: 0 done · 1 failed, or what was checked is not sound · 2 wrong usage · 70 storage failed: what is acknowledged
//! is on disk, look at the disk before starting again.

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use medic_core::Digest;
use medic_core::audit::ChainHead;
use medicd::{Config, Daemon, Ending};
use std::fs::File;
use std::io::{self, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, fmt};

const FAILED: u8 = 1;
const STORAGE_FAILED: u8 = 70;
/// Left to tasks that do not end by themselves once everything was shut down in order.
const RUNTIME_END: Duration = Duration::from_secs(2);

#[derive(Parser)]
#[command(
    name = "medicd",
    version,
    about = "The on-call agent: takes alerts in, finds the cause, proposes a remedy, asks, acts, verifies, undoes",
    after_help = "Examples:\n  medicd --config /etc/medic/medicd.toml\n  \
                  medicd --config medicd.toml check-config\n  \
                  medicd store check --dir /var/lib/medic/store\n  \
                  medicd audit verify audit.jsonl\n  \
                  medicd plugin audit restart-service.wasm --emit-grant\n\n\
                  Exit codes: 0 done, 1 failed or not sound, 2 wrong usage, 70 storage failed.\n\
                  RUST_LOG sets what is logged (default: info); logs go to stderr, data to stdout."
)]
struct Cli {
    /// Configuration file. Without one everything has its default, and the environment still counts.
    #[arg(long, global = true, value_name = "FILE", env = "MEDIC_CONFIG")]
    config: Option<PathBuf>,
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the daemon. This is what happens without a command.
    Serve,
    /// Reads the configuration, its secrets and the taxonomy, and says whether the daemon would take them.
    CheckConfig,
    /// Looks at a store that no daemon has open.
    #[command(subcommand)]
    Store(StoreCommand),
    /// The audit log, offline.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Tool plugins, offline.
    #[command(subcommand)]
    Plugin(PluginCommand),
}

#[derive(Args)]
struct StoreDir {
    /// Default: the configured one.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Subcommand)]
enum StoreCommand {
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
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Recomputes the hash chain of an export: finds any edit, deletion, reordering or cut.
    Verify {
        file: PathBuf,
        /// A head kept elsewhere, as `SEQ:sha256:…`, that must be met on the way. May be given more than once.
        #[arg(long = "anchor", value_name = "HEAD", value_parser = anchor)]
        anchors: Vec<ChainHead>,
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum PluginCommand {
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

fn anchor(text: &str) -> Result<ChainHead, String> {
    let parsed = text
        .split_once(':')
        .and_then(|(seq, hash)| Some(ChainHead { seq: seq.parse().ok()?, hash: Digest::parse(hash)? }));
    parsed.ok_or_else(|| "a head is written SEQ:sha256:<64 hex digits>".to_owned())
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.log_format);
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            // Said once, with its causes; a broken stderr is no reason to say nothing to the init system.
            let _ = writeln!(io::stderr(), "medicd: {error:#}");
            let storage =
                error.downcast_ref::<medicd::StartError>().is_some_and(medicd::StartError::is_storage);
            ExitCode::from(if storage { STORAGE_FAILED } else { FAILED })
        }
    }
}

fn log_to_stderr(format: LogFormat) {
    let level = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // The model's library logs whole answers, whatever the level.
    let never = filter_fn(|event| !event.target().starts_with("async_openai"));
    let lines = fmt::layer().with_writer(io::stderr);
    let registry = tracing_subscriber::registry().with(level);
    match format {
        LogFormat::Text => {
            registry.with(lines.with_ansi(io::stderr().is_terminal()).with_filter(never)).init()
        }
        LogFormat::Json => registry.with(lines.json().with_filter(never)).init(),
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let config = || Config::load(cli.config.as_deref()).map_err(|error| coded(error.code(), error));
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(config()?),
        Command::CheckConfig => check_config(&config()?),
        Command::Store(command) => store(command, config),
        Command::Audit(AuditCommand::Verify { file, anchors, json }) => verify(&file, anchors, json),
        Command::Plugin(PluginCommand::Audit { file, emit_grant, json }) => {
            audit_plugin(&file, emit_grant, json)
        }
    }
}

fn coded(code: &str, error: impl std::error::Error + Send + Sync + 'static) -> anyhow::Error {
    anyhow::Error::new(error).context(code.to_owned())
}

fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("medicd").build()?;
    let code = runtime.block_on(async {
        // Before anything is started, so that no signal finds the default waiting.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let daemon = tokio::select! {
            started = Daemon::start(config) => started.map_err(|error| {
                let code = error.code();
                anyhow::Error::new(error).context(code)
            })?,
            () = either(&mut terminate, &mut interrupt) => return Ok(ExitCode::from(FAILED)),
        };
        let code = tokio::select! {
            () = either(&mut terminate, &mut interrupt) => {
                tracing::info!("stopping");
                ExitCode::SUCCESS
            }
            ending = daemon.ended() => {
                tracing::error!(?ending, "the daemon cannot go on");
                ExitCode::from(if ending == Ending::StorageFailed { STORAGE_FAILED } else { FAILED })
            }
        };
        tokio::select! {
            _ = daemon.shutdown() => Ok::<_, anyhow::Error>(code),
            // Asked twice: the journal holds everything that was acknowledged, so that nothing is lost by ending now.
            () = either(&mut terminate, &mut interrupt) => std::process::exit(i32::from(FAILED)),
        }
    });
    runtime.shutdown_timeout(RUNTIME_END);
    code
}

async fn either(terminate: &mut tokio::signal::unix::Signal, interrupt: &mut tokio::signal::unix::Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn check_config(config: &Config) -> anyhow::Result<ExitCode> {
    config.check_secrets().map_err(|error| coded(error.code(), error))?;
    medicd::check_files(config).map_err(|error| {
        let code = error.code();
        anyhow::Error::new(error).context(code)
    })?;
    let mut out = io::stdout().lock();
    writeln!(out, "the configuration is valid")?;
    writeln!(out, "gRPC on {}, HTTP on {}", config.server.grpc, config.server.http)?;
    if config.server.tokens.is_empty() {
        writeln!(
            out,
            "no tokens: everyone on this machine is local:operator, and nothing destructive can be approved"
        )?;
    }
    if let Some(rule) = &config.policy.auto_approve {
        let tools: Vec<&str> = rule.tools.iter().map(|tool| tool.as_str()).collect();
        writeln!(out, "AUTO-APPROVE: {} run without asking", tools.join(", "))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn store(command: StoreCommand, config: impl Fn() -> anyhow::Result<Config>) -> anyhow::Result<ExitCode> {
    let store_config = |given: StoreDir| -> anyhow::Result<medic_store::StoreConfig> {
        match given.dir {
            // A named directory needs no configuration, which may be what is broken.
            Some(dir) => Ok(medic_store::StoreConfig { dir, ..medic_store::StoreConfig::default() }),
            None => Ok(config()?.store),
        }
    };
    match command {
        StoreCommand::Check { store, json } => {
            let dir = store_config(store)?.dir;
            let report = medic_store::check(&dir).map_err(|error| coded(error.code(), error))?;
            let mut out = io::stdout().lock();
            if json {
                serde_json::to_writer_pretty(&mut out, &report)?;
                writeln!(out)?;
            } else {
                writeln!(out, "commit {}, audit record {}", report.commit_seq, report.audit_head.seq)?;
                for (table, rows) in &report.rows {
                    writeln!(out, "{table:<12} {rows:>10} rows")?;
                }
                for fault in &report.faults {
                    writeln!(out, "{}: {}", fault.code, fault.detail)?;
                }
                writeln!(out, "{}", if report.is_whole() { "whole" } else { "NOT WHOLE" })?;
            }
            Ok(if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
        }
        StoreCommand::Export { store, to } => {
            let dir = store_config(store)?.dir;
            let head = match to {
                Some(to) => {
                    let mut file =
                        File::create_new(&to).with_context(|| format!("cannot create {}", to.display()))?;
                    let head = medic_store::export_audit(&dir, &mut file)
                        .map_err(|error| coded(error.code(), error))?;
                    file.sync_all()?;
                    head
                }
                None => {
                    let mut out = io::stdout().lock();
                    medic_store::export_audit(&dir, &mut out).map_err(|error| coded(error.code(), error))?
                }
            };
            writeln!(io::stderr(), "{} records, head {}", head.seq, head.hash)?;
            Ok(ExitCode::SUCCESS)
        }
        StoreCommand::Backup { store, to } => {
            let config = store_config(store)?;
            if !config.dir.is_dir() {
                bail!("there is no store in {}", config.dir.display());
            }
            let store = medic_store::Store::open(&config).map_err(|error| coded(error.code(), error))?;
            let copied = store.backup(&to).map_err(|error| coded(error.code(), error));
            store.shutdown();
            copied?;
            writeln!(io::stderr(), "copied to {}", to.display())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn verify(file: &Path, anchors: Vec<ChainHead>, json: bool) -> anyhow::Result<ExitCode> {
    let opened = File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    let verified = medic_store::verify_export_against(BufReader::new(opened), anchors);
    let mut out = io::stdout().lock();
    match (verified, json) {
        (Ok(head), true) => writeln!(out, "{}", serde_json::json!({ "whole": true, "head": head }))?,
        (Ok(head), false) => writeln!(out, "whole: {} records, head {}", head.seq, head.hash)?,
        (Err(error), true) => {
            let report =
                serde_json::json!({ "whole": false, "code": error.code(), "message": error.to_string() });
            writeln!(out, "{report}")?;
            return Ok(ExitCode::from(FAILED));
        }
        (Err(error), false) => return Err(coded(error.code(), error)),
    }
    Ok(ExitCode::SUCCESS)
}

fn audit_plugin(file: &Path, emit_grant: bool, json: bool) -> anyhow::Result<ExitCode> {
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
