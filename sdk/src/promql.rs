//! Owns how a value enters a PromQL expression, so that no argument can end the string it stands in.

use std::fmt::Write;

use crate::args::Window;

/// A value that [`promql!`](crate::promql) may put into an expression.
pub trait PromValue {
    /// Writes the value as it stands after `=` or as an operand.
    fn write(&self, out: &mut String);

    /// Writes the value as it stands after `=~`: what means something in a regular expression is escaped.
    fn write_regex(&self, out: &mut String) {
        self.write(out);
    }
}

impl PromValue for str {
    fn write(&self, out: &mut String) {
        out.push('"');
        push_escaped(out, self.chars());
        out.push('"');
    }

    fn write_regex(&self, out: &mut String) {
        out.push('"');
        for character in self.chars() {
            if r"\.+*?()|[]{}^$-".contains(character) {
                // Escaped once for the regular expression, and the backslash once more for the string around it.
                out.push_str(r"\\");
            }
            push_escaped(out, [character]);
        }
        out.push('"');
    }
}

fn push_escaped(out: &mut String, characters: impl IntoIterator<Item = char>) {
    for character in characters {
        match character {
            '\\' => out.push_str(r"\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str(r"\n"),
            '\r' => out.push_str(r"\r"),
            '\t' => out.push_str(r"\t"),
            control if control.is_control() => push_code_point(out, control),
            other => out.push(other),
        }
    }
}

fn push_code_point(out: &mut String, control: char) {
    // Writing to a string cannot fail.
    let _ = write!(out, "\\u{:04x}", u32::from(control));
}

impl PromValue for String {
    fn write(&self, out: &mut String) {
        self.as_str().write(out);
    }

    fn write_regex(&self, out: &mut String) {
        self.as_str().write_regex(out);
    }
}

impl<T: PromValue + ?Sized> PromValue for &T {
    fn write(&self, out: &mut String) {
        (**self).write(out);
    }

    fn write_regex(&self, out: &mut String) {
        (**self).write_regex(out);
    }
}

macro_rules! written_as_displayed {
    ($($ty:ty),+) => { $(
        impl PromValue for $ty {
            fn write(&self, out: &mut String) {
                let _ = write!(out, "{self}");
            }
        }
    )+ };
}
written_as_displayed!(Window, u8, u16, u32, u64, usize, i32, i64);

/// PromQL's own names for what is not a number.
impl PromValue for f64 {
    fn write(&self, out: &mut String) {
        let _ = match *self {
            value if value.is_nan() => write!(out, "NaN"),
            value if value.is_infinite() => write!(out, "{}Inf", if value > 0.0 { "+" } else { "-" }),
            value => write!(out, "{value}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use crate::args::Window;
    use crate::promql;

    #[test]
    fn text_is_quoted_and_windows_are_not() {
        let (service, window) = ("checkout", Window::parse("5m").unwrap());
        assert_eq!(
            promql!("sum(rate(http_requests_total{service=$service}[$window])) > $limit", limit = 0.05),
            r#"sum(rate(http_requests_total{service="checkout"}[5m])) > 0.05"#
        );
    }

    #[test]
    fn no_value_ends_the_string_it_stands_in() {
        let service = "a\"} or vector(1) #\\\n\u{0}";
        assert_eq!(promql!("up{service=$service}"), r#"up{service="a\"} or vector(1) #\\\n\u0000"}"#);
    }

    #[test]
    fn after_a_match_operator_nothing_is_a_pattern() {
        let service = "a.b|.*";
        assert_eq!(promql!("up{service=~$service}"), r#"up{service=~"a\\.b\\|\\.\\*"}"#);
        assert_eq!(promql!("up{service!~$service}"), r#"up{service!~"a\\.b\\|\\.\\*"}"#);
        assert_eq!(promql!("up{service=~$s}", s = r"\"), r#"up{service=~"\\\\"}"#);
    }

    #[test]
    fn a_dollar_inside_a_quoted_literal_is_a_dollar() {
        assert_eq!(promql!(r#"up{code=~"5..$"}"#), r#"up{code=~"5..$"}"#);
    }
}
