//! How alike a message and a template are.
//!
//! Owns the similarity and what is to be done with it. Never changes a template.

use super::Miner;
use crate::logs::mask::{Masked, WILDCARD};

/// Below the 1 of a message that fits as it is.
const ALMOST: f64 = 0.999;

impl Miner {
    /// The share of positions with words on either side that are alike, and how the message fits; None for another length or
    /// where words contrast. Positions that the template has given up count against a word there: a template that gave up
    /// one word after the other would otherwise take in anything.
    pub(super) fn similarity(&self, template: &[Box<str>], masked: &Masked) -> Option<(f64, Fit)> {
        if template.len() != masked.tokens.len() {
            return None;
        }
        let (mut words, mut alike, mut fits) = (0u32, 0u32, true);
        let (mut differing, mut at, mut plain) = (0u32, 0, true);
        for (index, token) in template.iter().enumerate() {
            let other = masked.token(index);
            let same = **token == *other;
            if !same && **token != *WILDCARD {
                fits = false;
                differing += 1;
                at = index;
                plain &= is_plain(token) && is_plain(other);
                if self.contrast.between(template, index, other) {
                    return None;
                }
            }
            if is_word(token) || is_word(other) {
                words += 1;
                alike += u32::from(same);
            } else if !same {
                // Punctuation around variables is structure: `<*>:` is not `(<*>)`.
                words += 1;
            }
        }
        let similarity = if words == 0 { 1.0 } else { f64::from(alike) / f64::from(words) };
        Some(match (fits, differing) {
            // Of those that fit, the one that gave up least.
            (true, _) => (1.0 + similarity, Fit::Whole),
            (false, 1) if plain && self.options.words_min > 2 => (similarity.min(ALMOST), Fit::AllBut(at)),
            _ => (similarity.min(ALMOST), Fit::Similar),
        })
    }
}

/// How a message fits a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Whole,
    /// In all but the word at this place.
    AllBut(usize),
    Similar,
}

pub(super) struct Best {
    pub slot: u32,
    pub similarity: f64,
    pub fit: Fit,
}

/// A token that says something besides its variables.
pub(super) fn is_word(token: &str) -> bool {
    token.bytes().any(|byte| byte.is_ascii_alphabetic() || byte >= 0x80)
}

/// A token without anything variable in it.
pub(super) fn is_plain(token: &str) -> bool {
    is_word(token) && !token.contains(WILDCARD)
}
