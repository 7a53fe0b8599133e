//! See `laws::question`.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/corpus/laws.rs"]
mod laws;

fuzz_target!(|text: &str| laws::question(text));
