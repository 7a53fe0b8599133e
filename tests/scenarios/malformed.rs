//! Bodies that can never be stored: a 4xx that says what is wrong, and nothing half-stored.

use crate::{alone, refusal, until_quiet};
use medic_demo::{Client, ClientError, LabKind, Person, Stage, StageOptions};
use serde_json::{Value, json};

fn alert() -> Value {
    json!({
        "status": "firing",
        "labels": { "alertname": "A", "service": "checkout" },
        "annotations": {},
        "startsAt": "2026-11-22T10:52:05.455Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
    })
}

fn payload(alerts: Value) -> Value {
    json!({
        "version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": "firing", "receiver": "medic",
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "", "alerts": alerts,
    })
}

/// A payload whose only alert has `value` at `key`.
fn with(key: &str, value: Value) -> Vec<u8> {
    let mut alert = alert();
    alert[key] = value;
    payload(json!([alert])).to_string().into_bytes()
}

/// Name, body, status, and a word that the answer must hold.
fn hopeless() -> Vec<(&'static str, Vec<u8>, u16, &'static str)> {
    let deep = |depth: usize| {
        let mut body = br#"{"version":"4","alerts":"#.to_vec();
        body.extend(std::iter::repeat_n(b'[', depth));
        body.extend(std::iter::repeat_n(b']', depth));
        body.push(b'}');
        body
    };
    let huge = payload(json!([{ "annotations": { "text": "x".repeat(5 << 20) } }])).to_string().into_bytes();
    let many_labels: Value =
        (0..65).map(|n| (format!("label{n}"), Value::from("x"))).collect::<serde_json::Map<_, _>>().into();
    let many_alerts = payload(Value::Array(vec![alert(); 10_001]));
    let mut cut = with("status", json!("firing"));
    cut.truncate(cut.len() / 2);
    vec![
        ("nothing", Vec::new(), 400, ""),
        ("no JSON", b"alertname=A".to_vec(), 400, ""),
        ("no text", vec![0xff, 0xfe, 0x00], 400, ""),
        ("cut off", cut, 400, ""),
        ("a list", b"[]".to_vec(), 400, ""),
        ("alerts that are no list", payload(json!({})).to_string().into_bytes(), 400, "alerts"),
        ("an alert that is a word", payload(json!(["A"])).to_string().into_bytes(), 400, "alerts"),
        ("a status that is a number", with("status", json!(1)), 400, "status"),
        ("a status that nobody knows", with("status", json!("smouldering")), 400, "status"),
        ("labels that are a list", with("labels", json!(["a"])), 400, "labels"),
        ("a label that is a number", with("labels", json!({ "alertname": 1 })), 400, "labels"),
        ("a label without end", with("labels", json!({ "alertname": "x".repeat(9_000) })), 400, "alertname"),
        ("too many labels", with("labels", many_labels), 400, "labels"),
        ("a time that is none", with("startsAt", json!("yesterday")), 400, "startsAt"),
        ("too many alerts", many_alerts.to_string().into_bytes(), 400, "alerts"),
        ("nesting without end", deep(200_000), 400, ""),
        ("more than 4 MiB", huge, 413, ""),
    ]
}

async fn books(client: &Client) -> (usize, u64, u64) {
    let journal = client.status().await.unwrap().journal.unwrap();
    (client.incidents().await.unwrap().len(), journal.audit_seq, journal.commit_seq)
}

#[tokio::test]
async fn what_can_never_be_stored_is_refused_with_a_reason_and_leaves_no_trace() {
    let _alone = alone().await;
    let stage = Stage::start(StageOptions { lab: LabKind::Absent, ..StageOptions::default() }).await.unwrap();
    let viewer = stage.client(Person::Viewer).unwrap();
    until_quiet(&stage).await;
    let before = books(&viewer).await;
    let webhook = stage.client(Person::Webhook).unwrap();
    for (name, body, status, word) in hopeless() {
        let bytes = body.len();
        let error = webhook.deliver(body).await.expect_err(name);
        let ClientError::Refused(problem) = error else { panic!("{name} ({bytes} bytes): {error}") };
        assert_eq!(problem.status, status, "{name}: {problem}");
        assert!(!problem.code.is_empty() && !problem.message.is_empty(), "{name}: {problem:?}");
        let said = format!("{} {}", problem.path.as_deref().unwrap_or_default(), problem.message);
        assert!(said.contains(word), "{name}: {problem:?}");
        assert!(said.len() < 2_000, "{name}: the answer repeats the body");
    }
    // Who has no business here is told so, whatever the body.
    let good = with("status", json!("firing"));
    let nobody = Client::new(stage.url(), None).unwrap();
    assert_eq!(refusal(nobody.deliver(good.clone()).await).0, 401);
    let stranger = Client::new(stage.url(), Some("not-a-token")).unwrap();
    assert_eq!(refusal(stranger.deliver(good.clone()).await).0, 401);
    assert_eq!(refusal(viewer.deliver(good.clone()).await), (403, "ROLE_TOO_LOW".to_owned()));
    until_quiet(&stage).await;
    assert_eq!(books(&viewer).await, before, "incidents, audit records, commits");

    // And the same door takes what is sound.
    webhook.deliver(good).await.unwrap();
    stage.first_incident(crate::MOMENT).await.unwrap();
}
