//! Files as they come: plain or gzip, told apart by their first bytes.

use anyhow::Context as _;
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// Opens a file for reading, unpacked when it begins with the magic of gzip (1f 8b).
pub fn open(path: &Path) -> anyhow::Result<Box<dyn Read>> {
    let opening = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(opening)?;
    let mut magic = Vec::with_capacity(2);
    file.by_ref().take(2).read_to_end(&mut magic).with_context(opening)?;
    let whole = std::io::Cursor::new(magic.clone()).chain(file);
    Ok(if magic == [0x1f, 0x8b] {
        Box::new(BufReader::new(MultiGzDecoder::new(whole)))
    } else {
        Box::new(BufReader::new(whole))
    })
}

/// The whole of a file as text; bytes that are not UTF-8 become U+FFFD.
pub fn text(path: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
