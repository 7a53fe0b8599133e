//! See `laws::read`.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/corpus/laws.rs"]
mod laws;

fuzz_target!(|bytes: &[u8]| laws::read(bytes));
