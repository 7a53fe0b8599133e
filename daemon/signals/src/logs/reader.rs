//! From bytes to records, whatever the format, as they come.
//!
//! Owns lines: their ends, their encoding, their limits, the few that decide the format, and the ones that belong
//! together. Never fails: a line that cannot be read is a message, and counted with its reason.

use super::format::{Model, Parsed, YEAR_UNWRITTEN, csv};
use super::header::HeaderModel;
use super::mask::clip;
use super::record::LogRecord;
use std::collections::BTreeMap;

mod encoding;
mod envelope;
mod open;
mod options;
mod parts;
mod sink;
mod text;
mod trace;
mod year;

pub use super::format::{Broken, FieldNames, Format, LinePattern, PatternError};
pub use encoding::Encoding;
pub use envelope::Wrapper;
pub use open::{Compression, Opened, ReadError, Records, open, records};
pub use options::{ReadStats, ReaderOptions};
pub(crate) use text::without_escapes;

use envelope::Envelope;
use parts::Parts;
use sink::{Messages, Sink};
use trace::Trace;
use year::Years;

/// A longer line is cut off; what is beyond is dropped and the line counted.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Lines of a stack trace kept with their record; the deepest traces of practice have a few hundred.
const CONTINUATION_LINES_MAX: u32 = 512;

/// Takes bytes in pieces of any size and gives records. Memory is bounded by the sample and one record.
pub struct Reader {
    options: ReaderOptions,
    stats: ReadStats,
    decoder: encoding::Decoder,
    partial: Vec<u8>,
    overflow: bool,
    /// Lines waiting for the format's decision; their number and text.
    sample: Vec<(u64, String)>,
    sample_bytes: usize,
    model: Option<Model>,
    parts: Parts,
    years: Years,
    pending: Option<Pending>,
}

struct Pending {
    record: LogRecord,
    lines: u32,
    stack_bytes: usize,
    trace: Trace,
    /// Whose line it is, where several programs share the source.
    instance: String,
    /// It is an error, or says so.
    troubled: bool,
}

impl Reader {
    pub fn new(options: ReaderOptions) -> Self {
        Self {
            years: Years::new(options.year, options.not_after_ms),
            options,
            stats: ReadStats::default(),
            decoder: encoding::Decoder::default(),
            partial: Vec::new(),
            overflow: false,
            sample: Vec::new(),
            sample_bytes: 0,
            model: None,
            parts: Parts::default(),
            pending: None,
        }
    }

