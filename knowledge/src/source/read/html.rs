//! HTML as Markdown. Scripts, styles, frames and forms leave nothing behind; what is left is text.

use htmd::HtmlToMarkdown;

use super::on_a_deep_stack;

/// Elements inside one another. A page of a wiki has some forty; the parser's tree is walked by recursion.
const DEPTH_MAX: usize = 512;

/// Elements whose content is no text for people.
const PASSED_OVER: &[&str] = &[
    "head", "script", "style", "noscript", "template", "iframe", "object", "embed", "applet", "svg", "math",
    "canvas", "form", "button", "select", "textarea", "input", "link", "meta", "nav", "img", "audio",
    "video",
];

/// Elements that hold nothing.
const VOID: &[&str] = &[
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track",
    "wbr",
];

/// Elements that a sibling of their kind closes.
const SELF_CLOSED: &[&str] =
    &["p", "li", "dt", "dd", "tr", "td", "th", "option", "optgroup", "tbody", "thead", "tfoot", "rt", "rp"];

/// `Err` says what is wrong with the page.
pub(crate) fn to_markdown(html: String) -> Result<String, String> {
    if depth(&html) > DEPTH_MAX {
        return Err(format!("nests its elements more than {DEPTH_MAX} deep"));
    }
    on_a_deep_stack(move || {
        let converter = HtmlToMarkdown::builder().skip_tags(PASSED_OVER.to_vec()).build();
        let markdown =
            converter.convert(&html).map_err(|error| format!("cannot be read as HTML: {error}"))?;
        Ok(match title(&html).filter(|title| !markdown.contains(title.as_str())) {
            Some(title) => format!("# {title}\n\n{markdown}\n"),
            None => format!("{markdown}\n"),
        })
    })
}

/// The page's title, white space joined.
fn title(html: &str) -> Option<String> {
    let lower = html.get(..html.floor_char_boundary(64 * 1024))?.to_ascii_lowercase();
    let from = lower.find("<title")?;
    let from = from + lower.get(from..)?.find('>')? + 1;
    let to = from + lower.get(from..)?.find("</title")?;
    let title = html.get(from..to)?.split_whitespace().collect::<Vec<_>>().join(" ");
    let title = title.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    (!title.is_empty()).then_some(title)
}

/// How deep elements stand in one another, at most; never less than the parser will make it, by more than what closes
/// itself. A close tag without its open tag closes nothing, as in the parser.
fn depth(html: &str) -> usize {
    let mut open: Vec<&str> = Vec::new();
    let mut deepest = 0;
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = rest.get(at + 1..).unwrap_or_default();
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.find("-->").and_then(|end| comment.get(end..)).unwrap_or_default();
            continue;
        }
        let (closing, name) = match rest.strip_prefix('/') {
            Some(after) => (true, tag_name(after)),
            None => (false, tag_name(rest)),
        };
        let among = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
        if name.is_empty() || among(VOID) || among(SELF_CLOSED) {
            continue;
        }
        if closing {
            if let Some(place) = open.iter().rposition(|known| known.eq_ignore_ascii_case(name)) {
                open.truncate(place);
            }
        } else {
            open.push(name);
            deepest = deepest.max(open.len());
            if deepest > DEPTH_MAX {
                break;
            }
        }
    }
    deepest
}

fn tag_name(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != ':').unwrap_or(text.len());
    text.get(..end).filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_lists_and_code_become_markdown_and_scripts_leave_nothing() {
        let page = "<html><head><title>Pool &amp; queue</title><script>steal()</script><style>p{}</style></head><body>\
                    <h2>Cause</h2><p onclick=\"steal()\">The pool is <b>empty</b>.</p><ul><li>one<li>two</ul>\
                    <pre><code>kubectl get pods\n  -A</code></pre><iframe src=\"javascript:steal()\">x</iframe>\
                    <a href=\"javascript:steal()\">click</a><noscript>enable</noscript></body></html>";
        let text = to_markdown(page.to_owned()).unwrap();
        assert!(text.starts_with("# Pool & queue\n"), "{text}");
        for wanted in ["## Cause", "The pool is **empty**.", "one", "two", "kubectl get pods\n  -A"] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        for gone in ["onclick", "<script", "p{}", "iframe", "enable"] {
            assert!(!text.contains(gone), "{gone}: {text}");
        }
    }

    #[test]
    fn a_page_that_nests_without_end_is_refused_and_a_flat_one_of_any_length_is_not() {
        let deep = format!("{}x", "<div>".repeat(100_000));
        assert!(to_markdown(deep).unwrap_err().contains("512"));
        // Close tags of another name do not hide the nesting.
        let hidden = format!("{}x", "<div></i>".repeat(100_000));
        assert!(to_markdown(hidden).unwrap_err().contains("512"));
        let flat = "<p>one<p>two<br><div>three</div><!-- <div> -->".repeat(5_000);
        assert!(to_markdown(flat).unwrap().contains("three"));
        let odd = format!("{}deep{}", "<li><ul>".repeat(500), "</ul>".repeat(500));
        assert!(to_markdown(odd).unwrap().contains("deep"));
    }

    #[test]
    fn what_is_no_html_at_all_is_still_only_text() {
        assert_eq!(to_markdown("plain < words & more".to_owned()).unwrap().trim(), "plain < words & more");
    }
}
