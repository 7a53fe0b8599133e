//! What format a file is in, and one line of each format as a record.
//!
//! Owns the recognition of JSON lines, CSV, logfmt and container wrappers, and the names under which they keep
//! time, level, service and message. Never buffers: the reader does.

use super::header::HeaderModel;
use super::record::{Level, LogRecord};
use crate::timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

const TIME_NAMES: [&str; 14] = [
    "timestamp",
    "@timestamp",
    "time",
    "ts",
    "t",
    "datetime",
    "date",
    "eventtime",
    "event_time",
    "asctime",
    "@t",
    "timestamp_ms",
    "time_iso8601",
    "__realtime_timestamp",
];
const LEVEL_NAMES: [&str; 12] = [
    "level",
    "severity",
    "log.level",
    "lvl",
    "loglevel",
    "log_level",
    "levelname",
    "severity_text",
    "severitytext",
    "@l",
    "priority",
    "fields.level",
];
const MESSAGE_NAMES: [&str; 11] = [
    "message",
    "msg",
    "fields.message",
    "log",
    "event",
    "text",
    "body",
    "@m",
    "short_message",
    "event.original",
    "fields.msg",
];
const SERVICE_NAMES: [&str; 18] = [
    "service",
    "service.name",
    "service_name",
    "svc",
    "app",
    "application",
    "fields.service",
    "component",
    "resource.service.name",
    "kubernetes.labels.app",
    "kubernetes.container_name",
    "container_name",
    "container",
    "program",
    "syslog_identifier",
    "_systemd_unit",
    "job",
    "appname",
];
/// Deeper nesting stays as JSON text in one field.
const DEPTH_MAX: usize = 6;
/// Fields of one record; a wider object is cut off.
const FIELDS_MAX: usize = 128;

/// The format of most lines of a source.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    #[default]
    Plain,
    JsonLines,
    Logfmt,
    Csv {
        delimiter: char,
        columns: Vec<String>,
    },
}

impl Format {
    /// The format that the lines agree on; plain if none.
    pub(crate) fn detect(lines: &[&str]) -> Format {
        let lines: Vec<&str> = lines.iter().copied().filter(|line| !line.trim().is_empty()).collect();
        let most = |count: usize| count > 0 && count * 10 >= lines.len() * 6;
        let bare = |line: &str| unwrap_cri(line).map_or(line.to_owned(), |cri| cri.text.to_owned());
        if most(lines.iter().filter(|line| json_object(&bare(line)).is_some()).count()) {
            return Format::JsonLines;
        }
        if let Some(csv) = detect_csv(&lines) {
            return csv;
        }
        if most(lines.iter().filter(|line| is_logfmt(&bare(line))).count()) {
            return Format::Logfmt;
        }
        Format::Plain
    }
}

/// What became of a line.
pub(crate) struct Parsed {
    pub record: LogRecord,
    /// Its format promised more than it held: JSON cut off, a CSV row of another width.
    pub broken: bool,
}

/// Parses one line (without its end) in the light of the source's format. Total: the worst line is a message.
pub(crate) fn parse(format: &Format, header: &HeaderModel, text: &str, year: i16) -> Parsed {
    if let Some(cri) = unwrap_cri(text) {
        let mut inner = parse(format, header, cri.text, year);
        inner.record.at_ms = inner.record.at_ms.or(Some(cri.at_ms));
        inner.record.fields.entry("stream".to_owned()).or_insert_with(|| cri.stream.to_owned());
        return inner;
    }
    let trimmed = text.trim();
    if trimmed.starts_with('{') {
        if let Some(object) = json_object(trimmed) {
            return Parsed { record: from_json(object, header, year), broken: false };
        }
        if *format == Format::JsonLines {
            return Parsed { record: plain(header, text), broken: true };
        }
    }
    match format {
        Format::Csv { delimiter, columns } => {
            let cells = split_csv(text, *delimiter);
            let broken = cells.len() != columns.len();
            let fields = columns.iter().cloned().zip(cells).collect();
            Parsed { record: from_fields(fields, text, year), broken }
        }
        Format::Logfmt if is_logfmt(trimmed) => Parsed {
            record: from_fields(logfmt_pairs(trimmed).into_iter().collect(), text, year),
            broken: false,
        },
        _ => Parsed { record: plain(header, text), broken: false },
    }
}

fn plain(header: &HeaderModel, text: &str) -> LogRecord {
    let head = header.split(text);
    let mut record = LogRecord { at_ms: head.at_ms, level: head.level, ..LogRecord::default() };
    head.message.clone_into(&mut record.message);
    if let Some(component) = head.component {
        // A class or a source file says where in the code; a bare name says which program.
        if component.contains(['.', '$', '@', '/', ':'])
            || head.host.is_none() && component.contains(char::is_uppercase)
        {
            record.fields.insert("logger".to_owned(), component.to_owned());
        } else {
            record.service = Some(component.to_owned());
        }
    }
    for (name, value) in [("host", head.host), ("thread", head.thread), ("pid", head.pid)] {
        if let Some(value) = value {
            record.fields.insert(name.to_owned(), value.to_owned());
        }
    }
    record
}

