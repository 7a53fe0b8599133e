//! How BERT reads text: cleaned, lower-cased, without accents, split at white space and punctuation, and each word
//! cut greedily into the longest pieces of the vocabulary. Never pads.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// A longer word is one unknown piece.
const WORD_CHARS_MAX: usize = 100;

/// A text's bytes looked at for each token wanted: what lies beyond cannot become one of the first tokens.
const BYTES_PER_TOKEN_MAX: usize = 64;

pub(super) struct WordPiece {
    pieces: HashMap<String, u32>,
    begin: u32,
    end: u32,
    unknown: u32,
}

impl WordPiece {
    /// `vocab.txt`: a piece a line, numbered from 0.
    pub(super) fn from_lines(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
        let pieces = (0..).zip(text.lines()).map(|(number, piece)| (piece.trim_end().to_owned(), number));
        Self::new(pieces.collect())
    }

    /// `tokenizer.json`, of which `model.vocab` is read. Its padding and truncation are for training and passed over.
    pub(super) fn from_tokenizer(bytes: &[u8]) -> Result<Self, String> {
        let file: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let vocabulary = file.pointer("/model/vocab").cloned().ok_or("has no model.vocab")?;
        Self::new(serde_json::from_value(vocabulary).map_err(|error| format!("model.vocab: {error}"))?)
    }

    fn new(pieces: HashMap<String, u32>) -> Result<Self, String> {
        let mark =
            |name: &str| pieces.get(name).copied().ok_or_else(|| format!("the piece {name} is missing"));
        let (begin, end, unknown) = (mark("[CLS]")?, mark("[SEP]")?, mark("[UNK]")?);
        Ok(Self { pieces, begin, end, unknown })
    }

    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// At most `tokens_max` tokens, the mark of the begin and of the end included.
    pub(super) fn encode(&self, text: &str, tokens_max: usize) -> Vec<u32> {
        let text = text.get(..text.floor_char_boundary(tokens_max * BYTES_PER_TOKEN_MAX)).unwrap_or_default();
        let mut tokens = vec![self.begin];
        let room = tokens_max.saturating_sub(1);
        for word in words(text) {
            if tokens.len() >= room {
                break;
            }
            self.cut(&word, &mut tokens);
        }
        tokens.truncate(room.max(1));
        tokens.push(self.end);
        tokens
    }

    fn cut(&self, word: &str, tokens: &mut Vec<u32>) {
        let before = tokens.len();
        let mut rest = word;
        if word.chars().count() > WORD_CHARS_MAX {
            tokens.push(self.unknown);
            return;
        }
        while !rest.is_empty() {
            let ends = rest.char_indices().map(|(at, c)| at + c.len_utf8()).rev();
            let found = ends.filter_map(|end| {
                let piece = rest.get(..end)?;
                let token = match rest.len() == word.len() {
                    true => self.pieces.get(piece),
                    false => self.pieces.get(&format!("##{piece}")),
                };
                token.map(|token| (*token, end))
            });
            match found.into_iter().next() {
                Some((token, end)) => {
                    tokens.push(token);
                    rest = rest.get(end..).unwrap_or_default();
                }
                // A word with a part that no piece fits is unknown as a whole.
                None => {
                    tokens.truncate(before);
                    tokens.push(self.unknown);
                    return;
                }
            }
        }
    }
}

fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut close = |word: &mut String| {
        if !word.is_empty() {
            words.push(std::mem::take(word));
        }
    };
    for c in text.nfd().flat_map(char::to_lowercase) {
        if c.is_whitespace() {
            close(&mut word);
        } else if c == '\u{fffd}' || c.is_control() || is_combining_mark(c) || is_format(c) {
            // Says nothing to the model.
        } else if stands_alone(c) {
            close(&mut word);
            word.push(c);
            close(&mut word);
        } else {
            word.push(c);
        }
    }
    close(&mut word);
    words
}

/// Zero-width marks, soft hyphens and the like (Unicode category Cf, its usual members).
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// ASCII marks, general punctuation, and ideographs, each of which is a word to the model.
fn stands_alone(c: char) -> bool {
    c.is_ascii_punctuation()
        || matches!(c,
            '¡' | '§' | '«' | '¶' | '·' | '»' | '¿'
            | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}'
            | '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}' | '\u{ff01}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff1b}' | '\u{ff1f}'
            | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{2fa1f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces() -> WordPiece {
        WordPiece::from_lines(b"[PAD]\n[UNK]\n[CLS]\n[SEP]\ndisk\ncafe\n##s\n!\nfull\n").unwrap()
    }

    #[test]
    fn words_are_cut_into_the_longest_pieces_and_strange_ones_are_unknown() {
        let encode = |text: &str| pieces().encode(text, 16);
        assert_eq!(encode("Disks FULL!"), [2, 4, 6, 8, 7, 3]);
        assert_eq!(encode("Caf\u{e9}"), [2, 5, 3]);
        assert_eq!(encode("diskz"), [2, 1, 3]);
        assert_eq!(encode("池耗"), [2, 1, 1, 3]);
        assert_eq!(encode("  "), [2, 3]);
        assert_eq!(encode(&"s".repeat(101)), [2, 1, 3]);
    }

    #[test]
    fn a_text_of_any_length_ends_with_its_mark() {
        let encoded = pieces().encode(&"disks ".repeat(100_000), 9);
        assert_eq!((encoded.len(), encoded.last()), (9, Some(&3)));
        let tokenizer = br#"{"model":{"vocab":{"[UNK]":0,"[CLS]":1,"[SEP]":2,"a":3}},"padding":{}}"#;
        assert_eq!(WordPiece::from_tokenizer(tokenizer).unwrap().encode("a b", 8), [1, 3, 0, 2]);
        assert!(WordPiece::from_lines(b"disk\n").is_err());
    }
}
