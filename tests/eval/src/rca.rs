//! Root cause by service: reads cases as recorded, ranks with the daemon's own analysis, writes one line a case.
//!
//! Never reads what the cause was: only the files that [`case`] names are opened.

mod case;
mod table;

use crate::report::Cost;
use anyhow::Context as _;
use case::Case;
use medic_signals::correlate::localize::{Localization, LocalizeOptions, localize};
use medic_signals::topology::Topology;
use serde_json::{Map, json};
use std::io::Write as _;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Args {
    /// Folder with cases at any depth, each a folder with a case.json.
    dir: PathBuf,
    /// Where the predictions go, one JSON object a line.
    #[arg(long)]
    predictions: PathBuf,
    /// Prints time and memory as JSON.
    #[arg(long)]
    json: bool,
    /// Leaves a source of evidence out, to see what it is worth.
    #[arg(long, value_enum)]
    without: Vec<Source>,
    /// Takes the onset as this many seconds before the alert, in place of the estimate.
    #[arg(long)]
    onset_lead_s: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Source {
    Logs,
    /// The call graph; series of calls stay.
    Graph,
    /// Series of calls, and with them the edges they name.
    Calls,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let cost = Cost::begin();
    let folders = case::find(&args.dir)?;
    let mut out = std::io::BufWriter::new(
        std::fs::File::create(&args.predictions)
            .with_context(|| format!("cannot write {}", args.predictions.display()))?,
    );
    let mut slowest_s: f64 = 0.0;
    let mut abstained = 0usize;
    for folder in &folders {
        let began_s = cost.seconds();
        let case = case::read(folder, &args.dir)?;
        let found = judge(case, args, &mut out)?;
        abstained += usize::from(found.abstained);
        slowest_s = slowest_s.max(cost.seconds() - began_s);
    }
    out.flush()?;
    let mut figures = Map::new();
    figures.insert("cases".into(), json!(folders.len()));
    figures.insert("abstained".into(), json!(abstained));
    figures.insert("seconds_per_case".into(), json!(cost.seconds() / folders.len().max(1) as f64));
    figures.insert("seconds_of_slowest_case".into(), json!(slowest_s));
    cost.print(args.json, figures);
    Ok(())
}

fn judge(case: Case, args: &Args, out: &mut impl std::io::Write) -> anyhow::Result<Localization> {
    let Case { id, mut scene } = case;
    for source in &args.without {
        match source {
            Source::Logs => scene.logs.clear(),
            Source::Graph => scene.topology = Topology::new(),
            Source::Calls => {
                scene.series.retain(|one| medic_signals::topology::edge_of(&one.labels).is_none());
            }
        }
    }
    let options = LocalizeOptions {
        onset_ms: args.onset_lead_s.map(|lead_s| scene.alert_at_ms.saturating_sub(lead_s * 1000)),
        use_graph: !args.without.contains(&Source::Graph),
        ..LocalizeOptions::default()
    };
    let found = localize(&scene, &options);
    let ranked: Vec<&str> = found.suspects.iter().map(|suspect| suspect.component.as_str()).collect();
    let line = json!({
        "case": id,
        "ranked": ranked,
        "confidence": found.suspects.first().map_or(0.0, |first| first.confidence),
        "abstained": found.abstained,
        "onset": found.onset,
        "alert_at_ms": scene.alert_at_ms,
        "suspects": found.suspects.iter().take(5).collect::<Vec<_>>(),
    });
    writeln!(out, "{line}")?;
    Ok(found)
}
