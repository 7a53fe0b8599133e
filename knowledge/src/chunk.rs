//! Chunks: the pieces of a document that are found and cited. They follow its headings, keep code blocks and
//! list items whole, and know their bytes, so that a citation can be shown in place.

use std::ops::Range;

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::document::{Document, Format, Kind};

/// Where a section is cut in two. About 400 tokens: most sections stay whole, and a chunk fits the window of small
/// embedding models.
const CHUNK_BYTES_MAX: usize = 1_800;

/// A piece of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Its place in the document, from 0.
    pub ordinal: u32,
    /// Headings from the outermost to its own; empty above the first heading.
    pub heading_path: Vec<String>,
    /// In the document's text; both ends lie on character boundaries.
    pub bytes: Range<usize>,
    /// The error code that it is the entry of, as it is written.
    pub code: Option<String>,
}

/// A block that is never cut, except a paragraph longer than a chunk.
struct Block {
    bytes: Range<usize>,
    heading: Option<(HeadingLevel, String)>,
    may_cut: bool,
    /// A row of a table of error codes: the text of its cells.
    row: Option<Vec<String>>,
}

pub(crate) fn chunks(document: &Document) -> Vec<Chunk> {
    let body = document.text.get(document.body_from..).unwrap_or_default();
    let blocks = match document.format {
        Format::Markdown => markdown_blocks(body, document.kind == Kind::ErrorCode),
        Format::Plain => paragraphs(body),
    };
    let lists_codes = document.kind == Kind::ErrorCode;
    let mut gathered = Gathered { text: &document.text, lists_codes, ..Gathered::default() };
    for block in blocks {
        let bytes = block.bytes.start + document.body_from..block.bytes.end + document.body_from;
        if let Some(cells) = block.row {
            gathered.row(&cells, bytes);
            continue;
        }
        match block.heading {
            Some((level, title)) => gathered.open_section(level, title, bytes),
            None if block.may_cut && bytes.len() > CHUNK_BYTES_MAX => {
                for piece in cut(&document.text, bytes) {
                    gathered.add(piece);
                }
            }
            None => gathered.add(bytes),
        }
    }
    gathered.close();
    gathered.chunks
}

#[derive(Default)]
struct Gathered<'a> {
    text: &'a str,
    chunks: Vec<Chunk>,
    path: Vec<(HeadingLevel, String)>,
    open: Option<Range<usize>>,
    /// Whether more than the heading itself stands in the open chunk.
    has_body: bool,
    lists_codes: bool,
}

impl Gathered<'_> {
    fn open_section(&mut self, level: HeadingLevel, title: String, bytes: Range<usize>) {
        self.close();
        self.path.retain(|(above, _)| *above < level);
        self.path.push((level, title));
        self.open = Some(bytes);
    }

    fn add(&mut self, bytes: Range<usize>) {
        match &mut self.open {
            Some(open) if !self.has_body || bytes.end - open.start <= CHUNK_BYTES_MAX => open.end = bytes.end,
            Some(_) => {
                self.close();
                self.open = Some(bytes);
            }
            None => self.open = Some(bytes),
        }
        self.has_body = true;
    }

    fn close(&mut self) {
        let has_body = std::mem::take(&mut self.has_body);
        let Some(bytes) = self.open.take().filter(|_| has_body) else { return };
        let text = self.text.get(bytes.clone()).unwrap_or_default();
        let bytes = bytes.start..bytes.start + text.trim_end().len();
        if !bytes.is_empty() {
            let own = self.path.last().filter(|_| self.lists_codes);
            let code = own.and_then(|(_, heading)| code_in(heading));
            self.chunks.push(Chunk {
                ordinal: u32::try_from(self.chunks.len()).unwrap_or(u32::MAX),
                heading_path: self.path.iter().map(|(_, title)| title.clone()).collect(),
                bytes,
                code,
            });
        }
    }

    /// A row with a code is a chunk of its own.
    fn row(&mut self, cells: &[String], bytes: Range<usize>) {
        let Some(code) = cells.iter().find_map(|cell| code_in(cell)) else { return self.add(bytes) };
        self.close();
        let mut heading_path: Vec<String> = self.path.iter().map(|(_, title)| title.clone()).collect();
        heading_path.push(code.clone());
        let length = self.text.get(bytes.clone()).unwrap_or_default().trim_end().len();
        self.chunks.push(Chunk {
            ordinal: u32::try_from(self.chunks.len()).unwrap_or(u32::MAX),
            heading_path,
            bytes: bytes.start..bytes.start + length,
            code: Some(code),
        });
    }
}

