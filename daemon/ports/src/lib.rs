//! What the agents need of the world, one trait a file.
//!
//! Owns the questions, never the answers: no adapter lives here. [`fake`] holds a scripted twin of each, for tests that
//! want a world that does as it is told.

pub mod boot;
pub mod clock;
pub mod fake;
pub mod journal;
pub mod knowledge;
pub mod logs;
pub mod metrics;
pub mod model;
pub mod notifier;
pub mod tools;

pub use clock::Clock;
pub use journal::{Batch, Journal, JournalError};
pub use knowledge::Knowledge;
pub use logs::Logs;
pub use metrics::Metrics;
pub use model::Model;
pub use notifier::Notifier;
pub use tools::ToolHost;
