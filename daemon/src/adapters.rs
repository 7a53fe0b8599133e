//! The driven side: one file per outside thing, each behind a port.
//!
//! Owns foreign protocols and their failures, and turns both into the ports' words. Never decides anything, and never lets
//! an answer of unknown size or a call of unknown length in: every adapter names its limits.

pub mod clock;
mod custody;
mod http;
pub mod knowledge;
pub mod logfiles;
pub mod loki;
mod no_tools;
pub mod notifier;
pub mod openai;
pub mod prometheus;
pub mod sources;

pub use clock::SystemClock;
pub use custody::Custody;
pub use http::ClientError;
pub use knowledge::{Library, NoKnowledge};
pub use logfiles::{LogFiles, LogsConfig};
pub use loki::{Loki, LokiConfig};
pub use no_tools::NoTools;
pub use notifier::{NotifyConfig, People};
pub use openai::{ModelConfig, OpenAi};
pub use prometheus::{Prometheus, PrometheusConfig};
pub use sources::LogSources;
