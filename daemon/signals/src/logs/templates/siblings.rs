//! Templates that differ in one word only.
//!
//! Owns the index from a template with one place left open to all templates that fill it. Never merges them.

use super::fnv1a;
use super::likeness::is_plain;
use std::collections::HashMap;

/// Places of a template that are indexed; what tells long messages apart stands in their beginning.
const PLACES_MAX: usize = 48;

#[derive(Default)]
pub(super) struct Siblings {
    by_rest: HashMap<u64, Vec<u32>>,
}

impl Siblings {
    pub fn add(&mut self, tokens: &[Box<str>], slot: u32) {
        for key in keys(tokens) {
            self.by_rest.entry(key).or_default().push(slot);
        }
    }

    pub fn remove(&mut self, tokens: &[Box<str>], slot: u32) {
        for key in keys(tokens) {
            if let Some(slots) = self.by_rest.get_mut(&key) {
                slots.retain(|other| *other != slot);
                if slots.is_empty() {
                    self.by_rest.remove(&key);
                }
            }
        }
    }

    /// All that differ from `tokens` at most at `place`, itself included.
    pub fn of(&self, tokens: &[Box<str>], place: usize) -> &[u32] {
        let rest = whole(tokens).wrapping_sub(tokens.get(place).map_or(0, |token| part(place, token)));
        self.by_rest.get(&key(rest, place)).map_or(&[], Vec::as_slice)
    }
}

fn keys(tokens: &[Box<str>]) -> impl Iterator<Item = u64> {
    let whole = whole(tokens);
    let places = tokens.iter().enumerate().take(PLACES_MAX).filter(|(_, token)| is_plain(token));
    places.map(move |(place, token)| key(whole.wrapping_sub(part(place, token)), place))
}

/// A sum, so that a part can be taken out again.
fn whole(tokens: &[Box<str>]) -> u64 {
    let parts = tokens.iter().enumerate().map(|(place, token)| part(place, token));
    parts.fold(tokens.len() as u64, u64::wrapping_add)
}

fn part(place: usize, token: &str) -> u64 {
    mix(fnv1a(token.as_bytes()) ^ (place as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

fn key(rest: u64, place: usize) -> u64 {
    mix(rest ^ (place as u64 + 1).wrapping_mul(0xC2B2_AE3D_27D4_EB4F))
}

fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    value ^ value >> 32
}
