//! Which lines without a head of their own belong to the record above: stack traces and panics.
//!
//! Owns the shapes in which Java, Python, Go, Rust and Node print them. Sees one line at a time, in the text as the
//! program wrote it. Where lines begin with a time that tells more, and the reader uses it instead.

use crate::logs::record::Level;

/// Far longer than any function's name in a trace.
const HEAD_BYTES_MAX: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    /// Nothing seen that only a trace has.
    #[default]
    None,
    Java,
    /// Frames: the unindented line that ends them names the error and belongs to them.
    PythonOpen,
    /// Behind that line only a word of chaining opens another.
    PythonClosed,
    /// Behind the word.
    PythonChained,
    Go,
    /// The panic's own message stands on the next line.
    RustMessage,
    Rust,
    /// `file:line` was printed, then the source; the error follows.
    NodeSource,
    Node,
}

/// A record's trace as its lines come.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Trace(Kind);

impl Trace {
    /// What the first line of a record opens.
    pub fn of(first: &str) -> Self {
        let head = clip(first);
        Self(if holds_traceback(head) {
            Kind::PythonOpen
        } else if is_rust_panic(head) {
            if head.trim_end().ends_with(':') { Kind::RustMessage } else { Kind::Rust }
        } else if head.starts_with("panic: ") || head.starts_with("fatal error: ") || is_goroutine(head) {
            Kind::Go
        } else if is_source_position(head) {
            Kind::NodeSource
        } else if head.starts_with("Exception in thread ") || is_java_throwable(head) {
            Kind::Java
        } else {
            Kind::None
        })
    }

    /// How bad it is when the line itself names no level.
    pub fn level(self) -> Option<Level> {
        match self.0 {
            Kind::None | Kind::NodeSource => None,
            Kind::Go | Kind::Rust | Kind::RustMessage => Some(Level::Fatal),
            _ => Some(Level::Error),
        }
    }

    /// True if the line belongs to the record; then it is also remembered. `troubled`: the record speaks of trouble,
    /// so that an error's name behind it is that trouble's.
    pub fn takes(&mut self, text: &str, troubled: bool) -> bool {
        let head = clip(text);
        if head.starts_with([' ', '\t']) {
            if self.0 == Kind::None && head.trim_start().starts_with("at ") {
                self.0 = Kind::Node;
            }
            return true;
        }
        let next = match self.0 {
            _ if head.starts_with("Traceback (most recent call last)") => {
                (self.0 != Kind::PythonClosed).then_some(Kind::PythonOpen)
            }
            Kind::PythonOpen => Some(Kind::PythonClosed),
            Kind::PythonClosed if is_python_chain(head) => Some(Kind::PythonChained),
            Kind::Go if is_go_line(head) => Some(Kind::Go),
            Kind::RustMessage => Some(Kind::Rust),
            Kind::Rust if is_rust_line(head) => Some(Kind::Rust),
            Kind::NodeSource => is_error_name(head).then_some(Kind::Node),
            Kind::Node if head.starts_with("Node.js v") || matches!(head.trim_end(), "}" | "]" | "},") => {
                Some(Kind::Node)
            }
            _ if is_any_trace_line(head) => Some(self.0),
            Kind::None | Kind::Java if troubled && is_java_throwable(head) => Some(Kind::Java),
            _ => None,
        };
        if let Some(kind) = next {
            self.0 = kind;
        }
        next.is_some()
    }

    /// True where only the blank line's neighbours tell: it lies inside the trace.
    pub fn is_open(self) -> bool {
        self.0 != Kind::None
    }
}

/// Anywhere in the line: loggers put it behind their message.
fn holds_traceback(head: &str) -> bool {
    let bytes = head.as_bytes();
    memchr::memchr_iter(b'T', bytes)
        .any(|at| bytes.get(at..).is_some_and(|from| from.starts_with(b"Traceback (most recent call last)")))
}

fn clip(text: &str) -> &str {
    crate::logs::mask::clip(text, HEAD_BYTES_MAX)
}

/// Lines that only a stack trace has, though they are not indented.
fn is_any_trace_line(head: &str) -> bool {
    ["at ", "Caused by:", "Suppressed:", "stack backtrace:", "... "]
        .iter()
        .any(|start| head.starts_with(start))
        || is_goroutine(head)
}

fn is_goroutine(head: &str) -> bool {
    head.strip_prefix("goroutine ").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// `thread 'main' panicked at src/main.rs:2:5:`; since Rust 1.84 also with the thread's number.
fn is_rust_panic(head: &str) -> bool {
    head.starts_with("thread '") && head.contains(" panicked at ")
}

fn is_rust_line(head: &str) -> bool {
    let frame = || {
        let digits = head.bytes().take_while(u8::is_ascii_digit).count();
        digits > 0 && head.get(digits..).is_some_and(|rest| rest.starts_with(": "))
    };
    head.starts_with("note: ") || head.starts_with("stack backtrace:") || frame()
}

fn is_python_chain(head: &str) -> bool {
    head.starts_with("During handling of the above exception")
        || head.starts_with("The above exception was the direct cause")
}

/// `main.run(0xc000, {0x1, 0x2})`, `created by net/http.(*Server).Serve in goroutine 1`, `[signal SIGSEGV: …]`.
fn is_go_line(head: &str) -> bool {
    let call = || {
        let function = head.split('(').next().unwrap_or("");
        head.trim_end().ends_with(')')
            && function.contains('.')
            && function
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/' | b'_' | b'-' | b'%'))
    };
    ["created by ", "[signal ", "exit status ", "panic: ", "runtime stack:"]
        .iter()
        .any(|start| head.starts_with(start))
        || is_goroutine(head)
        || call()
}

/// `/app/server.js:42` or `node:internal/errors:496` alone on a line.
fn is_source_position(head: &str) -> bool {
    let begins = head.starts_with('/') || head.starts_with("file:///") || head.starts_with("node:");
    let Some((path, line)) = head.trim_end().rsplit_once(':') else { return false };
    begins && !path.contains(' ') && !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit())
}

/// `TypeError: x is not a function`, `Error`, `[ERR_X]: …`; also behind `Uncaught`.
fn is_error_name(head: &str) -> bool {
    let head = head.strip_prefix("Uncaught ").unwrap_or(head);
    let name = head.split([':', ' ']).next().unwrap_or("");
    (name.ends_with("Error") || name.ends_with("Exception"))
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
}

/// `java.lang.IllegalStateException: pool empty`, `com.shop.Broken$Error`.
fn is_java_throwable(head: &str) -> bool {
    let end = memchr::memchr(b':', head.as_bytes()).unwrap_or(head.len());
    let name = head.get(..end).unwrap_or("").trim_end();
    // Before anything else: it is what hardly any line has.
    if !["Exception", "Error", "Throwable"].iter().any(|end| name.ends_with(end)) {
        return false;
    }
    let last = name.rsplit(['.', '$']).next().unwrap_or("");
    name.contains('.')
        && ["Exception", "Error", "Throwable"].iter().any(|end| last.ends_with(end))
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'$'))
}
