//! What is sent to a daemon from outside, and what is measured of its answers: alerts as Alertmanager delivers them, plain
//! connections, durations, and a Prometheus that answers at once with nothing. Knows nothing of what is to be proved.

pub mod alert;
pub mod prometheus;
pub mod samples;
pub mod wire;

pub use alert::Alerts;
pub use prometheus::QuietPrometheus;
pub use samples::Samples;
pub use wire::{Answer, Caller, Connection};
