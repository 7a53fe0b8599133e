//! Comma-, tab-, semicolon- and bar-separated rows, as RFC 4180 has them.
//!
//! Owns splitting, open quotes, and finding the columns: by the names in the first row, or by what stands in them.

use super::{FieldNames, Format, YEAR_UNWRITTEN, level_of};
use crate::timestamp;

const DELIMITERS: [char; 4] = [',', '\t', ';', '|'];
/// Rows that must agree before columns are believed in without names.
const NAMELESS_ROWS_MIN: usize = 4;

/// The format, if the lines are rows of as many cells each.
pub(super) fn detect(lines: &[&str]) -> Option<Format> {
    let (first, rest) = lines.split_first()?;
    DELIMITERS.into_iter().find_map(|delimiter| named(first, rest, delimiter)).or_else(|| {
        DELIMITERS.into_iter().find_map(|delimiter| nameless(&whole_rows(lines, delimiter), delimiter))
    })
}

/// The first row names the columns, one of them a time, a level or a message, and most rows are as wide.
fn named(first: &str, rest: &[&str], delimiter: char) -> Option<Format> {
    let columns: Vec<String> = split(first, delimiter).iter().map(|name| name.trim().to_owned()).collect();
    let is_name = |name: &String| {
        !name.is_empty()
            && name.len() <= 64
            && name.bytes().any(|b| b.is_ascii_alphabetic())
            && !name.contains(['=', '{', ':'])
    };
    let names = FieldNames::default();
    let useful = columns.iter().any(|column| names.is_known(column));
    if columns.len() < 2 || !useful || !columns.iter().all(is_name) {
        return None;
    }
    let rows = whole_rows(rest, delimiter);
    let same = rows.iter().filter(|row| split(row, delimiter).len() == columns.len()).count();
    (!rows.is_empty() && same * 10 >= rows.len() * 8).then_some(Format::Csv { delimiter, columns })
}

/// Without names: one column is times, one is levels, in nearly every row; the widest other is the message.
fn nameless(rows: &[String], delimiter: char) -> Option<Format> {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| split(row, delimiter)).collect();
    let width = rows.first()?.len();
    let nearly_all = |count: usize| count * 10 >= rows.len() * 9;
    if rows.len() < NAMELESS_ROWS_MIN
        || width < 3
        || !nearly_all(rows.iter().filter(|row| row.len() == width).count())
    {
        return None;
    }
    let column = |index: usize| rows.iter().filter_map(move |row| row.get(index));
    let first_where = |is: fn(&str) -> bool| {
        (0..width).find(|index| nearly_all(column(*index).filter(|cell| is(cell.trim())).count()))
    };
    let time = first_where(|cell| timestamp::parse(cell, YEAR_UNWRITTEN).is_some())?;
    let level = first_where(|cell| cell.parse::<i64>().is_err() && level_of(cell).is_some())?;
    let bytes = |index: usize| column(index).map(String::len).sum::<usize>();
    let message =
        (0..width).filter(|index| *index != time && *index != level).max_by_key(|index| bytes(*index))?;
    let name = |index: usize| match index {
        _ if index == time => "time".to_owned(),
        _ if index == level => "level".to_owned(),
        _ if index == message => "message".to_owned(),
        _ => format!("column_{}", index + 1),
    };
    Some(Format::Csv { delimiter, columns: (0..width).map(name).collect() })
}

/// Lines joined to rows where a quote is open at a line's end.
fn whole_rows(lines: &[&str], delimiter: char) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    let mut open = false;
    for line in lines {
        match rows.last_mut().filter(|_| open) {
            Some(row) => {
                row.push('\n');
                row.push_str(line);
            }
            None => rows.push((*line).to_owned()),
        }
        open = is_open(line, delimiter, open);
    }
    rows
}

/// True if a quote is open behind the line, given whether one was before it: then the row goes on.
pub(crate) fn is_open(line: &str, delimiter: char, open: bool) -> bool {
    let mut inside = open;
    // Only a cell's first character opens a quote: 5" is a length.
    let mut cell_begins = !open;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if inside {
            if c == '"' && chars.next_if_eq(&'"').is_none() {
                inside = false;
            }
        } else if c == '"' && cell_begins {
            (inside, cell_begins) = (true, false);
        } else {
            cell_begins = c == delimiter || cell_begins && c == ' ';
        }
    }
    inside
}

/// Cells may be quoted, and then hold the delimiter, line ends, and quotes doubled.
pub(crate) fn split(line: &str, delimiter: char) -> Vec<String> {
    let mut cells = vec![];
    let mut cell = String::new();
    let mut inside = false;
    let mut cell_begins = true;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if inside {
            match c {
                '"' if chars.next_if_eq(&'"').is_some() => cell.push('"'),
                '"' => inside = false,
                other => cell.push(other),
            }
        } else if c == '"' && cell_begins {
            cell.clear();
            inside = true;
            cell_begins = false;
        } else if c == delimiter {
            cells.push(std::mem::take(&mut cell));
            cell_begins = true;
        } else {
            cell.push(c);
            cell_begins = cell_begins && c == ' ';
        }
    }
    cells.push(cell);
    cells
}

/// True for a row that is whole by itself: as wide as the columns, and a time or a level where one belongs.
pub(crate) fn is_whole_row(line: &str, delimiter: char, columns: &[String]) -> bool {
    if is_open(line, delimiter, false) {
        return false;
    }
    let cells = split(line, delimiter);
    cells.len() == columns.len()
        && cells.len() > 1
        && cells.iter().any(|cell| {
            let cell = cell.trim();
            timestamp::parse(cell, YEAR_UNWRITTEN).is_some() || cell.len() > 3 && level_of(cell).is_some()
        })
}

/// True for a row that only repeats the columns' names: a file's first, also of files joined.
pub(crate) fn is_names(line: &str, delimiter: char, columns: &[String]) -> bool {
    let first = columns.first().map_or("", String::as_str);
    line.trim_start().trim_start_matches('"').starts_with(first)
        && split(line, delimiter).iter().map(|cell| cell.trim()).eq(columns.iter().map(String::as_str))
}
