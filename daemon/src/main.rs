//! medicd: flags and exit codes.
//!
//! Exit codes: 0 done · 1 failed, or what was checked is not sound · 2 wrong usage · 70 storage failed: what is acknowledged
//! is on disk, look at the disk before starting again.

mod offline;

use clap::{Parser, Subcommand, ValueEnum};
use medicd::{Config, Daemon, Ending};
use offline::{FAILED, Offline, coded};
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, fmt};

const STORAGE_FAILED: u8 = 70;
/// Left to tasks that do not end by themselves once everything was shut down in order.
const RUNTIME_END: Duration = Duration::from_secs(2);

/// Left to closing the store after a second signal.
const END_AT_ONCE: Duration = Duration::from_secs(1);

#[derive(Parser)]
#[command(
    name = "medicd",
    version,
    about = "The on-call agent: takes alerts in, finds the cause, proposes a remedy, asks, acts, verifies, undoes",
    after_help = "Examples:\n  medicd --config /etc/medic/medicd.toml\n  \
                  medicd --config medicd.toml check-config\n  \
                  medicd store check --dir /var/lib/medic/store\n  \
                  medicd store restore --from /backup/monday --dir /var/lib/medic/store\n  \
                  medicd audit verify audit.jsonl --anchors anchors.jsonl --trust auditor.pub\n  \
                  medicd incidents export 01JDZ5Y8K3 --dir /var/lib/medic/store\n  \
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
    #[command(flatten)]
    Offline(Offline),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.log_format);
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            // Said once, with its causes; a broken stderr is no reason to say nothing to the init system.
            let _ = writeln!(io::stderr(), "medicd: {}", told(&error));
            let storage =
                error.downcast_ref::<medicd::StartError>().is_some_and(medicd::StartError::is_storage);
            ExitCode::from(if storage { STORAGE_FAILED } else { FAILED })
        }
    }
}

/// An error with its causes on one line; what a cause only repeats is not said again.
fn told(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if line.is_empty() {
            line = cause;
        } else if !line.ends_with(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
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
        Command::Offline(command) => command.run(&config),
    }
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
        let stopper = daemon.stopper();
        let shutdown = daemon.shutdown();
        tokio::pin!(shutdown);
        tokio::select! {
            _ = &mut shutdown => return Ok::<_, anyhow::Error>(code),
            () = either(&mut terminate, &mut interrupt) => {}
        }
        // Asked twice: the journal holds everything that was acknowledged, so that nothing is lost by ending now. The
        // store is closed when it lets itself be; a disk that hangs is not waited for.
        tracing::warn!("asked to stop a second time: ending at once");
        stopper.at_once();
        let closed = tokio::time::timeout(END_AT_ONCE, shutdown).await;
        if closed.is_err() {
            std::process::exit(i32::from(FAILED));
        }
        Ok(ExitCode::from(FAILED))
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_cause_that_is_said_already_is_not_said_again() {
        let cause = || anyhow::anyhow!("record 3 is broken");
        assert_eq!(told(&cause().context("AUDIT_CHAIN")), "AUDIT_CHAIN: record 3 is broken");
        let twice = cause().context("record 3 is broken").context("AUDIT_CHAIN");
        assert_eq!(told(&twice), "AUDIT_CHAIN: record 3 is broken");
        let more = cause().context("cannot verify a.jsonl").context("AUDIT_CHAIN");
        assert_eq!(told(&more), "AUDIT_CHAIN: cannot verify a.jsonl: record 3 is broken");
    }
}
