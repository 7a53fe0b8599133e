//! Paths on an endpoint: which are well-formed, and which a grant's pattern covers.

use serde::{Deserialize, Serialize};

/// 2 KiB: what servers commonly accept.
const PATH_BYTES_MAX: usize = 2048;

/// A path with `{name}` in place of some segments; each stands for exactly one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PathPattern(String);

impl PathPattern {
    /// # Errors
    /// Not a path, or a wildcard that is not a whole segment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bare = text.split('/').map(|segment| if is_wildcard(segment) { "x" } else { segment });
        let bare = bare.collect::<Vec<_>>().join("/");
        if bare.contains(['{', '}', '*']) {
            return Err(format!(
                "path `{text}`: a wildcard is a whole segment in braces, as in /flags/{{name}}"
            ));
        }
        check_path(&bare).map_err(|why| format!("path `{text}`: {why}"))?;
        Ok(Self(text.to_owned()))
    }

    /// `path` must have passed [`check_path`].
    pub fn matches(&self, path: &str) -> bool {
        let (mut pattern, mut given) = (self.0.split('/'), path.split('/'));
        loop {
            match (pattern.next(), given.next()) {
                (None, None) => return true,
                (Some(expected), Some(segment)) if expected == segment => {}
                (Some(expected), Some(segment)) if is_wildcard(expected) && !segment.is_empty() => {}
                _ => return false,
            }
        }
    }

    /// The pattern with its one wildcard filled in.
    pub fn filled(&self, value: &str) -> String {
        self.0
            .split('/')
            .map(|segment| if is_wildcard(segment) { value } else { segment })
            .collect::<Vec<_>>()
            .join("/")
    }

    pub fn wildcards(&self) -> usize {
        self.0.split('/').filter(|segment| is_wildcard(segment)).count()
    }
}

impl<'de> Deserialize<'de> for PathPattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

fn is_wildcard(segment: &str) -> bool {
    segment.len() > 2 && segment.starts_with('{') && segment.ends_with('}')
}

/// Whether a path means the same to every server: absolute, no empty or dot segments, no query, and nothing encoded
/// that a server might decode into a separator.
///
/// # Errors
/// What is wrong with it.
pub fn check_path(path: &str) -> Result<(), &'static str> {
    if path.len() > PATH_BYTES_MAX {
        return Err("longer than 2,048 bytes");
    }
    let Some(inner) = path.strip_prefix('/') else {
        return Err("must begin with a slash; an endpoint has a name, never a URL");
    };
    if inner.is_empty() {
        return Ok(());
    }
    // A trailing slash is an empty last segment: one place, one spelling.
    inner.split('/').try_for_each(check_segment)
}

fn check_segment(segment: &str) -> Result<(), &'static str> {
    if segment.is_empty() {
        return Err("has an empty segment");
    }
    if segment == "." || segment == ".." {
        return Err("has a dot segment");
    }
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {}
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b','
            | b'=' | b':' | b'@' => {}
            b'%' => match (bytes.next().and_then(hex), bytes.next().and_then(hex)) {
                (Some(high), Some(low)) => check_encoded(high * 16 + low)?,
                _ => return Err("has a % that encodes nothing"),
            },
            b'?' | b'#' => return Err("carries a query or fragment; query parameters are given apart"),
            b';' => return Err("carries path parameters"),
            _ => return Err("has a character that must be encoded"),
        }
    }
    Ok(())
}

fn check_encoded(byte: u8) -> Result<(), &'static str> {
    match byte {
        b'/' | b'\\' | b'.' | b'%' | b'?' | b'#' | b';' => Err("encodes a separator"),
        0..=0x1f | 0x7f => Err("encodes a control character"),
        _ => Ok(()),
    }
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_one_segment_a_wildcard() {
        let pattern = PathPattern::parse("/v1/flags/{name}").unwrap();
        for path in ["/v1/flags/fast", "/v1/flags/a%20b"] {
            assert!(pattern.matches(path), "{path}");
        }
        for path in
            ["/v1/flags", "/v1/flags/", "/v1/flags/a/b", "/v2/flags/a", "/v1/flags/a/", "/x/v1/flags/a"]
        {
            assert!(!pattern.matches(path), "{path}");
        }
        assert_eq!(PathPattern::parse("/ops/{key}").unwrap().filled("medic-1"), "/ops/medic-1");
    }

    #[test]
    fn patterns_that_would_cover_more_than_they_say_are_refused() {
        for text in
            ["/v1/*", "/v1/{name}.json", "v1", "/a//b", "/a/../b", "/a?x={b}", "/{}", "https://host/a", ""]
        {
            assert!(PathPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_that_two_servers_could_read_differently_are_refused() {
        for path in [
            "/admin/../secrets",
            "/admin/./config",
            "/admin//config",
            "/admin/",
            "/admin/%2e%2e/x",
            "/admin/%2E./x",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a%00",
            "/a%0d%0aHost: x",
            "/a b",
            "/a?b=c",
            "/a#b",
            "/a%3fb",
            "/a;b=c",
            "/%252e%252e/x",
            "/a%2",
            "http://evil/a",
            "//evil/a",
            "admin",
            "",
            "/ä",
        ] {
            assert!(check_path(path).is_err(), "{path}");
        }
        for path in ["/", "/admin/config", "/a/b-c_d.e~f", "/v1/x:action", "/a%20b", "/...", "/@me"] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
    }
}
