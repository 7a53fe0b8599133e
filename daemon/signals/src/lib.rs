//! Pure analysis of logs, metrics and topology.
//!
//! Owns: what a series, a log line and a call graph *say* — shifts and trends, templates and novelty, the
//! ranking of causes — and the redaction of secrets. Everything is a function of its arguments: the same
//! input gives the same output, byte for byte.
//!
//! Never: reads a file or a socket, asks the time, draws a random number, logs, or knows an incident. Times
//! are milliseconds since the epoch, UTC, and come in with the data.

pub mod anomaly;
pub mod changes;
pub mod correlate;
pub mod logs;
pub mod redact;
pub mod series;
pub mod shift;
pub mod stats;
pub mod timestamp;
pub mod topology;
pub mod trend;
pub mod windows;

pub use series::{Sample, Series, TimeRange};
