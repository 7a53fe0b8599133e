//! What could name something in a line: `blk_-123`, a UUID, `req-…`, `order 1234`, `trace_id=4bf92f3577b34da6`.
//!
//! Owns the shapes of identifiers and the word that stands before them. Never decides which of them matter: that is for
//! [`super::kind`], which sees how they come back.

use crate::logs::mask::clip;

/// Bytes of a line that are looked at: enough for lists of hundreds of blocks.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// Identifiers taken from one line.
const IDENTIFIERS_MAX: usize = 256;
/// Longer words are payload, not names.
const VALUE_BYTES_MAX: usize = 128;
const KEY_BYTES_MAX: usize = 24;
const UUID_BYTES: usize = 36;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identifier<'a> {
    pub value: &'a str,
    pub form: Form<'a>,
    /// The word before it, empty if none stands directly before.
    pub key: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form<'a> {
    /// With the word that leads it: `req-` of `req-550e8400-…`.
    Uuid(&'a str),
    Hex,
    Address,
    /// A pod of a replica set: `cart-7d9f8b6c5-x2x4z`, whatever it is a pod of.
    Pod,
    /// Digits alone say little: only with the word before them do they name anything.
    Integer,
    /// Letters first, digits in it: `blk_-123`, `node-7`, `attempt_1445_0001_m_000003_0`.
    Named,
}

impl Identifier<'_> {
    /// What its context is called: shape and, where the shape alone says little, the word before it.
    pub fn context(&self, name: &mut String) {
        name.clear();
        match self.form {
            Form::Uuid(lead) => {
                name.push_str(lead);
                name.push_str("<uuid>");
                if !lead.is_empty() {
                    return;
                }
            }
            Form::Hex => name.push_str("<hex>"),
            Form::Address => name.push_str("<address>"),
            Form::Integer => name.push_str("<integer>"),
            Form::Pod => {
                name.push_str("<pod>");
                return;
            }
            Form::Named => {
                shape(self.value, name);
                return;
            }
        }
        if !self.key.is_empty() {
            name.push_str(" after ");
            name.extend(self.key.chars().map(|c| c.to_ascii_lowercase()));
        }
    }

    /// Equal values of this form name the same thing wherever they stand.
    pub fn is_distinctive(&self) -> bool {
        match self.form {
            Form::Uuid(_) | Form::Pod => true,
            Form::Hex => self.value.len() >= 12,
            Form::Named => self.value.bytes().filter(u8::is_ascii_digit).count() >= 5,
            Form::Address | Form::Integer => false,
        }
    }
}

/// All identifiers of a line, in order.
pub(super) fn identifiers<'a>(line: &'a str, mut found: impl FnMut(Identifier<'a>)) {
    let line = clip(line, LINE_BYTES_MAX);
    let bytes = line.as_bytes();
    let (mut at, mut key, mut count) = (0, "", 0);
    while at < bytes.len() && count < IDENTIFIERS_MAX {
        let start = at;
        let mut digits = false;
        while let Some(byte) = bytes.get(at).filter(|byte| is_part(**byte)) {
            digits |= byte.is_ascii_digit();
            at += 1;
        }
        if at == start {
            // What stands in quotes, brackets or after a colon still belongs to the word before; a new clause does not.
            if matches!(bytes.get(at), Some(b',' | b';' | b'|')) {
                key = "";
            }
            at += 1;
            continue;
        }
        let run = line.get(start..at).unwrap_or("");
        if !digits && !is_pod(run) {
            key = run.trim_matches(['-', '.', '_']);
            continue;
        }
        if let Some((value, form)) = classify(run)
            && (form != Form::Integer || !key.is_empty())
        {
            found(Identifier { value, form, key: clip(key, KEY_BYTES_MAX) });
            count += 1;
        }
        key = "";
    }
}

fn is_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

fn classify(run: &str) -> Option<(&str, Form<'_>)> {
    let run = run.trim_end_matches(['.', '-', '_']).trim_start_matches(['.', '-']);
    if run.is_empty() || run.len() > VALUE_BYTES_MAX {
        return None;
    }
    if let Some(start) = uuid_at(run) {
        let lead = run.get(..start)?;
        let leads = lead.len() <= 16
            && lead.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-' || byte == b'_');
        let lead = if leads { lead } else { "" };
        let value = run.get(start - lead.len()..start + UUID_BYTES)?;
        return Some((value, Form::Uuid(lead)));
    }
    let all = |test: fn(u8) -> bool| run.bytes().all(test);
    if all(|byte| byte.is_ascii_digit()) {
        return Some((run, Form::Integer));
    }
    if run.parse::<std::net::Ipv4Addr>().is_ok() {
        return Some((run, Form::Address));
    }
    // Versions, decimals, file and host names: what they name lives longer than the log.
    if run.contains('.') {
        return None;
    }
    let hex = run.strip_prefix("0x").unwrap_or(run);
    if hex.len() >= 8 - 2 * usize::from(hex.len() < run.len())
        && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
        && (hex.len() < run.len() || hex.bytes().any(|byte| byte.is_ascii_alphabetic()))
    {
        return Some((run, Form::Hex));
    }
    if is_pod(run) {
        return Some((run, Form::Pod));
    }
    let first = run.trim_start_matches('_').bytes().next()?;
    (first.is_ascii_alphabetic() && !hex.is_empty()).then_some((run, Form::Named))
}

