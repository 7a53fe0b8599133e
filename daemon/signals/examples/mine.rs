//! Mines the templates of a log file: `mine FILE [PREDICTIONS]`.
//!
//! Prints the most frequent templates and the speed; with a second argument writes `line,template,event_id`
//! for each line of the file, to be compared with a hand-made truth.

#![allow(clippy::disallowed_methods, reason = "a tool at a terminal measures its own speed")]

use medic_signals::logs::Miner;
use medic_signals::logs::reader::{ReaderOptions, read_all};
use std::io::Write;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("usage: mine FILE [PREDICTIONS]")?;
    let bytes = std::fs::read(&file)?;
    let started = Instant::now();
    let options = ReaderOptions { multiline: false, ..ReaderOptions::default() };
    let (records, stats) = read_all(&bytes, options);
    let read = started.elapsed();
    let mut miner = Miner::default();
    let started = Instant::now();
    let ids: Vec<_> = records.iter().map(|record| miner.learn(&record.message).id).collect();
    let mined = started.elapsed();
    if let Some(path) = arguments.next() {
        let mut out = std::io::BufWriter::new(std::fs::File::create(path)?);
        writeln!(out, "line,template,event_id")?;
        for (record, id) in records.iter().zip(&ids) {
            let id = &miner.resolve(*id);
            let text = miner.template(*id).map(|template| template.text).unwrap_or_default();
            writeln!(out, "{},\"{}\",{id}", record.line, text.replace('"', "\"\""))?;
        }
    } else {
        for template in miner.templates().iter().take(20) {
            println!("{:8} {} {}", template.count, template.id, template.text);
        }
    }
    let rate = |count: usize, took: std::time::Duration| count as f64 / took.as_secs_f64().max(1e-9);
    println!(
        "{} lines, {} templates; read {:.0} lines/s, mined {:.0} lines/s",
        stats.lines,
        miner.len(),
        rate(records.len(), read),
        rate(records.len(), mined)
    );
    Ok(())
}
