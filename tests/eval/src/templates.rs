//! Template grouping of raw lines.
//!
//! Owns one row a line: its template and the template's id. Is told nothing of the file's format.

use crate::input;
use crate::report::Cost;
use anyhow::Context as _;
use medic_signals::logs::reader::{Reader, ReaderOptions};
use medic_signals::logs::templates::{Miner, TemplateId};
use serde_json::{Map, json};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Bytes read at once.
const PIECE_BYTES: usize = 1 << 20;

#[derive(clap::Args)]
pub struct Args {
    /// A log, plain or gzip.
    file: PathBuf,
    /// Where to write `line,template,event_id`, one row a line of the file.
    #[arg(long)]
    predictions: Option<PathBuf>,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let cost = Cost::begin();
    let reading = || format!("cannot read {}", args.file.display());
    // Each line is asked for, so stack traces are not joined.
    let mut reader = Reader::new(ReaderOptions { multiline: false, ..ReaderOptions::default() });
    let mut miner = Miner::default();
    let mut ids: Vec<(u64, TemplateId)> = Vec::new();
    let keep = args.predictions.is_some();
    let mut mining_seconds = 0.0;
    // The messages of one piece, end to end, so that mining is timed alone.
    let mut texts = String::new();
    let mut ends: Vec<(u64, usize)> = Vec::new();
    let mut file = input::open(&args.file)?;
    let mut piece = vec![0u8; PIECE_BYTES];
    loop {
        let length = file.read(&mut piece).with_context(reading)?;
        texts.clear();
        ends.clear();
        let gather = |line: u64, message: &str| {
            texts.push_str(message);
            ends.push((line, texts.len()));
        };
        match piece.get(..length).filter(|read| !read.is_empty()) {
            Some(read) => reader.push_messages(read, gather),
            None => reader.finish_messages(gather),
        }
        let mining = Cost::begin();
        let mut start = 0;
        for (line, end) in &ends {
            let id = miner.learn(texts.get(start..*end).unwrap_or_default()).id;
            start = *end;
            if keep {
                ids.push((*line, id));
            }
        }
        mining_seconds += mining.seconds();
        if length == 0 {
            break;
        }
    }
    let all_seconds = cost.seconds();
    if let Some(path) = &args.predictions {
        write(path, &miner, &ids, reader.stats().lines)?;
    }
    let mut figures = Map::new();
    figures.insert("lines".into(), json!(reader.stats().lines));
    figures.insert("templates".into(), json!(miner.len()));
    figures.insert("templates_evicted".into(), json!(miner.evicted()));
    let rate = |seconds: f64| reader.stats().lines as f64 / seconds.max(1e-9);
    figures.insert("lines_per_second".into(), json!(rate(all_seconds)));
    figures.insert("mined_lines_per_second".into(), json!(rate(mining_seconds)));
    cost.print(args.json, figures);
    Ok(())
}

/// A row for each line, blank ones (which have no record) included.
fn write(path: &Path, miner: &Miner, ids: &[(u64, TemplateId)], lines: u64) -> anyhow::Result<()> {
    let writing = || format!("cannot write {}", path.display());
    let mut out = csv::Writer::from_path(path).with_context(writing)?;
    out.write_record(["line", "template", "event_id"]).with_context(writing)?;
    let mut records = ids.iter().peekable();
    for line in 1..=lines {
        let row = match records.next_if(|(number, _)| *number <= line) {
            Some((_, id)) => {
                let id = miner.resolve(*id);
                (miner.template(id).map(|template| template.text).unwrap_or_default(), id.to_string())
            }
            None => (String::new(), "blank".to_owned()),
        };
        out.write_record([line.to_string(), row.0, row.1]).with_context(writing)?;
    }
    out.flush().with_context(writing)
}
