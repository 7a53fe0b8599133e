//! Where lines go once they are read.
//!
//! Owns the choice between whole records and bare messages. Never looks at a line.

use crate::logs::record::LogRecord;

pub(super) trait Sink {
    fn record(&mut self, record: LogRecord);

    /// True if a plain line's record need not be made.
    fn takes_messages(&self) -> bool {
        false
    }

    fn message(&mut self, _line: u64, _message: &str) {}
}

impl Sink for Vec<LogRecord> {
    fn record(&mut self, record: LogRecord) {
        self.push(record);
    }
}

/// Takes the number of a line and its message.
pub(super) struct Messages<F>(pub F);

impl<F: FnMut(u64, &str)> Sink for Messages<F> {
    fn record(&mut self, record: LogRecord) {
        (self.0)(record.line, &record.message);
    }

    fn takes_messages(&self) -> bool {
        true
    }

    fn message(&mut self, line: u64, message: &str) {
        (self.0)(line, message);
    }
}
