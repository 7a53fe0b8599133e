//! Words whose difference is the point of a message: `opened` and `closed`, `RUNNING` and `FAILED`.
//!
//! Owns which words must not become one variable. Never knows a system: English opposites, and states in capitals as long
//! as there are few of them.

use super::{WILDCARD, fnv1a};
use std::collections::HashMap;

/// Words in capitals that a place may hold as states; with more it holds names.
const STATES_MAX: u32 = 16;
/// Skeletons remembered; beyond, all states count as few again.
const SKELETONS_MAX: usize = 65_536;

/// Beginnings of words that are opposites of each other.
const OPPOSITES: [(&str, &str); 43] = [
    ("accept", "reject"),
    ("accept", "refus"),
    ("accept", "den"),
    ("acquir", "releas"),
    ("activ", "inactiv"),
    ("add", "remov"),
    ("add", "delet"),
    ("allow", "den"),
    ("allow", "disallow"),
    ("attach", "detach"),
    ("available", "unavailable"),
    ("begin", "end"),
    ("begin", "over"),
    ("bound", "unbound"),
    ("connect", "disconnect"),
    ("creat", "delet"),
    ("creat", "destroy"),
    ("enabl", "disabl"),
    ("enter", "leav"),
    ("enter", "exit"),
    ("grant", "den"),
    ("grant", "revok"),
    ("healthy", "unhealthy"),
    ("in", "out"),
    ("load", "unload"),
    ("lock", "unlock"),
    ("login", "logout"),
    ("mount", "unmount"),
    ("on", "off"),
    ("online", "offline"),
    ("open", "clos"),
    ("pass", "fail"),
    ("paus", "resum"),
    ("read", "writ"),
    ("register", "unregister"),
    ("sen", "receiv"),
    ("start", "stop"),
    ("start", "end"),
    ("start", "finish"),
    ("start", "over"),
    ("startup", "shutdown"),
    ("succe", "fail"),
    ("up", "down"),
];

#[derive(Default)]
pub(super) struct Contrast {
    /// Templates by their text with words in capitals left open.
    skeletons: HashMap<u64, u32>,
}

impl Contrast {
    pub fn learn(&mut self, tokens: &[Box<str>]) {
        let Some(key) = skeleton(tokens) else { return };
        if self.skeletons.len() >= SKELETONS_MAX {
            self.skeletons.clear();
        }
        *self.skeletons.entry(key).or_default() += 1;
    }

    pub fn forget(&mut self, tokens: &[Box<str>]) {
        if let Some(key) = skeleton(tokens)
            && let Some(count) = self.skeletons.get_mut(&key)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.skeletons.remove(&key);
            }
        }
    }

    /// True if the template's word at `at` and `other` must stay apart.
    pub fn between(&self, template: &[Box<str>], at: usize, other: &str) -> bool {
        let Some(token) = template.get(at) else { return false };
        if is_state(token) && is_state(other) {
            let siblings = skeleton(template).and_then(|key| self.skeletons.get(&key)).copied();
            return siblings.unwrap_or(0) < STATES_MAX;
        }
        opposite(token, other)
    }

    /// True if two of the words are opposites.
    pub fn forbids<'a>(&self, words: impl Iterator<Item = &'a Box<str>>) -> bool {
        let words: Vec<&str> = words.map(|word| &**word).take(64).collect();
        words.iter().enumerate().any(|(index, a)| words.iter().skip(index + 1).any(|b| opposite(a, b)))
    }
}

/// Two capitals at least, and nothing but capitals and underscores.
fn is_state(token: &str) -> bool {
    let bare = token.trim_matches(|c: char| c.is_ascii_punctuation() && c != '_');
    bare.len() >= 2 && bare.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

fn opposite(a: &str, b: &str) -> bool {
    let bare = |token: &str| {
        let token = token.trim_matches(|c: char| c.is_ascii_punctuation());
        (token.len() <= 16 && token.is_ascii()).then(|| token.to_ascii_lowercase())
    };
    let (Some(a), Some(b)) = (bare(a), bare(b)) else { return false };
    if a == b || a.is_empty() || b.is_empty() {
        return false;
    }
    // Short stems are words of their own: `on` is not the beginning of `once`.
    let begins = |word: &str, stem: &str| if stem.len() <= 2 { word == stem } else { word.starts_with(stem) };
    OPPOSITES.iter().any(|(x, y)| begins(&a, x) && begins(&b, y) || begins(&a, y) && begins(&b, x))
}

/// None without a word in capitals.
fn skeleton(tokens: &[Box<str>]) -> Option<u64> {
    let mut states = false;
    let key = tokens.iter().fold(tokens.len() as u64, |key, token| {
        let state = is_state(token);
        states |= state;
        key.rotate_left(5).wrapping_mul(0x9E37_79B9_7F4A_7C15)
            ^ fnv1a(if state { WILDCARD.as_bytes() } else { token.as_bytes() })
    });
    states.then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opposites_are_known_in_their_forms_and_other_words_are_not() {
        for (a, b) in [
            ("opened", "closed"),
            ("Start", "stopped."),
            ("startup", "shutdown"),
            ("connected", "disconnected"),
            ("up", "down"),
            ("success", "failure"),
        ] {
            assert!(opposite(a, b) && opposite(b, a), "{a} {b}");
        }
        for (a, b) in [("opened", "opens"), ("root", "admin"), ("once", "office"), ("up", "upper"), ("", "x")]
        {
            assert!(!opposite(a, b), "{a} {b}");
        }
        assert!(
            is_state("RUNNING")
                && is_state("FAIL_TASK,")
                && !is_state("Running")
                && !is_state("A")
                && !is_state("R2")
        );
    }
}
