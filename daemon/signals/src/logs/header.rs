//! The columns in front of a plain line's message: time, level, thread, host, component.
//!
//! Owns finding how many leading columns of a file are header. Never interprets the message behind them.
//!
//! Nothing is configured: a file's lines agree on what kind of thing stands in each of their first columns,
//! and messages do not. Lines of the same shape count a few times only, so that a thousand repetitions of
//! one message do not turn its words into columns.

use super::mask::Masked;
use super::record::Level;
use crate::timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Columns looked at: BGL, the widest known, has nine.
const COLUMNS_MAX: usize = 12;
/// Lines of one shape that have a say.
const SHAPE_LINES_MAX: usize = 3;
/// Shapes needed before lines can be said to agree.
const SHAPES_MIN: usize = 4;
/// Words of a name that a dash sets off from the message: `chrome.exe *64 - …`.
const BEFORE_DASH_MAX: usize = 3;
/// The share of lines that must agree on a column.
const AGREEMENT_MIN: f64 = 0.92;
/// Fewer different values than this make a word column one of the header's: a facility, a source.
const VALUES_FEW: usize = 4;
/// A thread's name may hold a path and a block's id.
const BRACKET_BYTES_MAX: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Time,
    Number,
    Dash,
    Level,
    Bracket,
    /// One word with a colon at its end.
    Component,
    /// A word with marks or digits inside: a host, a dotted name.
    Name,
    Word,
}

#[derive(Debug, Clone, Copy)]
struct Column<'a> {
    class: Class,
    text: &'a str,
    at_ms: Option<u64>,
    /// Where the next column begins.
    next: usize,
    /// Two or more blanks behind it: columns are aligned.
    padded: bool,
}

/// What a line's header said.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Header<'a> {
    pub at_ms: Option<u64>,
    pub level: Option<Level>,
    pub component: Option<&'a str>,
    pub host: Option<&'a str>,
    pub thread: Option<&'a str>,
    pub pid: Option<&'a str>,
    pub message: &'a str,
}

/// What the columns of a file are.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct HeaderModel {
    /// The majority's class for each header column; None where any will do.
    columns: Vec<Option<Class>>,
    /// Behind the columns stands a name of one to [`BEFORE_DASH_MAX`] words and a dash, in nearly all lines.
    until_dash: bool,
    /// Lines begin with a time: one that does not continues the line above.
    pub begins_with_time: bool,
    year: i16,
}

impl HeaderModel {
    pub fn learn(lines: &[&str], year: i16) -> Self {
        let mut shapes: HashMap<String, usize> = HashMap::new();
        let mut rows: Vec<Vec<Column>> = Vec::new();
        let mut timed = 0usize;
        let mut counted = 0usize;
        let mut first_timed = None;
        for line in lines.iter().filter(|line| !line.trim().is_empty()) {
            counted += 1;
            let row = columns(line, year);
            let has_time = row.iter().take(2).any(|column| column.class == Class::Time);
            timed += usize::from(has_time);
            first_timed.get_or_insert(has_time);
            if line.starts_with([' ', '\t']) {
                continue;
            }
            let seen = shapes.entry(Masked::of(line).text).or_default();
            *seen += 1;
            if *seen <= SHAPE_LINES_MAX {
                rows.push(row);
            }
        }
        // Stack traces may outnumber the lines they belong to; then the first line must show the way.
        let begins_with_time = timed * 10 >= counted.max(1) * 6
            || (timed >= 2 && timed * 5 >= counted && first_timed.unwrap_or(false));
        // Continuations have no header; where lines begin with a time they are told by that.
        if begins_with_time {
            rows.retain(|row| row.iter().take(2).any(|column| column.class == Class::Time));
        }
        let columns = if shapes.len() >= SHAPES_MIN { agreed(&rows) } else { Vec::new() };
        let until_dash = !columns.is_empty() && names_before_dash(&rows, columns.len());
        Self { columns, until_dash, begins_with_time, year }
    }

