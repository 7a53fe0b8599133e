//! Text from a guest or an endpoint, made fit for a terminal, a log and a prompt.
//!
//! Owns the removal of what would act on the reader's screen rather than be read. Never judges what the text says:
//! whoever shows it must still show it as somebody else's words.

/// Removes ANSI escape sequences, control characters but for newline and tab, and the invisible characters that turn
/// reading order around; cuts at `bytes_max` on a character border.
pub fn plain(text: &str, bytes_max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(bytes_max));
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            skip_escape(&mut rest);
            continue;
        }
        if (c.is_control() && c != '\n' && c != '\t') || is_invisible(c) {
            continue;
        }
        if out.len() + c.len_utf8() > bytes_max {
            break;
        }
        out.push(c);
    }
    out
}

/// As [`plain`], on one line.
pub fn line(text: &str, bytes_max: usize) -> String {
    plain(text, bytes_max).replace(['\n', '\t'], " ")
}

fn skip_escape(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match rest.peek() {
        // CSI: parameters, then one final byte in @..~.
        Some('[') => {
            rest.next();
            while let Some(c) = rest.next_if(|c| ('\u{20}'..='\u{7e}').contains(c)) {
                if ('@'..='~').contains(&c) {
                    break;
                }
            }
        }
        // OSC, DCS, PM, APC: up to BEL or ST; none of it is for a reader.
        Some(']' | 'P' | '^' | '_') => {
            while let Some(c) = rest.next() {
                if c == '\u{7}' {
                    break;
                }
                if c == '\u{1b}' {
                    rest.next();
                    break;
                }
            }
        }
        Some(_) => {
            rest.next();
        }
        None => {}
    }
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
        || ('\u{e0000}'..='\u{e007f}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_controls_vanish_and_words_stay() {
        assert_eq!(plain("\u{1b}[31mred\u{1b}[0m alert", 100), "red alert");
        assert_eq!(plain("a\u{1b}]0;title\u{7}b\u{1b}]8;;http://x\u{1b}\\c", 100), "abc");
        assert_eq!(plain("a\r\u{8}b\nc\td", 100), "ab\nc\td");
        assert_eq!(plain("safe\u{202e}gpj.exe", 100), "safegpj.exe");
        assert_eq!(line("one\ntwo", 100), "one two");
    }

    #[test]
    fn text_is_cut_on_a_character_border() {
        assert_eq!(plain("ärger", 1), "");
        assert_eq!(plain("ärger", 3), "är");
    }
}
