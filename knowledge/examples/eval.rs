//! Runs a labelled retrieval set and writes predictions.
//!
//! The directory named by `MEDIC_BENCH_DATA` holds `corpus/` and `queries.jsonl` (`{"id", "set", "q", "rel": [paths]}`).
//! For each of the three modes `predictions-<mode>.jsonl` is written below the directory given as the argument, one
//! line a query: `{"id", "ranked": [paths], "abstained", "ms", …}`, and Hit@1/3/5 are printed.

#![allow(clippy::disallowed_methods)] // A measuring program: it may read the clock and the environment.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use medic_knowledge::{Knowledge, KnowledgeConfig, Mode, SearchQuery};
use serde::Deserialize;

#[derive(Deserialize)]
struct Labelled {
    id: String,
    set: String,
    q: String,
    rel: Vec<String>,
}

#[derive(Default)]
struct Tally {
    asked: u32,
    within: [u32; 3],
    abstained: u32,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = PathBuf::from(std::env::var("MEDIC_BENCH_DATA").map_err(|_| "set MEDIC_BENCH_DATA")?);
    let out = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| ".".to_owned()));
    let index = tempfile::tempdir()?;
    let config = KnowledgeConfig { index_dir: index.path().to_owned(), ..KnowledgeConfig::default() };
    let knowledge = Knowledge::open(config).await?;
    let began = Instant::now();
    let report = knowledge.ingest_dir(data.join("corpus"), &mut |_| {}).await?;
    println!(
        "{} documents, {} chunks in {} ms; {} broken; embedder {}",
        report.documents,
        report.chunks,
        began.elapsed().as_millis(),
        report.broken.len(),
        report.embedder
    );
    let queries: Vec<Labelled> = std::fs::read_to_string(data.join("queries.jsonl"))?
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    for (name, mode) in [("bm25", Mode::Lexical), ("dense", Mode::Dense), ("hybrid", Mode::Hybrid)] {
        let mut file = std::fs::File::create(out.join(format!("predictions-{name}.jsonl")))?;
        let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
        let mut times_us = Vec::new();
        for labelled in &queries {
            let query = SearchQuery { text: labelled.q.clone(), limit: 10, mode, ..SearchQuery::default() };
            let began = Instant::now();
            let answer = knowledge.search(&query).await?;
            let took = began.elapsed();
            times_us.push(took.as_micros());
            let ranked: Vec<&str> = answer.hits.iter().map(|hit| hit.path.as_str()).collect();
            let place = ranked.iter().position(|path| labelled.rel.iter().any(|rel| rel == path));
            let groups: &[&str] = if labelled.rel.is_empty() { &["(negatives)"] } else { &["(pooled)"] };
            for group in groups.iter().copied().chain([labelled.set.as_str()]) {
                let tally = tallies.entry(group).or_default();
                tally.asked += 1;
                tally.abstained += u32::from(answer.insufficient.is_some());
                for (hits, k) in tally.within.iter_mut().zip([1, 3, 5]) {
                    *hits += u32::from(place.is_some_and(|place| place < k));
                }
            }
            let first = answer.hits.first();
            let line = serde_json::json!({
                "id": labelled.id, "ranked": ranked, "abstained": answer.insufficient.is_some(),
                "reason": answer.insufficient, "ms": took.as_secs_f64() * 1e3,
                "why": first.map(|hit| &hit.why),
                "passages": answer.hits.iter().take(3).map(|hit| hit.why.passage_coverage).collect::<Vec<_>>(),
                "coverages": answer.hits.iter().take(3).map(|hit| hit.why.coverage).collect::<Vec<_>>(),
            });
            writeln!(file, "{line}")?;
        }
        times_us.sort_unstable();
        let at = |share: usize| times_us.get(times_us.len() * share / 100).copied().unwrap_or(0);
        println!("{name}: p50 {} µs, p99 {} µs a query", at(50), at(99));
        for (set, tally) in &tallies {
            let share = |count: u32| f64::from(count) / f64::from(tally.asked.max(1));
            let [one, three, five] = tally.within.map(share);
            println!(
                "  {set:22} n {:3}  hit@1 {one:.3}  hit@3 {three:.3}  hit@5 {five:.3}  insufficient {:.3}",
                tally.asked,
                share(tally.abstained)
            );
        }
    }
    Ok(())
}
