//! From bytes to records, whatever the format, as they come.
//!
//! Owns lines: their ends, their limits, the few that decide the format, and the ones that continue a record
//! above. Never fails: a line that cannot be read is a message, and counted.

use super::format::{self, Format};
use super::header::HeaderModel;
use super::mask::clip;
use super::record::LogRecord;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A longer line is cut off; what is beyond is dropped and the line counted.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Lines of a stack trace kept with their record; the deepest traces of practice have a few hundred.
const CONTINUATION_LINES_MAX: u32 = 512;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReaderOptions {
    /// For records that name no service: usually told by the file.
    pub service: Option<String>,
    /// For times written without a year.
    pub year: i16,
    /// Joins stack traces to the record above them.
    pub multiline: bool,
    /// Lines looked at before the format is decided.
    pub sample_lines: usize,
    /// Skips detection.
    pub format: Option<Format>,
}

impl Default for ReaderOptions {
    /// 512 lines show enough different messages to tell columns from words, and are below 100 kB.
    fn default() -> Self {
        Self { service: None, year: 1970, multiline: true, sample_lines: 512, format: None }
    }
}

/// What was read so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReadStats {
    pub bytes: u64,
    pub lines: u64,
    pub records: u64,
    /// Lines that their format promised more of: JSON cut off, a CSV row of another width, bytes that are no UTF-8.
    pub broken: u64,
    /// Lines longer than [`LINE_BYTES_MAX`], cut off there.
    pub truncated: u64,
    /// Lines that continued the record above.
    pub continued: u64,
    pub blank: u64,
    /// None until enough was seen to decide.
    pub format: Option<Format>,
}

/// Takes bytes in pieces of any size and gives records. Memory is bounded by the sample and one record.
pub struct Reader {
    options: ReaderOptions,
    stats: ReadStats,
    partial: Vec<u8>,
    overflow: bool,
    /// Lines waiting for the format's decision; their number and text.
    sample: Vec<(u64, String)>,
    sample_bytes: usize,
    decided: Option<(Format, HeaderModel)>,
    /// The first part of a CRI line or a CSV row that goes on.
    open: Option<(u64, String)>,
    pending: Option<Pending>,
}

struct Pending {
    record: LogRecord,
    lines: u32,
    stack_bytes: usize,
    /// Inside a Python traceback: the unindented line that ends it belongs to it.
    traceback: bool,
}

impl Reader {
    pub fn new(options: ReaderOptions) -> Self {
        Self {
            options,
            stats: ReadStats::default(),
            partial: Vec::new(),
            overflow: false,
            sample: Vec::new(),
            sample_bytes: 0,
            decided: None,
            open: None,
            pending: None,
        }
    }

