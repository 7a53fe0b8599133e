use super::*;

/// 2024-05-01T10:30:00Z, a Wednesday.
const NOW_MS: u64 = 1_714_559_400_000;

fn check(question: &str, shown: &str, not_understood: &[&str]) {
    let query = translate(question, NOW_MS);
    assert_eq!(query.to_string(), shown, "{question:?}");
    assert_eq!(query.not_understood, not_understood, "{question:?}");
}

#[test]
fn nothing_asked_is_everything() {
    check("", "limit=100", &[]);
    check("show me all the logs", "limit=100", &[]);
    check("since 1970-01-01T00:00:00Z", "limit=100", &[]);
}

#[test]
fn values_keep_their_quotes_bars_and_backslashes() {
    let query = translate(r#"text~"a \"b\" \\ | c" service="my shop"|cart field.user="Ann Lee""#, NOW_MS);
    assert_eq!(query.text[0].any_of, [r#"a "b" \ | c"#]);
    assert_eq!(query.services, ["my shop", "cart"]);
    assert_eq!(query.fields, [FieldTerm { name: "user".into(), value: "Ann Lee".into() }]);
    assert_eq!(translate(&query.to_string(), NOW_MS), query);
}

#[test]
fn beyond_the_limits_words_are_said_to_be_left_out() {
    let many: String = (0..40).map(|i| format!("not~\"w{i}\" ")).collect();
    let query = translate(&many, NOW_MS);
    assert_eq!((query.excluded.len(), query.not_understood.len()), (TERMS_MAX, 40 - TERMS_MAX));
    assert!(translate(&"errors ".repeat(500), NOW_MS).not_understood[0].contains("too long"));
    for nonsense in ["limit=none", "level=purple", "from=whenever", "show=stars", "every=0s", "template=zz"] {
        check(nonsense, "limit=100", &[nonsense]);
    }
}

#[test]
fn an_hour_not_yet_come_is_yesterdays() {
    check("errors after 23:00", "level=error|fatal from=2024-04-30T23:00:00Z limit=100", &[]);
}

fn record(service: &str, level: Level, at_ms: u64, message: &str) -> LogRecord {
    LogRecord {
        at_ms: Some(at_ms),
        level: Some(level),
        service: Some(service.into()),
        message: message.into(),
        ..LogRecord::default()
    }
}

#[test]
fn a_record_matches_only_if_every_part_holds() {
    let query = translate("errors in checkout after 10:05 about the database", NOW_MS);
    let good = record("checkout-7f9", Level::Error, NOW_MS - 60_000, "Database timed out");
    assert!(query.matches(&good));
    assert!(!query.matches(&LogRecord { level: Some(Level::Warn), ..good.clone() }));
    assert!(!query.matches(&LogRecord { service: Some("checkin".into()), ..good.clone() }));
    assert!(!query.matches(&LogRecord { at_ms: Some(NOW_MS - 3_600_000), ..good.clone() }));
    assert!(!query.matches(&LogRecord { at_ms: None, ..good.clone() }), "no time is not after 10:05");
    assert!(!query.matches(&LogRecord { message: "cache timed out".into(), ..good.clone() }));
    let wanted = translate("template 00c0ffee00c0ffee", NOW_MS);
    assert!(!wanted.matches_with(&good, None) && wanted.matches_with(&good, wanted.template));
}

#[test]
fn instances_of_a_service_match_and_other_services_do_not() {
    for yes in [
        "checkout",
        "Checkout",
        "checkout-7f9c",
        "checkoutservice",
        "shop/checkout",
        "checkout-service",
        "checkout2",
    ] {
        assert!(service_matches("checkout", yes), "{yes}");
    }
    for no in ["check", "checkouts", "precheckout", "", "payments"] {
        assert!(!service_matches("checkout", no), "{no}");
    }
}

#[test]
fn exclusions_and_fields_decide_too() {
    let mut bob = record("cart", Level::Info, NOW_MS, "ok");
    bob.fields.insert("user".into(), "Bob".into());
    assert!(translate("user=bob", NOW_MS).matches(&bob) && !translate("user=bo", NOW_MS).matches(&bob));
    assert!(!translate("everything except info", NOW_MS).matches(&bob));
    assert!(!translate("lines not in cart", NOW_MS).matches(&bob));
    let bare = LogRecord { message: "ok".into(), ..LogRecord::default() };
    assert!(
        translate("everything except info not in cart", NOW_MS).matches(&bare),
        "what says nothing is not excluded"
    );
}

fn answered(question: &str, records: &[LogRecord]) -> Answered {
    let mut answering = Answering::new(translate(question, NOW_MS));
    for record in records {
        answering.push(record, None);
    }
    answering.finish()
}

#[test]
fn answers_are_counted_in_groups_and_lines_are_kept_to_the_limit() {
    let records: Vec<LogRecord> = (0..10)
        .map(|i| {
            record(
                if i % 3 == 0 { "cart" } else { "store" },
                Level::Error,
                NOW_MS - 300_000 + i * 30_000,
                &i.to_string(),
            )
        })
        .collect();
    let lines = |question: &str| -> Vec<String> {
        answered(question, &records).lines.into_iter().map(|record| record.message).collect()
    };
    assert_eq!(lines("first 2 errors"), ["0", "1"]);
    assert_eq!(lines("last 2 errors"), ["8", "9"]);
    assert_eq!(lines("the latest error in cart"), ["9"]);
    let count = answered("how many errors in cart", &records);
    assert_eq!((count.matched, count.lines.len(), count.ungrouped), (4, 0, 0));
    assert_eq!(
        answered("which services had errors", &records).groups,
        [("store".into(), 6), ("cart".into(), 4)]
    );
    let top = answered("top 1 services", &records);
    assert_eq!((top.groups.len(), top.ungrouped, top.matched), (1, 4, 10));
    let timeline = answered("errors per minute", &records);
    let counts: Vec<u64> = timeline.groups.iter().map(|(_, count)| *count).collect();
    assert_eq!(counts, [2, 2, 2, 2, 2]);
    assert!(timeline.groups.is_sorted());
}
