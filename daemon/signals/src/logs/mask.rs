//! What varies in a message by its looks: numbers, addresses, paths, identifiers, values of `key=value`.
//!
//! Owns the division of a message into tokens and the mask over what is variable in them. Never learns: the
//! same message has the same mask for ever, which is what makes a template's identity stable.
//!
//! Hand-written in one pass over the bytes instead of a list of regular expressions: this is the hot loop of
//! template mining.

use std::ops::Range;

/// What stands for something variable.
pub const WILDCARD: &str = "<*>";
/// The rest of a longer message is one more variable: a template is told by its beginning.
const TOKENS_MAX: usize = 192;
/// Bytes of a message that are looked at.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;
/// Units that a number takes on with its size: `900 KB` and `1.2 MB` are the same quantity.
const UNITS: [&str; 15] =
    ["KB", "MB", "GB", "TB", "kB", "KiB", "MiB", "GiB", "TiB", "ms", "sec", "secs", "min", "mins", "hrs"];
const UNIT_BYTES_MAX: usize = 4;
/// Methods of HTTP: the first word of a request line is what the line is about.
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"];
/// A quote that does not close within this many bytes is an apostrophe.
const QUOTED_BYTES_MAX: usize = 256;

/// A token: where it is in the masked text and where in the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub masked: Range<usize>,
    pub raw: Range<usize>,
    /// All of it is variable (but for punctuation at its end): a run of such tokens is one.
    pub variable: bool,
}

/// A masked message. Reused between messages to save allocations.
#[derive(Debug, Clone, Default)]
pub struct Masked {
    pub text: String,
    pub tokens: Vec<Token>,
}

impl Masked {
    pub fn token(&self, index: usize) -> &str {
        self.tokens.get(index).and_then(|token| self.text.get(token.masked.clone())).unwrap_or("")
    }

    pub fn of(message: &str) -> Masked {
        let mut masked = Masked::default();
        masked.fill(message);
        masked
    }

