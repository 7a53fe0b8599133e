use super::*;
use std::io::Write;

const TEXT: &str = "2024-05-01 10:05:00 INFO one\n2024-05-01 10:05:01 ERROR two\n";

fn gzip(text: &str) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text.as_bytes()).unwrap();
    packer.finish().unwrap()
}

fn zstd(text: &str) -> Vec<u8> {
    ::zstd::stream::encode_all(text.as_bytes(), 1).unwrap()
}

fn read(bytes: &[u8], bytes_max: u64) -> (Vec<String>, Option<ReadError>) {
    let (mut messages, mut failed) = (Vec::new(), None);
    for record in records(bytes, bytes_max, ReaderOptions::default()).unwrap() {
        match record {
            Ok(record) => messages.push(record.message),
            Err(error) => failed = Some(error),
        }
    }
    (messages, failed)
}

/// Gives one byte a read: a pipe with a slow writer.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(1);
        self.0.read(&mut buffer[..most])
    }
}

#[test]
fn packed_sources_are_told_by_their_magic_whatever_their_name() {
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3], zstd(TEXT).as_slice()].concat();
    for (bytes, compression) in [
        (TEXT.as_bytes().to_vec(), Compression::None),
        (gzip(TEXT), Compression::Gzip),
        (zstd(TEXT), Compression::Zstd),
        (skippable, Compression::Zstd),
    ] {
        let input = io::BufReader::new(Trickle(&bytes));
        let mut records = records(input, 1 << 20, ReaderOptions::default()).unwrap();
        assert_eq!(records.compression(), compression);
        let messages: Vec<String> = records.by_ref().map(|record| record.unwrap().message).collect();
        assert_eq!(messages, ["one", "two"]);
        assert_eq!(records.stats().lines, 2);
    }
    assert!(read(b"", 0).0.is_empty() && read(&[0x1f], 9).1.is_none());
}

#[test]
fn all_members_are_read_and_padding_behind_them_is_not() {
    for packed in [gzip, zstd] {
        let both = [packed("a 1\n"), packed("b 2\n")].concat();
        assert_eq!(read(&both, 1 << 20).0, ["a 1", "b 2"]);
    }
    let padded = [gzip("a 1\n").as_slice(), &[0; 512]].concat();
    let (messages, failed) = read(&padded, 1 << 20);
    assert!(failed.is_none(), "{failed:?}");
    assert_eq!(messages, ["a 1"]);
}

#[test]
fn a_bomb_ends_at_the_limit() {
    let line = format!("{}\n", "x".repeat(1023));
    for packed in [gzip(&line.repeat(20_000)), zstd(&line.repeat(20_000))] {
        assert!(packed.len() < 1 << 20, "twenty megabytes of one letter");
        let (messages, failed) = read(&packed, 1 << 20);
        assert!(matches!(failed, Some(ReadError::TooLarge { bytes_max: 1_048_576 })), "{failed:?}");
        assert!(messages.len() <= 1024);
        let mut out = Vec::new();
        let error = open(packed.as_slice(), 100).unwrap().read_to_end(&mut out).unwrap_err();
        assert_eq!(error.get_ref().unwrap().downcast_ref::<ReadError>().unwrap().code(), "LOGS_TOO_LARGE");
    }
    let (messages, failed) = read(TEXT.as_bytes(), 1);
    assert!(messages.len() == 2 && failed.is_none(), "what is not packed is no bomb");
}

#[test]
fn what_is_damaged_gives_what_it_held_and_says_so() {
    // Of varied lines, so that much is unpacked before the end is missed.
    let text: String =
        (0u64..50_000).map(|i| format!("line {}\n", i.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
    for packed in [gzip(&text), zstd(&text)] {
        let (messages, failed) = read(&packed[..packed.len() - 100], u64::MAX);
        assert!(matches!(failed, Some(ReadError::Damaged { .. })), "{failed:?}");
        assert!(messages.len() > 1_000, "{}", messages.len());
    }
    // Of the two only gzip always carries a checksum.
    let mut flipped = gzip(&text);
    let middle = flipped.len() / 2;
    flipped[middle..middle + 64].fill(0xaa);
    assert!(read(&flipped, u64::MAX).1.is_some());
    let (messages, failed) = read(&gzip("a")[..5], 9);
    assert!(messages.is_empty() && failed.unwrap().code() == "LOGS_DAMAGED");
}
