//! Root cause by change.
//!
//! Reads every case under a folder: a folder with `alert.json` beside `metrics.csv`, `logs.ndjson`, `traces.json`,
//! `status_feed.json` and `context/{deploys,commits,flags}.json`, each of which may be missing. A case is named by its
//! folder, or by the one above if it is called `data`. Folders called `truth` are never entered.

mod read;

use crate::report::Cost;
use anyhow::{Context as _, bail};
use medic_signals::changes::{self, Cause};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct Args {
    /// A case, or a folder of cases at any depth.
    dir: PathBuf,
    /// Where to write one JSON object a case: the commit or "none", the first failing service, the remedy, the confidence.
    #[arg(long)]
    predictions: Option<PathBuf>,
    /// Where to write the whole verdicts with their evidence.
    #[arg(long)]
    verdicts: Option<PathBuf>,
    /// Print figures as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let cost = Cost::begin();
    let mut folders = Vec::new();
    find_cases(&args.dir, &mut folders)?;
    folders.sort();
    if folders.is_empty() {
        bail!("no alert.json under {}", args.dir.display());
    }
    let mut lines = String::new();
    let mut verdicts = Map::new();
    let (mut commits, mut outside, mut abstained) = (0_usize, 0_usize, 0_usize);
    for folder in &folders {
        let name = case_name(folder);
        let case = read::case(folder)?;
        let verdict = changes::diagnose(&case);
        abstained += usize::from(verdict.abstained);
        commits += usize::from(verdict.commit().is_some());
        let best = verdict.hypotheses.first();
        outside +=
            usize::from(!verdict.abstained && best.is_some_and(|b| matches!(b.cause, Cause::Outside(_))));
        let prediction = json!({
            "case": name,
            "root_cause_commit": verdict.commit().unwrap_or("none"),
            "first_failing_service": verdict.first_failing_service,
            "remediation": verdict.remedy.as_str(),
            "confidence": verdict.confidence(),
            "abstained": verdict.abstained,
        });
        lines.push_str(&prediction.to_string());
        lines.push('\n');
        verdicts.insert(name, serde_json::to_value(&verdict).context("cannot encode a verdict")?);
    }
    write(args.predictions.as_deref(), &lines)?;
    let text =
        serde_json::to_string_pretty(&Value::Object(verdicts)).context("cannot encode the verdicts")?;
    write(args.verdicts.as_deref(), &text)?;
    let mut figures = Map::new();
    for (name, count) in
        [("cases", folders.len()), ("commits", commits), ("outside", outside), ("abstained", abstained)]
    {
        figures.insert(name.into(), json!(count));
    }
    cost.print(args.json, figures);
    Ok(())
}

fn write(to: Option<&Path>, text: &str) -> anyhow::Result<()> {
    let Some(to) = to else { return Ok(()) };
    std::fs::write(to, text).with_context(|| format!("cannot write {}", to.display()))
}

fn find_cases(dir: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if dir.join("alert.json").is_file() || dir.join("alert.json.gz").is_file() {
        found.push(dir.to_path_buf());
        return Ok(());
    }
    let reading = || format!("cannot list {}", dir.display());
    for entry in std::fs::read_dir(dir).with_context(reading)? {
        let path = entry.with_context(reading)?.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "truth") {
            find_cases(&path, found)?;
        }
    }
    Ok(())
}

fn case_name(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    let name =
        |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let own = name(&folder);
    if own == "data" { folder.parent().map(name).unwrap_or(own) } else { own }
}
