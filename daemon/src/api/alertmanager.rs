//! Alertmanager's webhook payload, version 4: from hostile bytes to core's alerts.
//!
//! Owns every limit on what a sender may say. Unknown and missing fields are fine; a known field of the wrong type or
//! beyond a limit is an answer that names it, and then nothing of the delivery is taken. Never decides what an alert
//! belongs to.

use super::problem::Problem;
use medic_core::{Alert, AlertBatch, AlertStatus, Labels, TimestampMs};
use serde_json::{Map, Value};

/// Bytes of a body. 4 MiB: ten thousand alerts with a dozen labels each.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Alerts of one delivery. A storm beyond that is truncated by the sender.
pub const ALERTS_MAX: usize = 10_000;
/// Labels of one alert, annotations alike. Prometheus' own advice is a dozen.
pub const LABELS_MAX: usize = 64;
/// Bytes of a label's name.
pub const LABEL_NAME_BYTES_MAX: usize = 1024;
/// Bytes of a label's value. An annotation's is cut to it.
pub const LABEL_VALUE_BYTES_MAX: usize = 8 * 1024;
/// Bytes of the sender's group key: its labels, escaped. It is kept with every episode.
pub const GROUP_KEY_BYTES_MAX: usize = 32 * 1024;
/// Bytes of a rule's expression that are kept; a longer one is not used, since half an expression means something else.
pub const EXPRESSION_BYTES_MAX: usize = 8 * 1024;

/// Ends an annotation that was cut.
pub const CUT_MARK: &str = "… [cut]";

/// `now`: when the delivery was received; stands in for times that the sender left out.
///
/// # Errors
/// `MALFORMED_JSON`, `WRONG_TYPE`, `MISSING_FIELD`, `INVALID_VALUE`, `UNSUPPORTED_VERSION`, `LIMIT_EXCEEDED`, each with
/// the path of what is wrong.
pub fn parse(body: &[u8], now: TimestampMs) -> Result<AlertBatch, Problem> {
    // Nested deeper than 128 is an error of the parser's own.
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Problem::invalid("MALFORMED_JSON", format!("the body is not JSON: {error}")))?;
    let Value::Object(root) = &value else {
        return Err(wrong_type("", "an object", &value));
    };
    match text(root, "version", "")? {
        None | Some("4") => {}
        Some(other) => {
            let message = format!("version {:?} is not known, 4 is", cut(other, 32));
            return Err(Problem::invalid("UNSUPPORTED_VERSION", message).at("version"));
        }
    }
    let group_key = text(root, "groupKey", "")?.unwrap_or_default();
    limit("groupKey", "bytes", group_key.len(), GROUP_KEY_BYTES_MAX)?;
    let truncated = match present(root, "truncatedAlerts") {
        None => 0,
        Some(value) => value.as_u64().ok_or_else(|| wrong_type("truncatedAlerts", "a count", value))?,
    };
    let alerts = match present(root, "alerts") {
        None => return Err(Problem::invalid("MISSING_FIELD", "the delivery holds no alerts").at("alerts")),
        Some(Value::Array(alerts)) => alerts,
        Some(other) => return Err(wrong_type("alerts", "an array", other)),
    };
    limit("alerts", "alerts", alerts.len(), ALERTS_MAX)?;
    let alerts = alerts
        .iter()
        .enumerate()
        .map(|(index, value)| alert(value, &format!("alerts[{index}]"), now))
        .collect::<Result<_, _>>()?;
    Ok(AlertBatch { group_key: group_key.to_owned(), alerts, truncated })
}

fn alert(value: &Value, path: &str, now: TimestampMs) -> Result<Alert, Problem> {
    let Value::Object(object) = value else {
        return Err(wrong_type(path, "an object", value));
    };
    let labels = labels(object, path)?;
    if labels.0.is_empty() {
        let message = "an alert without labels cannot be told from another";
        return Err(Problem::invalid("MISSING_FIELD", message).at(format!("{path}.labels")));
    }
    let starts_at = instant(object, "startsAt", path)?;
    let ends_at = instant(object, "endsAt", path)?;
    let status = match text(object, "status", path)? {
        Some("firing") => AlertStatus::Firing,
        Some("resolved") => AlertStatus::Resolved,
        // A sender that leaves it out says the same by the end time.
        None if ends_at.is_some_and(|at| at <= now) => AlertStatus::Resolved,
        None => AlertStatus::Firing,
        Some(other) => {
            let message = format!("{:?} is neither firing nor resolved", cut(other, 64));
            return Err(Problem::invalid("INVALID_VALUE", message).at(format!("{path}.status")));
        }
    };
    Ok(Alert {
        fingerprint: labels.fingerprint(),
        status,
        labels,
        annotations: annotations(object, path)?,
        starts_at: starts_at.unwrap_or(now),
        ends_at: match status {
            AlertStatus::Firing => None,
            AlertStatus::Resolved => Some(ends_at.unwrap_or(now)),
        },
        expression: text(object, "generatorURL", path)?.and_then(expression),
    })
}

