//! A log larger than memory: what a reader holds does not depend on what it has read.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may be blunt")]

use medic_signals::logs::reader::{ReaderOptions, records};
use std::io::{BufReader, Read, Write};

/// Growth allowed once the buffers stand. One line may be 64 KiB, the sample 256 KiB; the rest is the allocator's.
const GROWTH_KIB_MAX: u64 = 6 * 1024;

/// Lines of several formats without end, cut off after `left` bytes.
struct Endless {
    number: u64,
    line: Vec<u8>,
    left: u64,
}

impl Endless {
    fn of(bytes: u64) -> Self {
        Self { number: 0, line: Vec::new(), left: bytes }
    }

    fn fill(&mut self) {
        self.number += 1;
        let i = self.number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let (minute, second) = (self.number / 60 % 60, self.number % 60);
        let long = self.number.is_multiple_of(1000);
        match i % 5 {
            _ if long => writeln!(self.line, "{}", "x".repeat(100_000)),
            0 => writeln!(
                self.line,
                r#"{{"time":"2024-05-01T10:{minute:02}:{second:02}Z","level":"info","msg":"item {i}"}}"#
            ),
            1 => writeln!(self.line, "\tat shop.Pool.take(Pool.java:{})", i % 100),
            _ => writeln!(
                self.line,
                "2024-05-01 10:{minute:02}:{second:02},123 INFO [worker-{}] took {i} ms",
                i % 8
            ),
        }
        .unwrap();
    }
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.line.is_empty() {
            self.fill();
        }
        let length = buffer.len().min(self.line.len()).min(usize::try_from(self.left).unwrap_or(usize::MAX));
        buffer[..length].copy_from_slice(&self.line[..length]);
        self.line.drain(..length);
        self.left -= length as u64;
        Ok(length)
    }
}

/// The most that this process ever held, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn read(bytes: u64, zip: bool) -> u64 {
    let input: Box<dyn Read> = if zip {
        let packer = flate2::read::GzEncoder::new(Endless::of(bytes), flate2::Compression::fast());
        Box::new(packer)
    } else {
        Box::new(Endless::of(bytes))
    };
    let mut records =
        records(BufReader::with_capacity(1 << 16, input), u64::MAX, ReaderOptions::default()).unwrap();
    let count = records
        .by_ref()
        .map(|record| record.unwrap().message.len() as u64)
        .filter(|bytes| *bytes > 0)
        .count();
    assert_eq!(records.stats().broken, 0);
    assert!(records.stats().truncated > 0);
    count as u64
}

fn check(bytes: u64) {
    for zip in [false, true] {
        read(4 << 20, zip);
        let before = peak_kib();
        assert!(read(bytes, zip) > bytes / 400);
        let grown = peak_kib() - before;
        assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more after {bytes} bytes, packed: {zip}");
    }
}

#[test]
fn memory_does_not_grow_with_the_log() {
    check(24 << 20);
}

/// The same at a size that would show a leak of one byte in fifty; minutes without optimisation.
#[test]
#[ignore = "minutes without optimisation: run with --release"]
fn memory_does_not_grow_with_a_log_of_300_megabytes() {
    check(300 << 20);
}
