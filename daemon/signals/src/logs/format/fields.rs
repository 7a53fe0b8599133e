//! Named values as a record: which name means the time, the level, the service and the message.
//!
//! Owns the names in use and their order of preference. Never splits a line into named values.

use super::level_of;
use crate::logs::reader::without_escapes;
use crate::logs::record::{Level, LogRecord};
use crate::timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

/// In order of preference.
const TIME_NAMES: [&str; 20] = [
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
    "timeunixnano",
    "time_unix_nano",
    "observedtimestamp",
    "timemillis",
    "event.created",
    "log_time",
];
const LEVEL_NAMES: [&str; 15] = [
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
    "level_name",
    "attributes.level",
    "jsonpayload.level",
];
const MESSAGE_NAMES: [&str; 18] = [
    "message",
    "msg",
    "fields.message",
    "log",
    "event",
    "text",
    "body",
    "@m",
    "@mt",
    "short_message",
    "event.original",
    "fields.msg",
    "content",
    "textpayload",
    "jsonpayload.message",
    "jsonpayload.msg",
    "body.stringvalue",
    "description",
];
const SERVICE_NAMES: [&str; 24] = [
    "service",
    "service.name",
    "service_name",
    "svc",
    "app",
    "application",
    "fields.service",
    "component",
    "resource.service.name",
    "resource.attributes.service.name",
    "resources.service.name",
    "kubernetes.labels.app",
    "kubernetes.labels.app_kubernetes_io/name",
    "kubernetes.container_name",
    "kubernetes.container.name",
    "container_name",
    "container.name",
    "container",
    "program",
    "syslog_identifier",
    "_systemd_unit",
    "job",
    "appname",
    "app_name",
];
const STACK_NAMES: [&str; 9] = [
    "stack_trace",
    "stacktrace",
    "exception",
    "exc_info",
    "error.stack_trace",
    "err.stack",
    "error.stack",
    "@x",
    "exception.stacktrace",
];
/// A longer name is none of ours.
const NAME_BYTES_MAX: usize = 48;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Time,
    Level,
    Service,
    Message,
    Stack,
}

static ROLES: LazyLock<HashMap<&'static str, (Role, usize)>> = LazyLock::new(|| {
    let lists: [(Role, &[&'static str]); 5] = [
        (Role::Time, &TIME_NAMES),
        (Role::Level, &LEVEL_NAMES),
        (Role::Service, &SERVICE_NAMES),
        (Role::Message, &MESSAGE_NAMES),
        (Role::Stack, &STACK_NAMES),
    ];
    lists
        .into_iter()
        .flat_map(|(role, names)| names.iter().enumerate().map(move |(rank, name)| (*name, (role, rank + 1))))
        .collect()
});

/// Names that mean something in this source, preferred to all that are known. Nested names are joined by dots.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FieldNames {
    pub time: Option<String>,
    pub level: Option<String>,
    pub service: Option<String>,
    pub message: Option<String>,
}

/// The best find so far for a role: how much its name is preferred, the name, and what it means.
struct Best<'a, T>(Option<(usize, &'a str, T)>);

impl<'a, T> Best<'a, T> {
    fn offer(&mut self, rank: usize, name: &'a str, read: impl FnOnce() -> Option<T>) {
        if self.0.as_ref().is_none_or(|best| rank < best.0)
            && let Some(value) = read()
        {
            self.0 = Some((rank, name, value));
        }
    }

    /// What was found and the name to remove.
    fn take(self, used: &mut Vec<String>) -> Option<T> {
        let (_, name, value) = self.0?;
        used.push(name.to_owned());
        Some(value)
    }
}

impl FieldNames {
    /// What a name means here and its rank, smaller is better.
    fn role(&self, name: &str) -> Option<(Role, usize)> {
        if name.len() > NAME_BYTES_MAX {
            return None;
        }
        let given = [
            (Role::Time, &self.time),
            (Role::Level, &self.level),
            (Role::Service, &self.service),
            (Role::Message, &self.message),
        ];
        if let Some((role, _)) = given.iter().find(|(_, given)| given.as_deref() == Some(name)) {
            return Some((*role, 0));
        }
        let lower: Cow<'_, str> = match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => Cow::Owned(name.to_ascii_lowercase()),
            false => Cow::Borrowed(name),
        };
        ROLES.get(lower.as_ref()).copied()
    }

    /// True if a name says when, how bad or what.
    pub(crate) fn tells(&self, object: &Map<String, Value>) -> bool {
        object.keys().any(|name| self.is_known(name))
            // Elastic's schema nests the level: {"log":{"level":…}}.
            || object.get("log").is_some_and(Value::is_object)
    }

    pub(crate) fn is_known(&self, name: &str) -> bool {
        matches!(self.role(name), Some((Role::Time | Role::Level | Role::Message, _)))
    }

    /// Takes what has a meaning out of named values; the rest stays in `fields`. `raw` is the message where no
    /// name means one; if it is empty, the fields are.
    pub(crate) fn record(&self, mut fields: BTreeMap<String, String>, raw: &str) -> LogRecord {
        let (mut time, mut level, mut service) = (Best(None), Best(None), Best(None));
        let (mut message, mut stack) = (Best::<String>(None), Best(None));
        for (name, value) in &fields {
            let Some((role, rank)) = self.role(name) else { continue };
            match role {
                Role::Time => time.offer(rank, name, || time_of(value)),
                Role::Level => level.offer(rank, name, || level_of(&without_escapes(value))),
                Role::Service => service.offer(rank, name, || (!value.is_empty()).then(|| value.clone())),
                Role::Message => message.offer(rank, name, || {
                    let text = without_escapes(value).trim_end().to_owned();
                    (!text.is_empty()).then_some(text)
                }),
                Role::Stack => stack.offer(rank, name, || value.contains('\n').then(|| value.clone())),
            }
        }
        let mut used = Vec::new();
        let mut record = LogRecord {
            at_ms: time.take(&mut used),
            level: level.take(&mut used),
            service: service.take(&mut used),
            ..LogRecord::default()
        };
        let said = message.take(&mut used);
        let stack = stack.take(&mut used);
        for name in used {
            fields.remove(&name);
        }
        if record.at_ms.is_none() {
            record.at_ms = date_and_time(&fields);
        }
        if let Some(stack) = stack {
            fields.entry("stack".to_owned()).or_insert(stack);
        }
        record.message = match said {
            Some(said) => said,
            None if raw.is_empty() => {
                let pairs: Vec<String> =
                    fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
                pairs.join(" ")
            }
            None => raw.trim().to_owned(),
        };
        record.fields = fields;
        record
    }
}

/// A date and a time of day in fields of their own.
fn date_and_time(fields: &BTreeMap<String, String>) -> Option<u64> {
    let field = |wanted: &str| fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let (date, time) = (field("date")?.1, field("time")?.1);
    (date.len() + time.len() < 48)
        .then(|| timestamp::parse(&format!("{date} {time}"), super::YEAR_UNWRITTEN))?
}

fn time_of(value: &str) -> Option<u64> {
    if value.len() > NAME_BYTES_MAX {
        return None;
    }
    timestamp::parse(value, super::YEAR_UNWRITTEN)
        .or_else(|| timestamp::from_epoch(value.trim().parse().ok()?))
}

/// The level that a status of HTTP speaks of: the server's fault is an error, the client's a warning.
pub(crate) fn level_of_status(status: u16) -> Level {
    match status {
        500.. => Level::Error,
        400..=499 => Level::Warn,
        _ => Level::Info,
    }
}