fn labels(object: &Map<String, Value>, path: &str) -> Result<Labels, Problem> {
    let path = format!("{path}.labels");
    let mut labels = Labels::default();
    for (name, value) in pairs(object, "labels", &path)? {
        let value = pair(name, value, &path)?;
        limit(&format!("{path}.{}", cut(name, 64)), "bytes", value.len(), LABEL_VALUE_BYTES_MAX)?;
        labels.0.insert(name.to_owned(), value.to_owned());
    }
    Ok(labels)
}

fn annotations(object: &Map<String, Value>, path: &str) -> Result<Labels, Problem> {
    let path = format!("{path}.annotations");
    let mut annotations = Labels::default();
    for (name, value) in pairs(object, "annotations", &path)? {
        let value = pair(name, value, &path)?;
        let kept = if value.len() > LABEL_VALUE_BYTES_MAX {
            format!("{}{CUT_MARK}", cut(value, LABEL_VALUE_BYTES_MAX - CUT_MARK.len()))
        } else {
            value.to_owned()
        };
        annotations.0.insert(name.to_owned(), kept);
    }
    Ok(annotations)
}

fn pairs<'a>(
    object: &'a Map<String, Value>,
    name: &str,
    path: &str,
) -> Result<impl Iterator<Item = (&'a str, &'a Value)>, Problem> {
    let map = match present(object, name) {
        None => None,
        Some(Value::Object(map)) => Some(map),
        Some(other) => return Err(wrong_type(path, "an object", other)),
    };
    limit(path, "entries", map.map_or(0, Map::len), LABELS_MAX)?;
    Ok(map.into_iter().flatten().map(|(name, value)| (name.as_str(), value)))
}

fn pair<'a>(name: &str, value: &'a Value, path: &str) -> Result<&'a str, Problem> {
    if name.is_empty() {
        return Err(Problem::invalid("INVALID_VALUE", "a name is empty").at(path));
    }
    limit(&format!("{path}.{}", cut(name, 64)), "bytes of its name", name.len(), LABEL_NAME_BYTES_MAX)?;
    value.as_str().ok_or_else(|| wrong_type(&format!("{path}.{}", cut(name, 64)), "a string", value))
}

/// `null` is as good as missing.
fn present<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null())
}

fn text<'a>(object: &'a Map<String, Value>, name: &str, path: &str) -> Result<Option<&'a str>, Problem> {
    match present(object, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(wrong_type(&join(path, name), "a string", other)),
    }
}

/// Go's zero time, and anything else before 1970, means "not set".
fn instant(object: &Map<String, Value>, name: &str, path: &str) -> Result<Option<TimestampMs>, Problem> {
    let Some(text) = text(object, name, path)?.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let parsed: jiff::Timestamp = text.parse().map_err(|_| {
        Problem::invalid("INVALID_VALUE", format!("{:?} is no RFC 3339 time", cut(text, 64)))
            .at(join(path, name))
    })?;
    Ok(u64::try_from(parsed.as_millisecond()).ok().map(TimestampMs))
}

/// The rule's PromQL, where the generator URL is a Prometheus graph link. A URL of any other kind carries none.
fn expression(generator_url: &str) -> Option<String> {
    let url = url::Url::parse(generator_url).ok()?;
    let expression = url.query_pairs().find(|(name, _)| name == "g0.expr")?.1;
    let sound = !expression.trim().is_empty() && expression.len() <= EXPRESSION_BYTES_MAX;
    sound.then(|| expression.into_owned())
}

fn limit(path: &str, what: &str, found: usize, max: usize) -> Result<(), Problem> {
    if found <= max {
        return Ok(());
    }
    Err(Problem::invalid("LIMIT_EXCEEDED", format!("{found} {what}, at most {max} are taken")).at(path))
}

fn wrong_type(path: &str, expected: &str, found: &Value) -> Problem {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    let problem = Problem::invalid("WRONG_TYPE", format!("expected {expected}, found {found}"));
    if path.is_empty() { problem } else { problem.at(path) }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// At most `bytes` bytes, whole characters.
fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
