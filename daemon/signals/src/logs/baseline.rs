//! What a log looks like on ordinary days.
//!
//! Owns the memory of templates with their usual rates and services, and of what the entities that thread the lines are
//! like. Serialisable, so that it can be learned once and kept. Never holds a message or a name: only templates, which carry
//! no values, and the ranges of numbers.

use super::record::{Level, LogRecord};
use super::sessions::{SessionModel, SessionOptions};
use super::templates::{Miner, TemplateId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the serialised form. The first had no sessions.
pub const BASELINE_VERSION: u32 = 2;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    pub version: u32,
    pub lines: u64,
    /// From the first to the last record with a time; zero if there were none.
    pub duration_ms: u64,
    pub levels: BTreeMap<Level, u64>,
    pub templates: BTreeMap<TemplateId, BaselineTemplate>,
    /// None if nothing threads the lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<SessionModel>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct BaselineTemplate {
    pub text: String,
    pub count: u64,
    /// Lines of each service; the empty name stands for none.
    pub services: BTreeMap<String, u64>,
}

impl Baseline {
    pub fn learn(records: &[LogRecord]) -> Self {
        let mut miner = Miner::default();
        let mut templates: BTreeMap<TemplateId, BaselineTemplate> = BTreeMap::new();
        let mut levels: BTreeMap<Level, u64> = BTreeMap::new();
        let ids: Vec<TemplateId> = records.iter().map(|record| miner.learn(&record.message).id).collect();
        // Templates merge on the way.
        let ids: Vec<TemplateId> = ids.into_iter().map(|id| miner.resolve(id)).collect();
        let words = |id| miner.template(id).map(|template| template.text).unwrap_or_default();
        let sessions = SessionModel::learn(records, &ids, &words, &SessionOptions::default());
        for (record, id) in records.iter().zip(&ids) {
            let template = templates.entry(*id).or_default();
            template.count += 1;
            *template.services.entry(record.service_or_empty().to_owned()).or_default() += 1;
            if let Some(level) = record.level {
                *levels.entry(level).or_default() += 1;
            }
        }
        // Forgotten by the miner, a template has no text left to be known by.
        templates.retain(|id, template| match miner.template(*id) {
            Some(known) => {
                template.text = known.text;
                true
            }
            None => false,
        });
        Self {
            version: BASELINE_VERSION,
            lines: records.len() as u64,
            duration_ms: duration_ms(records),
            levels,
            templates,
            sessions,
        }
    }

    /// A miner that knows the templates by their ids.
    pub fn miner(&self) -> Miner {
        let mut miner = Miner::default();
        miner.seed(self.templates.iter().map(|(id, template)| (*id, template.text.as_str())));
        miner
    }
}

/// From the first to the last time; zero without times.
pub(crate) fn duration_ms(records: &[LogRecord]) -> u64 {
    let times = || records.iter().filter_map(|record| record.at_ms);
    times().max().unwrap_or(0).saturating_sub(times().min().unwrap_or(0))
}
