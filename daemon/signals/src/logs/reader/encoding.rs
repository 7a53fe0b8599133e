//! UTF-16 made UTF-8, in pieces of any size.
//!
//! Owns the mark at a source's beginning. Without one the bytes pass as they are.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// And what is not UTF-8 line by line as Latin-1.
    #[default]
    Utf8,
    Utf16Le,
    Utf16Be,
}

#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// None until the first two bytes are seen.
    encoding: Option<Encoding>,
    /// The first half of a unit, or of the mark.
    half: Option<u8>,
    /// The first unit of a pair.
    high: Option<u16>,
}

impl Decoder {
    pub fn encoding(&self) -> Encoding {
        self.encoding.unwrap_or_default()
    }

    pub fn decode<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        match self.encoding {
            Some(Encoding::Utf8) => Cow::Borrowed(bytes),
            Some(encoding) => Cow::Owned(self.utf16(bytes, encoding)),
            None => self.begin(bytes),
        }
    }

    /// What is left when the input ends inside a unit or a pair.
    pub fn finish(&mut self) -> Vec<u8> {
        let half = self.half.take();
        match self.encoding {
            None => half.into_iter().collect(),
            Some(_) if half.is_some() || self.high.take().is_some() => "\u{fffd}".into(),
            Some(_) => Vec::new(),
        }
    }

    fn begin<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let held = self.half.take();
        let mut first = held.into_iter().chain(bytes.iter().copied());
        let (encoding, mark) = match (first.next(), first.next()) {
            (None, _) => return Cow::Borrowed(bytes),
            (Some(byte @ (0xff | 0xfe)), None) => {
                self.half = Some(byte);
                return Cow::Borrowed(&[]);
            }
            (Some(0xff), Some(0xfe)) => (Encoding::Utf16Le, 2),
            (Some(0xfe), Some(0xff)) => (Encoding::Utf16Be, 2),
            _ => (Encoding::Utf8, 0),
        };
        self.encoding = Some(encoding);
        if mark > 0 {
            let rest = bytes.get(mark - usize::from(held.is_some())..).unwrap_or_default();
            return Cow::Owned(self.utf16(rest, encoding));
        }
        match held {
            Some(byte) => Cow::Owned([&[byte], bytes].concat()),
            None => Cow::Borrowed(bytes),
        }
    }

    fn utf16(&mut self, bytes: &[u8], encoding: Encoding) -> Vec<u8> {
        let mut text = String::with_capacity(bytes.len());
        for byte in bytes {
            let Some(first) = self.half.take() else {
                self.half = Some(*byte);
                continue;
            };
            let unit = match encoding {
                Encoding::Utf16Be => u16::from_be_bytes([first, *byte]),
                _ => u16::from_le_bytes([first, *byte]),
            };
            let pending = self.high.take();
            if let (Some(high), 0xdc00..=0xdfff) = (pending, unit) {
                text.extend(char::decode_utf16([high, unit]).flatten());
                continue;
            }
            if pending.is_some() {
                text.push('\u{fffd}');
            }
            match unit {
                0xd800..=0xdbff => self.high = Some(unit),
                _ => text.push(char::from_u32(u32::from(unit)).unwrap_or('\u{fffd}')),
            }
        }
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8], size: usize) -> (String, Encoding) {
        let mut decoder = Decoder::default();
        let mut out: Vec<u8> =
            bytes.chunks(size).flat_map(|piece| decoder.decode(piece).into_owned()).collect();
        out.extend(decoder.finish());
        (String::from_utf8_lossy(&out).into_owned(), decoder.encoding())
    }

    #[test]
    fn a_mark_decides_in_pieces_of_any_size() {
        let text = "grüße 𝕏\n";
        let le: Vec<u8> =
            [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> =
            [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect();
        for size in 1..9 {
            assert_eq!(decode(&le, size), (text.to_owned(), Encoding::Utf16Le), "{size}");
            assert_eq!(decode(&be, size), (text.to_owned(), Encoding::Utf16Be), "{size}");
            assert_eq!(decode(text.as_bytes(), size), (text.to_owned(), Encoding::Utf8), "{size}");
        }
        assert_eq!(decode(&[0xff, 0xfe, 0x3d, 0xd8, 0x41], 1).0, "\u{fffd}", "a pair cut off");
        assert_eq!(decode(&[0xff], 1).0, "\u{fffd}");
        assert_eq!(decode(b"", 1).0, "");
    }
}
