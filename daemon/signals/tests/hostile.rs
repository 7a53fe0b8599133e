//! Inputs made to be slow: four times as long must not take much more than four times as long.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may be blunt")]
#![allow(clippy::disallowed_methods, reason = "time spent is what is tested")]

use medic_signals::logs::reader::{LINE_BYTES_MAX, ReaderOptions, read_all};
use medic_signals::logs::translate;
use medic_signals::redact::{LineRedactor, redact};
use std::time::{Duration, Instant};

/// Bytes of the shorter input. The longer has four times as many.
const BYTES: usize = 12 * 1024;
/// Linear is 4, quadratic 16; between them is room for a busy machine.
const RATIO_MAX: f64 = 10.0;
/// What takes less is too short to compare, and short enough.
const NEGLIGIBLE: Duration = Duration::from_millis(40);

fn of_length(piece: &str, bytes: usize) -> String {
    piece.repeat(bytes.div_ceil(piece.len()))
}

fn took(work: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    work();
    begin.elapsed()
}

/// How often a ratio may be bad before it is believed: a busy machine is not bad each time, quadratic work is.
const ATTEMPTS: usize = 4;

fn check(name: &str, piece: &str, work: impl Fn(&str)) {
    let (short, long) = (of_length(piece, BYTES), of_length(piece, 4 * BYTES));
    let mut seen = Vec::new();
    for _ in 0..ATTEMPTS {
        let long_took = took(|| work(&long));
        if long_took < NEGLIGIBLE {
            return;
        }
        let short_took = took(|| work(&short));
        if long_took.as_secs_f64() < RATIO_MAX * short_took.as_secs_f64() {
            return;
        }
        seen.push((short_took, long_took));
    }
    panic!("{name} of {piece:?} is not linear: {seen:?}");
}

/// Pieces that open something and never close it, or almost match again and again.
const PIECES: [&str; 48] = [
    "\"",
    "\\",
    "\\\"",
    "[",
    "]",
    "{",
    "}",
    "{\"a\":",
    "[[\"",
    "(",
    "'",
    "`",
    "1",
    "12 ",
    "4111 ",
    "a",
    "a.",
    "a@",
    "a=",
    "a=\"",
    "=",
    ",",
    ",\"",
    ";",
    "|",
    "\t",
    "<",
    "<34>",
    "<34>1 - - - - - [a b=\"",
    "://",
    "x://a:",
    "password=",
    "token='",
    "cookie: ",
    "bearer ",
    "eyJ",
    "eyJaaaaaaaa.",
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN ",
    "--token ",
    "DE89 3704 ",
    "name: PASSWORD value ",
    "mysql -",
    "\u{1b}",
    "\u{1b}[",
    "\u{1b}]",
    "é",
    "\u{0}",
];

const LINES: [&str; 16] = [
    "\"\n",
    "a\n",
    "  at x\n",
    "{\n",
    "{\"a\":1\n",
    "goroutine 1\n",
    "Traceback (most recent call last):\n",
    "<34>\n",
    "2024-05-01T10:05:00Z stdout P \n",
    "2024-05-01T10:05:00Z stdout P a\"\n",
    "{\"log\":\"a\",\"stream\":\"s\",\"time\":\"2024-05-01T10:05:00Z\"}\n",
    "a-1 | \n",
    "I0501 10:05:00 1 x\n",
    "panic: \n",
    "Jan  1 00:00:00 Dec 31\n",
    "\r\n",
];

#[test]
fn reading_is_linear_in_one_long_line_and_in_many() {
    let read = |text: &str| {
        let (records, stats) = read_all(text.as_bytes(), ReaderOptions::default());
        assert!(records.iter().all(|record| record.raw.len() <= LINE_BYTES_MAX));
        assert!(stats.records <= stats.lines);
    };
    for piece in PIECES {
        check("one line", piece, read);
        // Below the limit on a line, and many of them.
        let line = of_length(piece, 2 * 1024).replace('\n', "") + "\n";
        check("long lines", &line, read);
    }
    for line in LINES {
        check("many lines", line, read);
    }
}

#[test]
fn rows_of_csv_with_a_quote_that_never_closes_are_linear() {
    for line in ["\n", "a\n", ",\n", "\"\"\n", "a\"\n", "\" \"\n", "2024-05-01 10:05:00,x\n"] {
        check("csv", line, |text| {
            let whole = format!(
                "time,level,message\n2024-05-01 10:05:00,INFO,\"ok\"\n2024-05-01 10:05:00,INFO,ok\n1,2,\"{text}"
            );
            read_all(whole.as_bytes(), ReaderOptions::default());
        });
    }
}

#[test]
fn redaction_is_linear() {
    for piece in PIECES {
        check("redact", piece, |text| {
            redact(text);
        });
    }
    for line in LINES {
        check("redact lines", line, |text| {
            let mut lines = LineRedactor::default();
            text.lines().for_each(|line| {
                lines.redact(line);
            });
        });
    }
}

#[test]
fn a_question_is_linear_whatever_it_is_made_of() {
    let words = [
        "between ",
        "not ",
        "errors and ",
        "about ",
        "last ",
        "the ",
        "\"a\" ",
        "a|",
        "service=a|",
        "text~\"a\"|",
        "from ",
        "on the 3rd ",
        "10:05 ",
        "a few ",
        "most common ",
        "without a or ",
        "99999999999999999999 ",
        "request 1 ",
    ];
    for piece in PIECES.into_iter().chain(words) {
        check("question", piece, |text| {
            translate(text, 1_714_559_400_000);
        });
    }
}
