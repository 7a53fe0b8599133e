//! What must hold for every input, whoever makes it up: the seeds' test and libFuzzer call the same functions.

#![allow(dead_code, reason = "each target calls one of them")]

use medic_signals::logs::question::{TypedQuery, translate};
use medic_signals::logs::reader::{LINE_BYTES_MAX, ReaderOptions, open, read_all, records};
use medic_signals::redact::LineRedactor;
use std::io::Read;

/// Records do not depend on how the bytes come, and are bounded.
pub fn read(bytes: &[u8]) {
    let (whole, stats) = read_all(bytes, ReaderOptions::default());
    assert_eq!(stats.records, whole.len() as u64);
    assert!(stats.records <= stats.lines);
    assert_eq!(stats.broken, stats.reasons.values().sum::<u64>());
    assert!(whole.iter().all(|record| record.raw.len() <= LINE_BYTES_MAX));
    let mut reader = medic_signals::logs::Reader::new(ReaderOptions::default());
    let mut pieces: Vec<_> = bytes.chunks(7).flat_map(|piece| reader.push(piece)).collect();
    pieces.extend(reader.finish());
    assert_eq!(pieces, whole);
}

/// What is unpacked never passes the limit.
pub fn unpack(bytes: &[u8]) {
    const BYTES_MAX: u64 = 1 << 16;
    if let Ok(mut opened) = open(bytes, BYTES_MAX) {
        let mut out = Vec::new();
        let _ends_well_or_not = opened.read_to_end(&mut out);
        assert!(out.len() as u64 <= BYTES_MAX.max(bytes.len() as u64));
    }
    if let Ok(records) = records(bytes, BYTES_MAX, ReaderOptions::default()) {
        records.for_each(drop);
    }
}

/// Redacting again changes nothing, and the text does not grow beyond its marks.
pub fn redact(text: &str) {
    let once = medic_signals::redact::redact(text).text;
    assert_eq!(medic_signals::redact::redact(&once).text, once);
    assert!(once.len() <= 8 * text.len() + 64);
    let mut lines = LineRedactor::default();
    text.lines().for_each(|line| drop(lines.redact(line)));
}

/// Any words are a query; what is shown reads back as itself.
pub fn question(text: &str) {
    let query = translate(text, 1_714_559_400_000);
    let again = translate(&query.to_string(), 1_800_000_000_000);
    assert_eq!(again, TypedQuery { not_understood: Vec::new(), ..query });
}
