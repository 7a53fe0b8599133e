//! From a line's bytes to its text.
//!
//! Owns what is taken out (NUL, terminal colours) and how bytes that are no UTF-8 are read. Total.

use std::borrow::Cow;

/// Parameters of a colour sequence; what is longer is no such sequence.
const ESCAPE_CHARS_MAX: usize = 64;
/// Text of a window title or a hyperlink.
const TITLE_CHARS_MAX: usize = 2048;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cleaned<'a> {
    pub text: Cow<'a, str>,
    /// Neither UTF-8 nor Latin-1: unreadable bytes became U+FFFD.
    pub not_text: bool,
    pub latin1: bool,
}

/// `cut`: the line ends at a limit, perhaps inside a character.
pub(super) fn clean(bytes: &[u8], cut: bool) -> Cleaned<'_> {
    let (text, not_text, latin1) = match std::str::from_utf8(bytes) {
        Ok(text) => (Cow::Borrowed(text), false, false),
        Err(error) if cut && error.error_len().is_none() => {
            (String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or_default()), false, false)
        }
        Err(_) if is_latin1(bytes) => {
            (Cow::Owned(bytes.iter().map(|byte| latin1_char(*byte)).collect()), false, true)
        }
        Err(_) => (String::from_utf8_lossy(bytes), true, false),
    };
    let text = match memchr::memchr2(0, 0x1b, text.as_bytes()).is_some() {
        true => Cow::Owned(without_escapes(&text).replace('\0', "")),
        false => text,
    };
    Cleaned { text, not_text, latin1 }
}

/// Words of a Western language in ISO 8859-1 or Windows-1252: no control bytes, and no sequence that UTF-8 has.
fn is_latin1(bytes: &[u8]) -> bool {
    let control = |byte: &u8| *byte < 0x20 && !matches!(byte, b'\t' | b'\r' | 0x1b);
    let utf8_pair = |pair: &[u8]| matches!(pair, [0xc2..=0xf4, 0x80..=0xbf]);
    !bytes.iter().any(control) && !bytes.windows(2).any(utf8_pair)
}

/// As Windows-1252, which has printable characters where ISO 8859-1 has none.
fn latin1_char(byte: u8) -> char {
    const C1: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
        '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    byte.checked_sub(0x80).and_then(|at| C1.get(usize::from(at)).copied()).unwrap_or(char::from(byte))
}

/// A text without the sequences by which terminals are told colours, titles and cursor moves (ECMA-48).
pub(crate) fn without_escapes(text: &str) -> Cow<'_, str> {
    if !text.contains('\u{1b}') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.get(sequence_bytes(after)..).unwrap_or("");
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// Bytes behind the escape that belong to it; none if it begins no sequence.
fn sequence_bytes(after: &str) -> usize {
    let mut chars = after.char_indices();
    match chars.next() {
        Some((_, '[')) => chars
            .take(ESCAPE_CHARS_MAX)
            .find(|(_, c)| !matches!(c, '\u{20}'..='\u{3f}'))
            .filter(|(_, c)| matches!(c, '\u{40}'..='\u{7e}'))
            .map_or(1, |(at, _)| at + 1),
        Some((_, ']')) => chars
            .take(TITLE_CHARS_MAX)
            .find(|(_, c)| matches!(c, '\u{7}' | '\u{1b}'))
            .map_or(1, |(at, c)| at + if c == '\u{7}' { 1 } else { 2 }),
        // `ESC ( B` and its like choose a character set.
        Some((_, '(' | ')')) => chars.next().filter(|(_, c)| c.is_ascii_alphanumeric()).map_or(1, |_| 2),
        Some((_, '=' | '>' | '7' | '8' | 'c' | 'M')) => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_titles_go_and_words_stay() {
        for (text, plain) in [
            ("\u{1b}[31mERROR\u{1b}[0m it broke", "ERROR it broke"),
            ("\u{1b}[1;38;5;196mred\u{1b}[m", "red"),
            ("\u{1b}]0;title\u{7}words", "words"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}(Bplain", "plain"),
            ("half \u{1b}[31", "half 31"),
            ("alone \u{1b}", "alone "),
            ("\u{1b}[3é", "3é"),
        ] {
            assert_eq!(without_escapes(text), plain, "{text:?}");
        }
    }

    #[test]
    fn bytes_are_read_as_what_they_are() {
        let check = |bytes: &[u8], text: &str, not_text: bool, latin1: bool| {
            let cleaned = clean(bytes, false);
            assert_eq!((cleaned.text.as_ref(), cleaned.not_text, cleaned.latin1), (text, not_text, latin1));
        };
        check("grüße".as_bytes(), "grüße", false, false);
        check(b"gr\xfc\xdfe \x80", "grüße €", false, true);
        // One broken byte among UTF-8 does not make the rest Latin-1.
        check(b"gr\xc3\xbc\xc3\x9fe \xff", "grüße \u{fffd}", true, false);
        check(b"\x01\x02\xff\xfe", "\u{1}\u{2}\u{fffd}\u{fffd}", true, false);
        check(b"a\0b\0", "ab", false, false);
        assert_eq!(clean(b"gr\xc3", true), Cleaned { text: "gr".into(), not_text: false, latin1: false });
    }
}
