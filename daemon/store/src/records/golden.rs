//! One file of every kind and version that was ever written. Each must decode for ever to what it meant.
//!
//! `MEDIC_STORE_GOLDEN=write cargo test -p medic-store golden` adds the files of a new version. A file that is there is
//! never overwritten: an old version that no longer decodes is a bug in the reader.

use super::*;
use medic_core::Event;
use medic_core::audit::AuditRecord;
use medic_core::call::{CallIntent, CallReceipt, CallRecord, Target};
use medic_core::effect::{Effect, Notice, NoticeKind, TimerKind};
use medic_core::event::EventKind;
use medic_core::evidence::{Bearing, Confidence, Evidence, EvidenceSource, Finding, Gap};
use medic_core::incident::{TrackedAlert, Transition};
use medic_core::mail::{Address, Lane, Opening};
use medic_core::replay::{Decision, Outcome};
use medic_core::{
    Alert, AlertStatus, Component, Digest, EffectId, IncidentId, Labels, Phase, Principal, TimeRange,
};
use medic_ports::boot::Suspect;
use medic_ports::journal::EffectState;
use std::fmt::Debug;
use std::path::PathBuf;

fn file(name: &str, version: u8) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.v{version}.rec"))
}

#[allow(
    clippy::disallowed_methods,
    reason = "writing a new golden file is asked for through the environment"
)]
fn check<T: Record + PartialEq + Debug>(name: &str, version: u8, meaning: &T) {
    let path = file(name, version);
    if version == T::VERSION && !path.exists() && std::env::var_os("MEDIC_STORE_GOLDEN").is_some() {
        std::fs::write(&path, meaning.encode().unwrap()).unwrap();
    }
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(bytes.first(), Some(&version), "{name}");
    assert_eq!(T::decode(&bytes).as_ref(), Ok(meaning), "{name} of version {version}");
}

fn incident_id() -> IncidentId {
    IncidentId::from("01K7Z3V9Q2M4N6P8R0T2W4Y6A8")
}

fn effect_id() -> EffectId {
    EffectId { incident: incident_id(), revision: 3, index: 1 }
}

fn envelope() -> StoredEnvelope {
    let notice = Notice { kind: NoticeKind::Opened, text: "checkout is slow".to_owned() };
    StoredEnvelope {
        id: EnvelopeId::from("01K7Z3V9Q2M4N6P8R0T2W4Y6B9"),
        cause: Causation::Outside {
            door: "webhook".to_owned(),
            principal: Some(Principal::from("token:alice")),
        },
        at: TimestampMs(1_760_000_000_000),
        attempts: 2,
        visible_at: TimestampMs(1_760_000_004_000),
        body: Body::Order { id: effect_id(), effect: Effect::Notify { notice } },
    }
}

