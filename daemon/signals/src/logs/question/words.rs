//! Words of a question, and the small dictionary around them.

use super::WORDS_MAX;

/// A word as written, and in lower case; or the inside of a pair of quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub text: String,
    pub lower: String,
    pub quoted: bool,
}

/// Splits at blanks and commas; text within double quotes or backticks is one word, apostrophes are letters.
pub(super) fn split(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() && words.len() < WORDS_MAX {
        let opened = rest.chars().next().filter(|c| matches!(c, '"' | '`' | '“'));
        if let Some(open) = opened {
            let inside = rest.get(open.len_utf8()..).unwrap_or("");
            let close = if open == '“' { '”' } else { open };
            if let Some((quoted, tail)) = inside.split_once(close) {
                if !quoted.trim().is_empty() {
                    words.push(Word { text: quoted.to_owned(), lower: quoted.to_lowercase(), quoted: true });
                }
                rest = tail.trim_start();
                continue;
            }
            rest = inside.trim_start();
            continue;
        }
        let end = rest
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '`' | '“' | ';'))
            .unwrap_or(rest.len());
        let (raw, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let word = raw.trim_matches([',', '.', '?', '!', ';', '(', ')', '\'', ':']);
        if !word.is_empty() {
            words.push(Word { text: word.to_owned(), lower: word.to_lowercase(), quoted: false });
        }
        rest = tail.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
    }
    words
}

/// Words that carry nothing a query could hold.
pub(super) fn is_filler(word: &str) -> bool {
    is_line_noun(word)
        || matches!(
            word,
            "" | "the"
                | "a"
                | "an"
                | "all"
                | "any"
                | "me"
                | "us"
                | "please"
                | "show"
                | "give"
                | "find"
                | "get"
                | "list"
                | "search"
                | "what"
                | "which"
                | "who"
                | "did"
                | "do"
                | "does"
                | "is"
                | "are"
                | "was"
                | "were"
                | "there"
                | "that"
                | "have"
                | "has"
                | "had"
                | "happened"
                | "happen"
                | "say"
                | "said"
                | "see"
                | "saw"
                | "and"
                | "or"
                | "of"
                | "to"
                | "with"
                | "on"
                | "in"
                | "at"
                | "for"
                | "from"
                | "by"
                | "only"
                | "just"
                | "i"
                | "want"
                | "how"
                | "many"
                | "count"
                | "occurred"
                | "logged"
                | "been"
                | "level"
                | "service"
                | "services"
                | "can"
                | "you"
                | "look"
                | "tell"
                | "display"
                | "print"
                | "recent"
                | "every"
                | "some"
                | "it"
                | "we"
                | "went"
                | "going"
                | "containing"
                | "about"
                | "like"
                | "time"
                | "then"
                | "when"
                | "where"
                | "logs'"
                | "our"
                | "my"
                | "utc"
        )
}

/// What lines of a log are called.
pub(super) fn is_line_noun(word: &str) -> bool {
    matches!(
        word,
        "line"
            | "lines"
            | "log"
            | "logs"
            | "message"
            | "messages"
            | "entry"
            | "entries"
            | "record"
            | "records"
            | "event"
            | "events"
            | "output"
    )
}

/// What a service could be called: begins with a letter, no blanks, no time of day.
pub(super) fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic())
        && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':' | '@'))
        && !matches!(
            word,
            "about"
                | "after"
                | "before"
                | "between"
                | "since"
                | "until"
                | "last"
                | "past"
                | "today"
                | "yesterday"
                | "now"
                | "that"
                | "which"
        )
}

/// `timeouts` is asked and `timeout` found: the plural's ending goes, where it is surely one.
pub(super) fn singular(word: &str) -> String {
    if let Some(stem) = word.strip_suffix("ies").filter(|stem| stem.len() >= 3) {
        return format!("{stem}y");
    }
    let plain = ["ss", "us", "is", "as", "dns", "tls", "https"].iter().any(|end| word.ends_with(end));
    match word.strip_suffix('s') {
        Some(stem) if stem.len() >= 3 && !plain && stem.bytes().all(|byte| byte.is_ascii_lowercase()) => {
            stem.to_owned()
        }
        _ => word.to_owned(),
    }
}