/// A name, a replica set's hash, and five characters: `cart-7d9f8b6c5-x2x4z`. What generates them uses neither vowels nor
/// 0, 1 and 3 (`rand.SafeEncodeString` of Kubernetes' apimachinery), so that one in a hundred has no digit; names from
/// elsewhere must have some.
fn is_pod(run: &str) -> bool {
    let safe = |part: &str| part.bytes().all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte));
    let digit = |part: &str| part.bytes().any(|byte| byte.is_ascii_digit());
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let Some((head, tail)) = run.rsplit_once('-').filter(|(_, tail)| tail.len() == 5) else { return false };
    let Some((name, hash)) = head.rsplit_once('-') else { return false };
    name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && plain(tail)
        && (safe(tail) || digit(tail))
        && match hash.len() {
            8..=10 => plain(hash) && (safe(hash) || digit(hash)),
            6 | 7 => plain(hash) && digit(hash),
            _ => false,
        }
}

/// Where 8-4-4-4-12 hexadecimal digits begin.
fn uuid_at(run: &str) -> Option<usize> {
    let bytes = run.as_bytes();
    let is_uuid = |window: &[u8]| {
        window.iter().enumerate().all(|(index, byte)| {
            if matches!(index, 8 | 13 | 18 | 23) { *byte == b'-' } else { byte.is_ascii_hexdigit() }
        })
    };
    bytes.windows(UUID_BYTES).position(is_uuid)
}

/// `attempt_1445_0001_m_000003_0` → `attempt_#_#_m_#_#`, `vol-0a1b2c` → `vol-*`.
fn shape(value: &str, name: &mut String) {
    let mut rest = value;
    loop {
        let end = rest.find(['_', '-']).unwrap_or(rest.len());
        let (segment, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let letters = segment.bytes().take_while(u8::is_ascii_alphabetic).count();
        let numbers = segment.get(letters..).unwrap_or("");
        if numbers.is_empty() {
            name.push_str(segment);
        } else if numbers.bytes().all(|byte| byte.is_ascii_digit()) {
            name.push_str(segment.get(..letters).unwrap_or(""));
            name.push('#');
        } else {
            name.push('*');
        }
        let Some(separator) = tail.chars().next() else { return };
        name.push(separator);
        // A minus behind a separator is a sign: `blk_-1` and `blk_1` are the same kind of thing.
        rest = tail.get(1..).unwrap_or("").trim_start_matches('-');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &[(&str, &str)]) {
        let mut got = Vec::new();
        identifiers(line, |one| {
            let mut context = String::new();
            one.context(&mut context);
            got.push((one.value.to_owned(), context));
        });
        let got: Vec<(&str, &str)> =
            got.iter().map(|(value, context)| (value.as_str(), context.as_str())).collect();
        assert_eq!(got, expected, "{line}");
    }

    #[test]
    fn identifiers_come_with_their_shape_and_the_word_before() {
        check(
            "Receiving block blk_-123 src: /10.0.0.1:80",
            &[("blk_-123", "blk_#"), ("10.0.0.1", "<address> after src")],
        );
        check(
            "[req-38101a0b-2096-447d-96ea-a692162415ae - -] [instance: b9000564-fe1a-409b-b8cc-1e88b294cd1d] ok",
            &[
                ("req-38101a0b-2096-447d-96ea-a692162415ae", "req-<uuid>"),
                ("b9000564-fe1a-409b-b8cc-1e88b294cd1d", "<uuid> after instance"),
            ],
        );
        check(
            "Deletion of /var/lib/instances/b9000564-fe1a-409b-b8cc-1e88b294cd1d_del complete",
            &[("b9000564-fe1a-409b-b8cc-1e88b294cd1d", "<uuid> after instances")],
        );
        check(
            "{\"trace_id\":\"4bf92f3577b34da6\",\"order\":1234}",
            &[("4bf92f3577b34da6", "<hex> after trace_id"), ("1234", "<integer> after order")],
        );
        check(
            "session 0x14ed93111f20027 of user7 took 15ms at 1.5",
            &[("0x14ed93111f20027", "<hex> after session"), ("user7", "user#")],
        );
        check(
            "pod checkout-7d9f8b6c5-x2x4z on node-12",
            &[("checkout-7d9f8b6c5-x2x4z", "<pod>"), ("node-12", "node-#")],
        );
        check(
            "pods=[shop/billing-worker-fp82m8xqh-xftrz shop/cart-bcdfghjk-mnpqr]",
            &[("billing-worker-fp82m8xqh-xftrz", "<pod>"), ("cart-bcdfghjk-mnpqr", "<pod>")],
        );
        check("our-very-own-thing of a-long-winded-name", &[]);
        check("attempt_1445_0001_m_000003_0", &[("attempt_1445_0001_m_000003_0", "attempt_#_#_m_#_#")]);
        check("2017-05-16 00:00:04.500 2931 took 4.5", &[]);
        check("", &[]);
    }
}
