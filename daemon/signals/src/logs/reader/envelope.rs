//! What a container runtime or a tool that shows several containers wraps around each line.
//!
//! Owns opening one line's wrapper. Never joins what was cut: the reader does.

use crate::timestamp;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A longer name in front of a line is none.
const NAME_BYTES_MAX: usize = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrapper {
    /// The container runtime interface: `2024-05-01T10:05:00.123456789Z stdout F message`.
    Cri,
    /// Docker's json-file driver: `{"log":"message\n","stream":"stdout","time":"…"}`.
    Docker,
    /// `docker compose logs`: `cart-1  | message`.
    Compose,
    /// `kubectl logs --prefix`: `[pod/cart-7f9c/cart] message`.
    Kubectl,
}

/// A line and what its wrapper says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Envelope<'a> {
    pub wrapper: Option<Wrapper>,
    pub at_ms: Option<u64>,
    pub stream: Cow<'a, str>,
    pub service: &'a str,
    /// The pod or the container, where the service is only a part of its name.
    pub instance: &'a str,
    /// The line was cut by the runtime and goes on in the next of its stream.
    pub partial: bool,
    pub text: Cow<'a, str>,
}

/// Total: a line without a wrapper is its own text.
pub(super) fn open(line: &str) -> Envelope<'_> {
    let opened = match line.as_bytes().first() {
        Some(b'{') => docker(line),
        Some(b'[') => kubectl(line),
        Some(b'0'..=b'9') => cri(line),
        Some(b'a'..=b'z' | b'A'..=b'Z') => compose(line),
        _ => None,
    };
    opened.unwrap_or_else(|| Envelope { text: Cow::Borrowed(line), ..Envelope::default() })
}

fn cri(line: &str) -> Option<Envelope<'_>> {
    let blank = memchr::memchr(b' ', line.as_bytes())?;
    let (time, rest) = (line.get(..blank)?, line.get(blank + 1..)?);
    if !rest.starts_with("std") {
        return None;
    }
    let (stream, rest) = rest.split_once(' ').filter(|(stream, _)| matches!(*stream, "stdout" | "stderr"))?;
    let (tag, text) = rest.split_once(' ').unwrap_or((rest, ""));
    // Tags may follow one another, with colons between; the first says whether the line is whole.
    let partial = match tag.split(':').next()? {
        "F" => false,
        "P" => true,
        _ => return None,
    };
    Some(Envelope {
        wrapper: Some(Wrapper::Cri),
        // The year is written here; the one given is never used.
        at_ms: Some(timestamp::parse(time, 1970)?),
        stream: Cow::Borrowed(stream),
        partial,
        text: Cow::Borrowed(text),
        ..Envelope::default()
    })
}

fn docker(line: &str) -> Option<Envelope<'_>> {
    /// Exactly what the driver writes; a shipper that adds fields is read as JSON.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Line<'a> {
        #[serde(borrow)]
        log: Cow<'a, str>,
        #[serde(borrow, default)]
        stream: Cow<'a, str>,
        #[serde(borrow)]
        time: Cow<'a, str>,
        #[serde(default)]
        #[allow(dead_code, reason = "the operator's labels, the same on each line: read past")]
        attrs: serde::de::IgnoredAny,
    }
    if !line.starts_with("{\"log\":\"") {
        return None;
    }
    let read: Line<'_> = serde_json::from_str(line).ok()?;
    let partial = !read.log.ends_with('\n');
    let text = read.log.trim_end_matches(['\n', '\r']);
    Some(Envelope {
        wrapper: Some(Wrapper::Docker),
        at_ms: Some(timestamp::parse(&read.time, 1970)?),
        text: Cow::Owned(super::without_escapes(text).into_owned()),
        stream: read.stream,
        partial,
        ..Envelope::default()
    })
}

fn kubectl(line: &str) -> Option<Envelope<'_>> {
    let window = line.len().min(2 * NAME_BYTES_MAX);
    let end = line.as_bytes().get(..window)?.iter().position(|byte| *byte == b']')?;
    let (pod, container) = line.get(..end)?.strip_prefix("[pod/")?.split_once('/')?;
    let text = line.get(end + 1..)?;
    Some(Envelope {
        wrapper: Some(Wrapper::Kubectl),
        service: container,
        instance: pod,
        text: Cow::Borrowed(text.strip_prefix(' ').unwrap_or(text)),
        ..Envelope::default()
    })
}

/// `cart-1  | message` and, of the older tool, `shop_cart_1  | message`: a name with a number, then a bar.
fn compose(line: &str) -> Option<Envelope<'_>> {
    let window = line.len().min(NAME_BYTES_MAX);
    let end = memchr::memchr(b'|', line.as_bytes().get(..window)?)?;
    let name = line.get(..end)?.strip_suffix(' ')?.trim_end();
    let text = line
        .get(end + 1..)?
        .strip_prefix(' ')
        .or_else(|| line.get(end + 1..).filter(|rest| rest.is_empty()))?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let (service, number) = name.rsplit_once(['-', '_'])?;
    let counted = !number.is_empty() && number.len() <= 3 && number.bytes().all(|byte| byte.is_ascii_digit());
    let begins = service.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
    (counted && begins && service.bytes().all(is_name)).then(|| Envelope {
        wrapper: Some(Wrapper::Compose),
        service,
        instance: name,
        text: Cow::Borrowed(text),
        ..Envelope::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, wrapper: Option<Wrapper>, service: &str, text: &str, partial: bool) {
        let opened = open(line);
        let got = (opened.wrapper, opened.service, opened.text.as_ref(), opened.partial);
        assert_eq!(got, (wrapper, service, text, partial), "{line:?}");
    }

    #[test]
    fn each_wrapper_is_opened() {
        check("2024-05-01T10:05:00.123456789Z stdout F a b", Some(Wrapper::Cri), "", "a b", false);
        check("2024-05-01T10:05:00.123456789+02:00 stderr P a", Some(Wrapper::Cri), "", "a", true);
        check("2024-05-01T10:05:00Z stdout F", Some(Wrapper::Cri), "", "", false);
        let docker =
            r#"{"log":"a \u001b[31mb\u001b[0m\n","stream":"stderr","time":"2024-05-01T10:05:00.1Z"}"#;
        check(docker, Some(Wrapper::Docker), "", "a b", false);
        let labelled = r#"{"log":"a","stream":"stdout","attrs":{"tag":"x"},"time":"2024-05-01T10:05:00Z"}"#;
        check(labelled, Some(Wrapper::Docker), "", "a", true);
        check("cart-1  | ready", Some(Wrapper::Compose), "cart", "ready", false);
        check("shop_cart_12 | ready", Some(Wrapper::Compose), "shop_cart", "ready", false);
        check("[pod/cart-7f9c/app] ready", Some(Wrapper::Kubectl), "app", "ready", false);
    }

    #[test]
    fn what_resembles_a_wrapper_stays_whole() {
        for line in [
            "",
            "2024-05-01T10:05:00Z stdout is closed",
            "2024-05-01T10:05:00Z INFO F x",
            r#"{"log":"a\n","stream":"stdout","time":"2024-05-01T10:05:00Z","kubernetes":{"pod":"x"}}"#,
            r#"{"log":"a\n","stream":"stdout","time":"later"}"#,
            r#"{"log":"cut o"#,
            "INFO | started",
            "a-1|b",
            "2024-05-01 | x",
            "[pod] x",
            "[pod/x] y",
            "[main] INFO x",
        ] {
            check(line, None, "", line, false);
        }
    }
}
