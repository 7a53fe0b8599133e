//! A query is shown in a form that reads back as itself, whatever was asked.

use medic_signals::logs::question::{TypedQuery, translate};
use proptest::prelude::*;

fn question() -> impl Strategy<Value = String> {
    let phrases = [
        "errors",
        "warnings or worse",
        "in checkout",
        "from the cart service",
        "and",
        "or",
        "not",
        "without",
        "except",
        "debug",
        "about",
        "the database",
        "\"quoted text\"",
        "\"a \\ b\"",
        "after 10:05",
        "between 9 and 10",
        "on the 3rd",
        "yesterday",
        "last 15 minutes",
        "since",
        "before",
        "how many",
        "top 5",
        "templates",
        "which services",
        "per minute",
        "every 5 minutes",
        "service=a|b.",
        "service=\"x y\"",
        "level=warn",
        "not.level=info|debug",
        "field.a.B=c",
        "user=\"\"",
        "text~\"a\\\"b\"|c",
        "not~x|y",
        "limit=5",
        "last=3",
        "from=10:05",
        "to=now",
        "show=count",
        "every=90s",
        "template",
        "00c0ffee00c0ffee",
        "status 500",
        "blk_-17",
        "10.0.0.7",
        "ünïcode",
        "service=ünïcode",
        "a=.",
        "=",
        "~",
        "|",
        "\"",
        "`",
        "the latest",
        "first",
        "20",
        "lines",
        "tonight",
        "this week",
        "a few minutes ago",
        ";",
        "a;b",
        "don't",
    ];
    let phrase = proptest::sample::select(phrases.to_vec()).prop_map(str::to_owned);
    let piece = prop_oneof![8 => phrase, 1 => "[ -~]{0,12}", 1 => ".{0,8}"];
    proptest::collection::vec(piece, 0..80).prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn what_is_shown_reads_back_as_itself(text in question(), now_ms in 0u64..4_000_000_000_000, later_ms in 0u64..4_000_000_000_000) {
        let query = translate(&text, now_ms);
        let shown = query.to_string();
        let again = translate(&shown, later_ms);
        prop_assert_eq!(&again.to_string(), &shown);
        prop_assert_eq!(again, TypedQuery { not_understood: Vec::new(), ..query });
    }
}
