use super::*;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use lopdf::{Stream, dictionary};
use std::io::Write;

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A document of one page with `content` and what `more` adds to its resources.
fn pdf(content: Stream, more: impl FnOnce(&mut Document, ObjectId) -> Dictionary) -> Vec<u8> {
    let mut document = Document::with_version("1.5");
    let pages = document.new_object_id();
    let font = document.add_object(dictionary! { "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Helvetica", "Encoding" => "WinAnsiEncoding" });
    let mut resources = more(&mut document, font);
    resources.set("Font", dictionary! { "F1" => font });
    let resources = document.add_object(resources);
    let content = document.add_object(content);
    let page =
        document.add_object(dictionary! { "Type" => "Page", "Parent" => pages, "Contents" => content });
    let tree = dictionary! {
        "Type" => "Pages", "Kids" => vec![page.into()], "Count" => 1, "Resources" => resources,
        "MediaBox" => vec![0.into(), 0.into(), 595.into(), 842.into()],
    };
    document.objects.insert(pages, Object::Dictionary(tree));
    let catalog = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => pages });
    document.trailer.set("Root", catalog);
    let mut bytes = Vec::new();
    document.save_to(&mut bytes).unwrap();
    bytes
}

const TEXT: &[u8] = b"BT /F1 12 Tf 50 700 Td (Pool exhausted) Tj 0 -14 Td [(Restart) -300 (the) 20 (atre)] TJ T* (Done.) ' ET";

#[test]
fn lines_and_spaces_of_a_page_come_out_as_they_stand() {
    let plain = pdf(Stream::new(dictionary! {}, TEXT.to_vec()), |_, _| dictionary! {});
    assert_eq!(to_text(&plain).unwrap(), "Pool exhausted\nRestart theatre\nDone.\n");
    let packed = Stream::new(dictionary! { "Filter" => "FlateDecode" }, zlib(TEXT));
    assert_eq!(
        to_text(&pdf(packed, |_, _| dictionary! {})).unwrap(),
        "Pool exhausted\nRestart theatre\nDone.\n"
    );
}

#[test]
fn a_form_is_read_and_one_that_draws_itself_ends() {
    let page = b"BT /F1 12 Tf (Page) Tj ET /X Do".to_vec();
    let bytes = pdf(Stream::new(dictionary! {}, page), |document, font| {
        let form = document.new_object_id();
        let dict = dictionary! {
            "Subtype" => "Form",
            "Resources" => dictionary! { "Font" => dictionary! { "F1" => font }, "XObject" => dictionary! { "X" => form } },
        };
        let content = b"BT /F1 12 Tf (Form) Tj ET /X Do /X Do".to_vec();
        document.objects.insert(form, Object::Stream(Stream::new(dict, content)));
        dictionary! { "XObject" => dictionary! { "X" => form } }
    });
    let text = to_text(&bytes).unwrap();
    assert!(text.starts_with("Page\nForm\n") && text.len() < 5_000, "{} bytes", text.len());
}

#[test]
fn a_bomb_is_refused_before_it_unpacks_however_it_is_wrapped() {
    const LIMIT: u64 = 1024 * 1024;
    let zeros = zlib(&vec![0; 2 * 1024 * 1024]);
    assert!(zeros.len() < 4 * 1024);
    let bomb = |filter: Object, content: Vec<u8>| {
        pdf(Stream::new(dictionary! { "Filter" => filter }, content), |_, _| dictionary! {})
    };
    let once = bomb("FlateDecode".into(), zeros.clone());
    assert!(to_text_within(&once, LIMIT).unwrap_err().contains("unpacks to more than 1048576"));
    let twice = bomb(vec!["FlateDecode".into(), "FlateDecode".into()].into(), zlib(&zeros));
    assert!(to_text_within(&twice, LIMIT).unwrap_err().contains("unpacks to more"));
    // Within the limit it is no bomb, only a page of nothing.
    assert!(!to_text_within(&once, 64 * LIMIT).unwrap_err().contains("unpacks"));
    let lzw = bomb("LZWDecode".into(), vec![0x80, 0x0b]);
    assert!(to_text(&lzw).unwrap_err().contains("LZW"));
    let escaped = String::from_utf8_lossy(b"%PDF-1.4 /L#5aWDecode").into_owned();
    assert!(to_text(escaped.as_bytes()).unwrap_err().contains("LZW"));
}

#[test]
fn broken_empty_and_foreign_files_are_refused_with_a_reason() {
    assert_eq!(to_text(b"MZ").unwrap_err(), "is no PDF");
    assert!(to_text(b"%PDF-1.4\nnothing").unwrap_err().contains("cannot be read"));
    let empty = pdf(Stream::new(dictionary! {}, b"0 0 m 10 10 l S".to_vec()), |_, _| dictionary! {});
    assert!(to_text(&empty).unwrap_err().contains("no text"));
    let whole = pdf(Stream::new(dictionary! {}, TEXT.to_vec()), |_, _| dictionary! {});
    // However it is cut, it is read or refused, and never panics.
    for length in (0..whole.len()).step_by(7) {
        let _ = to_text(&whole[..length]);
    }
}
