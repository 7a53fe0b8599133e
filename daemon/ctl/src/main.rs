//! `medic`: the operator's side.
//!
//! Owns what is typed and what is read: tables for people, JSON for programs, results on standard output and talk on
//! standard error. Never decides and never opens the store: it speaks `medic.v1` to a running daemon, replays what was
//! exported with core's law, and hands what needs the database or the sandbox to `medicd` beside it.

#![allow(
    clippy::disallowed_methods,
    reason = "a command line reads its environment, asks the time and starts programs"
)]

mod approve;
mod audit;
mod cli;
mod client;
mod commands;
mod export;
mod failure;
mod knowledge;
mod logs;
mod mailbox;
mod offline;
mod output;
mod replay;
mod setup_model;
mod status;
mod store;
mod story;
mod text;
mod watch;

use clap::Parser as _;
use cli::{Cli, Command, Handed};
use client::Client;
use failure::{Exit, Failure};
use medic_proto::v1;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // Wrong usage ends in here with status 2.
    let cli = Cli::parse();
    let exit = run(cli).await.unwrap_or_else(|failure| {
        eprintln!("medic: {failure}");
        failure.exit
    });
    ExitCode::from(exit as u8)
}

async fn run(cli: Cli) -> Result<Exit, Failure> {
    let Cli { global, command } = cli;
    let json = global.json;
    let client = || Client::new(&global);
    match command {
        Command::Incidents(command) => commands::incidents(client, command, json).await,
        Command::Show { id } => commands::show(&client()?, id, json).await,
        Command::Watch { id, follow } => watch::run(&client()?, id, &watch::Options { json, follow }).await,
        Command::Approve { id, plan } => approve::run(&client()?, id, plan, json).await,
        Command::Reject { id, reason } => {
            let request = v1::RejectRequest { incident_id: id, reason, request_id: None };
            let told = client()?.incidents().reject(request).await?.into_inner();
            commands::decided(&told, "rejected", json)
        }
        Command::Escalate { id, reason } => {
            let request = v1::EscalateRequest { incident_id: id, reason, request_id: None };
            let told = client()?.incidents().escalate(request).await?.into_inner();
            commands::decided(&told, "taken over", json)
        }
        Command::Diagnose { id, fresh } => commands::diagnose(&client()?, id, fresh, json).await,
        Command::Tools(command) => commands::tools(&client()?, command, json).await,
        Command::Logs(command) => logs::run(&client()?, command, json).await,
        Command::Knowledge(command) => knowledge::run(client, command, json).await,
        Command::Audit(command) => audit::run(client, command, json).await,
        Command::Status => status::run(&client()?, json).await,
        Command::Mailbox(command) => mailbox::run(&client()?, command, json).await,
        Command::Store(command) => store::run(client, command, json).await,
        Command::Plugin(Handed { args }) => match offline::hand_over(["plugin"], args)? {},
        Command::Replay { file, step, until, audit } => {
            replay::run(&replay::Options { file, step, until, audit, json })
        }
    }
}
