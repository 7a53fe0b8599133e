//! The common and the combined log format of web servers, also with the virtual host in front.
//!
//! `host ident user [time] "request" status bytes "referer" "agent"`. The request and its status are the
//! message; what stands behind the agent is kept as one field.

use super::YEAR_UNWRITTEN;
use super::fields::level_of_status;
use super::logfmt;
use crate::logs::record::LogRecord;
use crate::timestamp;

/// Everything in front of the request; a line without one by then is no access log.
const HEAD_BYTES_MAX: usize = 512;

pub(crate) fn parse(line: &str) -> Option<LogRecord> {
    let window = line.as_bytes().get(..line.len().min(HEAD_BYTES_MAX))?;
    // By the quote, which most lines of other formats have none of.
    let mark = memchr::memchr_iter(b'"', window)
        .filter_map(|quote| quote.checked_sub(2))
        .find(|mark| window.get(*mark..).is_some_and(|at| at.starts_with(b"] ")))?;
    let head = line.get(..mark)?;
    let (who, time) = head.split_once('[')?;
    let at = timestamp::find(time, YEAR_UNWRITTEN).filter(|found| found.length == time.len())?;
    let names: Vec<&str> = who.split_ascii_whitespace().collect();
    let (host, client, user) = match names.as_slice() {
        [client, _, user] => (None, *client, *user),
        [host, client, _, user] => (Some(*host), *client, *user),
        _ => return None,
    };
    let (request, rest, closed) = logfmt::quoted(line.get(mark + 3..)?);
    let mut rest = rest.trim_start().splitn(3, ' ');
    let (status, bytes) = (rest.next()?, rest.next().unwrap_or("-"));
    let code: u16 = status.parse().ok().filter(|code| closed && (100..1000).contains(code))?;
    let mut record =
        LogRecord { at_ms: Some(at.at_ms), level: Some(level_of_status(code)), ..LogRecord::default() };
    record.message = format!("{request} {status}");
    let mut field = |name: &str, value: &str| {
        if !matches!(value, "" | "-") {
            record.fields.insert(name.to_owned(), value.to_owned());
        }
    };
    let mut parts = request.split(' ');
    field("method", parts.next().unwrap_or(""));
    field("path", parts.next().unwrap_or(""));
    field("protocol", parts.next().unwrap_or(""));
    for (name, value) in [
        ("client", client),
        ("user", user),
        ("status", status),
        ("bytes", bytes),
        ("host", host.unwrap_or("-")),
    ] {
        field(name, value);
    }
    if let Some(open) = rest.next().unwrap_or("").strip_prefix('"') {
        let (referer, tail, _) = logfmt::quoted(open);
        field("referer", &referer);
        if let Some(open) = tail.trim_start().strip_prefix('"') {
            let (agent, tail, _) = logfmt::quoted(open);
            field("user_agent", &agent);
            field("extra", tail.trim());
        }
    }
    Some(record)
}