fn json_object(text: &str) -> Option<serde_json::Map<String, Value>> {
    let text = text.trim();
    if !text.starts_with('{') || !text.ends_with('}') {
        return None;
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

fn from_json(object: serde_json::Map<String, Value>, header: &HeaderModel, year: i16) -> LogRecord {
    // Docker's json-file wrapper: the program's own line is inside.
    if let (Some(Value::String(log)), Some(Value::String(stream))) = (object.get("log"), object.get("stream"))
    {
        let outer_ms =
            object.get("time").and_then(Value::as_str).and_then(|time| timestamp::parse(time, year));
        let mut record = match json_object(log) {
            Some(inner) => from_json(inner, header, year),
            None => plain(header, log.trim_end()),
        };
        record.at_ms = record.at_ms.or(outer_ms);
        record.fields.entry("stream".to_owned()).or_insert_with(|| stream.clone());
        return record;
    }
    let mut fields = BTreeMap::new();
    flatten("", Value::Object(object), 0, &mut fields);
    from_fields(fields, "", year)
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

/// Takes what has a meaning out of named values; the rest stays in `fields`.
fn from_fields(mut fields: BTreeMap<String, String>, raw: &str, year: i16) -> LogRecord {
    let mut record = LogRecord::default();
    if let Some((name, at_ms)) = first(&fields, &TIME_NAMES, |value| time_of(value, year)) {
        record.at_ms = Some(at_ms);
        fields.remove(&name);
    }
    if record.at_ms.is_none()
        && let (Some(date), Some(time)) = (lookup(&fields, "date"), lookup(&fields, "time"))
    {
        record.at_ms = timestamp::parse(&format!("{} {}", date.1, time.1), year);
    }
    if let Some((name, level)) = first(&fields, &LEVEL_NAMES, level_of) {
        record.level = Some(level);
        fields.remove(&name);
    }
    if let Some((name, service)) =
        first(&fields, &SERVICE_NAMES, |value| (!value.is_empty()).then(|| value.to_owned()))
    {
        record.service = Some(service);
        fields.remove(&name);
    }
    if let Some((name, message)) = first(&fields, &MESSAGE_NAMES, |value| Some(value.trim_end().to_owned())) {
        record.message = message;
        fields.remove(&name);
    } else if raw.is_empty() {
        // No message by any known name: the fields are the message, in order of name.
        let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        record.message = pairs.join(" ");
    } else {
        raw.trim().clone_into(&mut record.message);
    }
    const STACKS: [&str; 7] =
        ["stack", "stack_trace", "stacktrace", "exception", "exc_info", "error.stack_trace", "err.stack"];
    if !fields.contains_key("stack")
        && let Some((name, stack)) =
            first(&fields, &STACKS, |value| value.contains('\n').then(|| value.to_owned()))
    {
        fields.remove(&name);
        fields.insert("stack".to_owned(), stack);
    }
    record.fields = fields;
    record
}

fn lookup<'a>(fields: &'a BTreeMap<String, String>, name: &str) -> Option<(&'a String, &'a String)> {
    fields.get_key_value(name).or_else(|| fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)))
}

/// The first of the names that is there with a value that makes sense.
fn first<T>(
    fields: &BTreeMap<String, String>,
    names: &[&str],
    read: impl Fn(&str) -> Option<T>,
) -> Option<(String, T)> {
    names.iter().find_map(|name| {
        let (key, value) = lookup(fields, name)?;
        Some((key.clone(), read(value)?))
    })
}

fn time_of(value: &str, year: i16) -> Option<u64> {
    timestamp::parse(value, year).or_else(|| timestamp::from_epoch(value.trim().parse().ok()?))
}

fn level_of(value: &str) -> Option<Level> {
    let value = value.trim().trim_matches(['[', ']', '<', '>']);
    Level::parse(value).or_else(|| Level::from_number(value.parse().ok()?))
}

pub(crate) struct Cri<'a> {
    pub at_ms: u64,
    pub stream: &'a str,
    /// The line goes on in the next one.
    pub partial: bool,
    pub text: &'a str,
}

