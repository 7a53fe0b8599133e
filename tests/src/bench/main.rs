//! `medic-bench`: what the daemon does on this machine, in figures that say how they were measured.
//!
//! Starts `medicd` as a process on a [`Stage`](medic_demo::Stage) and asks it over loopback, as an Alertmanager or a person
//! would. The load comes from this process and shares the machine's cores with the daemon: the figures are those of both
//! together. Every part is bounded in count and in time. Owns what is measured and how it is said; never judges a figure,
//! and never compares machines.
//!
//! Exit codes: 0 measured · 1 something could not be measured.

// Real processes and real clocks are what is measured here: the bans that keep a daemon's behind ports have no meaning.
#![allow(clippy::disallowed_methods)]

mod figures;
mod intake;
mod life;
mod report;
mod tools;

use anyhow::Context;
use clap::Parser;
use figures::{Figures, Machine};
use medic_demo::{LabKind, Stage, StageOptions};
use medic_tests::load::{Alerts, QuietPrometheus};
use std::{
    io::Write,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

/// The whole run. 90 s: whoever wants figures waits that long; on an idle machine it takes half of it.
const WHOLE_MAX: Duration = Duration::from_secs(90);

#[derive(Parser)]
#[command(
    name = "medic-bench",
    about = "Figures of this build on this machine, each with how it was measured"
)]
struct Options {
    /// One JSON object in place of the table.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    // Daemons live as long as the thread that started them: the main thread, which blocks on the run.
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::Error::new(error).context("cannot start the runtime")),
    };
    let measured = runtime.block_on(async {
        let mut figures = Figures::new(Machine::look()?);
        let started = Instant::now();
        let whole = tokio::time::timeout(WHOLE_MAX, measure(&mut figures, started)).await;
        figures.took(started.elapsed());
        let all = whole.unwrap_or_else(|_| Err(anyhow::anyhow!("not done within {WHOLE_MAX:?}")));
        anyhow::Ok((figures, all))
    });
    // What was measured before something failed is said all the same.
    let said = measured.and_then(|(figures, all)| {
        let text = if options.json { figures.json()? } else { figures.table() };
        writeln!(std::io::stdout(), "{text}").context("cannot write the figures")?;
        all
    });
    match said {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    // A broken stderr is no reason for another exit code.
    let _ = writeln!(std::io::stderr(), "medic-bench: {error:#}");
    ExitCode::FAILURE
}

async fn measure(figures: &mut Figures, started: Instant) -> anyhow::Result<()> {
    let say = |what: &str| {
        // Progress, for who waits; stdout holds the figures alone.
        let _ = writeln!(std::io::stderr(), "{:4.0} s: measuring {what}", started.elapsed().as_secs_f64());
    };
    let (prometheus, alerts) = (QuietPrometheus::start().await?, Arc::new(Alerts::default()));
    let bare = || StageOptions {
        lab: LabKind::Absent,
        prometheus_url: Some(prometheus.url()),
        ..StageOptions::default()
    };

    say("tools, memory, starts");
    let shop = StageOptions { lab: LabKind::Shop, ..bare() };
    let stage = Stage::start(shop).await?;
    figures.add(life::idle_memory(&stage).await?);
    figures.extend(tools::overhead(&stage).await?);
    figures.add(life::starts(stage).await?);

    say("reports: from an alert to its diagnosis");
    let stage = Stage::start(bare()).await?;
    figures.add(report::receipt_to_report(&stage, &alerts).await?);
    drop(stage);

    say("durable alerts: how many are accepted");
    for connections in intake::CONNECTIONS {
        // Each on a daemon of its own: what one level leaves to be investigated would slow the next one down.
        let stage = Stage::start(bare()).await?;
        if connections == 1 {
            figures.add(intake::disk_alone(&stage, &alerts)?);
        }
        figures.add(intake::accepted(&stage, &alerts, connections).await?);
    }

    say("a start on 1,000 alerts accepted before kill -9");
    let stage = Stage::start(bare()).await?;
    figures.extend(life::start_on_pending(stage, &alerts).await?);
    say("no more");
    Ok(())
}
