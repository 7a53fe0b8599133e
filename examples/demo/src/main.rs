//! `medic-demo`: a fault, and how Medic deals with it, told in the terminal as it happens.
//!
//! Exit status: 0 when the story ended as it should, 1 when it did not or could not be told, 2 for a wrong command line,
//! 130 when it was interrupted.

// Real processes and real clocks are what a stage is made of; see the library.
#![allow(clippy::disallowed_methods)]

mod story;

use clap::Parser;
use medic_demo::{Ending, expectation_of};
use medic_lab::Fault;
use std::process::ExitCode;
use story::{Answering, Story};
use tokio::signal::unix::{SignalKind, signal};

/// Break a small shop and watch Medic heal it.
///
/// Starts the shop, a real Prometheus, a real Alertmanager and medicd on free loopback ports, injects a fault, tells what
/// happens, asks you to approve the plan, and stops everything at the end. Nothing outside a temporary directory is touched.
#[derive(Parser)]
#[command(name = "medic-demo", version)]
#[command(after_help = "Try:\n  \
    medic-demo                       a bad configuration; you are asked to approve the cure\n  \
    medic-demo --yes                 the same, and alice says yes\n  \
    medic-demo --fault quota-full    what deletes needs two people\n  \
    medic-demo --fault stubborn      a cure that does not help: undone, and a human is called\n  \
    medic-demo --fault none          nothing happens, as it should\n  \
    medic-demo --list                every fault")]
struct Cli {
    /// Which fault; see --list. Dashes and underscores are the same.
    #[arg(long, default_value = "bad_config", value_parser = fault)]
    fault: Fault,
    /// Approve every plan without asking: as alice, and what is destructive as bob too.
    #[arg(long)]
    yes: bool,
    /// Say what faults there are and what is expected of each.
    #[arg(long)]
    list: bool,
}

fn fault(name: &str) -> Result<Fault, String> {
    name.replace('-', "_").parse().map_err(|error| format!("{error:#}"))
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.list {
        list();
        return ExitCode::SUCCESS;
    }
    // One thread, this one: the daemon and the lab are tied to the life of the thread that starts them.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let answering = if cli.yes { Answering::Yes } else { Answering::AtTheTerminal };
    let code = runtime.block_on(async {
        tokio::select! {
            told = Story { fault: cli.fault, answering }.tell() => match told {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::FAILURE,
                Err(error) => {
                    eprintln!("\nthe story broke off: {error:#}");
                    ExitCode::FAILURE
                }
            },
            () = interrupted() => {
                // What is dropped here ends every process of the stage.
                eprintln!("\nstopping everything…");
                ExitCode::from(130)
            }
        }
    });
    // A question may still be waiting for its line, and would be waited for.
    runtime.shutdown_background();
    code
}

/// Returns at the first SIGINT or SIGTERM.
async fn interrupted() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers the signals end the process themselves.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

fn list() {
    for fault in Fault::ALL {
        let expected = expectation_of(fault);
        let ending = match expected.ending {
            Ending::Healed => {
                format!("{} at {}, healed by {}", expected.category, expected.component, expected.tool)
            }
            Ending::RolledBackAndEscalated => {
                format!(
                    "{} at {}; {} does not help: undone, escalated",
                    expected.category, expected.component, expected.tool
                )
            }
            Ending::Quiet => "no incident".to_owned(),
        };
        println!("{:<16} {}\n{:16} expected: {ending}", fault.name(), fault.symptom(), "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound_and_takes_dashes() {
        Cli::command().debug_assert();
        let cli = Cli::parse_from(["medic-demo", "--fault", "quota-full"]);
        assert_eq!(cli.fault, Fault::QuotaFull);
        assert!(Cli::try_parse_from(["medic-demo", "--fault", "nonsense"]).is_err());
    }
}
