//! Lines that are parts of one: cut by a container runtime, or open at a quote.
//!
//! Owns what waits for its rest, within limits. Never parses.

use super::LINE_BYTES_MAX;
use super::envelope::{Envelope, Wrapper};
use crate::logs::format::{Broken, csv};
use crate::logs::mask::clip;
use std::borrow::Cow;

/// Streams that may each have a line open: stdout and stderr of what shares a file.
const STREAMS_MAX: usize = 4;
/// Lines of one CSV row; a quote open for longer was never closed.
const ROW_LINES_MAX: u32 = 1024;

/// The first part of a line, and what it was wrapped in.
pub(super) struct Part {
    pub number: u64,
    pub text: String,
    wrapper: Option<Wrapper>,
    at_ms: Option<u64>,
    stream: String,
}

impl Part {
    /// The wrapper again, without its text.
    pub fn envelope(&self) -> Envelope<'_> {
        Envelope {
            wrapper: self.wrapper,
            at_ms: self.at_ms,
            stream: Cow::Borrowed(&self.stream),
            ..Envelope::default()
        }
    }
}

pub(super) struct Joined {
    /// The line with all its parts, if the last of them came.
    pub whole: Option<Part>,
    /// Another stream's line that gave way, as far as it came.
    pub evicted: Option<Part>,
    /// The line just passed its limit.
    pub overflowed: bool,
}

/// A row, its first line's number, and why it is broken if it is.
type Row = (u64, String, Option<Broken>);

struct OpenRow {
    number: u64,
    text: String,
    lines: u32,
}

#[derive(Default)]
pub(super) struct Parts {
    streams: Vec<Part>,
    row: Option<OpenRow>,
}

impl Parts {
    pub fn has(&self, envelope: &Envelope<'_>) -> bool {
        self.streams.iter().any(|part| part.stream == envelope.stream)
    }

    /// Puts a part behind those of its stream.
    pub fn join(&mut self, number: u64, envelope: Envelope<'_>) -> Joined {
        let mut joined = Joined { whole: None, evicted: None, overflowed: false };
        let at = match self.streams.iter().position(|part| part.stream == envelope.stream) {
            Some(at) => at,
            None => {
                if self.streams.len() >= STREAMS_MAX {
                    joined.evicted = Some(self.streams.remove(0));
                }
                self.streams.push(Part {
                    number,
                    text: String::new(),
                    wrapper: envelope.wrapper,
                    at_ms: envelope.at_ms,
                    stream: envelope.stream.clone().into_owned(),
                });
                self.streams.len() - 1
            }
        };
        if let Some(part) = self.streams.get_mut(at) {
            let room = LINE_BYTES_MAX.saturating_sub(part.text.len());
            joined.overflowed = room > 0 && envelope.text.len() > room;
            part.text.push_str(clip(&envelope.text, room));
            if joined.overflowed {
                // No later part may slip into the few bytes that a character left.
                part.text.extend(std::iter::repeat_n(' ', LINE_BYTES_MAX.saturating_sub(part.text.len())));
            }
        }
        if !envelope.partial {
            joined.whole = Some(self.streams.remove(at));
        }
        joined
    }

    pub fn take_all(&mut self) -> Vec<Part> {
        std::mem::take(&mut self.streams)
    }

    pub fn has_row(&self) -> bool {
        self.row.is_some()
    }

    pub fn take_row(&mut self) -> Option<Row> {
        self.row.take().map(|row| (row.number, row.text, Some(Broken::OpenQuote)))
    }

    /// The rows that a line completes: none while a quote is open; two when an open row turns out to be broken and
    /// the line is a row by itself. Each byte is looked at once or twice, however long the row.
    pub fn row(&mut self, number: u64, line: &str, delimiter: char, columns: &[String]) -> [Option<Row>; 2] {
        let Some(mut open) = self.row.take() else {
            if csv::is_open(line, delimiter, false) {
                self.row = Some(OpenRow { number, text: line.to_owned(), lines: 1 });
                return [None, None];
            }
            return [Some((number, line.to_owned(), None)), None];
        };
        if csv::is_whole_row(line, delimiter, columns) {
            let broken = (open.number, open.text, Some(Broken::OpenQuote));
            return [Some(broken), Some((number, line.to_owned(), None))];
        }
        open.lines += 1;
        open.text.push('\n');
        open.text.push_str(clip(line, LINE_BYTES_MAX.saturating_sub(open.text.len())));
        if !csv::is_open(line, delimiter, true) {
            return [Some((open.number, open.text, None)), None];
        }
        if open.lines >= ROW_LINES_MAX || open.text.len() >= LINE_BYTES_MAX {
            return [Some((open.number, open.text, Some(Broken::OpenQuote))), None];
        }
        self.row = Some(open);
        [None, None]
    }
}
