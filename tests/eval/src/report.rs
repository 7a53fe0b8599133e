//! What a run cost, and how it is said.

use serde_json::{Map, Value, json};
use std::time::Instant;

/// Time since the run began and the process's peak memory.
pub struct Cost {
    began: Instant,
}

impl Cost {
    pub fn begin() -> Self {
        Self { began: Instant::now() }
    }

    pub fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Prints `figures` with `seconds` and `peak_memory_mib`: one JSON object, or a line each.
    pub fn print(&self, as_json: bool, mut figures: Map<String, Value>) {
        figures.insert("seconds".into(), json!(self.seconds()));
        figures.insert("peak_memory_mib".into(), json!(peak_memory_mib()));
        if as_json {
            println!("{}", Value::Object(figures));
        } else {
            for (name, value) in figures {
                println!("{name:<20} {value}");
            }
        }
    }
}

/// `VmHWM` of /proc/self/status: the most memory this process has had resident.
fn peak_memory_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}