    pub fn split<'a>(&self, line: &'a str) -> Header<'a> {
        self.by_columns(line).unwrap_or_else(|| by_grammar(line, &columns(line, self.year)))
    }

    /// True if the line begins as lines of this file do.
    pub fn begins(&self, line: &str) -> bool {
        Columns::of(line, self.year).take(2).any(|column| column.class == Class::Time)
    }

    /// Looks at no more columns than it must: most of a line's are its message's.
    fn by_columns<'a>(&self, line: &'a str) -> Option<Header<'a>> {
        if self.columns.is_empty() {
            return None;
        }
        let mut header = Header::default();
        let mut row = Columns::of(line, self.year);
        // Where the message begins, and whether all columns were there.
        let (mut begin, mut whole) = (0, true);
        for expected in &self.columns {
            let Some(column) = row.next() else { break };
            match expected {
                Some(Class::Time | Class::Level) if Some(column.class) != *expected => {
                    // Not this file's header after all, unless the essential part has been read.
                    if header.at_ms.is_none() && header.level.is_none() {
                        return None;
                    }
                    whole = false;
                    break;
                }
                Some(class @ (Class::Component | Class::Dash | Class::Bracket)) if column.class != *class => {
                    whole = false;
                    break;
                }
                _ => {}
            }
            take(&mut header, &column, expected.is_some());
            begin = column.next;
        }
        if whole
            && self.until_dash
            && let Some(first) = row.next().filter(|first| first.class != Class::Dash)
            && let Some(dash) = row.take(BEFORE_DASH_MAX).find(|column| column.class == Class::Dash)
        {
            header.component = header.component.or(Some(first.text));
            begin = dash.next;
        }
        header.message = line.get(begin..).unwrap_or("").trim();
        Some(header)
    }
}

/// Where the first dash behind the columns stands, if soon and not at once.
fn dash_after(row: &[Column], columns: usize) -> Option<usize> {
    let window = row.iter().enumerate().skip(columns).take(BEFORE_DASH_MAX + 1);
    window
        .into_iter()
        .find(|(_, column)| column.class == Class::Dash)
        .map(|(at, _)| at)
        .filter(|at| *at > columns)
}

/// True if nearly all rows have a dash behind the columns and few different names before it.
fn names_before_dash(rows: &[Vec<Column>], columns: usize) -> bool {
    let named: Vec<&str> = rows
        .iter()
        .filter(|row| dash_after(row, columns).is_some())
        .filter_map(|row| row.get(columns).map(|column| column.text))
        .collect();
    let names: BTreeSet<&str> = named.iter().copied().collect();
    named.len() as f64 >= AGREEMENT_MIN * rows.len() as f64 && names.len() * 2 <= named.len()
}

/// Without enough lines to compare: a time, then dashes, a level, brackets, and a component, as far as they go.
fn by_grammar<'a>(line: &'a str, row: &[Column<'a>]) -> Header<'a> {
    let mut header = Header { message: line.trim(), ..Header::default() };
    let level_at = row.iter().take(6).position(|column| column.class == Class::Level);
    let syslog = row.first().is_some_and(|column| {
        column.class == Class::Time && column.text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
    });
    let component_at = row.iter().take(4).position(|column| column.class == Class::Component);
    for (index, column) in row.iter().enumerate() {
        let known = header.at_ms.is_some() || header.level.is_some();
        let take_it = match column.class {
            Class::Time => header.at_ms.is_none(),
            Class::Level => header.level.is_none() && (known || index < 2),
            Class::Dash => known,
            Class::Bracket => known || level_at.is_some_and(|at| at > index),
            Class::Number => known && level_at.is_some_and(|at| at > index),
            Class::Component => known,
            // A host stands between a syslog time and the program.
            Class::Name | Class::Word => syslog && index == 1 && component_at == Some(2),
        };
        if !take_it {
            break;
        }
        take(&mut header, column, true);
        header.message = line.get(column.next..).unwrap_or("").trim();
        if column.class == Class::Component {
            break;
        }
    }
    header
}

fn take<'a>(header: &mut Header<'a>, column: &Column<'a>, certain: bool) {
    match column.class {
        Class::Time if header.at_ms.is_none() => header.at_ms = column.at_ms,
        Class::Level if header.level.is_none() => header.level = level_of(column.text),
        Class::Component if certain => {
            let name = column.text.trim_end_matches(':');
            let (program, rest) =
                name.split_at_checked(name.find(['[', '(']).unwrap_or(name.len())).unwrap_or((name, ""));
            header.component = Some(program).filter(|program| !program.is_empty());
            if let Some(pid) = rest.rsplit_once('[').map(|(_, pid)| pid.trim_end_matches(']'))
                && !pid.is_empty()
                && pid.bytes().all(|byte| byte.is_ascii_digit())
            {
                header.pid = Some(pid);
            }
        }
        Class::Bracket if header.thread.is_none() => {
            header.thread = Some(column.text.trim_matches(['[', ']', ':'])).filter(|text| !text.is_empty());
        }
        Class::Number if header.pid.is_none() => header.pid = Some(column.text),
        Class::Name | Class::Word if header.host.is_none() => header.host = Some(column.text),
        _ => {}
    }
}

