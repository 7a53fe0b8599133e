//! What a source's first bytes say of its compression, and its records as they come.
//!
//! Owns gzip and zstd, told by their magic numbers, with all members or frames, and the limit on what they unfold
//! to. Never opens a file: it reads from what it is given, and memory does not depend on how much that is.

use super::{LogRecord, ReadStats, Reader, ReaderOptions};
use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, Chain, Cursor, Read};

/// Read at once. 64 KiB: more gives no speed.
const PIECE_BYTES: usize = 64 * 1024;
/// The history that a zstd frame may refer to, as a power of two. 27, or 128 MiB, is what its own command line
/// accepts; only files packed with `--ultra` or `--long` use more than 8 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
const MAGIC_BYTES: usize = 4;

/// Why a source could not be read to its end. What came before it was given.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read on: the log unpacks to more than {bytes_max} bytes")]
    TooLarge { bytes_max: u64 },
    #[error("cannot unpack the log, its {compression} data is damaged or cut off")]
    Damaged { compression: &'static str, source: io::Error },
    #[error("cannot read the log")]
    Io(#[from] io::Error),
}

impl ReadError {
    pub fn code(&self) -> &'static str {
        match self {
            ReadError::TooLarge { .. } => "LOGS_TOO_LARGE",
            ReadError::Damaged { .. } => "LOGS_DAMAGED",
            ReadError::Io(_) => "LOGS_UNREADABLE",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

type Rejoined<R> = Chain<Cursor<Vec<u8>>, R>;

enum Source<R: BufRead> {
    Plain(Rejoined<R>),
    /// One member after another; none behind the last.
    Gzip(Option<Box<GzDecoder<Rejoined<R>>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Rejoined<R>>>),
}

/// A source unpacked. Its reads fail with a [`ReadError`] inside the [`io::Error`] once the limit is passed.
pub struct Opened<R: BufRead> {
    source: Source<R>,
    bytes_max: u64,
    bytes_left: u64,
}

/// Unpacks what is packed. `unpacked_bytes_max` bounds what a packed source may become; a plain one is what it is.
///
/// # Errors
/// When the first bytes cannot be read.
pub fn open<R: BufRead>(mut input: R, unpacked_bytes_max: u64) -> io::Result<Opened<R>> {
    let mut magic = Vec::with_capacity(MAGIC_BYTES);
    input.by_ref().take(MAGIC_BYTES as u64).read_to_end(&mut magic)?;
    let compression = compression(&magic);
    let whole = Cursor::new(magic).chain(input);
    let source = match compression {
        Compression::None => Source::Plain(whole),
        Compression::Gzip => Source::Gzip(Some(Box::new(GzDecoder::new(whole)))),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(whole)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Source::Zstd(Box::new(decoder))
        }
    };
    Ok(Opened { source, bytes_max: unpacked_bytes_max, bytes_left: unpacked_bytes_max })
}

/// RFC 1952, 2.3.1 and RFC 8878, 3.1: a frame, or a frame to be skipped.
fn compression(magic: &[u8]) -> Compression {
    match magic {
        [0x1f, 0x8b, 8, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Compression::Zstd,
        _ => Compression::None,
    }
}

impl<R: BufRead> Opened<R> {
    pub fn compression(&self) -> Compression {
        match self.source {
            Source::Plain(_) => Compression::None,
            Source::Gzip(_) => Compression::Gzip,
            Source::Zstd(_) => Compression::Zstd,
        }
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let (name, read) = match &mut self.source {
            Source::Plain(source) => return Ok(source.read(buffer)?),
            Source::Gzip(member) => ("gzip", read_members(member, buffer)),
            Source::Zstd(source) => ("zstd", source.read(buffer)),
        };
        let length = match read {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(ReadError::Io(error)),
            Err(source) => return Err(ReadError::Damaged { compression: name, source }),
        };
        self.bytes_left = self
            .bytes_left
            .checked_sub(length as u64)
            .ok_or(ReadError::TooLarge { bytes_max: self.bytes_max })?;
        Ok(length)
    }
}

/// Reads on from member to member. What stands behind the last is padding, as on tapes, and not read.
fn read_members<R: BufRead>(current: &mut Option<Box<GzDecoder<R>>>, buffer: &mut [u8]) -> io::Result<usize> {
    while let Some(member) = current {
        let length = member.read(buffer)?;
        if length > 0 || buffer.is_empty() {
            return Ok(length);
        }
        let another = member.get_mut().fill_buf()?.first() == Some(&0x1f);
        *current =
            current.take().filter(|_| another).map(|member| Box::new(GzDecoder::new(member.into_inner())));
    }
    Ok(0)
}

impl<R: BufRead> Read for Opened<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.next(buffer).map_err(|error| match error {
            ReadError::Io(error) => error,
            error => io::Error::new(io::ErrorKind::InvalidData, error),
        })
    }
}

/// Records one after another; a source that ends badly gives what it held, then says why it ended.
pub struct Records<R: BufRead> {
    input: Opened<R>,
    reader: Reader,
    ready: std::vec::IntoIter<LogRecord>,
    piece: Vec<u8>,
    failed: Option<ReadError>,
    done: bool,
}

/// The records of a source, plain or packed. See [`open`] for the limit.
///
/// # Errors
/// When the first bytes cannot be read.
pub fn records<R: BufRead>(
    input: R,
    unpacked_bytes_max: u64,
    options: ReaderOptions,
) -> io::Result<Records<R>> {
    Ok(Records {
        input: open(input, unpacked_bytes_max)?,
        reader: Reader::new(options),
        ready: Vec::new().into_iter(),
        piece: vec![0; PIECE_BYTES],
        failed: None,
        done: false,
    })
}

impl<R: BufRead> Records<R> {
    pub fn stats(&self) -> &ReadStats {
        self.reader.stats()
    }

    pub fn compression(&self) -> Compression {
        self.input.compression()
    }
}

impl<R: BufRead> Iterator for Records<R> {
    type Item = Result<LogRecord, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.ready.next() {
                return Some(Ok(record));
            }
            if self.done {
                return self.failed.take().map(Err);
            }
            let records = match self.input.next(&mut self.piece) {
                Ok(0) => {
                    self.done = true;
                    self.reader.finish()
                }
                Ok(length) => self.reader.push(self.piece.get(..length).unwrap_or_default()),
                Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.done = true;
                    self.failed = Some(error);
                    self.reader.finish()
                }
            };
            self.ready = records.into_iter();
        }
    }
}

#[cfg(test)]
mod tests;
