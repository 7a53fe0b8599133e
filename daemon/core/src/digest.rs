//! SHA-256 over the one canonical JSON form of a value: struct fields in declaration order, map keys sorted.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// `sha256:` and 64 lower-case hex digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut text = String::with_capacity(71);
        text.push_str("sha256:");
        for byte in Sha256::digest(bytes) {
            text.push(hex_digit(byte >> 4));
            text.push(hex_digit(byte & 0x0f));
        }
        Self(text)
    }

    /// Digest of a value's canonical JSON. Core's nouns hold no map with unordered keys, so the same value
    /// gives the same bytes on every machine.
    pub fn of(value: &impl Serialize) -> Self {
        // A noun of this crate always serialises: string keys, no foreign error paths. Should one ever fail,
        // the digest of the failure text can match no approval, which is the safe side.
        let bytes =
            serde_json::to_vec(value).unwrap_or_else(|error| format!("unserialisable: {error}").into_bytes());
        Self::of_bytes(&bytes)
    }

    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("sha256:")?;
        let lower_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        (hex.len() == 64 && hex.chars().all(lower_hex)).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve hex digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(7..19).unwrap_or(&self.0)
    }
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0')
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_the_published_sha256_of_the_bytes() {
        let digest = Digest::of_bytes(b"abc");
        assert_eq!(
            digest.as_str(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digest.short(), "ba7816bf8f01");
        assert_eq!(Digest::parse(digest.as_str()), Some(digest));
    }

    #[test]
    fn malformed_digests_do_not_parse() {
        for text in
            ["", "abc", "sha256:", "sha256:zz", &format!("sha256:{}", "A".repeat(64)), &"0".repeat(64)]
        {
            assert_eq!(Digest::parse(text), None, "{text}");
        }
    }
}