/// `2024-05-01T10:05:00.123456789Z stdout F message`, as the container runtime interface writes it.
pub(crate) fn unwrap_cri(line: &str) -> Option<Cri<'_>> {
    let (time, rest) = line.split_once(' ')?;
    let (stream, rest) = rest.split_once(' ')?;
    if !matches!(stream, "stdout" | "stderr") {
        return None;
    }
    let (tag, text) = rest.split_once(' ').unwrap_or((rest, ""));
    if !matches!(tag, "F" | "P") {
        return None;
    }
    // The year is written here; the one given is never used.
    Some(Cri { at_ms: timestamp::parse(time, 1970)?, stream, partial: tag == "P", text })
}

/// At least two pairs and one of the names that logs use, and it begins with a pair.
fn is_logfmt(line: &str) -> bool {
    let line = line.trim();
    let begins = line.split(' ').next().is_some_and(|word| {
        word.split_once('=').is_some_and(|(key, _)| !key.is_empty() && key.bytes().all(is_key_byte))
    });
    if !begins {
        return false;
    }
    let pairs = logfmt_pairs(line);
    let known =
        |names: &[&str]| pairs.iter().any(|(key, _)| names.iter().any(|name| key.eq_ignore_ascii_case(name)));
    pairs.len() >= 2 && (known(&LEVEL_NAMES) || known(&MESSAGE_NAMES) || known(&TIME_NAMES))
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'@' | b'/')
}

/// `key=value key="a value" flag`; words without a mark are left out.
fn logfmt_pairs(line: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && pairs.len() < FIELDS_MAX {
        let key_end = rest.bytes().take_while(|byte| is_key_byte(*byte)).count();
        let (key, tail) = rest.split_at_checked(key_end).unwrap_or((rest, ""));
        let Some(tail) = tail.strip_prefix('=').filter(|_| !key.is_empty()) else {
            rest = rest.split_once(char::is_whitespace).map_or("", |(_, tail)| tail).trim_start();
            continue;
        };
        let (value, tail) = if let Some(open) = tail.strip_prefix('"') {
            quoted(open)
        } else {
            let end = tail.find(char::is_whitespace).unwrap_or(tail.len());
            let (value, tail) = tail.split_at_checked(end).unwrap_or((tail, ""));
            (value.to_owned(), tail)
        };
        pairs.push((key.to_owned(), value));
        rest = tail.trim_start();
    }
    pairs
}

/// The text up to the closing quote, escapes resolved, and what follows.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, text.get(at + 1..).unwrap_or("")),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, other)) => value.push(other),
                None => {}
            },
            other => value.push(other),
        }
    }
    (value, "")
}

/// The first row names the columns, one of them a time or a message, and most rows are as wide.
fn detect_csv(lines: &[&str]) -> Option<Format> {
    let (first, rest) = lines.split_first()?;
    [',', '\t', ';'].into_iter().find_map(|delimiter| {
        let columns: Vec<String> =
            split_csv(first, delimiter).iter().map(|name| name.trim().to_owned()).collect();
        let named = columns.iter().all(|name| {
            !name.is_empty()
                && name.len() <= 64
                && name.bytes().any(|b| b.is_ascii_alphabetic())
                && !name.contains(['=', '{'])
        });
        let known = |names: &[&str]| {
            columns.iter().any(|column| names.iter().any(|name| column.eq_ignore_ascii_case(name)))
        };
        let useful = known(&TIME_NAMES) || known(&MESSAGE_NAMES) || known(&["content"]);
        let rows = whole_rows(rest);
        let same = rows.iter().filter(|row| split_csv(row, delimiter).len() == columns.len()).count();
        (columns.len() >= 2 && named && useful && !rows.is_empty() && same * 10 >= rows.len() * 8)
            .then_some(Format::Csv { delimiter, columns })
    })
}

/// Lines joined to rows where a quote is open at a line's end.
fn whole_rows(lines: &[&str]) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    let mut open = false;
    for line in lines {
        match rows.last_mut().filter(|_| open) {
            Some(row) => {
                row.push('\n');
                row.push_str(line);
            }
            None => rows.push((*line).to_owned()),
        }
        open ^= csv_is_open(line);
    }
    rows
}

/// True if a quote is still open at the end: the row goes on in the next line.
pub(crate) fn csv_is_open(line: &str) -> bool {
    line.bytes().filter(|byte| *byte == b'"').count() % 2 == 1
}

/// RFC 4180: fields in quotes may hold the delimiter, line ends, and quotes doubled.
fn split_csv(line: &str, delimiter: char) -> Vec<String> {
    let mut cells = vec![];
    let mut cell = String::new();
    let mut inside = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if inside {
            match c {
                '"' if chars.next_if_eq(&'"').is_some() => cell.push('"'),
                '"' => inside = false,
                other => cell.push(other),
            }
        } else if c == '"' && cell.trim().is_empty() {
            cell.clear();
            inside = true;
        } else if c == delimiter {
            cells.push(std::mem::take(&mut cell));
        } else {
            cell.push(c);
        }
    }
    cells.push(cell);
    cells
}
