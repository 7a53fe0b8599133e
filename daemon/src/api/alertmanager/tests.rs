use super::*;

const NOW: TimestampMs = TimestampMs(1_795_345_000_000);

macro_rules! recorded {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/alertmanager/", $name, ".json"))
    };
}

fn taken(body: &[u8]) -> AlertBatch {
    parse(body, NOW).unwrap_or_else(|problem| panic!("{problem:?}"))
}
/// Code and path.
fn refused(body: &str) -> (String, String) {
    let problem = parse(body.as_bytes(), NOW).unwrap_err();
    assert_eq!(problem.status().as_u16(), 400, "{problem:?}");
    (problem.code.into_owned(), problem.path.unwrap_or_default())
}
fn one(alert: &str) -> String {
    format!(r#"{{"alerts":[{alert}]}}"#)
}

#[test]
fn each_alerts_own_status_counts_not_the_groups() {
    let batch = taken(recorded!("mixed_1_resolved_2_firing"));
    let statuses: Vec<_> = batch.alerts.iter().map(|alert| (alert.status, alert.ends_at.is_some())).collect();
    assert_eq!(
        statuses,
        [(AlertStatus::Resolved, true), (AlertStatus::Firing, false), (AlertStatus::Firing, false)]
    );
    assert_eq!(batch.group_key, "{}:{alertname=\"LabHigh\", cluster=\"lab\"}");
}

#[test]
fn recorded_deliveries_are_read_whole() {
    let single = taken(recorded!("firing_single"));
    let [alert] = single.alerts.as_slice() else { panic!("{single:?}") };
    assert_eq!(alert.expression.as_deref(), Some("lab_value > 10"));
    assert_eq!(alert.name(), "LabHigh");
    assert_eq!(alert.fingerprint, alert.labels.fingerprint());
    assert!(alert.starts_at.0 > 1_795_000_000_000, "{:?}", alert.starts_at);
    let resolved = taken(recorded!("resolved_single"));
    let [ended] = resolved.alerts.as_slice() else { panic!("{resolved:?}") };
    assert_eq!((&ended.fingerprint, ended.starts_at), (&alert.fingerprint, alert.starts_at));
    assert!(ended.ends_at > Some(ended.starts_at));
    assert_eq!(taken(recorded!("firing_truncated_max2_of5")).truncated, 3);
    assert_eq!(taken(recorded!("firing_grouped_3")).alerts.len(), 3);
    assert!(
        taken(recorded!("firing_with_stale_resolved"))
            .alerts
            .iter()
            .any(|a| a.status == AlertStatus::Resolved)
    );
}

#[test]
fn long_annotation_is_cut_at_a_character_and_marked() {
    let kept = |text: &str| {
        let body = one(&format!(r#"{{"labels":{{"a":"b"}},"annotations":{{"text":"{text}"}}}}"#));
        taken(body.as_bytes()).alerts[0].annotations.get("text").unwrap().to_owned()
    };
    // Characters of three bytes, so that the limit falls inside one.
    let cut = kept(&"→".repeat(LABEL_VALUE_BYTES_MAX));
    assert!(cut.len() <= LABEL_VALUE_BYTES_MAX && cut.len() > LABEL_VALUE_BYTES_MAX - 3, "{}", cut.len());
    assert!(cut.starts_with("→→") && cut.ends_with(&format!("→{CUT_MARK}")));
    let exact = "x".repeat(LABEL_VALUE_BYTES_MAX);
    assert_eq!(kept(&exact), exact);
    let batch = taken(recorded!("firing_unicode_quotes_8k_annotation"));
    let longest = batch.alerts.iter().flat_map(|a| a.annotations.0.values()).map(String::len).max();
    assert_eq!(longest, Some(8_000), "the recorded annotation of 8 kB is kept");
}

#[test]
fn unknown_and_missing_fields_are_fine() {
    let body = br#"{"notification_reason":{"new":[1]},"version":"4","groupKey":null,
        "alerts":[{"labels":{"alertname":"A"},"annotations":null,"routeLabels":{},"startsAt":""}]}"#;
    let batch = taken(body);
    let alert = &batch.alerts[0];
    assert_eq!((alert.status, alert.starts_at, alert.ends_at), (AlertStatus::Firing, NOW, None));
    assert_eq!((batch.group_key.as_str(), batch.truncated), ("", 0));
    assert_eq!(taken(br#"{"alerts":[]}"#).alerts.len(), 0);
}

#[test]
fn zero_end_means_firing_and_a_past_end_resolved_when_no_status_is_said() {
    let status = |ends_at: &str| {
        let body = one(&format!(r#"{{"labels":{{"a":"b"}},"endsAt":"{ends_at}"}}"#));
        taken(body.as_bytes()).alerts[0].status
    };
    assert_eq!(status("0001-01-01T00:00:00Z"), AlertStatus::Firing);
    assert_eq!(status("2026-11-22T00:00:00.5+01:00"), AlertStatus::Resolved);
    assert_eq!(status("2126-11-22T00:00:00Z"), AlertStatus::Firing);
}

#[test]
fn senders_fingerprint_is_not_believed() {
    let body = one(r#"{"labels":{"a":"b"},"fingerprint":"feedfeedfeedfeed"}"#);
    assert_eq!(taken(body.as_bytes()).alerts[0].fingerprint, Labels::from([("a", "b")]).fingerprint());
}

#[test]
fn expression_comes_only_from_a_graph_link() {
    let of = |url: &str| {
        let body = one(&format!(r#"{{"labels":{{"a":"b"}},"generatorURL":"{url}"}}"#));
        taken(body.as_bytes()).alerts[0].expression.clone()
    };
    assert_eq!(of("http://p:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1").as_deref(), Some("up == 0"));
    assert_eq!(of("https://g.example/alerting/grafana/x/view"), None);
    assert_eq!(of("not a url"), None);
    assert_eq!(of("http://p/graph?g0.expr="), None);
    assert_eq!(of(&format!("http://p/graph?g0.expr={}", "x".repeat(EXPRESSION_BYTES_MAX + 1))), None);
}

#[test]
fn malformed_deliveries_are_refused_with_what_is_wrong() {
    let deep = format!("{{\"alerts\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let cases = [
        ("", ("MALFORMED_JSON", "")),
        ("{\"alerts\":[", ("MALFORMED_JSON", "")),
        (deep.as_str(), ("MALFORMED_JSON", "")),
        ("[]", ("WRONG_TYPE", "")),
        ("{}", ("MISSING_FIELD", "alerts")),
        (r#"{"alerts":{}}"#, ("WRONG_TYPE", "alerts")),
        (r#"{"alerts":[1]}"#, ("WRONG_TYPE", "alerts[0]")),
        (r#"{"alerts":[{}]}"#, ("MISSING_FIELD", "alerts[0].labels")),
        (r#"{"alerts":[{"labels":[]}]}"#, ("WRONG_TYPE", "alerts[0].labels")),
        (r#"{"alerts":[{"labels":{"a":1}}]}"#, ("WRONG_TYPE", "alerts[0].labels.a")),
        (r#"{"alerts":[{"labels":{"":"x"}}]}"#, ("INVALID_VALUE", "alerts[0].labels")),
        (r#"{"alerts":[{"labels":{"a":"b"},"status":"ok"}]}"#, ("INVALID_VALUE", "alerts[0].status")),
        (r#"{"alerts":[{"labels":{"a":"b"},"startsAt":"soon"}]}"#, ("INVALID_VALUE", "alerts[0].startsAt")),
        (r#"{"alerts":[{"labels":{"a":"b"},"endsAt":5}]}"#, ("WRONG_TYPE", "alerts[0].endsAt")),
        (r#"{"alerts":[],"truncatedAlerts":-1}"#, ("WRONG_TYPE", "truncatedAlerts")),
        (r#"{"alerts":[],"version":"3"}"#, ("UNSUPPORTED_VERSION", "version")),
        (r#"{"alerts":[],"version":4}"#, ("WRONG_TYPE", "version")),
        (r#"{"alerts":[],"groupKey":7}"#, ("WRONG_TYPE", "groupKey")),
    ];
    for (body, expected) in cases {
        let (code, path) = refused(body);
        assert_eq!((code.as_str(), path.as_str()), expected, "{}", cut(body, 80));
    }
    assert_eq!(parse(b"{\"alerts\":[\"\xff\"]}", NOW).unwrap_err().code, "MALFORMED_JSON");
}

#[test]
fn each_limit_is_named_and_the_last_allowed_is_taken() {
    let label = |name: usize, value: usize| {
        one(&format!(r#"{{"labels":{{"{}":"{}"}}}}"#, "n".repeat(name), "v".repeat(value)))
    };
    taken(label(LABEL_NAME_BYTES_MAX, LABEL_VALUE_BYTES_MAX).as_bytes());
    assert_eq!(refused(&label(LABEL_NAME_BYTES_MAX + 1, 1)).0, "LIMIT_EXCEEDED");
    assert_eq!(
        refused(&label(1, LABEL_VALUE_BYTES_MAX + 1)),
        ("LIMIT_EXCEEDED".into(), "alerts[0].labels.n".into())
    );

    let labels = |count: usize| {
        let labels: Vec<String> = (0..count).map(|n| format!(r#""l{n}":"v""#)).collect();
        one(&format!(r#"{{"labels":{{{}}}}}"#, labels.join(",")))
    };
    taken(labels(LABELS_MAX).as_bytes());
    assert_eq!(refused(&labels(LABELS_MAX + 1)), ("LIMIT_EXCEEDED".into(), "alerts[0].labels".into()));

    let alerts =
        |count: usize| format!(r#"{{"alerts":[{}]}}"#, vec![r#"{"labels":{"a":"b"}}"#; count].join(","));
    assert_eq!(taken(alerts(ALERTS_MAX).as_bytes()).alerts.len(), ALERTS_MAX);
    assert_eq!(refused(&alerts(ALERTS_MAX + 1)), ("LIMIT_EXCEEDED".into(), "alerts".into()));

    let key = format!(r#"{{"alerts":[],"groupKey":"{}"}}"#, "k".repeat(GROUP_KEY_BYTES_MAX + 1));
    assert_eq!(refused(&key), ("LIMIT_EXCEEDED".into(), "groupKey".into()));
}
