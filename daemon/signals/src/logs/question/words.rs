//! Words of a question, and the small dictionary around them.

use super::WORDS_MAX;

/// A word as written, and in lower case; the inside of a pair of quotes; or a name with its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub text: String,
    /// Empty for what is quoted and for pairs: they are no words of the grammar.
    pub lower: String,
    pub quoted: bool,
    pub pair: Option<Pair>,
}

/// `service=checkout|cart`, `text~"a b"|"c"`, `level:error`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    /// In lower case, but for what follows `field.`.
    pub name: String,
    pub values: Vec<String>,
}

/// Names that a colon may follow; behind any other it is punctuation or a part of the word.
const COLON_NAMES: [&str; 12] = [
    "service",
    "app",
    "svc",
    "component",
    "level",
    "severity",
    "template",
    "limit",
    "text",
    "message",
    "msg",
    "show",
];
const NAME_BYTES_MAX: usize = 64;
const PUNCTUATION: [char; 9] = [',', '.', '?', '!', ';', '(', ')', '\'', ':'];

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
                    words.push(Word {
                        text: quoted.to_owned(),
                        lower: String::new(),
                        quoted: true,
                        pair: None,
                    });
                }
                rest = tail.trim_start();
                continue;
            }
            rest = inside.trim_start();
            continue;
        }
        if let Some((pair, tail)) = pair(rest) {
            let taken = rest.len() - tail.len();
            let text = rest.get(..taken).unwrap_or("").trim_end().to_owned();
            words.push(Word { text, lower: String::new(), quoted: false, pair: Some(pair) });
            rest = tail.trim_start();
            continue;
        }
        let end = rest
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '`' | '“' | ';'))
            .unwrap_or(rest.len());
        let (raw, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let word = raw.trim_matches(PUNCTUATION);
        if !word.is_empty() {
            words.push(Word { text: word.to_owned(), lower: word.to_lowercase(), quoted: false, pair: None });
        }
        rest = tail.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
    }
    words
}

/// A name, a mark and one or more values with bars between, and what follows.
fn pair(text: &str) -> Option<(Pair, &str)> {
    let end = text
        .bytes()
        .take(NAME_BYTES_MAX)
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'@'))
        .count();
    let (name, rest) = text.split_at_checked(end)?;
    let (mark, mut rest) = (rest.chars().next()?, rest.get(1..)?);
    let lower = name.to_ascii_lowercase();
    let known = matches!(mark, '=' | '~') || mark == ':' && COLON_NAMES.contains(&lower.as_str());
    if !known || !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '@') {
        return None;
    }
    let mut values = Vec::new();
    loop {
        let (value, tail) = match rest.strip_prefix('"') {
            Some(inside) => unquote(inside)?,
            None => {
                let end = rest
                    .find(|c: char| c.is_whitespace() || matches!(c, '"' | '`' | '“' | ';' | '|'))
                    .unwrap_or(rest.len());
                let (raw, tail) = rest.split_at_checked(end)?;
                (raw.trim_matches(PUNCTUATION).to_owned(), tail)
            }
        };
        if !value.trim().is_empty() && !values.contains(&value) {
            values.push(value);
        }
        match tail.strip_prefix('|') {
            Some(more) => rest = more,
            None => {
                rest = tail;
                break;
            }
        }
    }
    let name = if lower.starts_with("field.") { format!("field.{}", name.get(6..)?) } else { lower };
    (!values.is_empty()).then_some((Pair { name, values }, rest))
}

/// The text up to the closing quote; a backslash stands before a quote or a backslash.
fn unquote(inside: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = inside.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, inside.get(at + 1..)?)),
            '\\' => match chars.next_if(|(_, next)| matches!(next, '"' | '\\')) {
                Some((_, escaped)) => value.push(escaped),
                None => value.push('\\'),
            },
            other => value.push(other),
        }
    }
    None
}

/// A value as [`split`] reads it back.
pub(super) fn quote(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Without quotes, where a value needs none.
pub(super) fn quote_if_needed(value: &str) -> String {
    let inner = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '@' | ':');
    let bare = value.chars().all(inner) && value.trim_matches(PUNCTUATION) == value && !value.is_empty();
    if bare { value.to_owned() } else { quote(value) }
}

/// A value rather than a word: an address, a UUID, `blk_7`, `ORD-99`. A count or a time of day is none.
pub(super) fn is_identifier(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let marked = word.bytes().any(|byte| matches!(byte, b'.' | b'-' | b'_' | b'/' | b'#'))
        || word.bytes().any(|byte| byte.is_ascii_alphabetic());
    digits > 0 && word.len() >= 4 && !word.contains(':') && (marked || digits >= 5)
}

/// What an identifier is said to be of.
pub(super) fn is_identified(word: &str) -> bool {
    matches!(
        word,
        "request"
            | "trace"
            | "span"
            | "order"
            | "session"
            | "user"
            | "customer"
            | "transaction"
            | "block"
            | "id"
            | "ip"
            | "address"
            | "host"
            | "node"
            | "pod"
            | "instance"
            | "job"
            | "thread"
            | "status"
            | "code"
            | "http"
            | "port"
            | "account"
            | "client"
            | "task"
            | "build"
            | "commit"
    )
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
                | "but"
                | "other"
                | "also"
                | "there's"
                | "whose"
                | "be"
                | "being"
                | "per"
                | "number"
                | "total"
                | "ones"
                | "most"
                | "anything"
                | "everything"
                | "something"
                | "appear"
                | "appeared"
                | "occur"
                | "written"
                | "came"
                | "come"
                | "mention"
                | "check"
                | "their"
                | "its"
                | "these"
                | "those"
                | "this"
                | "he"
                | "they"
                | "could"
                | "would"
                | "let"
                | "need"
                | "if"
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
