//! Anomalous entities of a log without a normal one beside it.
//!
//! Owns the judgement of a log by itself: what most of its entities do is taken as normal. Never as sharp as with a
//! baseline: what is wrong with many is not seen as wrong.

use super::model::SessionModel;
use super::{SessionOptions, SessionReport};
use crate::logs::record::LogRecord;
use crate::logs::templates::TemplateId;

/// Judges the entities of a log by each other. None if nothing threads its lines.
pub fn score_alone(
    records: &[LogRecord],
    ids: &[TemplateId],
    text: &dyn Fn(TemplateId) -> String,
    options: &SessionOptions,
) -> Option<SessionReport> {
    let mut model = SessionModel::learn(records, ids, text, options)?;
    model.keep_usual();
    Some(model.score_as(true, records, ids, text, options))
}
