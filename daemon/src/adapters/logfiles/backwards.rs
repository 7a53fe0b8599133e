//! A file's lines from its end towards its start, in bounded memory.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// Read at once. 64 KiB: a few hundred lines, and one system call for them.
const BLOCK_BYTES: usize = 64 << 10;

/// What is left of a search's byte budget.
#[derive(Debug)]
pub(super) struct Budget(pub usize);

pub(super) struct Backwards {
    file: File,
    /// Where the unread part ends.
    unread: u64,
    /// Read and not yet given out; its first line may be incomplete.
    held: Vec<u8>,
    line_bytes_max: usize,
    /// Before any line was given out.
    fresh: bool,
    /// A line end was met, so that a line stands before it, be it an empty one.
    open: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Without its line end; what is beyond the limit is cut off.
    Line(String),
    Start,
    /// The budget is used up before the start of the file.
    Spent,
}

impl Backwards {
    pub fn new(mut file: File, line_bytes_max: usize) -> io::Result<Self> {
        let unread = file.seek(SeekFrom::End(0))?;
        Ok(Self { file, unread, held: Vec::new(), line_bytes_max, fresh: true, open: false })
    }

    pub fn step(&mut self, budget: &mut Budget) -> io::Result<Step> {
        loop {
            if let Some(at) = self.held.iter().rposition(|byte| *byte == b'\n') {
                let line = self.held.split_off(at + 1);
                self.held.truncate(at);
                self.open = true;
                // What stands behind the last line end of a file is no line when it is empty.
                if std::mem::take(&mut self.fresh) && line.is_empty() {
                    continue;
                }
                return Ok(Step::Line(self.text(&line)));
            }
            if self.unread == 0 {
                if self.held.is_empty() && !self.open {
                    return Ok(Step::Start);
                }
                (self.fresh, self.open) = (false, false);
                let line = std::mem::take(&mut self.held);
                return Ok(Step::Line(self.text(&line)));
            }
            if budget.0 == 0 {
                return Ok(Step::Spent);
            }
            self.read_block(budget)?;
        }
    }

    fn read_block(&mut self, budget: &mut Budget) -> io::Result<()> {
        let unread = usize::try_from(self.unread).unwrap_or(usize::MAX);
        let length = BLOCK_BYTES.min(unread).min(budget.0);
        self.unread -= length as u64;
        budget.0 -= length;
        self.file.seek(SeekFrom::Start(self.unread))?;
        let mut block = vec![0; length];
        // A file that was cut meanwhile ends early: what is missing is empty.
        let mut filled = 0;
        while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read(rest)? {
                0 => break,
                count => filled += count,
            }
        }
        block.truncate(filled);
        // Of a line longer than the limit only the beginning is kept: its end is let go as the beginning comes in.
        if !self.held.contains(&b'\n') {
            self.held.truncate(self.line_bytes_max);
        }
        block.append(&mut self.held);
        self.held = block;
        Ok(())
    }

    fn text(&self, line: &[u8]) -> String {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let cut = line.get(..self.line_bytes_max).unwrap_or(line);
        String::from_utf8_lossy(cut).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn lines(content: &[u8], line_bytes_max: usize, budget: usize) -> (Vec<String>, Step) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let (mut reader, mut budget) = (Backwards::new(file, line_bytes_max).unwrap(), Budget(budget));
        let mut lines = Vec::new();
        loop {
            match reader.step(&mut budget).unwrap() {
                Step::Line(line) => lines.push(line),
                end => return (lines, end),
            }
        }
    }

    #[test]
    fn lines_come_from_the_end_with_or_without_a_last_line_end() {
        let cases: [(&[u8], &[&str]); 6] = [
            (b"", &[]),
            (b"one", &["one"]),
            (b"one\ntwo\n", &["two", "one"]),
            (b"one\r\n\r\ntwo", &["two", "", "one"]),
            (b"\n\n", &["", ""]),
            (b"a\xffb\n", &["a\u{fffd}b"]),
        ];
        for (content, expected) in cases {
            assert_eq!(
                lines(content, 100, 1_000),
                (expected.iter().map(|s| s.to_string()).collect(), Step::Start)
            );
        }
    }

    #[test]
    fn blocks_do_not_show_in_the_lines() {
        let expected: Vec<String> = (0..30_000).map(|n| format!("line {n} {}", "x".repeat(n % 50))).collect();
        let content = expected.join("\n");
        let (mut got, end) = lines(content.as_bytes(), 1_000, usize::MAX);
        got.reverse();
        assert_eq!(end, Step::Start);
        assert_eq!(got.len(), expected.len());
        assert!(got == expected);
    }

    #[test]
    fn giant_line_is_cut_to_its_beginning_and_its_neighbours_are_whole() {
        let content = format!("before\nhead{}\nafter\n", "x".repeat(5 * BLOCK_BYTES));
        let (got, _) = lines(content.as_bytes(), 8, usize::MAX);
        assert_eq!(got, ["after", "headxxxx", "before"]);
    }

    #[test]
    fn reading_stops_where_the_budget_does() {
        let content = "0123456789\n".repeat(100_000);
        let (got, end) = lines(content.as_bytes(), 100, BLOCK_BYTES);
        assert_eq!(end, Step::Spent);
        assert_eq!(got.len(), BLOCK_BYTES / 11, "whole lines only");
    }
}
