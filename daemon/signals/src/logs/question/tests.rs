use super::*;

/// 2024-05-01T10:30:00Z, a Wednesday.
const NOW_MS: u64 = 1_714_559_400_000;

fn check(question: &str, shown: &str, not_understood: &[&str]) {
    let query = translate(question, NOW_MS);
    assert_eq!(query.to_string(), shown, "{question:?}");
    assert_eq!(query.not_understood, not_understood, "{question:?}");
}

#[test]
fn plain_words_become_a_query() {
    check(
        "errors in checkout after 10:05 about the database",
        r#"level=error|fatal service=checkout from=2024-05-01T10:05:00Z text~"database" limit=100"#,
        &[],
    );
    check("last 15 minutes", "from=2024-05-01T10:15:00Z to=2024-05-01T10:30:00.001Z limit=100", &[]);
    check(
        "show me all warnings from the payments service between 9:00 and 9:30",
        "level=warn service=payments from=2024-05-01T09:00:00Z to=2024-05-01T09:30:00Z limit=100",
        &[],
    );
    check(
        "what did checkout-api and inventory say about timeouts or retries in the past hour?",
        r#"from=2024-05-01T09:30:00Z to=2024-05-01T10:30:00.001Z text~"timeout"|"retry" limit=100"#,
        &["checkout-api", "inventory"],
    );
    check("warnings or worse in gateway", "level=warn|error|fatal service=gateway limit=100", &[]);
    check(
        "database errors since yesterday 22:15",
        r#"level=error|fatal from=2024-04-30T22:15:00Z text~"database" limit=100"#,
        &[],
    );
    check(
        r#""connection refused" in store without health"#,
        r#"service=store text~"connection refused" not~"health" limit=100"#,
        &[],
    );
    check(
        "last 20 errors in checkout and payments",
        "level=error|fatal service=checkout|payments last=20",
        &[],
    );
    check("service=cart level=warn limit=5", "level=warn service=cart limit=5", &[]);
    check("lines like template 00c0ffee00c0ffee", "template=00c0ffee00c0ffee limit=100", &[]);
    check(
        "errors around 10am",
        "level=error|fatal from=2024-05-01T09:55:00Z to=2024-05-01T10:05:00Z limit=100",
        &[],
    );
    check("errors before 2024-05-01T08:00:00Z", "level=error|fatal to=2024-05-01T08:00:00Z limit=100", &[]);
}

#[test]
fn what_has_no_place_is_said() {
    check("purple errors sideways", r#"level=error|fatal text~"purple" limit=100"#, &["sideways"]);
    check("frobnicate", "limit=100", &["frobnicate"]);
    check("", "limit=100", &[]);
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
