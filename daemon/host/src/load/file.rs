//! A component's file: its name and its bytes.

use std::io::Read;
use std::path::Path;

use super::LoadError;
use crate::limits::COMPONENT_BYTES_MAX;

/// The plugin a file is of: its name without `.wasm`, as the grant file names it.
///
/// # Errors
/// `FILE_NAME`.
pub fn plugin_name(path: &Path) -> Result<String, LoadError> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if stem.is_empty() || stem.len() > 64 || !stem.chars().all(fine) {
        return Err(LoadError::new(
            "FILE_NAME",
            "the file's name must be lower-case letters, digits and hyphens, as the grant file names it",
        ));
    }
    Ok(stem.to_owned())
}

/// # Errors
/// `FILE_UNREADABLE`, `FILE_TOO_LARGE`.
pub fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let failed =
        |error: std::io::Error| LoadError::new("FILE_UNREADABLE", format!("it cannot be read: {error}"));
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    // The length on disk may change while reading; what counts is what was read.
    file.take(COMPONENT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > COMPONENT_BYTES_MAX {
        return Err(LoadError::new(
            "FILE_TOO_LARGE",
            format!("it is larger than {COMPONENT_BYTES_MAX} bytes"),
        ));
    }
    Ok(bytes)
}
