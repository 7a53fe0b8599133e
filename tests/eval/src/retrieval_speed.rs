//! How fast a knowledge base is filled and searched, at a size of choice.
//!
//! Owns the generator: documents of sections whose words fall off as those of a language do, with names of alerts and
//! services. Equal seeds give equal documents and questions. What it says of quality is nothing: the text means nothing.

use crate::report::Cost;
use anyhow::Context as _;
use medic_knowledge::{
    EmbedderConfig, Knowledge, KnowledgeConfig, Mode, QdrantConfig, SearchQuery, VectorsConfig,
};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Sections of a document; each becomes a passage.
const SECTIONS: usize = 8;
/// Made-up words beside those of the field.
const VOCABULARY: usize = 20_000;
/// Share of words taken from the field's, in percent.
const FIELD_PERCENT: u64 = 15;

const FIELD: &[&str] = &[
    "alert",
    "apiserver",
    "backup",
    "cache",
    "certificate",
    "cluster",
    "config",
    "connection",
    "container",
    "controller",
    "cpu",
    "crash",
    "database",
    "deployment",
    "disk",
    "dns",
    "drain",
    "error",
    "etcd",
    "evicted",
    "failing",
    "filesystem",
    "full",
    "gateway",
    "health",
    "host",
    "image",
    "ingress",
    "job",
    "kernel",
    "kubelet",
    "latency",
    "leader",
    "limit",
    "load",
    "lock",
    "log",
    "memory",
    "metrics",
    "missing",
    "network",
    "node",
    "operator",
    "packet",
    "pending",
    "pod",
    "pool",
    "probe",
    "queue",
    "quota",
    "rate",
    "readiness",
    "replica",
    "request",
    "restart",
    "rollback",
    "rollout",
    "scheduler",
    "secret",
    "service",
    "shard",
    "slow",
    "storage",
    "target",
    "throttle",
    "timeout",
    "token",
    "unavailable",
    "upgrade",
    "volume",
    "webhook",
];

#[derive(clap::Args)]
pub struct Args {
    #[arg(long, default_value_t = 100_000)]
    passages: usize,
    #[arg(long, default_value_t = 500)]
    queries: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// `builtin`, `none`, or a directory with a sentence encoder.
    #[arg(long, default_value = "builtin", value_name = "NAME|DIR")]
    embedder: String,
    /// Keeps the vectors in Qdrant at this address, such as http://127.0.0.1:6334, in the collection medic-speed.
    #[arg(long, value_name = "URL")]
    qdrant: Option<String>,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(measure(args))
}

async fn measure(args: &Args) -> anyhow::Result<()> {
    let cost = Cost::begin();
    let dir = tempfile::tempdir()?;
    let (corpus, index_dir) = (dir.path().join("corpus"), dir.path().join("index"));
    let mut words = Words::new(args.seed);
    let bytes = words.write_documents(&corpus, args.passages.div_ceil(SECTIONS))?;
    let embedder = match args.embedder.as_str() {
        "builtin" => EmbedderConfig::default(),
        "none" => EmbedderConfig::None,
        dir => EmbedderConfig::Minilm { model_dir: PathBuf::from(dir) },
    };
    let vectors = match &args.qdrant {
        None => VectorsConfig::Embedded,
        Some(url) => VectorsConfig::Qdrant(QdrantConfig {
            url: url.clone(),
            collection: "medic-speed".to_owned(),
            api_key: None,
            connect_timeout_ms: 2_000,
            timeout_ms: 60_000,
        }),
    };
    let config =
        KnowledgeConfig { index_dir: index_dir.clone(), embedder, vectors, ..KnowledgeConfig::default() };
    let knowledge = Knowledge::open(config.clone()).await?;
    let began = Instant::now();
    let report = knowledge.ingest_dir(&corpus, &mut |_| {}).await?;
    let ingest_seconds = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let again = knowledge.ingest_dir(&corpus, &mut |_| {}).await?;
    let unchanged_seconds = began.elapsed().as_secs_f64();
    anyhow::ensure!(!again.published, "the same documents made another version");
    drop(knowledge);
    let began = Instant::now();
    let knowledge = Knowledge::open(config).await?;
    let open_seconds = began.elapsed().as_secs_f64();
    anyhow::ensure!(knowledge.stats().notices.is_empty(), "{:?}", knowledge.stats().notices);

    let questions: Vec<String> = (0..args.queries).map(|number| words.question(number)).collect();
    let mut modes = Map::new();
    for (name, mode) in [("hybrid", Mode::Hybrid), ("bm25", Mode::Lexical), ("dense", Mode::Dense)] {
        if args.embedder == "none" && mode != Mode::Lexical {
            continue;
        }
        modes.insert(name.to_owned(), ask(&knowledge, &questions, mode).await?);
    }
    let mut figures = Map::new();
    for (name, value) in [
        ("documents", json!(report.documents)),
        ("passages", json!(report.chunks)),
        ("corpus_mib", json!(mib(bytes))),
        ("embedder", json!(report.embedder)),
        ("engine", json!(knowledge.stats().engine)),
        ("ingest_seconds", json!(ingest_seconds)),
        ("passages_per_second", json!(report.chunks as f64 / ingest_seconds)),
        ("ingest_unchanged_seconds", json!(unchanged_seconds)),
        ("open_seconds", json!(open_seconds)),
        ("index_mib", json!(mib(size(&index_dir)?))),
        ("queries", json!(args.queries)),
        ("search", Value::Object(modes)),
    ] {
        figures.insert(name.to_owned(), value);
    }
    cost.print(args.json, figures);
    Ok(())
}