    /// Takes the next bytes; gives the records that are complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<LogRecord> {
        let mut out = Vec::new();
        self.take(bytes, &mut out);
        out
    }

    /// Ends the input; gives what was waiting. Reading may go on after it, with the
    /// format and the numbering of lines kept.
    pub fn finish(&mut self) -> Vec<LogRecord> {
        let mut out = Vec::new();
        self.end(&mut out);
        out
    }

    /// As [`Reader::push`], for who wants nothing of a record but the number of its line and its message: of plain lines,
    /// no record is made at all, unless stack traces are to be joined.
    pub fn push_messages(&mut self, bytes: &[u8], each: impl FnMut(u64, &str)) {
        self.take(bytes, &mut Messages(each));
    }

    /// As [`Reader::finish`], for messages.
    pub fn finish_messages(&mut self, each: impl FnMut(u64, &str)) {
        self.end(&mut Messages(each));
    }

    pub fn stats(&self) -> &ReadStats {
        &self.stats
    }

    fn take(&mut self, bytes: &[u8], out: &mut impl Sink) {
        self.stats.bytes += bytes.len() as u64;
        // Taken out for the loan; it is put back below.
        let mut decoder = std::mem::take(&mut self.decoder);
        self.split(&decoder.decode(bytes), out);
        self.stats.encoding = decoder.encoding();
        self.decoder = decoder;
    }

    fn end(&mut self, out: &mut impl Sink) {
        let rest = self.decoder.finish();
        self.split(&rest, out);
        if !self.partial.is_empty() {
            self.end_partial(out);
        }
        self.decide(out);
        let mut parts = std::mem::take(&mut self.parts);
        if let Some((number, row, broken)) = parts.take_row() {
            self.line(number, &row, &Envelope::default(), &row, broken, out);
        }
        for part in parts.take_all() {
            let envelope = part.envelope();
            self.line(part.number, &part.text, &envelope, &part.text, None, out);
        }
        self.emit(out);
    }

    fn split(&mut self, bytes: &[u8], out: &mut impl Sink) {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (content, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            rest = after.get(1..).unwrap_or_default();
            // A line that lies in these bytes as a whole is read where it is.
            if self.partial.is_empty() && content.len() <= LINE_BYTES_MAX {
                self.end_line(content, false, out);
            } else {
                self.keep(content);
                self.end_partial(out);
            }
        }
        self.keep(rest);
    }

    /// Adds to a line whose end did not come yet.
    fn keep(&mut self, content: &[u8]) {
        let room = LINE_BYTES_MAX.saturating_sub(self.partial.len());
        self.overflow |= content.len() > room;
        self.partial.extend_from_slice(content.get(..content.len().min(room)).unwrap_or_default());
    }

    fn end_partial(&mut self, out: &mut impl Sink) {
        let mut bytes = std::mem::take(&mut self.partial);
        let cut = std::mem::take(&mut self.overflow);
        self.end_line(&bytes, cut, out);
        bytes.clear();
        self.partial = bytes;
    }

    fn end_line(&mut self, bytes: &[u8], cut: bool, out: &mut impl Sink) {
        self.stats.lines += 1;
        let number = self.stats.lines;
        self.stats.truncated += u64::from(cut);
        let mut content = bytes;
        if number == 1 {
            content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        }
        content = content.strip_suffix(b"\r").unwrap_or(content);
        let cleaned = text::clean(content, cut);
        self.stats.latin1 += u64::from(cleaned.latin1);
        if cleaned.not_text {
            self.count(Broken::NotText);
        }
        if self.model.is_some() {
            self.physical(number, &cleaned.text, out);
        } else {
            self.sample_bytes += cleaned.text.len();
            self.sample.push((number, cleaned.text.into_owned()));
            if self.sample.len() >= self.options.sample_lines || self.sample_bytes >= 4 * LINE_BYTES_MAX {
                self.decide(out);
            }
        }
    }

    /// Decides the format from the lines that waited, and reads them.
    fn decide(&mut self, out: &mut impl Sink) {
        if self.model.is_some() || self.sample.is_empty() {
            return;
        }
        let sample = std::mem::take(&mut self.sample);
        let opened: Vec<Envelope> = sample.iter().map(|(_, text)| envelope::open(text)).collect();
        let texts: Vec<&str> = opened.iter().map(|envelope| envelope.text.as_ref()).collect();
        let wrapped = opened.iter().filter_map(|envelope| envelope.wrapper);
        self.stats.wrapper = most(wrapped, opened.len());
        let format = self.options.format.clone().unwrap_or_else(|| Format::detect(&texts));
        let header = HeaderModel::learn(&texts, YEAR_UNWRITTEN);
        self.stats.format = Some(format.clone());
        self.model = Some(Model { format, header, names: self.options.names.clone() });
        for (number, text) in &sample {
            self.physical(*number, text, out);
        }
    }

    /// Joins what is spread over lines before it is parsed: lines that a runtime cut, quoted line ends in CSV.
    fn physical(&mut self, number: u64, text: &str, out: &mut impl Sink) {
        if let Some(Model { format: Format::Csv { delimiter, columns }, .. }) = &self.model {
            if !self.parts.has_row() && csv::is_names(text, *delimiter, columns) {
                self.stats.blank += 1;
                return;
            }
            let rows = self.parts.row(number, text, *delimiter, columns);
            for (number, row, broken) in rows.into_iter().flatten() {
                self.line(number, &row, &Envelope::default(), &row, broken, out);
            }
            return;
        }
        let envelope = envelope::open(text);
        if envelope.wrapper.is_none() || !envelope.partial && !self.parts.has(&envelope) {
            self.line(number, &envelope.text, &envelope, text, None, out);
            return;
        }
        let partial = envelope.partial;
        let joined = self.parts.join(number, envelope);
        self.stats.truncated += u64::from(joined.overflowed);
        if let Some(part) = joined.evicted {
            let envelope = part.envelope();
            self.line(part.number, &part.text, &envelope, &part.text, None, out);
        }
        if let Some(part) = joined.whole.filter(|_| !partial) {
            let envelope = part.envelope();
            self.line(part.number, &part.text, &envelope, &part.text, None, out);
        }
    }

    /// One line as the program wrote it.
    fn line(
        &mut self,
        number: u64,
        text: &str,
        envelope: &Envelope<'_>,
        raw: &str,
        broken: Option<Broken>,
        out: &mut impl Sink,
    ) {
        if text.trim().is_empty() {
            self.stats.blank += 1;
            return;
        }
        let described = self.model.as_ref().and_then(|model| model.self_described(text));
        if described.is_none() && self.options.multiline && self.continues(text, envelope) {
            self.stats.continued += 1;
            return;
        }
        let bare = described.is_none() && !self.options.multiline && out.takes_messages();
        if bare {
            self.emit(out);
        }
        let Some(model) = &self.model else { return };
        if bare {
            let (message, lacking) = model.message(text);
            out.message(number, message);
            self.stats.records += 1;
            if let Some(broken) = broken.or(lacking) {
                self.count(broken);
            }
            return;
        }
        let parsed = described.unwrap_or_else(|| model.plain(text));
        self.emit(out);
        self.begin(number, parsed, text, envelope, raw, broken);
    }

    fn begin(
        &mut self,
        number: u64,
        parsed: Parsed,
        text: &str,
        envelope: &Envelope<'_>,
        raw: &str,
        broken: Option<Broken>,
    ) {
        if let Some(broken) = broken.or(parsed.broken) {
            self.count(broken);
        }
        let mut record = parsed.record;
        record.line = number;
        clip(raw, LINE_BYTES_MAX).clone_into(&mut record.raw);
        record.at_ms = record.at_ms.and_then(|at_ms| self.years.resolve(at_ms)).or(envelope.at_ms);
        if record.service.is_none() && !envelope.service.is_empty() {
            record.service = Some(envelope.service.to_owned());
        }
        if record.service.is_none() {
            record.service.clone_from(&self.options.service);
        }
        for (name, value) in [("stream", envelope.stream.as_ref()), ("instance", envelope.instance)] {
            if !value.is_empty() {
                record.fields.entry(name.to_owned()).or_insert_with(|| value.to_owned());
            }
        }
        let mut trace = Trace::of(&record.message);
        if !trace.is_open() {
            trace = Trace::of(text);
        }
        record.level = record.level.or(trace.level());
        let troubled = record.level.is_some_and(|level| level >= super::record::Level::Warn);
        let instance = envelope.instance.to_owned();
        self.pending = Some(Pending { record, lines: 0, stack_bytes: 0, trace, instance, troubled });
    }

    /// Adds the line to the record above if it belongs there.
    fn continues(&mut self, text: &str, envelope: &Envelope<'_>) -> bool {
        let (Some(pending), Some(model)) = (&mut self.pending, &self.model) else {
            return false;
        };
        if pending.instance != envelope.instance || pending.lines >= CONTINUATION_LINES_MAX {
            return false;
        }
        let broken_json = model.format == Format::JsonLines && text.trim_start().starts_with('{');
        // Where lines begin with a time, one that does not goes on with the record above, whatever it says.
        let belongs = match model.header.begins_with_time {
            _ if broken_json => false,
            true => !model.header.begins(text),
            false => pending.trace.takes(text, pending.troubled),
        };
        if !belongs {
            return false;
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

    fn count(&mut self, broken: Broken) {
        self.stats.broken += 1;
        *self.stats.reasons.entry(broken).or_default() += 1;
    }

    fn emit(&mut self, out: &mut impl Sink) {
        if let Some(pending) = self.pending.take() {
            self.stats.records += 1;
            out.record(pending.record);
        }
    }
}

/// The kind that at least half of `count` lines are of.
fn most(kinds: impl Iterator<Item = Wrapper>, count: usize) -> Option<Wrapper> {
    let mut counts: BTreeMap<Wrapper, usize> = BTreeMap::new();
    for kind in kinds {
        *counts.entry(kind).or_default() += 1;
    }
    counts
        .into_iter()
        .max_by_key(|(_, seen)| *seen)
        .filter(|(_, seen)| seen * 2 >= count)
        .map(|(kind, _)| kind)
}

/// All records of a text at once.
pub fn read_all(bytes: &[u8], options: ReaderOptions) -> (Vec<LogRecord>, ReadStats) {
    let mut reader = Reader::new(options);
    let mut records = reader.push(bytes);
    records.extend(reader.finish());
    (records, reader.stats)
}

#[cfg(test)]
mod tests;
