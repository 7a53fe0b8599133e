//! From a file's bytes to the text that is kept: Markdown and plain text as they are, HTML and tables of error codes
//! written as Markdown, PDF as plain text. What is written here is what citations point into.
//!
//! Files come from anywhere: each reader is bounded in size, depth and expansion, runs nothing, and says what it
//! refuses.

pub(super) mod html;
mod pdf;
mod table;

use super::DOCUMENT_BYTES_MAX;

/// A PDF carries fonts and pictures beside its text.
const PDF_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Stack of the thread that a parser runs on. They recurse as deep as they are allowed to, and an overflow would take
/// the process with it.
const PARSER_STACK_BYTES: usize = 64 * 1024 * 1024;

/// How a file is read, by its extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    Text,
    Html,
    Pdf,
    Csv,
    Yaml,
}

impl Reader {
    pub(crate) fn of(path: &str) -> Option<Self> {
        let (_, extension) = path.rsplit('/').next().unwrap_or(path).rsplit_once('.')?;
        match extension.to_ascii_lowercase().as_str() {
            "md" | "markdown" | "txt" | "text" => Some(Self::Text),
            "html" | "htm" | "xhtml" => Some(Self::Html),
            "pdf" => Some(Self::Pdf),
            "csv" => Some(Self::Csv),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }

    pub(crate) fn bytes_max(self) -> u64 {
        match self {
            Self::Pdf => PDF_BYTES_MAX,
            _ => DOCUMENT_BYTES_MAX,
        }
    }

    /// The text to keep; `None` for a table that lists no error codes. `Err` says what is wrong with the file.
    pub(crate) fn read(self, path: &str, bytes: Vec<u8>) -> Result<Option<String>, String> {
        if bytes.len() as u64 > self.bytes_max() {
            return Err(format!("is larger than {} bytes", self.bytes_max()));
        }
        match self {
            Self::Text => utf8(bytes).map(Some),
            Self::Html => html::to_markdown(utf8(bytes)?).map(Some),
            Self::Pdf => on_a_deep_stack(move || pdf::to_text(&bytes)).map(Some),
            Self::Csv => table::from_csv(path, &utf8(bytes)?),
            Self::Yaml => table::from_yaml(path, &utf8(bytes)?),
        }
    }
}

fn utf8(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes)
        .map_err(|error| format!("is not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
}

/// Runs a parser of others on a thread of its own, where a panic ends the document and nothing else.
fn on_a_deep_stack<T: Send + 'static>(
    parse: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let parsing = std::thread::Builder::new()
        .name("knowledge-parser".to_owned())
        .stack_size(PARSER_STACK_BYTES)
        .spawn(parse)
        .map_err(|error| format!("no thread to read it on: {error}"))?;
    parsing.join().unwrap_or_else(|_| Err("made its parser panic".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panicking_parser_costs_one_document() {
        let failed = on_a_deep_stack::<()>(|| panic!("on purpose"));
        assert_eq!(failed, Err("made its parser panic".to_owned()));
        assert_eq!(on_a_deep_stack(|| Ok(7)), Ok(7));
    }

    #[test]
    fn a_file_is_read_by_its_ending_and_never_beyond_its_limit() {
        assert_eq!(Reader::of("a/B.MD"), Some(Reader::Text));
        assert_eq!(Reader::of("a.md/script.sh"), None);
        assert_eq!(Reader::of("README"), None);
        let huge = vec![b'a'; usize::try_from(DOCUMENT_BYTES_MAX).unwrap() + 1];
        assert!(Reader::Text.read("a.md", huge).unwrap_err().contains("larger"));
        assert!(Reader::Html.read("a.html", b"caf\xe9".to_vec()).unwrap_err().contains("byte 3"));
    }
}