    /// Masks `message` into `self`. Tokens are separated by one space in the masked text.
    pub fn fill(&mut self, message: &str) {
        self.text.clear();
        self.tokens.clear();
        let message = clip(message, MESSAGE_BYTES_MAX);
        let bytes = message.as_bytes();
        let mut at = 0;
        loop {
            while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
                at += 1;
            }
            if at >= bytes.len() {
                return;
            }
            if self.tokens.len() >= TOKENS_MAX {
                self.append(at..bytes.len(), |text| text.push_str(WILDCARD));
                return;
            }
            at = self.token_at(message, bytes, at);
        }
    }

    /// Masks the token that begins at `start`; returns where it ends.
    fn token_at(&mut self, message: &str, bytes: &[u8], start: usize) -> usize {
        let separator = if self.tokens.is_empty() { 0 } else { 1 };
        if separator == 1 {
            self.text.push(' ');
        }
        let masked_start = self.text.len();
        let mut at = start;
        while let Some(&byte) = bytes.get(at) {
            if byte.is_ascii_whitespace() {
                break;
            }
            // Directly behind a word a quote closes; what it opened is a request line, or cut off.
            let behind = at.checked_sub(1).filter(|_| at > start).and_then(|at| bytes.get(at)).copied();
            let opens = match byte {
                b'"' => !behind.is_some_and(is_word),
                b'\'' => behind.is_none_or(|before| before == b'='),
                _ => false,
            };
            if opens {
                if let Some(end) = quoted_end(bytes, at) {
                    let quote = char::from(byte);
                    self.text.push(quote);
                    if message.get(at + 1..end).is_some_and(is_request) {
                        at += 1;
                        continue;
                    }
                    self.text.push_str(if end > at + 1 { WILDCARD } else { "" });
                    self.text.push(quote);
                    at = end + 1;
                    continue;
                }
                self.text.push(char::from(byte));
                at += 1;
                continue;
            }
            if byte == b'<' && at == start && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
                // Less than a number: as good as one.
                at += 1;
                continue;
            }
            if !is_word(byte) {
                let end =
                    at + bytes.get(at..).map_or(1, |rest| rest.iter().take_while(|b| **b == byte).count());
                // A run of one mark (=====, ......) is drawn once: its length says nothing.
                self.text.push(char::from(byte));
                if byte == b'=' && at > start && is_key_end(bytes, at) && ends_value(bytes, end) {
                    // `ruser=` with nothing behind it is the same template as `ruser=root`.
                    self.text.push_str(WILDCARD);
                }
                at = if end - at > 3 { end } else { at + 1 };
                continue;
            }
            let end = at + bytes.get(at..).map_or(0, |rest| rest.iter().take_while(|b| is_word(**b)).count());
            let value = at > start && bytes.get(at - 1) == Some(&b'=') && is_key_end(bytes, at - 1);
            self.run(message, bytes, at..end, value);
            at = end;
        }
        let masked = masked_start..self.text.len();
        self.close(masked, start..at);
        at
    }

    /// Writes a run of word bytes, masked if it looks variable; `value` says that a `key=` stands before it.
    fn run(&mut self, message: &str, bytes: &[u8], range: Range<usize>, value: bool) {
        let Some(text) = message.get(range.clone()) else { return };
        let marks = text.bytes().rev().take_while(|byte| matches!(byte, b'.' | b':' | b'-')).count();
        let (core, tail) = text.split_at_checked(text.len() - marks).unwrap_or((text, ""));
        let next = bytes.get(range.end).copied();
        // A name before a bracket is a function or a type: `jk2_init()`, `Token{…}`.
        let named = matches!(next, Some(b'(' | b'{' | b'['))
            && core.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
            && !core.bytes().any(|byte| matches!(byte, b'/' | b':'));
        if core.is_empty() {
            self.text.push_str(text);
        } else if !named && is_calendar(core, bytes.get(range.end..).unwrap_or_default()) {
            self.text.push_str(WILDCARD);
            self.text.push_str(tail);
        } else if !named && (value || is_variable(core)) {
            // `ret:false` keeps its name; `10.0.0.1:80` has none.
            let colon = core.bytes().rposition(|byte| byte == b':');
            let name = colon.and_then(|at| core.get(..at)).unwrap_or("");
            let endpoint = name.contains('.')
                && core.len() > name.len() + 1
                && is_number(core.as_bytes().get(name.len() + 1..));
            if !value && !name.is_empty() && !endpoint && !is_variable(name) && !core.contains('/') {
                self.text.push_str(name);
                self.text.push(':');
            }
            self.text.push_str(WILDCARD);
            self.text.push_str(tail);
        } else {
            self.text.push_str(text);
        }
    }

    /// Ends a token; joins it with the one before if both are nothing but variable.
    fn close(&mut self, masked: Range<usize>, raw: Range<usize>) {
        let text = self.text.get(masked.clone()).unwrap_or("");
        let marks =
            text.bytes().rev().take_while(|byte| matches!(byte, b')' | b']' | b',' | b';' | b'.')).count();
        let bare = text.get(..text.len() - marks).unwrap_or(text);
        if bare.len() <= UNIT_BYTES_MAX
            && UNITS.contains(&bare)
            && let Some(last) = self.tokens.last_mut()
            && self.text.get(last.masked.clone()).is_some_and(|number| number.ends_with(WILDCARD))
        {
            let tail = text.get(bare.len()..).unwrap_or("").to_owned();
            last.raw.end = raw.end;
            self.text.truncate(last.masked.end);
            self.text.push_str(&tail);
            last.masked.end = self.text.len();
            last.variable &= matches!(tail.as_str(), "" | "," | ";");
            return;
        }
        let variable = text
            .strip_prefix(WILDCARD)
            .is_some_and(|tail| tail.bytes().all(|byte| matches!(byte, b',' | b';')));
        // The quote that ends a request line ends the run too.
        let quoted = text.len() == WILDCARD.len() + 1 && text.ends_with('"') && text.starts_with(WILDCARD);
        if (variable || quoted)
            && let Some(last) = self.tokens.last_mut().filter(|last| last.variable)
        {
            last.variable = variable;
            let tail = text.get(WILDCARD.len()..).unwrap_or("").to_owned();
            last.raw.end = raw.end;
            self.text.truncate(last.masked.start);
            self.text.push_str(WILDCARD);
            self.text.push_str(&tail);
            last.masked.end = self.text.len();
            return;
        }
        self.tokens.push(Token { masked, raw, variable });
    }

    fn append(&mut self, raw: Range<usize>, write: impl FnOnce(&mut String)) {
        if !self.tokens.is_empty() {
            self.text.push(' ');
        }
        let start = self.text.len();
        write(&mut self.text);
        self.close(start..self.text.len(), raw);
    }
}

/// The longest prefix of at most `bytes` bytes that ends between characters.
pub(crate) fn clip(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

/// Bytes that hang together: letters, digits, and the marks inside of paths, addresses and identifiers.
#[allow(clippy::indexing_slicing, reason = "the compiler itself runs it")]
const WORD: [bool; 256] = {
    let mut word = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        word[byte] = (byte as u8).is_ascii_alphanumeric() || byte >= 0x80;
        byte += 1;
    }
    let marks = b"_.:/-@$%+#~&\\?";
    let mut at = 0;
    while at < marks.len() {
        word[marks[at] as usize] = true;
        at += 1;
    }
    word
};

fn is_word(byte: u8) -> bool {
    WORD.get(usize::from(byte)).copied().unwrap_or(false)
}

fn is_number(bytes: Option<&[u8]>) -> bool {
    bytes.is_some_and(|bytes| !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit))
}

/// True for a quoted request line: `GET /x HTTP/1.1`.
fn is_request(quoted: &str) -> bool {
    let target = |rest: &str| rest.starts_with(['/', '*']) || rest.starts_with("http");
    quoted.split_once(' ').is_some_and(|(first, rest)| METHODS.contains(&first) && target(rest))
}

