//! Numbers that carry their own check: cards and bank accounts.

/// An issuer's prefix with a length that issuer uses, and the check digit of ISO/IEC 7812 (Luhn).
pub(super) fn is_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let prefix = |count: usize| digits.iter().take(count).fold(0, |value, digit| value * 10 + digit);
    let known = match digits.len() {
        13 | 19 => prefix(1) == 4,
        14 => matches!(prefix(2), 36 | 38 | 39) || (300..=305).contains(&prefix(3)),
        15 => matches!(prefix(2), 34 | 37),
        16 => {
            prefix(1) == 4
                || (51..=55).contains(&prefix(2))
                || (2221..=2720).contains(&prefix(4))
                || prefix(4) == 6011
                || matches!(prefix(2), 35 | 62 | 64 | 65)
        }
        _ => false,
    };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| match index % 2 {
            0 => *digit,
            _ if *digit > 4 => digit * 2 - 9,
            _ => digit * 2,
        })
        .sum();
    known && sum.is_multiple_of(10)
}

/// Bytes at the start of `text` that are an account number of ISO 13616: a country that has them, its length, and
/// a remainder of one (ISO 7064, MOD 97-10).
pub(super) fn iban_bytes(text: &str) -> Option<usize> {
    let length = iban_length(text.get(..2)?)?;
    let mut places = text.char_indices().filter(|(_, c)| *c != ' ');
    let end = places.nth(length - 1).map(|(at, c)| at + c.len_utf8())?;
    // A longer run of letters is another thing.
    let rest = text.get(end..)?;
    if !rest.is_empty() && !rest.starts_with(' ') {
        return None;
    }
    let compact: Vec<char> = text.get(..end)?.chars().filter(|c| *c != ' ').collect();
    let moved = compact.iter().skip(4).chain(compact.iter().take(4));
    let remainder = moved
        .filter_map(|c| c.to_digit(36))
        .fold(0u32, |rest, value| (rest * if value > 9 { 100 } else { 10 } + value) % 97);
    (remainder == 1).then_some(end)
}

/// From the registry of ISO 13616.
fn iban_length(country: &str) -> Option<usize> {
    Some(match country {
        "NO" => 15,
        "BE" => 16,
        "DK" | "FI" | "FO" | "GL" | "NL" => 18,
        "MK" | "SI" => 19,
        "AT" | "BA" | "EE" | "KZ" | "LT" | "LU" | "XK" => 20,
        "CH" | "HR" | "LI" | "LV" => 21,
        "BG" | "BH" | "CR" | "DE" | "GB" | "GE" | "IE" | "ME" | "RS" | "VA" => 22,
        "AE" | "GI" | "IL" | "IQ" | "TL" => 23,
        "AD" | "CZ" | "ES" | "MD" | "PK" | "RO" | "SA" | "SE" | "SK" | "TN" | "VG" => 24,
        "PT" | "ST" => 25,
        "IS" | "TR" => 26,
        "FR" | "GR" | "IT" | "MC" | "MR" | "SM" => 27,
        "AL" | "AZ" | "BY" | "CY" | "DO" | "GT" | "HU" | "LB" | "PL" | "SV" => 28,
        "BR" | "EG" | "PS" | "QA" | "UA" => 29,
        "JO" | "KW" | "MU" => 30,
        "MT" | "SC" => 31,
        "LC" => 32,
        _ => return None,
    })
}
