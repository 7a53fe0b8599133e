//! Log files on this machine, searched from their ends.
//!
//! Owns which files there are and what service each belongs to. A query names services, never paths: nothing that comes in
//! from outside is made into one. Memory is bounded by a byte budget a search, whatever the files' size; what rotation made
//! of a file's past (`name.1`, `name.2.gz`, `name-20260102`, …) is read where the window reaches back to it.

mod backwards;
mod generations;
mod search;

use super::LokiConfig;
use async_trait::async_trait;
use medic_core::{Fault, FaultKind, TimeRange};
use medic_ports::logs::{LogAnswer, LogQuery};
use medic_ports::{Clock, Logs};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogsConfig {
    /// Single files.
    #[serde(rename = "file")]
    pub files: Vec<FileSource>,
    /// Directories of one file a service.
    #[serde(rename = "directory")]
    pub directories: Vec<DirectorySource>,
    /// Beside the files, or in place of them.
    pub loki: Option<LokiConfig>,
    /// Bytes read in one search, over all files. 64 MiB: some 300,000 lines, a second of work.
    pub search_bytes_max: usize,
    /// A longer line is cut there. 16 KiB: a line with a stack trace in it.
    pub line_bytes_max: usize,
    /// For one search. 10 s: only a file system that hangs takes longer.
    pub timeout_ms: u64,
}

impl Default for LogsConfig {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            directories: Vec::new(),
            loki: None,
            search_bytes_max: 64 << 20,
            line_bytes_max: 16 << 10,
            timeout_ms: 10_000,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSource {
    pub service: String,
    pub path: PathBuf,
}

/// Each `<service>.<extension>` directly in `path` belongs to that service. New files are seen at the next search.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectorySource {
    pub path: PathBuf,
    #[serde(default = "log")]
    pub extension: String,
}

fn log() -> String {
    "log".to_owned()
}

#[derive(Clone)]
pub struct LogFiles {
    config: Arc<LogsConfig>,
    clock: Arc<dyn Clock>,
}

impl LogFiles {
    pub fn new(config: LogsConfig, clock: Arc<dyn Clock>) -> Self {
        Self { config: Arc::new(config), clock }
    }
}

/// A source that cannot be read, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unreadable {
    /// `None` when it is a directory, which may belong to any service.
    service: Option<String>,
    path: PathBuf,
    reason: String,
}

impl Unreadable {
    fn fault(&self) -> Fault {
        let path = self.path.display();
        let message = match &self.service {
            Some(service) => format!("cannot read the log of {service} in {path}: {}", self.reason),
            None => format!("cannot read the log directory {path}: {}", self.reason),
        };
        Fault::new(FaultKind::Upstream, "LOGS_UNREADABLE", message)
    }
}

/// The sources of the services asked for; of all when none is.
fn sources(config: &LogsConfig, services: &[String]) -> (Vec<FileSource>, Vec<Unreadable>) {
    let wanted = |service: &str| services.is_empty() || services.iter().any(|asked| asked == service);
    let mut found: Vec<FileSource> =
        config.files.iter().filter(|file| wanted(&file.service)).cloned().collect();
    let mut unreadable = Vec::new();
    for directory in &config.directories {
        match list(directory) {
            Ok(files) => found.extend(files.into_iter().filter(|file| wanted(&file.service))),
            Err(error) => {
                let (path, reason) = (directory.path.clone(), error.to_string());
                unreadable.push(Unreadable { service: None, path, reason });
            }
        }
    }
    // The same file may be named by itself and found in its directory.
    found.sort_by(|a, b| (&a.path, &a.service).cmp(&(&b.path, &b.service)));
    found.dedup_by(|a, b| a.path == b.path);
    (found, unreadable)
}

fn list(directory: &DirectorySource) -> std::io::Result<Vec<FileSource>> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for entry in std::fs::read_dir(&directory.path)? {
        if let Ok(name) = entry?.file_name().into_string() {
            // A file that rotation has renamed and not made anew yet shows by its predecessor.
            names.insert(generations::base_of(&name).unwrap_or(name));
        }
    }
    let ending = format!(".{}", directory.extension);
    let service =
        |name: &String| name.strip_suffix(&ending).filter(|stem| !stem.is_empty()).map(str::to_owned);
    let files = names
        .iter()
        .filter_map(|name| Some(FileSource { service: service(name)?, path: directory.path.join(name) }))
        .collect();
    Ok(files)
}

#[async_trait]
impl Logs for LogFiles {
    /// Fails when a service that was asked for by name cannot be read, or when nothing can. Otherwise what can be read is
    /// answered and the rest is told in the daemon's log.
    async fn search(&self, query: &LogQuery) -> Result<LogAnswer, Fault> {
        let (config, query, now) = (self.config.clone(), query.clone(), self.clock.now());
        let searching = tokio::task::spawn_blocking(move || search::search(&config, &query, now));
        match tokio::time::timeout(Duration::from_millis(self.config.timeout_ms), searching).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Err(Fault::new(
                FaultKind::Internal,
                "LOGS_UNREADABLE",
                format!("the log search stopped: {error}"),
            )),
            Err(_) => {
                let message = format!("the log files gave no answer within {} ms", self.config.timeout_ms);
                Err(Fault::new(FaultKind::Timeout, "LOGS_UNREADABLE", message))
            }
        }
    }

    /// Those that have a file, whatever stands in it.
    async fn services(&self, _window: TimeRange) -> Result<Vec<String>, Fault> {
        let config = self.config.clone();
        let listed = tokio::task::spawn_blocking(move || sources(&config, &[]));
        let (found, unreadable) = listed.await.map_err(|error| {
            Fault::new(FaultKind::Internal, "LOGS_UNREADABLE", format!("the listing stopped: {error}"))
        })?;
        for one in unreadable {
            tracing::warn!(path = %one.path.display(), reason = one.reason, "log source unreadable");
        }
        let services: BTreeSet<String> = found.into_iter().map(|file| file.service).collect();
        Ok(services.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
