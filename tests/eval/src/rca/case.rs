//! A recorded case: its alert, series, calls and logs, and the recordings of health it refers to.

use super::table::{read_calls, read_series, time_ms, with_past};
use crate::input;
use anyhow::{Context as _, bail};
use medic_signals::correlate::localize::Scene;
use medic_signals::logs::LogRecord;
use medic_signals::logs::reader::{ReaderOptions, read_all};
use medic_signals::{timestamp, topology};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub struct Case {
    pub id: String,
    pub scene: Scene,
}

/// Series by name of file, the first that is there.
const SERIES_FILES: [&str; 4] = ["series.csv.gz", "series.csv", "metrics.csv.gz", "metrics.csv"];
const CALLS_FILES: [&str; 2] = ["edges.csv", "edges.csv.gz"];
const LOG_FILES: [&str; 6] =
    ["logs.log.gz", "logs.log", "logs.ndjson.gz", "logs.ndjson", "logs.csv.gz", "logs.csv"];
/// Call graphs, beside the case or in a folder above it.
const GRAPH_FILES: [&str; 4] = ["callgraph.csv", "dependency.csv", "topology.csv", "topology.json"];
/// How long before a case its recordings of health are taken to end: longer than any onset is looked for.
const HEALTH_GAP_MS: u64 = 3_600_000;

/// Folders with a case.json at any depth, in order of path.
pub fn find(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        let listing = || format!("cannot list {}", folder.display());
        for entry in std::fs::read_dir(&folder).with_context(listing)? {
            let path = entry.with_context(listing)?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.file_name().is_some_and(|name| name == "case.json") {
                found.push(folder.clone());
            }
        }
    }
    found.sort();
    if found.is_empty() {
        bail!("{} has no case.json at any depth", dir.display());
    }
    Ok(found)
}

/// Reads the case in `folder`; call graphs are looked for up to `root`.
pub fn read(folder: &Path, root: &Path) -> anyhow::Result<Case> {
    let path = folder.join("case.json");
    let text = input::text(&path)?;
    let json: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?;
    let id = json.get("case").and_then(Value::as_str).map(str::to_owned);
    let id = id.or_else(|| Some(folder.file_name()?.to_string_lossy().into_owned())).unwrap_or_default();
    let alert = json.get("alert").or_else(|| json.get("alerts")?.get(0)).unwrap_or(&Value::Null);
    let Some(alert_at_ms) = alert.get("startsAt").and_then(starts_at) else {
        bail!("{} has no alert with a startsAt", path.display());
    };
    let named = |key: &str| -> Vec<PathBuf> {
        let names = json.get(key).and_then(Value::as_str).unwrap_or_default();
        names
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(|name| folder.join(name))
            .collect()
    };
    let health = named("faultfree");
    let Some(file) = first_of(folder, &SERIES_FILES) else {
        bail!("{} has no series: none of {SERIES_FILES:?}", folder.display());
    };
    let mut series = read_series(&file)?;
    for past in named("history") {
        series = with_past(series, read_series(&past)?, HEALTH_GAP_MS);
    }
    if let Some(file) = first_of(folder, &CALLS_FILES) {
        let mut calls = read_calls(&file)?;
        for past in health.iter().filter(|path| ends_with(path, ".csv")) {
            calls = with_past(calls, read_calls(past)?, HEALTH_GAP_MS);
        }
        series.extend(calls);
    }
    let mut logs = Vec::new();
    if let Some(file) = first_of(folder, &LOG_FILES) {
        logs = read_logs(&file)?;
        for past in health.iter().filter(|path| !ends_with(path, ".csv")) {
            logs = after(read_logs(past)?, logs);
        }
    }
    let mut graph = topology::Topology::new();
    let mut files = named("callgraph");
    for ancestor in folder.ancestors().take_while(|ancestor| ancestor.starts_with(root)) {
        files.extend(GRAPH_FILES.iter().map(|name| ancestor.join(name)).filter(|path| path.is_file()));
    }
    for file in files {
        let read = topology::read(&input::text(&file)?);
        let read = read.with_context(|| format!("cannot read {}", file.display()))?;
        for (caller, callee) in read.edges() {
            graph.add_edge(caller, callee);
        }
    }
    let scene = Scene { series, topology: graph, logs, alerts: vec![texts(alert)], alert_at_ms };
    Ok(Case { id, scene })
}

fn first_of(folder: &Path, names: &[&str]) -> Option<PathBuf> {
    names.iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

fn ends_with(path: &Path, suffix: &str) -> bool {
    let name = path.to_string_lossy();
    name.strip_suffix(".gz").unwrap_or(&name).ends_with(suffix)
}

/// Seconds or milliseconds as a number, or a time in words.
fn starts_at(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_f64().map(time_ms),
        Value::String(text) => timestamp::find(text, 1970).map(|found| found.at_ms),
        _ => None,
    }
}

/// The alert's labels and annotations.
fn texts(alert: &Value) -> BTreeMap<String, String> {
    ["labels", "annotations"]
        .iter()
        .filter_map(|part| alert.get(part)?.as_object())
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn read_logs(path: &Path) -> anyhow::Result<Vec<LogRecord>> {
    let text = input::text(path)?;
    Ok(read_all(text.as_bytes(), ReaderOptions::default()).0)
}

/// `past` moved in time so that it ends just before `records` begin, and then those.
fn after(mut past: Vec<LogRecord>, records: Vec<LogRecord>) -> Vec<LogRecord> {
    let first = records.iter().filter_map(|record| record.at_ms).min();
    let last = past.iter().filter_map(|record| record.at_ms).max();
    let (Some(first), Some(last)) = (first, last) else { return records };
    for record in &mut past {
        record.at_ms = record.at_ms.map(|at_ms| (at_ms + first).saturating_sub(last + HEALTH_GAP_MS));
    }
    past.extend(records);
    past
}
