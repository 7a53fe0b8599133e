//! Text for people: hostile words made harmless, times made readable, columns made even.
//!
//! Owns what may reach a terminal. Alerts, logs and plugins can say anything; nothing they say moves the cursor, changes
//! a colour, reverses reading order or looks like a line of ours.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

/// One line: control and invisible characters gone, line breaks shown as spaces.
pub fn plain(text: &str) -> String {
    text.chars()
        .filter_map(|c| match c {
            '\n' | '\t' => Some(' '),
            c if c.is_control() || is_invisible(c) => None,
            c => Some(c),
        })
        .collect()
}

/// As [`plain`], keeping line breaks; each line behind a bar, so that it cannot be taken for ours.
pub fn block(text: &str, indent: &str) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        let _ = writeln!(lines, "{indent}│ {}", plain(line));
    }
    lines
}

/// Somebody else's words, marked as such.
pub fn quoted(text: &str) -> String {
    format!("“{}”", plain(text).replace(['“', '”'], "'"))
}

/// At most `chars` characters.
pub fn short(text: &str, chars: usize) -> String {
    let text = plain(text);
    if text.chars().count() <= chars {
        return text;
    }
    let kept: String = text.chars().take(chars.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// Format characters that have no picture of their own and change how others are read.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// `2026-11-22 21:17:05Z`.
pub fn instant(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| "?".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// `21:17:05`.
pub fn clock(ms: u64) -> String {
    instant(ms).get(11..19).unwrap_or("?").to_owned()
}

/// `850 ms`, `42 s`, `12 min`, `3 h 05 min`, `2 d 4 h`.
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

pub fn ago(ms: u64, now_ms: u64) -> String {
    format!("{} ago", duration(now_ms.saturating_sub(ms)))
}

pub fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}

/// The first twelve hex digits of a digest.
pub fn short_digest(digest: &str) -> &str {
    digest.strip_prefix("sha256:").and_then(|hex| hex.get(..12)).unwrap_or(digest)
}

#[derive(Clone, Copy, Debug)]
pub struct Style {
    pub on: bool,
}

impl Style {
    /// Colours only where a person looks and has not asked for none.
    pub fn of_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { on: wanted && std::io::stdout().is_terminal() }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }
    pub fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }
    pub fn attention(self, text: &str) -> String {
        self.paint("33", text)
    }

    pub fn phase(self, phase: &str) -> String {
        let text = plain(phase);
        match phase {
            "RESOLVED" => self.good(&text),
            "ESCALATED" => self.bad(&text),
            "AWAITING_DECISION" => self.attention(&text),
            _ => text,
        }
    }
}

/// Rows of plain cells under a head. The last column takes the room that is left.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|cell| (*cell).to_owned()).collect()] }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells.iter().map(|cell| plain(cell)).collect());
    }

    pub fn is_empty(&self) -> bool {
        self.rows.len() < 2
    }

    pub fn render(&self, style: Style) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(line, "{cell:<width$}  ");
            }
            let line = line.trim_end();
            let line = if index == 0 { style.dim(line) } else { line.to_owned() };
            let _ = writeln!(text, "{line}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_cannot_act_on_a_terminal_or_forge_a_line() {
        let hostile = "ok\x1b[2J\x1b]0;x\x07\r\nAPPROVED\u{202e}live\u{9b}31m\u{200b}";
        assert_eq!(plain(hostile), "ok[2J]0;x APPROVEDlive31m");
        assert_eq!(block("a\nb\x1b[1m", "  "), "  │ a\n  │ b[1m\n");
        assert_eq!(quoted("it is “safe” now"), "“it is 'safe' now”");
        let mut table = Table::new(&["A", "B"]);
        table.row(vec!["x\ny".into(), "\x1b[31mz".into()]);
        assert_eq!(table.render(Style { on: false }), "A    B\nx y  [31mz\n");
    }

    #[test]
    fn durations_and_times_read_as_people_say_them() {
        let cases = [
            (850, "850 ms"),
            (42_000, "42 s"),
            (720_000, "12 min"),
            (11_100_000, "3 h 05 min"),
            (187_200_000, "2 d 4 h"),
        ];
        for (ms, said) in cases {
            assert_eq!(duration(ms), said);
        }
        assert_eq!(instant(1_795_345_000_000), "2026-11-22 10:56:40Z");
        assert_eq!(clock(1_795_345_000_000), "10:56:40");
        assert_eq!(instant(u64::MAX), "?");
        assert_eq!(ago(5_000, 1_000), "0 ms ago");
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        assert_eq!(short("äöüß", 4), "äöüß");
        assert_eq!(short("äöüßx", 4), "äöü…");
    }
}
