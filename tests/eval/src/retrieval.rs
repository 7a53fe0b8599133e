//! Retrieval of runbooks: every mode with every embedder asked for, over one corpus.
//!
//! Owns the reading of `<dir>/corpus` and `<dir>/queries.jsonl`, the predictions, and the figures. What is relevant to a
//! query is looked at only after the answer is there.

mod score;

use crate::report::Cost;
use anyhow::Context as _;
use clap::ValueEnum;
use medic_knowledge::{EmbedderConfig, Knowledge, KnowledgeConfig, Mode, SearchAnswer, SearchQuery};
use score::{Asked, Figures};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

/// Documents a prediction lists.
const RANKED_MAX: usize = 10;

/// Hits that `--explain` writes a query.
const EXPLAINED_MAX: usize = 100;

#[derive(clap::Args)]
pub struct Args {
    /// Holds `corpus/` and `queries.jsonl`: `{"id", "set", "q", "rel": [paths below corpus]}`; no `rel`: nothing answers it.
    dir: PathBuf,
    /// `builtin`, `none`, or a directory with a sentence encoder. May be given several times.
    #[arg(long = "embedder", default_value = "builtin", value_name = "NAME|DIR")]
    embedders: Vec<EmbedderName>,
    /// All of them when none is named. May be given several times.
    #[arg(long = "mode")]
    modes: Vec<ModeName>,
    /// Where to write `{"id", "ranked", "abstained", …}` a line. With several runs, those of the last.
    #[arg(long, value_name = "OUT.jsonl")]
    predictions: Option<PathBuf>,
    /// Where to write every hit of the last run with why it matched.
    #[arg(long, value_name = "OUT.jsonl")]
    explain: Option<PathBuf>,
    /// Keeps the index here, so that a second run needs not embed again.
    #[arg(long, value_name = "DIR")]
    index: Option<PathBuf>,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug)]
enum EmbedderName {
    Builtin,
    None,
    Dir(PathBuf),
}

impl FromStr for EmbedderName {
    type Err = std::convert::Infallible;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(match name {
            "builtin" => Self::Builtin,
            "none" => Self::None,
            dir => Self::Dir(dir.into()),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum ModeName {
    Bm25,
    Dense,
    Hybrid,
}

impl ModeName {
    fn as_str(self) -> &'static str {
        match self {
            Self::Bm25 => "bm25",
            Self::Dense => "dense",
            Self::Hybrid => "hybrid",
        }
    }

    fn mode(self) -> Mode {
        match self {
            Self::Bm25 => Mode::Lexical,
            Self::Dense => Mode::Dense,
            Self::Hybrid => Mode::Hybrid,
        }
    }
}

#[derive(Deserialize)]
struct Labelled {
    id: String,
    set: String,
    q: String,
    #[serde(default)]
    rel: Vec<String>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(evaluate(args))
}

async fn evaluate(args: &Args) -> anyhow::Result<()> {
    let cost = Cost::begin();
    let path = args.dir.join("queries.jsonl");
    let queries = read_queries(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut runs = Vec::new();
    for embedder in &args.embedders {
        runs.extend(with_embedder(args, embedder, &queries).await?);
    }
    let mut figures = Map::new();
    figures.insert("queries".into(), json!(queries.len()));
    figures.insert("runs".into(), Value::Array(runs));
    if args.json {
        cost.print(true, figures);
    }
    Ok(())
}

fn read_queries(path: &Path) -> anyhow::Result<Vec<Labelled>> {
    let text = std::fs::read_to_string(path)?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

async fn with_embedder(args: &Args, name: &EmbedderName, queries: &[Labelled]) -> anyhow::Result<Vec<Value>> {
    let scratch = tempfile::tempdir()?;
    let (embedder, place) = match name {
        EmbedderName::Builtin => (EmbedderConfig::default(), "builtin"),
        EmbedderName::None => (EmbedderConfig::None, "none"),
        EmbedderName::Dir(dir) => (EmbedderConfig::Minilm { model_dir: dir.clone() }, "model"),
    };
    let index_dir = args.index.as_deref().unwrap_or(scratch.path()).join(place);
    let knowledge =
        Knowledge::open(KnowledgeConfig { index_dir, embedder, ..KnowledgeConfig::default() }).await?;
    let began = Instant::now();
    let report = knowledge.ingest_dir(args.dir.join("corpus"), &mut |_| {}).await?;
    let ingest_seconds = began.elapsed().as_secs_f64();
    let modes = match (args.modes.as_slice(), name) {
        ([], EmbedderName::None) => vec![ModeName::Bm25],
        ([], _) => vec![ModeName::Bm25, ModeName::Dense, ModeName::Hybrid],
        (asked, _) => asked.to_vec(),
    };
    let mut runs = Vec::new();
    for mode in modes {
        let mut predictions = args.predictions.as_deref().map(create).transpose()?;
        let mut explained = args.explain.as_deref().map(create).transpose()?;
        let mut figures = Figures::default();
        for labelled in queries {
            let query = SearchQuery {
                text: labelled.q.clone(),
                limit: if explained.is_some() { EXPLAINED_MAX } else { RANKED_MAX },
                mode: mode.mode(),
                ..SearchQuery::default()
            };
            let began = Instant::now();
            let answer = knowledge.search(&query).await?;
            let ms = began.elapsed().as_secs_f64() * 1e3;
            let ranked: Vec<&str> =
                answer.hits.iter().take(RANKED_MAX).map(|hit| hit.path.as_str()).collect();
            if let Some(file) = &mut predictions {
                writeln!(file, "{}", prediction(labelled, &answer, &ranked, ms))?;
            }
            if let Some(file) = &mut explained {
                let line =
                    json!({ "id": labelled.id, "insufficient": answer.insufficient, "hits": hits(&answer) });
                writeln!(file, "{line}")?;
            }
            figures.count(&Asked {
                set: &labelled.set,
                relevant: &labelled.rel,
                ranked: &ranked,
                abstained: answer.insufficient.is_some(),
                ms,
            });
        }
        if !args.json {
            println!(
                "{} · {} · {} documents in {} passages, read in {ingest_seconds:.1} s, {} broken",
                report.embedder,
                mode.as_str(),
                report.documents,
                report.chunks,
                report.broken.len()
            );
            figures.print();
        }
        runs.push(json!({
            "embedder": report.embedder,
            "mode": mode.as_str(),
            "documents": report.documents,
            "passages": report.chunks,
            "broken": report.broken.len(),
            "ingest_seconds": ingest_seconds,
            "figures": figures.to_json(),
        }));
    }
    Ok(runs)
}

fn create(path: &Path) -> anyhow::Result<std::io::BufWriter<std::fs::File>> {
    let file = std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(std::io::BufWriter::new(file))
}

fn prediction(labelled: &Labelled, answer: &SearchAnswer, ranked: &[&str], ms: f64) -> Value {
    json!({
        "id": labelled.id,
        "ranked": ranked,
        "abstained": answer.insufficient.is_some(),
        "reason": answer.insufficient.as_ref().map(medic_knowledge::Insufficient::code),
        "ms": ms,
    })
}

fn hits(answer: &SearchAnswer) -> Vec<Value> {
    let hit = |hit: &medic_knowledge::Hit| json!({ "path": hit.path, "score": hit.score, "heading": hit.passage.heading_path, "why": hit.why });
    answer.hits.iter().map(hit).collect()
}
