//! Each seed of the fuzzer's corpus, and each seed bent a little, through the laws that the fuzzer checks.

#![allow(clippy::unwrap_used, reason = "a test may be blunt")]

#[path = "corpus/laws.rs"]
mod laws;

use std::path::Path;

/// The seed, its halves, and itself with one byte in sixteen changed, the same each time.
fn bent(seed: &[u8]) -> Vec<Vec<u8>> {
    let (front, back) = seed.split_at(seed.len() / 2);
    let changed = |step: usize| -> Vec<u8> {
        let byte =
            |(at, byte): (usize, &u8)| if at % 16 == step { byte.rotate_left(3) ^ 0x55 } else { *byte };
        seed.iter().enumerate().map(byte).collect()
    };
    let mut inputs =
        vec![seed.to_vec(), front.to_vec(), back.to_vec(), [back, front].concat(), seed.repeat(3)];
    inputs.extend((0..16).map(changed));
    inputs
}

fn check(target: &str, law: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut seeds: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    seeds.sort();
    assert!(seeds.len() >= 3, "{target} has its seeds");
    for seed in seeds {
        for input in bent(&std::fs::read(&seed).unwrap()) {
            law(&input);
        }
    }
}

#[test]
fn reading() {
    check("read", laws::read);
}

#[test]
fn unpacking() {
    check("unpack", laws::unpack);
    // What the other formats' seeds become when they are taken for packed.
    check("read", laws::unpack);
}

#[test]
fn redacting() {
    check("redact", |bytes| laws::redact(&String::from_utf8_lossy(bytes)));
    check("read", |bytes| laws::redact(&String::from_utf8_lossy(bytes)));
}

#[test]
fn asking() {
    check("question", |bytes| laws::question(&String::from_utf8_lossy(bytes)));
    check("read", |bytes| laws::question(&String::from_utf8_lossy(bytes)));
}