    /// Takes the next bytes; gives the records that are complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<LogRecord> {
        let mut out = Vec::new();
        self.stats.bytes += bytes.len() as u64;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (content, ended) = match piece.strip_suffix(b"\n") {
                Some(content) => (content, true),
                None => (piece, false),
            };
            let room = LINE_BYTES_MAX.saturating_sub(self.partial.len());
            self.overflow |= content.len() > room;
            self.partial.extend_from_slice(content.get(..content.len().min(room)).unwrap_or_default());
            if ended {
                self.end_line(&mut out);
            }
        }
        out
    }

    /// Ends the input; gives what was waiting. Reading may go on after it, with the
    /// format and the numbering of lines kept.
    pub fn finish(&mut self) -> Vec<LogRecord> {
        let mut out = Vec::new();
        if !self.partial.is_empty() {
            self.end_line(&mut out);
        }
        self.decide(&mut out);
        if let Some((number, text)) = self.open.take() {
            self.line(number, &text, &mut out);
        }
        self.emit(&mut out);
        out
    }

    pub fn stats(&self) -> &ReadStats {
        &self.stats
    }

    fn end_line(&mut self, out: &mut Vec<LogRecord>) {
        let mut bytes = std::mem::take(&mut self.partial);
        self.stats.lines += 1;
        let number = self.stats.lines;
        self.stats.truncated += u64::from(std::mem::take(&mut self.overflow));
        let mut content = bytes.as_slice();
        if number == 1 {
            content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        }
        content = content.strip_suffix(b"\r").unwrap_or(content);
        let text = String::from_utf8_lossy(content);
        // A line cut off at the limit may end inside a character: that is the limit's doing.
        if matches!(text, Cow::Owned(_)) && content.len() < LINE_BYTES_MAX {
            self.stats.broken += 1;
        }
        let text: Cow<str> = if text.contains('\0') { Cow::Owned(text.replace('\0', "")) } else { text };
        if self.decided.is_some() {
            self.line_or_part(number, &text, out);
        } else {
            self.sample_bytes += text.len();
            self.sample.push((number, text.into_owned()));
            if self.sample.len() >= self.options.sample_lines || self.sample_bytes >= 4 * LINE_BYTES_MAX {
                self.decide(out);
            }
        }
        bytes.clear();
        self.partial = bytes;
    }

    /// Decides the format from the lines that waited, and reads them.
    fn decide(&mut self, out: &mut Vec<LogRecord>) {
        if self.decided.is_some() || self.sample.is_empty() {
            return;
        }
        let sample = std::mem::take(&mut self.sample);
        let texts: Vec<&str> = sample.iter().map(|(_, text)| text.as_str()).collect();
        let format = self.options.format.clone().unwrap_or_else(|| Format::detect(&texts));
        let bare: Vec<&str> =
            texts.iter().map(|text| format::unwrap_cri(text).map_or(*text, |cri| cri.text)).collect();
        let header = HeaderModel::learn(&bare, self.options.year);
        self.stats.format = Some(format.clone());
        let skip_names = matches!(format, Format::Csv { .. }) && self.options.format.is_none();
        self.decided = Some((format, header));
        let mut names_seen = !skip_names;
        for (number, text) in sample {
            if !names_seen && !text.trim().is_empty() {
                names_seen = true;
                continue;
            }
            self.line_or_part(number, &text, out);
        }
    }

    /// Joins what is spread over lines before it is parsed: partial CRI lines, quoted line ends in CSV.
    fn line_or_part(&mut self, number: u64, text: &str, out: &mut Vec<LogRecord>) {
        let csv = matches!(self.stats.format, Some(Format::Csv { .. }));
        let cri = if csv { None } else { format::unwrap_cri(text) };
        let (number, joined) = match self.open.take() {
            None => (number, Cow::Borrowed(text)),
            Some((first, mut joined)) => {
                if csv {
                    joined.push('\n');
                }
                joined.push_str(cri.as_ref().map_or(text, |cri| cri.text));
                (first, Cow::Owned(joined))
            }
        };
        let goes_on = if csv { format::csv_is_open(&joined) } else { cri.is_some_and(|cri| cri.partial) };
        if goes_on && joined.len() < LINE_BYTES_MAX {
            self.open = Some((number, joined.into_owned()));
        } else {
            self.line(number, &joined, out);
        }
    }

    fn line(&mut self, number: u64, text: &str, out: &mut Vec<LogRecord>) {
        if text.trim().is_empty() {
            self.stats.blank += 1;
            return;
        }
        if self.options.multiline && self.continues(text) {
            self.stats.continued += 1;
            return;
        }
        self.emit(out);
        let Some((format, header)) = &self.decided else { return };
        let parsed = format::parse(format, header, text, self.options.year);
        self.stats.broken += u64::from(parsed.broken);
        let mut record = parsed.record;
        record.line = number;
        clip(text, LINE_BYTES_MAX).clone_into(&mut record.raw);
        if record.service.is_none() {
            record.service.clone_from(&self.options.service);
        }
        let traceback = text.contains("Traceback (most recent call last)");
        self.pending = Some(Pending { record, lines: 0, stack_bytes: 0, traceback });
    }

    /// Adds the line to the record above if it belongs there.
    fn continues(&mut self, text: &str) -> bool {
        let (Some(pending), Some((format, header))) = (&mut self.pending, &self.decided) else {
            return false;
        };
        if matches!(format, Format::Csv { .. })
            || text.trim_start().starts_with('{') && *format == Format::JsonLines
        {
            return false;
        }
        // In a wrapper each physical line has its own time; what is inside decides.
        let text = format::unwrap_cri(text).map_or(text, |cri| cri.text);
        let indented = text.starts_with([' ', '\t']);
        let tail = pending.traceback && !indented;
        let belongs = if header.begins_with_time {
            !header.begins(text)
        } else {
            indented || tail || is_trace_line(text)
        };
        if !belongs || pending.lines >= CONTINUATION_LINES_MAX {
            return false;
        }
        if tail {
            pending.traceback = text.starts_with("Traceback");
        } else if text.contains("Traceback (most recent call last)") {
            pending.traceback = true;
        }
        pending.lines += 1;
        if pending.stack_bytes + text.len() < LINE_BYTES_MAX {
            pending.stack_bytes += text.len() + 1;
            let stack = pending.record.fields.entry("stack".to_owned()).or_default();
            if !stack.is_empty() {
                stack.push('\n');
            }
            stack.push_str(text);
        }
        true
    }

    fn emit(&mut self, out: &mut Vec<LogRecord>) {
        if let Some(pending) = self.pending.take() {
            self.stats.records += 1;
            out.push(pending.record);
        }
    }
}

/// All records of a text at once.
pub fn read_all(bytes: &[u8], options: ReaderOptions) -> (Vec<LogRecord>, ReadStats) {
    let mut reader = Reader::new(options);
    let mut records = reader.push(bytes);
    records.extend(reader.finish());
    (records, reader.stats)
}

/// Lines that only a stack trace has, though they are not indented.
fn is_trace_line(text: &str) -> bool {
    [
        "at ",
        "Caused by:",
        "Suppressed:",
        "Traceback (most recent call last)",
        "goroutine ",
        "stack backtrace:",
        "... ",
    ]
    .iter()
    .any(|start| text.starts_with(start))
}

#[cfg(test)]
mod tests;
