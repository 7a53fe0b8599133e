//! The service's log: one JSON object a line, in `<dir>/logs/<service>.log`.

use crate::topology::Service;
use anyhow::Context;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

/// At this size the file moves to `<service>.log.1`, which it replaces; bytes. Some hours of the usual load.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Info,
    Warn,
    Error,
}

pub struct Journal {
    service: Service,
    path: PathBuf,
    open: Mutex<(fs::File, u64)>,
}

#[derive(Serialize)]
struct Line<'a> {
    ts: String,
    level: Level,
    service: Service,
    msg: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    #[serde(flatten)]
    fields: Value,
}

impl Journal {
    /// Goes on with the service's file, or begins it.
    pub fn open(directory: &Path, service: Service) -> anyhow::Result<Self> {
        let path = directory.join(format!("{service}.log"));
        let open = Mutex::new(append(&path).with_context(|| format!("cannot open {}", path.display()))?);
        Ok(Self { service, path, open })
    }

    /// Writes a line. `fields` is an object. A line that cannot be written is lost: a shop does not stop selling for it.
    pub fn line(&self, level: Level, msg: &str, trace_id: Option<&str>, fields: Value) {
        let ts = format!("{:.3}", jiff::Timestamp::now());
        let line = Line { ts, level, service: self.service, msg, trace_id, fields };
        let Ok(mut bytes) = serde_json::to_vec(&line) else { return };
        bytes.push(b'\n');
        let mut open = self.open.lock();
        // One write for the whole line, so that a reader never sees half of one.
        if open.0.write_all(&bytes).is_ok() {
            open.1 += bytes.len() as u64;
        }
        if open.1 >= FILE_BYTES_MAX
            && fs::rename(&self.path, self.path.with_extension("log.1")).is_ok()
            && let Ok(fresh) = append(&self.path)
        {
            *open = fresh;
        }
    }
}

fn append(path: &Path) -> std::io::Result<(fs::File, u64)> {
    let file = fs::OpenOptions::new().append(true).create(true).open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_is_one_json_object_with_a_millisecond_timestamp() {
        let directory = tempfile::tempdir().unwrap();
        for run in 0..2 {
            let journal = Journal::open(directory.path(), Service::Store).unwrap();
            journal.line(Level::Warn, "first\nsecond", Some("t-1"), json!({"run": run}));
        }
        let text = fs::read_to_string(directory.path().join("store.log")).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "a restart appends");
        assert_eq!(lines[1]["run"], 1);
        assert_eq!(lines[0]["msg"], "first\nsecond");
        assert_eq!((&lines[0]["level"], &lines[0]["service"]), (&json!("warn"), &json!("store")));
        let ts = lines[0]["ts"].as_str().unwrap();
        assert!(
            ts.len() == "2026-11-22T20:30:00.123Z".len() && ts.parse::<jiff::Timestamp>().is_ok(),
            "{ts}"
        );
    }
}
