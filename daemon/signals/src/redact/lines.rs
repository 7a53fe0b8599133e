//! Redaction of lines that come one after another.
//!
//! Owns what one line says of the next: a private key is a block, and its middle looks like nothing.

use super::{Kind, Redacted, redact};

/// Lines of a key's block; RSA of 16384 bits takes some 200.
const KEY_LINES_MAX: u32 = 256;
/// Shorter words stand in ordinary lines too.
const KEY_WORD_BYTES_MIN: usize = 16;

/// Remembers whether a key is open. One for each source of lines.
#[derive(Debug, Clone, Default)]
pub struct LineRedactor {
    lines_left: u32,
}

impl LineRedactor {
    /// As [`redact`], for the line that follows those before it. Where a key's line has a head of its own, such as a
    /// time, that goes with it.
    pub fn redact(&mut self, line: &str) -> Redacted {
        if self.lines_left > 0 {
            if let Some(end) = end_of_block(line) {
                self.lines_left = 0;
                let mut rest = redact(line.get(end..).unwrap_or(""));
                rest.text.insert_str(0, &Kind::PrivateKey.mark());
                *rest.counts.entry(Kind::PrivateKey.name()).or_default() += 1;
                return rest;
            }
            if is_key_line(line) {
                self.lines_left -= 1;
                let counts = [(Kind::PrivateKey.name(), 1)].into();
                return Redacted { text: Kind::PrivateKey.mark(), counts };
            }
            self.lines_left = 0;
        }
        // The last block of the line: one that closes in it opens nothing.
        let opened = line.rfind("-----BEGIN ").and_then(|at| line.get(at..));
        if opened.is_some_and(|block| block.contains("PRIVATE KEY") && end_of_block(block).is_none()) {
            self.lines_left = KEY_LINES_MAX;
        }
        redact(line)
    }
}

fn end_of_block(line: &str) -> Option<usize> {
    let begin = line.find("-----END ")?;
    let mark = begin + "-----END ".len();
    line.get(mark..)?.find("-----").map(|at| mark + at + 5)
}

/// A word of base64 at the end, nothing at all, or one of the block's own headers (RFC 1421, 4.6).
fn is_key_line(line: &str) -> bool {
    let Some(word) = line.split_whitespace().next_back() else { return true };
    let base64 = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
    // The last line of a block may be short; then it stands alone.
    base64 && (word.len() >= KEY_WORD_BYTES_MIN || word.len() == line.trim().len())
        || ["Proc-Type:", "DEK-Info:", "Version:", "Comment:"].iter().any(|header| line.contains(header))
}