fn incident() -> Incident {
    let labels =
        Labels::from([("alertname", "HighLatency"), ("service", "checkout"), ("severity", "critical")]);
    let alert = Alert {
        fingerprint: labels.fingerprint(),
        status: AlertStatus::Firing,
        labels,
        annotations: Labels::from([("summary", "p99 above 1 s")]),
        starts_at: TimestampMs(1_760_000_000_000),
        ends_at: None,
        expression: Some("histogram_quantile(0.99, rate(latency_bucket[1m])) > 1".to_owned()),
    };
    let evidence = Evidence {
        id: "e1-1".into(),
        source: EvidenceSource::Metrics,
        query: "up".to_owned(),
        window: TimeRange::new(TimestampMs(1_759_999_000_000), TimestampMs(1_760_000_000_000)),
        digest: Digest::of_bytes(b"answer"),
        summary: "up is 1".to_owned(),
        excerpt: "up 1".to_owned(),
    };
    let finding = Finding {
        evidence: "e1-1".into(),
        component: Component::from("checkout"),
        category: "latency".to_owned(),
        bearing: Bearing::Symptom,
        // Not a short decimal: floats come back bit by bit.
        strength: Confidence::new(0.1 + 0.2),
        onset: Some(TimestampMs(1_759_999_940_000)),
        onset_uncertainty_ms: 15_000,
        statement: "p99 rose from 80 ms to 1.4 s".to_owned(),
    };
    let opening =
        Opening { group: "cluster=\"lab\"".to_owned(), title: "HighLatency on checkout".to_owned() };
    let mut incident = Incident::open(incident_id(), opening, TimestampMs(1_760_000_000_000));
    incident.revision = 3;
    incident.phase = Phase::GatheringInfo { awaiting: effect_id() };
    incident.deadline = Some(TimestampMs(1_760_000_060_000));
    incident.alerts.insert(
        alert.fingerprint.clone(),
        TrackedAlert {
            alert,
            repeats: 4,
            first_at: TimestampMs(1_760_000_000_100),
            last_at: TimestampMs(1_760_000_030_100),
        },
    );
    incident.evidence.push(evidence);
    incident.findings.push(finding);
    incident.gaps.push(Gap {
        query: "loki".to_owned(),
        code: "LOGS_TIMEOUT".to_owned(),
        detail: "5 s".to_owned(),
    });
    incident.history.push(Transition {
        revision: 3,
        at: TimestampMs(1_760_000_000_200),
        from: PhaseName::AlertReceived,
        to: PhaseName::GatheringInfo,
        why: "alerts arrived".to_owned(),
    });
    incident
}

fn effect_record() -> EffectRecord {
    let target = Target {
        cluster: "lab".to_owned(),
        api_version: String::new(),
        kind: "POST".to_owned(),
        namespace: None,
        name: "/admin/restart".to_owned(),
    };
    let request_digest = Digest::of_bytes(b"request");
    EffectRecord {
        id: effect_id(),
        state: EffectState::Started,
        at: TimestampMs(1_760_000_010_000),
        calls: vec![CallRecord {
            intent: CallIntent {
                ordinal: 0,
                function: "http-change.send".to_owned(),
                target,
                idempotency_key: CallIntent::idempotency_key(&effect_id(), 0, &request_digest),
                request_digest,
                at: TimestampMs(1_760_000_010_100),
            },
            receipt: Some(CallReceipt {
                ordinal: 0,
                snapshot_id: None,
                detail_json: "{\"status\":202}".to_owned(),
                at: TimestampMs(1_760_000_010_200),
            }),
            pre_image: Some("{\"workers\":4}".to_owned()),
        }],
        detail: "apply".to_owned(),
    }
}

fn decided() -> Decided {
    let decision = Decision {
        incident: incident_id(),
        envelope: EnvelopeId::from("01K7Z3V9Q2M4N6P8R0T2W4Y6B9"),
        cause: Causation::Timer,
        opens: Some(Opening { group: "cluster=\"lab\"".to_owned(), title: "HighLatency".to_owned() }),
        event: Event {
            at: TimestampMs(1_760_000_000_000),
            kind: EventKind::AlertsArrived { alerts: Vec::new(), truncated: 2 },
        },
        policy: Digest::of_bytes(b"policy"),
        outcome: Outcome::Advanced {
            revision: 1,
            effects: Digest::of_bytes(b"effects"),
            records: Digest::of_bytes(b"records"),
        },
    };
    let unchanged = Decision { opens: None, outcome: Outcome::Unchanged, ..decision.clone() };
    let refused = Decision {
        opens: None,
        outcome: Outcome::Refused { code: "INCIDENT_CLOSED".to_owned() },
        ..decision.clone()
    };
    Decided {
        decisions: vec![decision, unchanged, refused],
        state: Digest::of_bytes(b"state"),
        phase: PhaseName::GatheringInfo,
    }
}