fn is_key_end(bytes: &[u8], equals: usize) -> bool {
    equals
        .checked_sub(1)
        .and_then(|at| bytes.get(at))
        .is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

fn ends_value(bytes: &[u8], at: usize) -> bool {
    bytes
        .get(at)
        .is_none_or(|byte| byte.is_ascii_whitespace() || matches!(byte, b',' | b';' | b')' | b']' | b'}'))
}

fn quoted_end(bytes: &[u8], open: usize) -> Option<usize> {
    let quote = *bytes.get(open)?;
    let window = bytes.get(open + 1..(open + 1 + QUOTED_BYTES_MAX).min(bytes.len()))?;
    let mut escaped = false;
    for (offset, byte) in window.iter().enumerate() {
        if escaped {
            escaped = false;
        } else if *byte == b'\\' {
            escaped = true;
        } else if *byte == quote {
            return Some(open + 1 + offset);
        }
    }
    None
}

/// A digit anywhere, a truth value, an absolute path, a relative one with a dot (`conf/httpd.conf`), a URL.
fn is_variable(word: &str) -> bool {
    let bytes = word.as_bytes();
    let (mut slash, mut colon, mut dot) = (None, None, false);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'0'..=b'9' => return true,
            b'/' => slash = slash.or(Some(at)),
            b':' => colon = Some(at),
            b'.' => dot = true,
            _ => {}
        }
    }
    let path = match slash {
        Some(0) => bytes.get(1).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'.'),
        Some(_) => dot || word.contains("://"),
        None => false,
    };
    let last = bytes.get(colon.map_or(0, |at| at + 1)..).unwrap_or_default();
    path || matches!(last.len(), 4 | 5)
        && [b"true".as_slice(), b"false", b"null"].iter().any(|value| last.eq_ignore_ascii_case(value))
}

/// The name of a month before a number, or of a weekday before a month: a date spelt out inside a message.
fn is_calendar(word: &str, rest: &[u8]) -> bool {
    const MONTHS: [&[u8]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    const DAYS: [&[u8]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
    if word.len() != 3 {
        return false;
    }
    let blank = |byte: &&u8| matches!(**byte, b' ' | b',');
    let next = rest.get(rest.iter().take_while(blank).count()..).unwrap_or_default();
    if MONTHS.contains(&word.as_bytes()) {
        next.first().is_some_and(u8::is_ascii_digit)
    } else {
        DAYS.contains(&word.as_bytes()) && next.get(..3).is_some_and(|name| MONTHS.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, masked: &str) {
        let got = Masked::of(message);
        assert_eq!(got.text, masked, "{message}");
        let rebuilt: Vec<&str> = (0..got.tokens.len()).map(|index| got.token(index)).collect();
        assert_eq!(rebuilt.join(" "), got.text, "tokens and text agree");
    }

    #[test]
    fn what_varies_is_masked_and_words_stay() {
        check(
            "Received block blk_-123 of size 67108864 from /10.251.42.84",
            "Received block <*> of size <*> from <*>",
        );
        check("connection to db-1.internal:5432 refused", "connection to <*> refused");
        check("connection to db.internal:5432 refused", "connection to <*> refused");
        check("connection to db:5432 refused", "connection to db:<*> refused");
        check("size 4.0 KB, free 317.5 MB) in <1 sec or 2 sec. KB", "size <*>, free <*>) in <*> or <*>. KB");
        check("1.2.3.4 \"GET /a/7 HTTP/1.1\" 200 \"a b\"", "<*> \"GET <*>\" <*> \"<*>\"");
        check("jk2_init() Found child 6725 in slot 10", "jk2_init() Found child <*> in slot <*>");
        check("took 15ms, status=ok user=\"Ann Lee\"", "took <*>, status=<*> user=\"<*>\"");
        check("ruser= rhost=1.2.3.4", "ruser=<*> rhost=<*>");
        check("ask 10.0.0.1:5 to delete blk_1 blk_2 blk_3", "ask <*> to delete <*>");
        check("peers 10.0.0.1, 10.0.0.2, 10.0.0.3 gone", "peers <*> gone");
        check("app token=Token{a64f992 u0}", "app token=Token{<*> <*>}");
        check("at Sat Jul 23 09:02:24 2005 the Sun may rise", "at <*> the Sun may rise");
        check("overlap:false in conf/httpd.conf or and/or size:12", "overlap:<*> in <*> or and/or size:<*>");
        check("================ start ================", "= start =");
        check("it's don't", "it's don't");
        check("", "");
        check("   ", "");
        check("grüße 7 от ß", "grüße <*> от ß");
    }

    #[test]
    fn a_long_message_ends_in_one_variable() {
        let masked = Masked::of(&"word ".repeat(10_000));
        assert_eq!(masked.tokens.len(), TOKENS_MAX + 1);
        assert!(masked.text.ends_with("word <*>"));
    }
}