/// The code that a heading or a cell begins with: `E1001`, `ORA-01555: snapshot too old`, `ERR_POOL`.
fn code_in(heading: &str) -> Option<String> {
    let code = heading.split(|c: char| c.is_whitespace() || c == ':').next()?;
    let code = code.trim_matches(|c: char| !c.is_alphanumeric());
    let shouted = code.len() >= 3 && code.chars().all(|c| c.is_ascii_uppercase() || matches!(c, '_' | '-'));
    let coded = code.chars().any(|c| c.is_ascii_digit()) || code.contains('_') || shouted;
    (coded && (2..=64).contains(&code.len())).then(|| code.to_owned())
}

/// The outermost blocks of `body`; a long list gives its items.
fn markdown_blocks(body: &str, lists_codes: bool) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut depth = 0_usize;
    // Inside a list that is taken apart, its items are the outermost blocks.
    let mut outermost = 0_usize;
    let mut heading: Option<(HeadingLevel, String)> = None;
    // Inside a table of codes: the cells of the row at hand.
    let mut row: Option<Vec<String>> = None;
    for (event, bytes) in Parser::new_ext(body, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Start(tag) => {
                if depth == outermost {
                    match &tag {
                        Tag::Heading { level, .. } if depth == 0 => heading = Some((*level, String::new())),
                        Tag::List(_) if depth == 0 && bytes.len() > CHUNK_BYTES_MAX => outermost = 1,
                        Tag::Table(_) if depth == 0 && lists_codes => outermost = 1,
                        Tag::TableHead => {}
                        Tag::TableRow => row = Some(Vec::new()),
                        tag => blocks.push(Block {
                            bytes,
                            heading: None,
                            may_cut: matches!(tag, Tag::Paragraph | Tag::HtmlBlock),
                            row: None,
                        }),
                    }
                } else if let (Tag::TableCell, Some(cells)) = (&tag, &mut row) {
                    cells.push(String::new());
                }
                depth += 1;
            }
            Event::End(tag) => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    outermost = 0;
                }
                if matches!(tag, TagEnd::Heading(_))
                    && let Some((level, title)) = heading.take()
                {
                    let title = title.trim().to_owned();
                    blocks.push(Block { bytes, heading: Some((level, title)), may_cut: false, row: None });
                } else if matches!(tag, TagEnd::TableRow)
                    && let Some(cells) = row.take()
                {
                    blocks.push(Block { bytes, heading: None, may_cut: false, row: Some(cells) });
                }
            }
            Event::Text(text) | Event::Code(text) => {
                if let Some((_, title)) = &mut heading {
                    title.push_str(&text);
                }
                if let Some(cell) = row.as_mut().and_then(|cells| cells.last_mut()) {
                    cell.push_str(&text);
                }
            }
            // A rule draws a line and says nothing.
            _ => {}
        }
    }
    blocks
}

fn paragraphs(body: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Range<usize>> = None;
    let mut at = 0;
    for line in body.split_inclusive('\n') {
        let bytes = at..at + line.len();
        at = bytes.end;
        if line.trim().is_empty() {
            blocks.extend(open.take());
        } else {
            open = Some(open.map_or(bytes.start, |open| open.start)..bytes.end);
        }
    }
    blocks.extend(open);
    blocks.into_iter().map(|bytes| Block { bytes, heading: None, may_cut: true, row: None }).collect()
}

