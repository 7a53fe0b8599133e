//! Kubernetes' components and glog's heirs: `I0501 10:05:00.000000   1 main.go:7] message`.

use super::YEAR_UNWRITTEN;
use super::logfmt;
use crate::logs::record::{Level, LogRecord};
use crate::timestamp;

/// A longer file name and line number is none.
const SOURCE_BYTES_MAX: usize = 128;

/// True for a line with klog's head; cheap.
pub(crate) fn begins(line: &str) -> bool {
    let bytes = line.as_bytes();
    matches!(bytes.first(), Some(b'I' | b'W' | b'E' | b'F'))
        && bytes.get(1..5).is_some_and(|digits| digits.iter().all(u8::is_ascii_digit))
        && bytes.get(5) == Some(&b' ')
        && bytes.get(8) == Some(&b':')
}

/// Level, time, thread and source from the head; of a structured message the pairs are fields.
pub(crate) fn parse(line: &str) -> Option<LogRecord> {
    let level = Level::from_letter(line.chars().next()?)?;
    let rest = line.get(1..)?;
    let time = timestamp::find(rest, YEAR_UNWRITTEN)?;
    let rest = rest.get(time.length..)?.trim_start();
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (thread, rest) = rest.split_at_checked(digits).filter(|_| digits > 0)?;
    let rest = rest.trim_start();
    let window = rest.as_bytes().get(..rest.len().min(SOURCE_BYTES_MAX))?;
    let end = window.iter().position(|byte| matches!(byte, b']' | b' '))?;
    let source = rest.get(..end)?;
    let message = rest.get(end..)?.strip_prefix(']')?.trim();
    let mut record = LogRecord { at_ms: Some(time.at_ms), level: Some(level), ..LogRecord::default() };
    if let Some(open) = message.strip_prefix('"')
        && let (said, tail, true) = logfmt::quoted(open)
    {
        record.message = said;
        record.fields.extend(logfmt::pairs(tail).0);
    } else {
        message.clone_into(&mut record.message);
    }
    record.fields.insert("thread".to_owned(), thread.to_owned());
    record.fields.insert("source".to_owned(), source.to_owned());
    Some(record)
}
