//! Colours where somebody sees them, and strangers' text made harmless.

use std::io::IsTerminal;

/// Longest piece of strangers' text on one line: what a terminal shows without wrapping twice.
const TEXT_CHARS_MAX: usize = 200;

#[derive(Clone, Copy, Debug)]
pub struct Paint {
    on: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Colour {
    Red,
    Green,
    Yellow,
    Blue,
    Cyan,
    Dim,
    Bold,
}

impl Paint {
    /// Colours only when standard output is a terminal and `NO_COLOR` is not set.
    pub fn for_stdout() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { on: std::io::stdout().is_terminal() && !unwanted }
    }

    pub fn of(self, colour: Colour, text: &str) -> String {
        if !self.on {
            return text.to_owned();
        }
        let code = match colour {
            Colour::Red => "31",
            Colour::Green => "32",
            Colour::Yellow => "33",
            Colour::Blue => "34",
            Colour::Cyan => "36",
            Colour::Dim => "2",
            Colour::Bold => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// Text that came from alerts, logs or tools: no control character of it reaches the terminal, and no more of it than a
/// line.
pub fn plain(text: &str) -> String {
    let mut plain: String = text
        .chars()
        .map(|c| if c.is_control() || is_direction(c) { ' ' } else { c })
        .take(TEXT_CHARS_MAX)
        .collect();
    if text.chars().nth(TEXT_CHARS_MAX).is_some() {
        plain.push('…');
    }
    plain
}

/// Marks that make a terminal show text in another order than it has.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cannot_write_escapes_or_pages() {
        assert_eq!(plain("a\u{1b}[2Jb\nc\u{202e}d"), "a [2Jb c d");
        let long = "x".repeat(10_000);
        assert_eq!(plain(&long).chars().count(), TEXT_CHARS_MAX + 1);
    }

    #[test]
    fn without_a_terminal_nothing_is_coloured() {
        assert_eq!(Paint { on: false }.of(Colour::Red, "x"), "x");
        assert_eq!(Paint { on: true }.of(Colour::Red, "x"), "\u{1b}[31mx\u{1b}[0m");
    }
}
