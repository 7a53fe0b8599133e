//! Anomalous entities of a log against a normal one.
//!
//! Owns the way from two files to scored entities. Knows no name of any entity: what threads the lines is found.

use crate::input;
use crate::report::Cost;
use anyhow::Context as _;
use medic_signals::logs::reader::{ReaderOptions, read_all};
use medic_signals::logs::record::LogRecord;
use medic_signals::logs::sessions::{SessionModel, SessionOptions, SessionReport, kinds, score_alone};
use medic_signals::logs::templates::{Miner, TemplateId};
use serde_json::{Map, Value, json};
use std::io::Read as _;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct Args {
    /// A log of ordinary days, plain or gzip. Without one, the input is judged by what most of its entities do.
    #[arg(long)]
    baseline: Option<PathBuf>,
    /// The log to judge, plain or gzip.
    #[arg(long)]
    input: PathBuf,
    /// Where to write `{"entity": score}`: anomalous from 0.5.
    #[arg(long)]
    predictions: Option<PathBuf>,
    /// Where to write the anomalies with their reasons and lines, as JSON.
    #[arg(long)]
    findings: Option<PathBuf>,
    /// A kind of entity by the name in `kinds`, instead of the one that explains most.
    #[arg(long)]
    entity: Option<String>,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let cost = Cost::begin();
    let options = SessionOptions {
        entity: args.entity.clone(),
        anomalies_max: if args.findings.is_some() { usize::MAX } else { 10 },
        ..SessionOptions::default()
    };
    let mut miner = Miner::default();
    let baseline = args.baseline.as_deref().map(read).transpose()?;
    let model = match &baseline {
        Some(records) => {
            let ids = mine(&mut miner, records);
            let model = SessionModel::learn(records, &ids, &|id| text(&miner, id), &options);
            miner.settle();
            Some((model.context("nothing threads the lines of the baseline")?, kinds(records, &ids)))
        }
        None => None,
    };
    drop(baseline);
    let records = read(&args.input)?;
    let ids = mine(&mut miner, &records);
    let words = |id| text(&miner, id);
    let (report, found) = match model {
        Some((model, found)) => (model.score(&records, &ids, &words, &options), found),
        None => {
            let found = kinds(&records, &ids);
            let report = score_alone(&records, &ids, &words, &options);
            (report.context("nothing threads the lines of the input")?, found)
        }
    };
    if let Some(path) = &args.predictions {
        write(path, &scores(&report))?;
    }
    if let Some(path) = &args.findings {
        write(path, &serde_json::to_value(&report.anomalies)?)?;
    }
    let mut figures = Map::new();
    figures.insert("lines".into(), json!(records.len()));
    figures.insert("entity".into(), json!(report.kind));
    figures.insert("entities".into(), json!(report.entities));
    figures.insert("anomalous".into(), json!(report.anomalous));
    figures.insert("kinds".into(), serde_json::to_value(found)?);
    if !args.json {
        for one in &report.anomalies {
            println!("{:.2} {} ({} lines): {}", one.score, one.entity, one.lines, one.reason);
        }
    }
    cost.print(args.json, figures);
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Vec<LogRecord>> {
    let mut bytes = Vec::new();
    input::open(path)?.read_to_end(&mut bytes).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(read_all(&bytes, ReaderOptions::default()).0)
}

/// Templates as they stand when all lines were seen: some merge on the way.
fn mine(miner: &mut Miner, records: &[LogRecord]) -> Vec<TemplateId> {
    let ids: Vec<TemplateId> = records.iter().map(|record| miner.learn(&record.message).id).collect();
    ids.into_iter().map(|id| miner.resolve(id)).collect()
}

fn text(miner: &Miner, id: TemplateId) -> String {
    miner.template(id).map(|template| template.text).unwrap_or_default()
}

fn scores(report: &SessionReport) -> Value {
    let of = |(entity, score): &(String, f64)| (entity.clone(), json!(score));
    Value::Object(report.scores.iter().map(of).collect())
}

fn write(path: &Path, value: &Value) -> anyhow::Result<()> {
    let text = serde_json::to_string(value)?;
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