/// Cuts at white space where there is some, else at a character boundary.
fn cut(text: &str, bytes: Range<usize>) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut from = bytes.start;
    while bytes.end - from > CHUNK_BYTES_MAX {
        let limit = text.floor_char_boundary(from + CHUNK_BYTES_MAX);
        let window = text.get(from..limit).unwrap_or_default();
        let length = match window.rfind(char::is_whitespace) {
            Some(space) if space > CHUNK_BYTES_MAX / 2 => text.ceil_char_boundary(from + space + 1) - from,
            _ => window.len(),
        };
        if length == 0 {
            break;
        }
        pieces.push(from..from + length);
        from += length;
    }
    if from < bytes.end {
        pieces.push(from..bytes.end);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str) -> Vec<(String, String)> {
        let document = Document::parse("s", path, text.to_owned()).unwrap();
        let chunks = chunks(&document);
        for (index, chunk) in chunks.iter().enumerate() {
            assert_eq!(chunk.ordinal as usize, index);
            assert!(chunk.bytes.start >= document.body_from);
        }
        for pair in chunks.windows(2) {
            assert!(pair[0].bytes.end <= pair[1].bytes.start, "chunks overlap");
        }
        chunks
            .iter()
            .map(|c| (c.heading_path.join(" > "), document.text[c.bytes.clone()].to_owned()))
            .collect()
    }

    #[test]
    fn chunks_follow_the_headings_and_skip_the_front_matter() {
        let found = check(
            "a.md",
            "---\ntitle: T\n---\nIntro.\n\n# Top\n\n## Meaning `x`\n\nIt means.\n\n## Cure\n\nDo.\n\n### Deep\n\nMore.\n",
        );
        let expected = [
            ("", "Intro."),
            ("Top > Meaning x", "## Meaning `x`\n\nIt means."),
            ("Top > Cure", "## Cure\n\nDo."),
            ("Top > Cure > Deep", "### Deep\n\nMore."),
        ];
        assert_eq!(found, expected.map(|(path, text)| (path.to_owned(), text.to_owned())));
    }

    #[test]
    fn a_code_block_is_never_cut_even_when_it_is_longer_than_a_chunk() {
        let code = format!("```sh\n{}```", "kubectl get pods # a line\n".repeat(200));
        let text = format!("# A\n\nbefore\n\n{}\n\n{code}\n\nafter\n", "word ".repeat(300));
        let found = check("a.md", &text);
        assert_eq!(found.iter().filter(|(_, chunk)| chunk.contains("```")).count(), 1);
        assert!(found.iter().any(|(_, chunk)| chunk.contains(&code)));
        assert!(found.iter().all(|(path, _)| path == "A"));
    }

    #[test]
    fn every_code_of_a_table_and_of_a_section_is_a_chunk_of_its_own() {
        let text = "---\nkind: error-code\n---\n# Codes\n\nIntro.\n\n| Code | Meaning |\n| --- | --- |\n| `E_1` | one |\n| plain | two |\n| ORA-7 | three |\n\n## E9: nine\n\nNine.\n";
        let document = Document::parse("s", "a.md", text.to_owned()).unwrap();
        let found: Vec<(Option<String>, String)> =
            chunks(&document).into_iter().map(|c| (c.code, document.text[c.bytes].to_owned())).collect();
        let code =
            |wanted: &str| found.iter().find(|(code, _)| code.as_deref() == Some(wanted)).unwrap().1.as_str();
        assert_eq!((code("E_1"), code("ORA-7")), ("| `E_1` | one |", "| ORA-7 | three |"));
        assert_eq!(code("E9"), "## E9: nine\n\nNine.");
        assert_eq!(found.iter().filter(|(code, _)| code.is_some()).count(), 3, "{found:?}");
        // In a runbook the same table stays whole, and nothing is a code.
        let runbook = Document::parse("s", "a.md", text.replace("error-code", "runbook")).unwrap();
        assert!(chunks(&runbook).iter().all(|chunk| chunk.code.is_none()));
    }

    #[test]
    fn a_long_list_is_cut_between_items_and_a_heading_in_code_is_no_heading() {
        let items: String = (0..60)
            .map(|n| format!("- step {n} with some words to make it long enough to matter\n"))
            .collect();
        let found = check("a.md", &format!("# A\n\n{items}\n```\n# not a heading\n```\n"));
        assert!(found.len() > 1);
        assert!(found.iter().all(|(path, chunk)| path == "A" && chunk.len() <= CHUNK_BYTES_MAX));
        assert!(
            found.iter().skip(1).all(|(_, chunk)| chunk.starts_with("- step") || chunk.starts_with("```"))
        );
    }

    #[test]
    fn one_endless_line_is_cut_on_character_boundaries() {
        let found = check("a.txt", &"ä".repeat(5_000));
        assert!(found.len() >= 5);
        assert_eq!(found.iter().map(|(_, chunk)| chunk.len()).sum::<usize>(), 10_000);
        let words = check("a.txt", &"slow disk ".repeat(1_000));
        assert!(words.iter().all(|(_, chunk)| chunk.len() <= CHUNK_BYTES_MAX && !chunk.starts_with("isk")));
    }
}
