//! The files of one case, as plain data.

use crate::input;
use anyhow::Context as _;
use medic_signals::changes::{
    AlertFacts, Case, Commit, Deploy, FlagFlip, SERVICE_LABEL, SpanFacts, StatusEvent,
};
use medic_signals::logs::reader::{ReaderOptions, read_all};
use medic_signals::series::{Sample, Series};
use medic_signals::timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub fn case(folder: &Path) -> anyhow::Result<Case> {
    let list = |name: &str| -> anyhow::Result<Vec<Value>> {
        Ok(match json(folder, name)? {
            Some(Value::Array(items)) => items,
            // {"deploys": […]}: the one list in it.
            Some(Value::Object(fields)) => {
                fields.into_iter().find_map(|(_, value)| value.as_array().cloned()).unwrap_or_default()
            }
            _ => Vec::new(),
        })
    };
    let alert = json(folder, "alert.json")?.unwrap_or_default();
    let logs = match present(folder, "logs.ndjson") {
        Some(path) => read_all(input::text(&path)?.as_bytes(), ReaderOptions::default()).0,
        None => Vec::new(),
    };
    Ok(Case {
        alert: AlertFacts {
            service: text(&alert, &["service"]),
            metric: text(&alert, &["metric"]),
            summary: [text(&alert, &["summary", "description"]), text(&alert, &["monitor", "alertname"])]
                .join(" "),
            fired_at_ms: time(&alert, &["fired_at", "starts_at", "startsAt", "timestamp"]),
        },
        series: series(folder)?,
        logs,
        spans: list("traces.json")?.iter().map(span).collect(),
        deploys: list("context/deploys.json")?.iter().map(deploy).collect(),
        commits: list("context/commits.json")?.iter().map(commit).collect(),
        flags: list("context/flags.json")?.iter().map(flag).collect(),
        status: json(folder, "status_feed.json")?.as_ref().map(status).unwrap_or_default(),
    })
}

fn present(folder: &Path, name: &str) -> Option<PathBuf> {
    [name.to_owned(), format!("{name}.gz")]
        .into_iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
}

fn json(folder: &Path, name: &str) -> anyhow::Result<Option<Value>> {
    let Some(path) = present(folder, name) else { return Ok(None) };
    let read = input::text(&path)?;
    Ok(Some(serde_json::from_str(&read).with_context(|| format!("cannot read {} as JSON", path.display()))?))
}

/// The first of the fields that is there, as text.
fn text(from: &Value, names: &[&str]) -> String {
    names
        .iter()
        .find_map(|name| match from.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        })
        .unwrap_or_default()
}

/// Zero without one that can be read.
fn time(from: &Value, names: &[&str]) -> u64 {
    timestamp::parse(&text(from, names), 1970).unwrap_or(0)
}

fn series(folder: &Path) -> anyhow::Result<Vec<Series>> {
    let Some(path) = present(folder, "metrics.csv") else { return Ok(Vec::new()) };
    let reading = || format!("cannot read {}", path.display());
    let mut rows = csv::ReaderBuilder::new().flexible(true).from_reader(input::open(&path)?);
    let headers = rows.headers().with_context(reading)?.clone();
    let column = |name: &str| headers.iter().position(|header| header.trim() == name);
    let (Some(at), Some(service), Some(metric), Some(value)) =
        (column("timestamp"), column("service"), column("metric"), column("value"))
    else {
        anyhow::bail!("{} lacks a column of timestamp, service, metric, value", path.display());
    };
    let mut samples: BTreeMap<(String, String), Vec<Sample>> = BTreeMap::new();
    for row in rows.records() {
        let row = row.with_context(reading)?;
        let cell = |index: usize| row.get(index).unwrap_or("").trim();
        let (Some(at_ms), Ok(number)) = (timestamp::parse(cell(at), 1970), cell(value).parse::<f64>()) else {
            continue;
        };
        samples
            .entry((cell(service).to_owned(), cell(metric).to_owned()))
            .or_default()
            .push(Sample { at_ms, value: number });
    }
    Ok(samples
        .into_iter()
        .map(|((service, metric), samples)| {
            let labels =
                BTreeMap::from([(SERVICE_LABEL.to_owned(), service), ("__name__".to_owned(), metric)]);
            Series::new(labels, samples)
        })
        .collect())
}

fn span(from: &Value) -> SpanFacts {
    let known = ["trace_id", "span_id", "parent_id", "service", "name", "start", "duration_ms", "status"];
    // What a span says beyond its frame, attributes within attributes included.
    let mut detail = Vec::new();
    if let Value::Object(fields) = from {
        for (name, value) in fields.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
            match value {
                Value::Object(inner) => {
                    detail.extend(inner.iter().map(|(name, value)| format!("{name}={}", plain(value))));
                }
                Value::Null => {}
                other => detail.push(format!("{name}={}", plain(other))),
            }
        }
    }
    let status = text(from, &["status"]).to_ascii_lowercase();
    SpanFacts {
        id: text(from, &["span_id"]),
        parent: from.get("parent_id").and_then(Value::as_str).map(str::to_owned),
        service: text(from, &["service"]),
        name: text(from, &["name"]),
        at_ms: time(from, &["start", "timestamp"]),
        failed: status.contains("error") || status.contains("fail"),
        detail: detail.join(" "),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn deploy(from: &Value) -> Deploy {
    Deploy {
        at_ms: time(from, &["timestamp", "deployed_at", "at"]),
        service: text(from, &["service"]),
        sha: text(from, &["commit_sha", "sha", "commit"]),
        version: text(from, &["version"]),
    }
}

fn commit(from: &Value) -> Commit {
    let files = from.get("files_changed").or_else(|| from.get("files")).and_then(Value::as_array);
    Commit {
        sha: text(from, &["sha", "commit_sha"]),
        at_ms: time(from, &["timestamp", "date"]),
        message: text(from, &["message"]),
        files: files.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
        diff: from.get("diff").and_then(Value::as_str).map(str::to_owned),
    }
}

fn flag(from: &Value) -> FlagFlip {
    FlagFlip {
        at_ms: time(from, &["timestamp", "at"]),
        flag: text(from, &["flag", "name"]),
        service: text(from, &["service"]),
        change: text(from, &["change"]),
    }
}

fn status(from: &Value) -> Vec<StatusEvent> {
    let events = match from {
        Value::Array(items) => Some(items),
        other => other.get("events").and_then(Value::as_array),
    };
    events
        .into_iter()
        .flatten()
        .map(|event| {
            let state = text(event, &["status"]).to_ascii_lowercase();
            let own = |names: &[&str]| {
                let found = text(event, names);
                if found.is_empty() { text(from, names) } else { found }
            };
            StatusEvent {
                at_ms: time(event, &["started_at", "timestamp"]),
                subject: own(&["service", "component"]),
                region: own(&["region"]),
                healthy: ["operating", "operational", "normal", "resolved", "healthy", "ok"]
                    .iter()
                    .any(|word| state.contains(word)),
                text: [text(event, &["title"]), text(event, &["detail"])].join(" "),
            }
        })
        .collect()
}