/// Answers are framed bytes, not JSON: their file holds the frame.
#[test]
fn a_golden_answer_means_what_it_meant() {
    let row = StoredAnswer { at: TimestampMs(1_760_000_000_000), answer: b"{\"told\":{}}" };
    let bytes = std::fs::read(file("answer", 1)).unwrap();
    assert_eq!((StoredAnswer::decode(&bytes), bytes.as_slice()), (row.clone(), row.encode().as_slice()));
    let unstamped = StoredAnswer::decode(b"{\"told\":{}}");
    assert_eq!(unstamped, StoredAnswer { at: TimestampMs(0), ..row });
}

#[test]
fn golden_records_mean_what_they_meant() {
    let head = ChainHead::genesis();
    let record = AuditRecord {
        at: TimestampMs(1_760_000_000_000),
        incident: Some(incident_id()),
        actor: "supervisor".to_owned(),
        kind: "phase".to_owned(),
        subject: "GATHERING_INFO".to_owned(),
        rule: Some("first-look".to_owned()),
        detail: serde_json::json!({ "iteration": 1, "confidence": 0.1 + 0.2, "list": ["ä", null, -1, 1e300] }),
    };
    let (chained, audit) = head.append(record);
    let slot = Slot { to: Address::Notifier, lane: Lane::Normal, seq: 17 };
    check("envelope", 1, &envelope());
    check("incident", 1, &incident());
    check("effect", 1, &effect_record());
    check("audit", 1, &chained);
    let dead =
        DeadLetter { envelope: envelope().at_slot(slot), error: "panicked".to_owned(), at: TimestampMs(9) };
    check("dead_letter", 1, &dead);
    check("dedup", 1, &DedupRow { id: EnvelopeId::from("01K7"), at: TimestampMs(7) });
    let mut incident_head = IncidentHead { revision: 3, phase: PhaseName::AwaitingDecision, ended_at: None };
    check("incident_head", 1, &incident_head);
    (incident_head.phase, incident_head.ended_at) =
        (PhaseName::Resolved, Some(TimestampMs(1_760_000_000_000)));
    check("incident_head", 2, &incident_head);
    let timer = DueTimer { incident: incident_id(), kind: TimerKind::ApprovalLifetime, due: TimestampMs(8) };
    check("timer", 1, &timer);
    check("timer_index", 1, &TimerDue { due: TimestampMs(8) });
    let format = Format { schema_version: 1, min_reader_version: 1, boot_epoch: 12, store_id: String::new() };
    check("format", 1, &format);
    let store_id = "00112233445566778899aabbccddeeff".to_owned();
    check("format", 2, &Format { schema_version: 2, min_reader_version: 2, store_id, ..format });
    let mut head = StoreHead { commit_seq: 99, audit, dead_letters: 1, ..StoreHead::genesis() };
    check("store_head", 1, &head);
    head.incidents = BTreeMap::from([(PhaseName::Diagnosing, 2), (PhaseName::Resolved, 7_001)]);
    (head.effects_open, head.latest_at) = (3, TimestampMs(1_760_000_000_000));
    check("store_head", 2, &head);
    let suspect = Suspect { slot: Slot { seq: 16, ..slot }, strikes: 2 };
    let run = Run { closed: false, unclean_in_a_row: 3, marked: Some(slot), suspect: Some(suspect) };
    check("run", 1, &run);
    check("decided", 1, &decided());
    check("lane", 1, &LaneSpan { head: 4, tail: 9, envelopes: 3, bytes: 1_234 });
}

#[test]
fn a_version_from_the_future_is_named_and_damage_is_not_taken_for_it() {
    let newer = IncidentHead::decode(&[3, b'{', b'}']);
    assert_eq!(newer, Err(RecordError::Newer { kind: "incident head", found: 3, reads: 2 }));
    assert_eq!(newer.map_err(|error| error.code()), Err("STORE_NEWER_RECORD"));
    for bytes in
        [&b""[..], &[0, b'{', b'}'], &[1], &[1, b'{', b'}'], &[2, b'{', b'}'], b"\x02{\"revision\":1"]
    {
        let error = IncidentHead::decode(bytes).unwrap_err();
        assert_eq!(error.code(), "STORE_CORRUPT", "{bytes:?}");
    }
}
