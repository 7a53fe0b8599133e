//! Syslog lines that begin with a priority: RFC 5424 with its structured data, RFC 3164 as programs write it.
//!
//! Owns the head up to the message. Lines without a priority, as files under /var/log have them, are plain lines
//! whose header columns are found as any other's.

use super::{Broken, FIELDS_MAX, Parsed, YEAR_UNWRITTEN, logfmt};
use crate::logs::record::{Level, LogRecord};
use crate::timestamp;

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];
/// RFC 3164 allows 32; container names are longer.
const TAG_BYTES_MAX: usize = 64;

/// The priority of 0 to 191 in front of a line, and the rest.
pub(crate) fn priority(line: &str) -> Option<(u8, &str)> {
    let rest = line.trim_start().strip_prefix('<')?;
    let digits = rest.bytes().take(4).take_while(u8::is_ascii_digit).count();
    let value: u8 = rest.get(..digits)?.parse().ok().filter(|value| *value < 192)?;
    Some((value, rest.get(digits..)?.strip_prefix('>')?))
}

pub(crate) fn parse(line: &str) -> Option<Parsed> {
    let (value, rest) = priority(line)?;
    let mut record = LogRecord { level: Level::from_number(i64::from(value & 7)), ..LogRecord::default() };
    if let Some(facility) = FACILITIES.get(usize::from(value >> 3)) {
        record.fields.insert("facility".to_owned(), (*facility).to_owned());
    }
    let whole = match rest.strip_prefix("1 ") {
        Some(rest) => ietf(rest, &mut record).is_some(),
        None => bsd(rest, &mut record).is_some(),
    };
    if whole {
        return Some(record.into());
    }
    rest.trim().clone_into(&mut record.message);
    Some(Parsed { record, broken: Some(Broken::Syslog) })
}

/// RFC 5424, 6: `TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA [MSG]`.
fn ietf(rest: &str, record: &mut LogRecord) -> Option<()> {
    let mut parts = rest.splitn(6, ' ');
    let time = parts.next()?;
    let said = |value: &str| (value != "-").then(|| value.to_owned());
    let (host, app, process, id) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let tail = parts.next()?;
    let message = structured(tail, record)?;
    record.at_ms = timestamp::parse(time, YEAR_UNWRITTEN);
    record.service = said(app);
    for (name, value) in [("host", host), ("pid", process), ("message_id", id)] {
        if let Some(value) = said(value) {
            record.fields.insert(name.to_owned(), value);
        }
    }
    let message = message.strip_prefix(' ').unwrap_or(message);
    message.trim_start_matches('\u{feff}').trim_end().clone_into(&mut record.message);
    (time == "-" || record.at_ms.is_some()).then_some(())
}

/// `-` or `[id name="value" …]…` as fields `id.name`; gives what follows.
fn structured<'a>(text: &'a str, record: &mut LogRecord) -> Option<&'a str> {
    if let Some(rest) = text.strip_prefix('-') {
        return Some(rest).filter(|rest| rest.is_empty() || rest.starts_with(' '));
    }
    let mut rest = text;
    text.strip_prefix('[')?;
    while let Some(element) = rest.strip_prefix('[') {
        let end = element.find([' ', ']'])?;
        let (id, mut inside) = element.split_at_checked(end)?;
        loop {
            inside = inside.trim_start_matches(' ');
            if let Some(after) = inside.strip_prefix(']') {
                rest = after;
                break;
            }
            let (name, value) =
                inside.split_once("=\"").filter(|(name, _)| !name.contains(['"', ']', ' ']))?;
            let (value, after, closed) = logfmt::quoted(value);
            if !closed {
                return None;
            }
            if record.fields.len() < FIELDS_MAX {
                record.fields.insert(format!("{id}.{name}"), value);
            }
            inside = after;
        }
    }
    Some(rest)
}

/// RFC 3164, 4.1, with the liberties that programs take: no host, no tag, a time with a year.
fn bsd(rest: &str, record: &mut LogRecord) -> Option<()> {
    let rest = rest.trim_start();
    let found = timestamp::find(rest, YEAR_UNWRITTEN);
    record.at_ms = found.map(|found| found.at_ms);
    let mut rest = rest.get(found.map_or(0, |found| found.length)..)?.trim_start_matches([' ', ':']);
    if found.is_some()
        && let Some((host, tail)) = rest.split_once(' ')
        && !host.ends_with(':')
        && !host.contains('[')
    {
        record.fields.insert("host".to_owned(), host.to_owned());
        rest = tail.trim_start();
    }
    let window = rest.as_bytes().get(..rest.len().min(TAG_BYTES_MAX))?;
    let tag_end = window.iter().position(|byte| matches!(byte, b':' | b'[' | b' '))?;
    let (tag, mut tail) = rest.split_at_checked(tag_end)?;
    if let Some(process) = tail.strip_prefix('[')
        && let Some((process, after)) = process.split_once(']')
    {
        record.fields.insert("pid".to_owned(), process.to_owned());
        tail = after;
    }
    match tail.strip_prefix(':').filter(|_| !tag.is_empty()) {
        Some(message) => {
            record.service = Some(tag.to_owned());
            message.trim().clone_into(&mut record.message);
        }
        None => rest.trim().clone_into(&mut record.message),
    }
    found.map(|_| ())
}