/// One question after the other, the embedding of the question included; once over all of them before, so that what is
/// made at first sight is made.
async fn ask(knowledge: &Knowledge, questions: &[String], mode: Mode) -> anyhow::Result<Value> {
    let mut ms = Vec::with_capacity(questions.len());
    for counted in [false, true] {
        for text in questions {
            let query = SearchQuery { text: text.clone(), mode, ..SearchQuery::default() };
            let began = Instant::now();
            let answer = knowledge.search(&query).await?;
            let took = began.elapsed().as_secs_f64() * 1e3;
            anyhow::ensure!(answer.degraded.is_none(), "{:?}", answer.degraded);
            if counted {
                ms.push(took);
            }
        }
    }
    ms.sort_by(f64::total_cmp);
    let at =
        |share: f64| ms.get(((ms.len() as f64 * share) as usize).min(ms.len().saturating_sub(1))).copied();
    Ok(json!({ "p50_ms": at(0.5), "p90_ms": at(0.9), "p99_ms": at(0.99) }))
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

fn size(dir: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += if about.is_dir() { size(&entry.path())? } else { about.len() };
    }
    Ok(bytes)
}

struct Words {
    state: u64,
    made_up: Vec<String>,
}

impl Words {
    fn new(seed: u64) -> Self {
        let mut words = Self { state: seed, made_up: Vec::new() };
        let syllables = [
            "ba", "cor", "de", "fil", "gra", "hol", "in", "jun", "ke", "lor", "mi", "nor", "op", "pra",
            "qui", "ren", "sto", "ter", "ul", "ver",
        ];
        for _ in 0..VOCABULARY {
            let length = 2 + words.below(3);
            let word = (0..length)
                .filter_map(|_| syllables.get(words.below(syllables.len() as u64) as usize))
                .copied();
            let word: String = word.collect();
            words.made_up.push(word);
        }
        words
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// The n-th word comes about 1/n as often as the first, as in any language.
    fn word(&mut self) -> &str {
        if self.below(100) < FIELD_PERCENT {
            let at = self.below(FIELD.len() as u64) as usize;
            return FIELD.get(at).copied().unwrap_or_default();
        }
        let share = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        let at = ((VOCABULARY as f64).powf(share) as usize).saturating_sub(1);
        self.made_up.get(at).map_or("", String::as_str)
    }

    fn sentence(&mut self, words: u64) -> String {
        let mut text = String::new();
        for _ in 0..words {
            let word = self.word().to_owned();
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&word);
        }
        text
    }

    fn name(number: u64) -> String {
        let part = |at: u64| {
            let word = FIELD.get((at % FIELD.len() as u64) as usize).copied().unwrap_or_default();
            let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
            first.to_uppercase() + rest
        };
        let fields = FIELD.len() as u64;
        format!("{}{}{}", part(number), part(number / fields), part(number / fields / fields + number))
    }

    /// Bytes written.
    fn write_documents(&mut self, dir: &Path, documents: usize) -> anyhow::Result<u64> {
        let mut bytes = 0;
        for number in 0..documents {
            let folder = dir.join(format!("{:03}", number / 500));
            std::fs::create_dir_all(&folder)?;
            let alert = Self::name(number as u64);
            let mut text =
                format!("---\nalerts: [{alert}]\nservices: [service-{}]\n---\n# {alert}\n", number % 40);
            for _ in 0..SECTIONS {
                let (heading, length) = (self.sentence(3), 60 + self.below(80));
                let body = self.sentence(length);
                let _ = write!(text, "\n## {heading}\n\n{body}.\n");
            }
            bytes += text.len() as u64;
            std::fs::write(folder.join(format!("{number:06}.md")), text)?;
        }
        Ok(bytes)
    }

    /// A third are alerts, the rest symptoms in ten words or so.
    fn question(&mut self, number: usize) -> String {
        let length = 8 + self.below(8);
        let words = self.sentence(length);
        match number % 3 {
            0 => {
                let at = self.below(10_000);
                let alert = Self::name(at);
                format!("{alert} alertname={alert} severity=critical instance=10.0.0.1:9100 {words}")
            }
            _ => words,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_make_equal_documents_and_questions() {
        let make = |seed: u64| {
            let dir = tempfile::tempdir().unwrap();
            let mut words = Words::new(seed);
            let bytes = words.write_documents(dir.path(), 3).unwrap();
            let text = std::fs::read_to_string(dir.path().join("000/000002.md")).unwrap();
            (bytes, text, words.question(0), words.question(1))
        };
        assert_eq!(make(7), make(7));
        assert_ne!(make(7).1, make(8).1);
        assert_eq!(make(7).1.matches("\n## ").count(), SECTIONS);
    }
}
