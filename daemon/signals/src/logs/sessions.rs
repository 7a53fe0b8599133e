//! Entities that behave unlike others: blocks, instances, requests, found by themselves, judged against a normal log.
//!
//! Owns the way from templates to anomalous entities. Never knows a name for what it threads by: nothing of a system is
//! configured.
//!
//! ```text
//! lines ─ identifier ─▶ kind (what threads them best) ─ thread ─▶ counts, order, durations, numbers of each entity
//!                                                                   │ against those of a baseline, each in bits
//!                                                                   ▼
//!                                 score: the chance of that among normal entities, the cut, the reason
//! ```

use super::analyze::EvidenceLine;
use serde::{Deserialize, Serialize};

mod alone;
mod identifier;
mod kind;
mod model;
mod order;
mod pattern;
mod score;
mod tail;
mod thread;
mod timing;

pub use alone::score_alone;
pub use kind::EntityKind;
pub use model::{SESSION_MODEL_VERSION, SessionModel};

use super::record::LogRecord;
use super::templates::TemplateId;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionOptions {
    /// The kind of entity by name, as in [`EntityKind::name`]; None lets the log decide.
    pub entity: Option<String>,
    /// Of the entities called anomalous, the share that may be normal ones by chance, in (0, 1).
    pub false_share: f64,
    /// Anomalies described.
    pub anomalies_max: usize,
    /// Lines cited for one.
    pub evidence_lines_max: usize,
}

impl Default for SessionOptions {
    /// Two in a hundred: a person who looks at each loses little, and chances are estimates.
    fn default() -> Self {
        Self { entity: None, false_share: 0.02, anomalies_max: 10, evidence_lines_max: 3 }
    }
}

/// The entities of a log, judged.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SessionReport {
    /// What they are, by the name of their kind.
    pub kind: String,
    pub entities: u64,
    /// Lines of entities beyond what is followed at once.
    pub entities_dropped: u64,
    pub anomalous: u64,
    /// The least likely first.
    pub anomalies: Vec<SessionAnomaly>,
    /// Every entity in order of appearance with its score in [0, 1]: anomalous from 0.5. Not in the serialised form.
    #[serde(skip)]
    pub scores: Vec<(String, f64)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionAnomaly {
    /// As it stands in the log.
    pub entity: String,
    /// In [0.5, 1].
    pub score: f64,
    /// One line for people.
    pub reason: String,
    pub lines: u64,
    pub first_ms: Option<u64>,
    pub evidence: Vec<EvidenceLine>,
}

/// The kinds of entity in a log, the one that explains most first. `ids` are the templates, one a record.
pub fn kinds(records: &[LogRecord], ids: &[TemplateId]) -> Vec<EntityKind> {
    let events = model::Events::of(ids, &[]);
    kind::discover(records.iter().map(|record| record.raw.as_str()), &events.numbers)
}
