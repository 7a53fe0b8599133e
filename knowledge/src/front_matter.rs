//! The block between two `---` lines at the top of a Markdown document. Reads the part of YAML that such blocks
//! use (scalars, `[a, b]`, dashed lists); passes over keys it does not know.

/// A longer block is not front matter but a document between two rules.
const FRONT_MATTER_BYTES_MAX: usize = 16 * 1024;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FrontMatter {
    pub(crate) title: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) services: Vec<String>,
    pub(crate) alerts: Vec<String>,
    pub(crate) category: Option<String>,
    /// `2026-03-01`.
    pub(crate) date: Option<String>,
    pub(crate) draft: bool,
    pub(crate) url: Option<String>,
}

/// Returns what the block says and the offset at which the body begins; (nothing, 0) when there is no block.
pub(crate) fn parse(text: &str) -> Result<(FrontMatter, usize), String> {
    let bom = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut lines = Lines { text, at: bom };
    if lines.next().is_none_or(|line| line.trim_end() != "---") {
        return Ok((FrontMatter::default(), bom));
    }
    let mut front = FrontMatter::default();
    let mut list_of: Option<String> = None;
    let mut number = 1;
    // Said only if the block is closed: in a block that is none, every line would be wrong.
    let mut wrong: Option<String> = None;
    while let Some(line) = lines.next() {
        number += 1;
        let line = line.trim_end();
        if line == "---" || line == "..." {
            return wrong.map_or(Ok((front, lines.at)), Err);
        }
        if lines.at > FRONT_MATTER_BYTES_MAX {
            break;
        }
        let item =
            line.trim_start().strip_prefix('-').filter(|rest| rest.is_empty() || rest.starts_with(' '));
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        if let Some(item) = item {
            let Some(key) = &list_of else {
                wrong.get_or_insert_with(|| format!("front matter line {number}: a list item without a key"));
                continue;
            };
            front.add(key, vec![scalar(item)]);
        } else if line.starts_with(' ') || line.starts_with('\t') {
            // Nested maps and folded text belong to keys that are not ours.
            continue;
        } else if let Some((key, value)) = line.split_once(':') {
            let (key, value) = (key.trim().to_owned(), value.trim());
            if value.is_empty() {
                list_of = Some(key);
                continue;
            }
            list_of = None;
            match value.strip_prefix('[') {
                Some(rest) => match rest.strip_suffix(']') {
                    Some(inner) => front.add(&key, inner.split(',').map(scalar).collect()),
                    None => {
                        wrong.get_or_insert_with(|| format!("front matter line {number}: `[` is not closed"));
                    }
                },
                None => front.add(&key, vec![scalar(value)]),
            }
        } else {
            wrong.get_or_insert_with(|| {
                format!("front matter line {number}: neither `key: value` nor a list item")
            });
        }
    }
    // An opening rule that nothing closes is a thematic break.
    Ok((FrontMatter::default(), bom))
}

impl FrontMatter {
    fn add(&mut self, key: &str, values: Vec<String>) {
        let mut values = values.into_iter().filter(|value| !value.is_empty());
        match key {
            "title" => self.title = values.next_back(),
            "kind" => self.kind = values.next_back(),
            "category" => self.category = values.next_back(),
            "date" | "last_reviewed" | "updated" => {
                self.date = values.next_back().and_then(|date| day(&date)).or(self.date.take())
            }
            "status" => {
                self.draft =
                    values.any(|status| matches!(status.to_lowercase().as_str(), "draft" | "unreviewed"))
            }
            "url" => self.url = values.next_back(),
            "service" | "services" => self.services.extend(values),
            "alert" | "alerts" => self.alerts.extend(values),
            _ => {}
        }
    }
}

/// Whether `text` is a day as front matter and searches write it: `2026-03-01`.
pub fn is_day(text: &str) -> bool {
    text.len() == 10 && day(text).is_some()
}

/// The day of `2026-03-01` or `2026-03-01T08:15:00Z`; nothing of what is no date.
pub(crate) fn day(date: &str) -> Option<String> {
    let day = date.get(..10)?;
    let mut parts = day
        .split('-')
        .map(|part| part.parse::<u32>().ok().filter(|_| part.bytes().all(|b| b.is_ascii_digit())));
    let (year, month, of_month) = (parts.next()??, parts.next()??, parts.next()??);
    let sound =
        parts.next().is_none() && year >= 1000 && (1..=12).contains(&month) && (1..=31).contains(&of_month);
    sound.then(|| day.to_owned())
}

/// A value without its quotes or its trailing comment.
fn scalar(raw: &str) -> String {
    let raw = raw.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = raw.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner.to_owned();
        }
    }
    raw.split(" #").next().unwrap_or(raw).trim().to_owned()
}

struct Lines<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let length = rest.find('\n').map_or(rest.len(), |end| end + 1);
        self.at += length;
        rest.get(..length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_and_both_kinds_of_lists_are_read_and_the_rest_passed_over() {
        let text = "---\r\ntitle: \"A: b\"\nweight: 20\nalerts:\n  - One # first\n  - 'Two'\nservices: [a, \"b\"]\nmenu:\n  deep: x\n---\nBody";
        let (front, at) = parse(text).unwrap();
        assert_eq!(front.title.as_deref(), Some("A: b"));
        assert_eq!(front.alerts, ["One", "Two"]);
        assert_eq!(front.services, ["a", "b"]);
        assert_eq!(&text[at..], "Body");
    }

    #[test]
    fn a_draft_and_a_day_are_known_and_what_is_no_day_is_none() {
        let read = |text: &str| parse(text).unwrap().0;
        let front = read("---\nstatus: Unreviewed\ndate: 2026-03-01T08:15:00Z\nurl: http://x/1\n---\nx");
        assert_eq!(
            (front.draft, front.date.as_deref(), front.url.as_deref()),
            (true, Some("2026-03-01"), Some("http://x/1"))
        );
        for wrong in ["yesterday", "2026-13-01", "2026-3-1", "+026-03-01", "20260301"] {
            assert_eq!(day(wrong), None, "{wrong}");
        }
        assert!(!read("---\nstatus: reviewed\n---\nx").draft);
    }

    #[test]
    fn an_unclosed_block_is_body_and_broken_lines_are_errors() {
        assert_eq!(parse("---\ntitle: x\n\ntext").unwrap(), (FrontMatter::default(), 0));
        assert!(parse("---\nalerts: [a\n---\n").unwrap_err().contains("line 2"));
        assert!(parse("---\n- a\n---\n").unwrap_err().contains("without a key"));
        assert!(parse("---\nwhat is this\n---\n").unwrap_err().contains("neither"));
    }

    #[test]
    fn a_byte_order_mark_is_stepped_over() {
        let text = "\u{feff}---\ntitle: x\n---\nbody";
        let (front, at) = parse(text).unwrap();
        assert_eq!((front.title.as_deref(), &text[at..]), (Some("x"), "body"));
    }
}
