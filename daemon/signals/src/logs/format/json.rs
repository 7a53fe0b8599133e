//! One JSON object as a record, whatever its nesting.
//!
//! Owns flattening and the opening of an object within an object's message. Never reads an object that is spread
//! over lines.

use super::{FIELDS_MAX, FieldNames};
use crate::logs::record::LogRecord;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Deeper nesting stays as JSON text in one field.
const DEPTH_MAX: usize = 6;
/// A message that is an object again is opened so many times: a shipper's wrapper around a logger's line.
const INNER_MAX: usize = 2;

/// The object that a line is; also with the comma behind it that an array's element has.
pub(crate) fn object(line: &str) -> Option<Map<String, Value>> {
    let line = line.trim();
    let line = line.strip_suffix(',').unwrap_or(line);
    // Before the parser: most lines of most logs end here.
    if !line.starts_with('{') || !line.ends_with('}') {
        return None;
    }
    match serde_json::from_str(line) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

pub(crate) fn record(object: Map<String, Value>, names: &FieldNames) -> LogRecord {
    let mut record = flat(object, names);
    for _ in 0..INNER_MAX {
        let Some(inner) = self::object(&record.message).filter(|inner| names.tells(inner)) else { break };
        let inner = flat(inner, names);
        record.at_ms = inner.at_ms.or(record.at_ms);
        record.level = inner.level.or(record.level);
        record.service = inner.service.or(record.service);
        record.message = inner.message;
        record.fields.extend(inner.fields);
    }
    record
}

fn flat(object: Map<String, Value>, names: &FieldNames) -> LogRecord {
    let mut fields = BTreeMap::new();
    flatten("", Value::Object(object), 0, &mut fields);
    names.record(fields, "")
}

fn flatten(name: &str, value: Value, depth: usize, fields: &mut BTreeMap<String, String>) {
    if fields.len() >= FIELDS_MAX {
        return;
    }
    match value {
        Value::Object(object) if depth < DEPTH_MAX => {
            for (key, value) in object {
                let path = if name.is_empty() { key } else { format!("{name}.{key}") };
                flatten(&path, value, depth + 1, fields);
            }
        }
        Value::String(text) => {
            fields.insert(name.to_owned(), text);
        }
        Value::Null => {}
        other => {
            fields.insert(name.to_owned(), other.to_string());
        }
    }
}
