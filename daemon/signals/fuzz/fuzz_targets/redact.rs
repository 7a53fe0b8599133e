//! See `laws::redact`.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/corpus/laws.rs"]
mod laws;

fuzz_target!(|text: &str| laws::redact(text));
