//! What format a source is in, and one line of each format as a record.
//!
//! Owns the recognition of formats and the order in which a line is tried against them. Never joins lines and
//! never buffers: the reader does.
//!
//! A line that describes itself (a JSON object, a syslog priority, klog's head, an access log's request, logfmt
//! pairs) is read as what it is in any source but CSV, so that mixed files need no care.

use super::header::HeaderModel;
use super::record::{Level, LogRecord};
use serde::{Deserialize, Serialize};

pub(crate) mod access;
pub(crate) mod csv;
pub(crate) mod fields;
pub(crate) mod json;
pub(crate) mod klog;
pub(crate) mod logfmt;
mod pattern;
pub(crate) mod syslog;

pub use fields::FieldNames;
pub use pattern::{LinePattern, PatternError};

/// Fields of one record; a wider line is cut off.
pub(crate) const FIELDS_MAX: usize = 128;
/// Stands for a year that is not written, until the reader supplies one. A leap year, so that every written day
/// exists, and one in which no log was written yet.
pub(crate) const YEAR_UNWRITTEN: i16 = 2096;

/// The format of most lines of a source.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    #[default]
    Plain,
    JsonLines,
    Logfmt,
    /// Comma, tab, semicolon or bar. A row that repeats the columns' names is no record.
    Csv {
        delimiter: char,
        columns: Vec<String>,
    },
    /// Lines that begin with a priority: RFC 3164 and RFC 5424, also mixed.
    Syslog,
    /// Common and combined access logs.
    Access,
    /// Kubernetes' components: `I0501 10:05:00.000000 1 main.go:7] message`.
    Klog,
    /// Never detected, only given.
    Pattern(LinePattern),
}

/// Why a line is not what its format promised. It is a record all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Broken {
    /// Neither UTF-8 nor Latin-1 text.
    NotText,
    /// An object that is cut off or malformed, among JSON lines.
    Json,
    /// More or fewer cells than columns.
    CsvWidth,
    /// A quote that never closes.
    OpenQuote,
    /// A syslog priority without what must follow it.
    Syslog,
    /// The given pattern does not match.
    Pattern,
}

impl Format {
    /// The format that the lines agree on; plain if none.
    pub(crate) fn detect(lines: &[&str]) -> Format {
        let lines: Vec<&str> = lines.iter().copied().filter(|line| !line.trim().is_empty()).collect();
        // Continuations of stack traces are lines of no format of their own.
        let whole = lines.iter().filter(|line| !line.starts_with([' ', '\t'])).count();
        let most = |is: fn(&str) -> bool| {
            let count = lines.iter().filter(|line| is(line)).count();
            count > 0 && count * 10 >= whole * 6
        };
        if most(|line| json::object(line).is_some()) {
            return Format::JsonLines;
        }
        if most(|line| syslog::priority(line).is_some()) {
            return Format::Syslog;
        }
        if most(|line| access::parse(line).is_some()) {
            return Format::Access;
        }
        if most(klog::begins) {
            return Format::Klog;
        }
        if let Some(csv) = csv::detect(&lines) {
            return csv;
        }
        if most(|line| logfmt::parse(line).is_some()) {
            return Format::Logfmt;
        }
        Format::Plain
    }
}

/// What became of a line.
pub(crate) struct Parsed {
    pub record: LogRecord,
    pub broken: Option<Broken>,
}

impl From<LogRecord> for Parsed {
    fn from(record: LogRecord) -> Self {
        Self { record, broken: None }
    }
}

/// What is known of a source when its lines are parsed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub format: Format,
    pub header: HeaderModel,
    pub names: FieldNames,
}

impl Model {
    /// A line that says by itself what it is, and so begins a record; None for all others.
    pub fn self_described(&self, text: &str) -> Option<Parsed> {
        match &self.format {
            Format::Csv { delimiter, columns } => return Some(self.csv(text, *delimiter, columns)),
            Format::Pattern(pattern) => {
                return pattern.fields(text).map(|fields| self.names.record(fields, text).into());
            }
            _ => {}
        }
        match text.trim_start().as_bytes().first()? {
            b'{' => self.json(text),
            b'<' => syslog::parse(text),
            b'I' | b'W' | b'E' | b'F' if klog::begins(text) => klog::parse(text).map(Parsed::from),
            // What is indented belongs to the line above.
            _ if text.starts_with([' ', '\t']) => None,
            _ => access::parse(text).map(Parsed::from).or_else(|| {
                let (pairs, broken) = logfmt::parse(text)?;
                Some(Parsed { record: self.names.record(pairs.into_iter().collect(), text), broken })
            }),
        }
    }

    /// Any other line: header columns and a message. Total: the worst line is a message.
    pub fn plain(&self, text: &str) -> Parsed {
        Parsed { record: self.by_header(text), broken: self.lacking(text) }
    }

    /// As [`Model::plain`], but the message alone.
    pub fn message<'a>(&self, text: &'a str) -> (&'a str, Option<Broken>) {
        (self.header.split(text).message, self.lacking(text))
    }

    /// Why a line that does not describe itself should have.
    fn lacking(&self, text: &str) -> Option<Broken> {
        let cut_json = self.format == Format::JsonLines && text.trim_start().starts_with('{');
        match &self.format {
            _ if cut_json => Some(Broken::Json),
            Format::Pattern(_) => Some(Broken::Pattern),
            _ => None,
        }
    }

    fn json(&self, text: &str) -> Option<Parsed> {
        let object = json::object(text)?;
        // Among plain lines, an object that says neither when nor how bad nor what is somebody's payload.
        let all_json = self.format == Format::JsonLines;
        if !all_json && (text.starts_with([' ', '\t']) || !self.names.tells(&object)) {
            return None;
        }
        Some(json::record(object, &self.names).into())
    }

    fn csv(&self, text: &str, delimiter: char, columns: &[String]) -> Parsed {
        let cells = csv::split(text, delimiter);
        let broken = (cells.len() != columns.len()).then_some(Broken::CsvWidth);
        // What stands beyond the last column is kept under a name that says so.
        let beyond = (columns.len() + 1..=FIELDS_MAX).map(|number| format!("column_{number}"));
        let fields = columns.iter().cloned().chain(beyond).zip(cells).collect();
        Parsed { record: self.names.record(fields, text), broken }
    }

    fn by_header(&self, text: &str) -> LogRecord {
        let head = self.header.split(text);
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
}

/// A level's name or number as a field holds it, in brackets or not.
pub(crate) fn level_of(value: &str) -> Option<Level> {
    let value = value.trim().trim_matches(['[', ']', '<', '>']);
    Level::parse(value).or_else(|| Level::from_number(value.parse().ok()?)).or_else(|| {
        let mut letters = value.chars();
        letters.next().filter(|_| letters.next().is_none()).and_then(Level::from_letter)
    })
}
