//! The text of a PDF. Owns two bounds that the parser below does not have: how much its streams may unpack to, and how
//! much text may come of drawing its pages.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::{DeflateDecoder, ZlibDecoder};
use lopdf::content::Content;
use lopdf::{Dictionary, Document, Encoding, Object, ObjectId};

use super::super::DOCUMENT_BYTES_MAX;

/// All streams of a file, unpacked. A manual of a thousand pages has some 50 MiB.
const UNPACKED_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Packings inside one another.
const PACKINGS_MAX: usize = 4;
const PAGES_MAX: usize = 5_000;
/// Drawing operations over all pages, those of forms counted each time they are drawn.
const OPERATIONS_MAX: usize = 5_000_000;
/// Content bytes that count as one operation.
const BYTES_PER_OPERATION: usize = 16;
/// Forms drawn inside one another.
const FORM_DEPTH_MAX: usize = 8;
/// A move to the left by this many thousandths of the font's size stands for a space.
const SPACE_THOUSANDTHS: f32 = 200.0;

/// `Err` says why it cannot be read.
pub(super) fn to_text(bytes: &[u8]) -> Result<String, String> {
    to_text_within(bytes, UNPACKED_BYTES_MAX)
}

fn to_text_within(bytes: &[u8], unpacked_bytes_max: u64) -> Result<String, String> {
    if !bytes.get(..1024.min(bytes.len())).unwrap_or_default().windows(5).any(|window| window == b"%PDF-") {
        return Err("is no PDF".to_owned());
    }
    check_expansion(bytes, unpacked_bytes_max)?;
    let document = Document::load_mem(bytes).map_err(|error| format!("cannot be read as PDF: {error}"))?;
    if document.is_encrypted() {
        return Err("is encrypted".to_owned());
    }
    let pages = document.get_pages();
    if pages.len() > PAGES_MAX {
        return Err(format!("has more than {PAGES_MAX} pages"));
    }
    let mut page_texts = Vec::new();
    let mut reading = Reading { document: &document, operations: 0, bytes: 0 };
    for page in pages.into_values() {
        let content =
            document.get_page_content(page).map_err(|error| format!("a page cannot be read: {error}"))?;
        let mut text = String::new();
        let fonts = document.get_page_fonts(page).unwrap_or_default();
        let (own, inherited) = document.get_page_resources(page).unwrap_or_default();
        let inherited = inherited.iter().filter_map(|id| document.get_dictionary(*id).ok());
        let resources: Vec<&Dictionary> = own.into_iter().chain(inherited).collect();
        reading.draw(&content, &fonts, &resources, 0, &mut text)?;
        let text = text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        if !text.trim().is_empty() {
            page_texts.push(text.trim().to_owned());
        }
    }
    if page_texts.is_empty() {
        return Err("holds no text: are its pages pictures?".to_owned());
    }
    Ok(page_texts.join("\n\n") + "\n")
}

struct Reading<'a> {
    document: &'a Document,
    operations: usize,
    bytes: usize,
}

