//! DIAGNOSTIC: names and certificates of granted endpoints.

mod certificate;
mod dns;

pub use certificate::check_certificate;
pub use dns::dns_lookup;

medic_sdk::export_diagnostic_tools!(dns_lookup, check_certificate);

/// Words of another machine: shown without control characters and cut.
fn plain(text: &str, chars_max: usize) -> String {
    text.chars().filter(|character| !character.is_control()).take(chars_max).collect()
}