/// The classes of the leading columns that the rows agree on; empty if there is no header.
fn agreed(rows: &[Vec<Column>]) -> Vec<Option<Class>> {
    let mut found: Vec<Option<Class>> = Vec::new();
    let mut end: usize = 0;
    // Word columns since the last certain one: they are header only if something certain follows.
    let mut words_between = false;
    for index in 0..COLUMNS_MAX {
        let present: Vec<&Column> = rows.iter().filter_map(|row| row.get(index)).collect();
        if present.is_empty() || (present.len() as f64) < AGREEMENT_MIN * rows.len() as f64 {
            break;
        }
        let mut classes: BTreeMap<Class, usize> = BTreeMap::new();
        let mut values: BTreeSet<&str> = BTreeSet::new();
        for column in &present {
            *classes.entry(column.class).or_default() += 1;
            if values.len() <= VALUES_FEW {
                values.insert(column.text);
            }
        }
        let Some((class, count)) = classes.into_iter().max_by_key(|(_, count)| *count) else { break };
        let agree = count as f64 >= AGREEMENT_MIN * present.len() as f64;
        let few = values.len() <= VALUES_FEW && present.len() > 4 * VALUES_FEW;
        let aligned =
            few && present.iter().filter(|column| column.padded).count() * 100 >= present.len() * 95;
        let certain = match class {
            Class::Time | Class::Level | Class::Component | Class::Dash | Class::Bracket => agree,
            Class::Number => agree && !words_between,
            Class::Name | Class::Word => aligned,
        };
        found.push(agree.then_some(class));
        if certain {
            // Across words of the message only a time or a level reaches back; a program across the host that
            // syslog puts between the time and it.
            let last = end.checked_sub(1).and_then(|at| found.get(at).copied().flatten());
            let host = class == Class::Component && index == end + 1 && last == Some(Class::Time);
            if words_between && !host && !matches!(class, Class::Time | Class::Level) {
                break;
            }
            end = index + 1;
            words_between = false;
            if class == Class::Component {
                break;
            }
        } else if !(few || class == Class::Name && agree) {
            words_between = true;
        }
    }
    found.truncate(end);
    let essential = found.iter().any(|class| matches!(class, Some(Class::Time | Class::Level)));
    if essential { found } else { Vec::new() }
}

fn columns(line: &str, year: i16) -> Vec<Column<'_>> {
    Columns::of(line, year).collect()
}

/// The columns of a line, one after the other: no list is made for the few that most lines are asked for.
struct Columns<'a> {
    line: &'a str,
    year: i16,
    at: usize,
    count: usize,
}

impl<'a> Columns<'a> {
    fn of(line: &'a str, year: i16) -> Self {
        Self { line, year, at: 0, count: 0 }
    }
}

impl<'a> Iterator for Columns<'a> {
    type Item = Column<'a>;

    fn next(&mut self) -> Option<Column<'a>> {
        if self.count >= COLUMNS_MAX {
            return None;
        }
        let (line, bytes) = (self.line, self.line.as_bytes());
        while bytes.get(self.at).is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'|' | b',')) {
            self.at += 1;
        }
        let rest = line.get(self.at..).filter(|rest| !rest.is_empty())?;
        let (length, class, at_ms) = column(rest, self.year, self.count);
        let text = rest.get(..length).unwrap_or(rest);
        let end = self.at + length;
        let gap = bytes.iter().skip(end).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let mut next = end;
        while bytes.get(next).is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'|')) {
            next += 1;
        }
        self.at = next.max(self.at + 1);
        while !line.is_char_boundary(self.at) {
            self.at += 1;
        }
        self.count += 1;
        Some(Column { class, text, at_ms, next, padded: gap >= 2 })
    }
}