impl<'a> Reading<'a> {
    fn draw(
        &mut self,
        content: &[u8],
        fonts: &BTreeMap<Vec<u8>, &'a Dictionary>,
        resources: &[&'a Dictionary],
        depth: usize,
        out: &mut String,
    ) -> Result<(), String> {
        // The length counts as well: a form of one long comment may be drawn as often as one of many operations.
        self.operations += content.len() / BYTES_PER_OPERATION;
        let content = Content::decode(content).map_err(|error| format!("a page cannot be drawn: {error}"))?;
        let encodings: BTreeMap<&[u8], Encoding<'_>> = fonts
            .iter()
            .filter_map(|(name, font)| Some((name.as_slice(), font.get_font_encoding(self.document).ok()?)))
            .collect();
        let mut encoding: Option<&Encoding<'_>> = None;
        let mut line_at: Option<f32> = None;
        for operation in &content.operations {
            self.operations += 1;
            if self.operations > OPERATIONS_MAX {
                return Err(format!("takes more than {OPERATIONS_MAX} drawing operations"));
            }
            let operands = &operation.operands;
            match operation.operator.as_str() {
                "Tf" => {
                    let name = operands.first().and_then(|name| name.as_name().ok());
                    encoding = name.and_then(|name| encodings.get(name));
                }
                "Td" | "TD" if operands.get(1).and_then(number).is_some_and(|down| down != 0.0) => line(out),
                "Td" | "TD" => space(out),
                "T*" | "ET" => line(out),
                "Tm" => {
                    let at = operands.get(5).and_then(number);
                    if at != line_at {
                        line(out)
                    } else {
                        space(out)
                    }
                    line_at = at;
                }
                "Tj" => self.show(operands.first(), encoding, out)?,
                "'" => {
                    line(out);
                    self.show(operands.first(), encoding, out)?;
                }
                "\"" => {
                    line(out);
                    self.show(operands.get(2), encoding, out)?;
                }
                "TJ" => {
                    for piece in
                        operands.first().and_then(|pieces| pieces.as_array().ok()).into_iter().flatten()
                    {
                        match number(piece) {
                            Some(moved) if moved < -SPACE_THOUSANDTHS => space(out),
                            Some(_) => {}
                            None => self.show(Some(piece), encoding, out)?,
                        }
                    }
                }
                "Do" => {
                    if let Some(name) = operands.first().and_then(|name| name.as_name().ok()) {
                        self.form(name, resources, depth, out)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn show(
        &mut self,
        text: Option<&Object>,
        encoding: Option<&Encoding<'_>>,
        out: &mut String,
    ) -> Result<(), String> {
        let (Some(Object::String(bytes, _)), Some(encoding)) = (text, encoding) else { return Ok(()) };
        let Ok(text) = Document::decode_text(encoding, bytes) else { return Ok(()) };
        self.bytes += text.len();
        if self.bytes as u64 > DOCUMENT_BYTES_MAX {
            return Err(format!("holds more than {DOCUMENT_BYTES_MAX} bytes of text"));
        }
        // A zero would make the whole no text; fonts without a table of characters give them.
        out.extend(text.chars().filter(|c| !c.is_control() || *c == '\n'));
        Ok(())
    }

    /// A form is a page within the page; pictures have the same operator and no text.
    fn form(
        &mut self,
        name: &[u8],
        resources: &[&'a Dictionary],
        depth: usize,
        out: &mut String,
    ) -> Result<(), String> {
        if depth >= FORM_DEPTH_MAX {
            return Ok(());
        }
        let document = self.document;
        let find = |of: &&'a Dictionary| -> Option<ObjectId> {
            let forms = document.dereference(of.get(b"XObject").ok()?).ok()?.1.as_dict().ok()?;
            forms.get(name).ok()?.as_reference().ok()
        };
        let Some(form) =
            resources.iter().find_map(find).and_then(|id| document.get_object(id).ok()?.as_stream().ok())
        else {
            return Ok(());
        };
        if form.dict.get(b"Subtype").and_then(Object::as_name).ok() != Some(b"Form") {
            return Ok(());
        }
        let Ok(content) = form.decompressed_content() else { return Ok(()) };
        let own = form.dict.get(b"Resources").and_then(|own| document.dereference(own)).ok();
        let own = own.and_then(|(_, own)| own.as_dict().ok());
        let mut fonts: BTreeMap<Vec<u8>, &'a Dictionary> = BTreeMap::new();
        for resources in own.iter().chain(resources).rev() {
            let Ok((_, Object::Dictionary(named))) =
                resources.get(b"Font").and_then(|fonts| document.dereference(fonts))
            else {
                continue;
            };
            for (name, font) in named.iter() {
                if let Ok((_, Object::Dictionary(font))) = document.dereference(font) {
                    fonts.insert(name.clone(), font);
                }
            }
        }
        let resources: Vec<&'a Dictionary> = own.into_iter().chain(resources.iter().copied()).collect();
        self.draw(&content, &fonts, &resources, depth + 1, out)
    }
}

fn number(object: &Object) -> Option<f32> {
    object.as_float().ok()
}

fn line(out: &mut String) {
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
}

fn space(out: &mut String) {
    if !out.is_empty() && !out.ends_with(char::is_whitespace) {
        out.push(' ');
    }
}

/// Unpacks every stream once, counting, before a parser that counts nothing is let at it. A stream is tried in each way
/// that the parser would try, to its own end: what its dictionary says of its length is not believed.
fn check_expansion(bytes: &[u8], unpacked_bytes_max: u64) -> Result<(), String> {
    if names_lzw(bytes) {
        return Err("packs streams with LZW, which is not read".to_owned());
    }
    let mut left = unpacked_bytes_max;
    let mut at = 0;
    while let Some(found) = find(bytes.get(at..).unwrap_or_default(), b"stream") {
        at += found + b"stream".len();
        let Some(rest) = bytes.get(at..) else { break };
        let skipped = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n' | b' ')).count().min(3);
        for skip in 0..=skipped {
            let fits = measure(rest.get(skip..).unwrap_or_default(), PACKINGS_MAX, &mut left)?;
            if !fits {
                return Err(format!("unpacks to more than {unpacked_bytes_max} bytes"));
            }
        }
    }
    Ok(())
}

/// Whether it fits into what is `left`, which it is taken from.
fn measure(packed: &[u8], packings: usize, left: &mut u64) -> Result<bool, String> {
    let Some(head) = packed.first_chunk::<2>() else { return Ok(true) };
    if packings == 0 {
        return Err("packs streams inside one another".to_owned());
    }
    let mut kinds: Vec<Box<dyn Read + '_>> = Vec::new();
    let header = u16::from_be_bytes(*head);
    // Deflate, and a check that divides by 31.
    if (header >> 8) & 0x0f == 8 && header.is_multiple_of(31) {
        kinds.push(Box::new(ZlibDecoder::new(packed)));
        kinds.push(Box::new(DeflateDecoder::new(packed.get(2..).unwrap_or_default())));
    }
    let letters = ascii85(packed);
    if !letters.is_empty() {
        kinds.push(Box::new(std::io::Cursor::new(letters)));
    }
    for kind in kinds {
        let mut unpacked = Vec::new();
        // Broken packings end where they break; what came until then counts.
        let _ = kind.take(*left + 1).read_to_end(&mut unpacked);
        if unpacked.len() as u64 > *left {
            return Ok(false);
        }
        *left -= unpacked.len() as u64;
        if !measure(&unpacked, packings - 1, left)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The bytes that a run of ASCII85 stands for; none if `packed` does not begin with one of some length.
fn ascii85(packed: &[u8]) -> Vec<u8> {
    let run =
        packed.iter().take_while(|byte| byte.is_ascii_whitespace() || matches!(byte, b'!'..=b'u' | b'z'));
    let run: Vec<u8> = run.copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if run.len() < 32 {
        return Vec::new();
    }
    let mut bytes = Vec::with_capacity(run.len());
    let mut group = 0_u32;
    let mut have = 0;
    for byte in run {
        if byte == b'z' && have == 0 {
            bytes.extend_from_slice(&[0; 4]);
            continue;
        }
        group = group.wrapping_mul(85).wrapping_add(u32::from(byte.saturating_sub(b'!')));
        have += 1;
        if have == 5 {
            bytes.extend_from_slice(&group.to_be_bytes());
            (group, have) = (0, 0);
        }
    }
    bytes
}

/// Whether a filter named LZWDecode occurs, escapes like `#57` resolved.
fn names_lzw(bytes: &[u8]) -> bool {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escaped = match (byte, bytes.get(at + 1).and_then(digit), bytes.get(at + 2).and_then(digit)) {
            (b'#', Some(high), Some(low)) => Some(high << 4 | low),
            _ => None,
        };
        plain.push(escaped.unwrap_or(*byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    find(&plain, b"LZWDecode").is_some()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut at = 0;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == first)?;
        if bytes.get(at..)?.starts_with(wanted) {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests;
