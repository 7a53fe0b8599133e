//! Anomalous windows of series.
//!
//! Reads every CSV file with the columns `timestamp` and `value` under a folder, each a series of its own, and writes the
//! peak times of the windows found. Label files (JSON) are never opened.

use crate::input;
use crate::report::Cost;
use anyhow::{Context as _, bail};
use medic_signals::series::{Sample, Series};
use medic_signals::{timestamp, windows};
use serde_json::{Map, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct Args {
    /// A folder of CSV files, or one that holds such folders.
    dir: PathBuf,
    /// Where to write {"folder/file.csv": ["time of a window", …]}.
    #[arg(long)]
    predictions: Option<PathBuf>,
    /// Where to write the windows with their bounds, kinds and reasons.
    #[arg(long)]
    windows: Option<PathBuf>,
    /// Alarms that a series may cost a day, true ones included.
    #[arg(long, default_value_t = windows::WindowOptions::default().alarms_per_day)]
    alarms_per_day: f64,
    /// Alarm as samples arrive instead of judging the finished series.
    #[arg(long)]
    streaming: bool,
    /// Print figures as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let cost = Cost::begin();
    let options =
        windows::WindowOptions { alarms_per_day: args.alarms_per_day, ..windows::WindowOptions::default() };
    let mut files = Vec::new();
    csv_files(&args.dir, &mut files)?;
    files.sort();
    if files.is_empty() {
        bail!("no CSV file under {}", args.dir.display());
    }
    let (mut alarms, mut samples_read, mut days, mut skipped) = (0_usize, 0_usize, 0.0, 0_usize);
    let mut predictions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut described: BTreeMap<String, Vec<windows::Window>> = BTreeMap::new();
    for file in &files {
        let Some(Read { series, spelled }) = read(file)? else {
            skipped += 1;
            continue;
        };
        samples_read += series.samples.len();
        if let (Some(first), Some(last)) = (series.samples.first(), series.samples.last()) {
            days += (last.at_ms - first.at_ms) as f64 / 86_400_000.0;
        }
        let times: Vec<u64> = if args.streaming {
            let mut watch = windows::Watch::new(options.clone());
            series.samples.iter().filter_map(|sample| watch.push(*sample)).map(|alarm| alarm.at_ms).collect()
        } else {
            let found = windows::find(&series, &options);
            let times = found.iter().map(|window| window.peak_ms).collect();
            described.insert(key(file), found);
            times
        };
        alarms += times.len();
        let spelled_times =
            times.iter().map(|at_ms| spelled.get(at_ms).cloned().unwrap_or_else(|| timestamp::show(*at_ms)));
        predictions.insert(key(file), spelled_times.collect());
    }
    write(args.predictions.as_deref(), &predictions)?;
    write(args.windows.as_deref(), &described)?;
    let mut figures = Map::new();
    for (name, value) in [
        ("series", json!(predictions.len())),
        ("skipped", json!(skipped)),
        ("samples", json!(samples_read)),
        ("series_days", json!(days)),
        ("alarms", json!(alarms)),
        ("alarms_per_series_day", json!(if days > 0.0 { alarms as f64 / days } else { 0.0 })),
        ("samples_per_second", json!(samples_read as f64 / cost.seconds().max(1e-9))),
    ] {
        figures.insert(name.into(), value);
    }
    cost.print(args.json, figures);
    Ok(())
}

fn write<T: serde::Serialize>(to: Option<&Path>, what: &T) -> anyhow::Result<()> {
    let Some(to) = to else { return Ok(()) };
    let text = serde_json::to_string_pretty(what).context("cannot encode what was found")?;
    std::fs::write(to, text).with_context(|| format!("cannot write {}", to.display()))
}

/// The file below its folder, as in `servers/cpu.csv`; `.gz` is dropped.
fn key(file: &Path) -> String {
    let full = file.canonicalize().unwrap_or_else(|_| file.to_path_buf());
    let name = |path: Option<&Path>| {
        path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let own = name(Some(&full));
    format!("{}/{}", name(full.parent()), own.strip_suffix(".gz").unwrap_or(&own))
}

fn csv_files(dir: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let reading = || format!("cannot list {}", dir.display());
    for entry in std::fs::read_dir(dir).with_context(reading)? {
        let path = entry.with_context(reading)?.path();
        if path.is_dir() {
            csv_files(&path, found)?;
        } else if path.to_str().is_some_and(|name| name.ends_with(".csv") || name.ends_with(".csv.gz")) {
            found.push(path);
        }
    }
    Ok(())
}

struct Read {
    series: Series,
    /// Times as the file spells them: predictions must be told apart by it.
    spelled: BTreeMap<u64, String>,
}

/// None for a file without the two columns.
fn read(file: &Path) -> anyhow::Result<Option<Read>> {
    let reading = || format!("cannot read {}", file.display());
    let mut rows = csv::ReaderBuilder::new().flexible(true).from_reader(input::open(file)?);
    let headers = rows.headers().with_context(reading)?.clone();
    let column = |name: &str| headers.iter().position(|header| header.trim().eq_ignore_ascii_case(name));
    let (Some(time), Some(value)) = (column("timestamp"), column("value")) else { return Ok(None) };
    let mut samples = Vec::new();
    let mut spelled = BTreeMap::new();
    for row in rows.records() {
        let row = row.with_context(reading)?;
        let (Some(text), Some(number)) = (row.get(time), row.get(value)) else { continue };
        // Times without a zone are taken as UTC throughout, so that differences hold.
        let Some(at_ms) = timestamp::parse(text.trim(), 1970) else { continue };
        let Ok(number) = number.trim().parse::<f64>() else { continue };
        spelled.insert(at_ms, text.trim().to_owned());
        samples.push(Sample { at_ms, value: number });
    }
    Ok(Some(Read { series: Series::new(BTreeMap::new(), samples), spelled }))
}