/// Length, class and time of the column that `rest` begins with.
fn column(rest: &str, year: i16, index: usize) -> (usize, Class, Option<u64>) {
    let first = rest.as_bytes().first().copied().unwrap_or(b' ');
    if first.is_ascii_alphanumeric()
        && let Some(found) = timestamp::find(rest, year).or_else(|| unpadded(rest, year))
    {
        return (found.length, Class::Time, Some(found.at_ms));
    }
    // klog: I0102 15:04:05.000000 with the level in front of the month.
    if index == 0
        && rest.len() > 6
        && matches!(first, b'I' | b'W' | b'E' | b'F')
        && rest.get(5..6) == Some(" ")
    {
        let digits = rest.get(1..5).unwrap_or("");
        if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return (1, Class::Level, None);
        }
    }
    if first == b'[' || first == b'(' {
        let close = if first == b'[' { b']' } else { b')' };
        if let Some(end) = balanced(rest.as_bytes(), first, close) {
            let inner = rest.get(1..end).unwrap_or("").trim();
            let colon = usize::from(rest.as_bytes().get(end + 1) == Some(&b':'));
            let length = end + 1 + colon;
            if let Some(found) = timestamp::find(inner, year).filter(|found| found.length == inner.len()) {
                return (length, Class::Time, Some(found.at_ms));
            }
            return (length, if level_of(inner).is_some() { Class::Level } else { Class::Bracket }, None);
        }
    }
    let length = rest.bytes().take_while(|byte| !matches!(byte, b' ' | b'\t' | b'|')).count();
    let text = rest.get(..length).unwrap_or(rest);
    let numeric = |text: &str| {
        let marks = |byte: &u8| matches!(byte, b',' | b':' | b'#');
        let bytes = text.as_bytes();
        let digits =
            bytes.iter().skip_while(|byte| marks(byte)).take_while(|byte| byte.is_ascii_digit()).count();
        let lead = bytes.iter().take_while(|byte| marks(byte)).count();
        bytes.iter().skip(lead + digits).all(marks)
    };
    let class = if text.bytes().all(|byte| matches!(byte, b'-' | b':' | b'>' | b'=')) {
        Class::Dash
    } else if numeric(text) {
        Class::Number
    } else if (text.len() > 1 || index > 0) && level_of(text).is_some() {
        Class::Level
    } else if text.len() > 1 && text.ends_with(':') && !text.contains('=') {
        Class::Component
    } else if text.bytes().any(|byte| !byte.is_ascii_alphabetic()) {
        Class::Name
    } else {
        Class::Word
    };
    (length, class, None)
}

/// A time of day without its leading zeros: `20171223-22:5:9:606`.
fn unpadded(rest: &str, year: i16) -> Option<timestamp::Found> {
    const TIME_BYTES_MAX: usize = 32;
    let bytes = rest.as_bytes();
    if !bytes.first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let length = bytes
        .iter()
        .take(TIME_BYTES_MAX)
        .take_while(|byte| byte.is_ascii_digit() || b":-/. T".contains(byte))
        .count();
    let bytes = bytes.get(..length).filter(|bytes| bytes.contains(&b':'))?;
    let is = |at: Option<usize>, test: fn(&u8) -> bool| at.and_then(|at| bytes.get(at)).is_some_and(test);
    let alone = |at: usize| {
        let (before, after) = (at.checked_sub(1), Some(at + 1));
        is(Some(at), u8::is_ascii_digit)
            && !is(before, u8::is_ascii_digit)
            && !is(after, u8::is_ascii_digit)
            && (is(before, |byte| *byte == b':') || is(after, |byte| *byte == b':'))
    };
    if !(0..length).any(alone) {
        return None;
    }
    let mut padded = String::with_capacity(length + 4);
    // Where in the text each byte of the padded one comes from.
    let mut origins = Vec::with_capacity(length + 4);
    for (at, byte) in bytes.iter().enumerate() {
        if alone(at) {
            padded.push('0');
            origins.push(at);
        }
        padded.push(char::from(*byte));
        origins.push(at + 1);
    }
    let found = timestamp::find(&padded, year)?;
    Some(timestamp::Found { length: *origins.get(found.length.checked_sub(1)?)?, ..found })
}

/// Where the bracket that opens the text closes, nesting counted.
fn balanced(bytes: &[u8], open: u8, close: u8) -> Option<usize> {
    let mut depth = 0usize;
    for (at, byte) in bytes.iter().take(BRACKET_BYTES_MAX).enumerate() {
        if *byte == open {
            depth += 1;
        } else if *byte == close {
            depth = depth.checked_sub(1)?;
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}

/// A level as it stands in a header: upper case, or capitalised, or within brackets; one letter for Android.
fn level_of(text: &str) -> Option<Level> {
    /// The longest name of a level with the marks around it.
    const BYTES_MAX: usize = 32;
    if text.len() > BYTES_MAX {
        return None;
    }
    let is_mark = |byte: &u8| matches!(byte, b'[' | b']' | b'<' | b'>' | b'(' | b')' | b':' | b',' | b'*');
    let lead = text.bytes().take_while(|byte| is_mark(byte)).count();
    let inside = text.get(lead..).unwrap_or("");
    let tail = inside.bytes().rev().take_while(|byte| is_mark(byte)).count();
    let bare = inside.get(..inside.len() - tail).unwrap_or("").trim();
    let mut chars = bare.chars();
    match (chars.next(), chars.next()) {
        (Some(letter), None) => Level::from_letter(letter),
        // `log` and `config` are ordinary words.
        _ if matches!(bare, "log" | "config" | "fine" | "alert" | "failure" | "panic") => None,
        _ => Level::parse(bare),
    }
}
