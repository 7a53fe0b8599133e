//! Logs: from bytes to records, from records to templates, from templates to what is new and what changed.
//!
//! ```text
//! bytes ─ reader ─▶ LogRecord ─ templates ─▶ template ids ─ analyze / novelty ─▶ what to tell
//!                       ▲
//!            question ──┘  (plain words become a typed query over records)
//! ```

pub mod analyze;
pub mod baseline;
mod format;
mod header;
pub mod mask;
pub mod novelty;
pub mod question;
pub mod reader;
pub mod record;
pub mod sessions;
pub mod templates;

pub use analyze::{AnalyzeOptions, LogReport, analyze};
pub use baseline::Baseline;
pub use novelty::{Novelty, novelty};
pub use question::{TypedQuery, translate};
pub use reader::{ReadStats, Reader, ReaderOptions};
pub use record::{Level, LogRecord};
pub use sessions::{SessionModel, SessionOptions, SessionReport};
pub use templates::{Miner, MinerOptions, TemplateId};
