//! A Prometheus that takes every question and never answers.

use crate::{MOMENT, alone};
use medic_demo::{LabKind, Person, Stage, StageOptions, account, has_ended};
use medic_proto::v1;
use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

const INCIDENTS: usize = 4;
/// What the daemon is told to wait for an answer, and for a whole round of gathering. It looks once and not again: what
/// is tried here is one round.
const QUESTION_MS: u64 = 1_000;
const GATHER_MS: u64 = 6_000;

#[tokio::test]
async fn a_prometheus_that_hangs_is_a_named_gap_and_an_escalation_in_time_for_each_incident() {
    let _alone = alone().await;
    // Connections are taken by the kernel, and nobody ever reads what they ask.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let overrides = format!(
        "[prometheus]\ntimeout_ms = {QUESTION_MS}\n[policy]\ngather_deadline_ms = {GATHER_MS}\npatience_ms = 0"
    );
    let options = StageOptions {
        lab: LabKind::Absent,
        prometheus_url: Some(format!("http://{}", silent.local_addr().unwrap())),
        overrides,
        ..StageOptions::default()
    };
    let stage = Stage::start(options).await.unwrap();
    let alice = stage.client(Person::Alice).unwrap();
    let began = Instant::now();
    let mut ids = Vec::new();
    for n in 0..INCIDENTS {
        let request = v1::CreateIncidentRequest {
            title: format!("orders fail, report {n}"),
            labels: [("service".to_owned(), format!("checkout-{n}"))].into(),
            ..Default::default()
        };
        let asked = Instant::now();
        ids.push(alice.create(&request).await.unwrap().incident_id);
        // The first one hangs by now; it must not hold up who comes after.
        assert!(asked.elapsed() < Duration::from_secs(2), "report {n} took {:?}", asked.elapsed());
    }
    let mut took = Vec::new();
    for id in &ids {
        let ended = stage.wait_for(id, "it has ended", MOMENT, has_ended).await.unwrap();
        took.push(began.elapsed());
        assert_eq!(ended.phase, "ESCALATED", "{}", account(&ended));
        let gap = ended.gaps.iter().find(|gap| gap.code == "PROMETHEUS_TIMEOUT");
        let code = ended.escalation.as_ref().map(|escalation| escalation.code.as_str());
        assert!(gap.is_some() || code == Some("DEADLINE"), "{}", account(&ended));
        assert!(ended.executed.is_empty());
    }
    // Side by side, not one after the other: all of them within the time of one, doubled for a busy machine.
    let limit = Duration::from_millis(2 * (GATHER_MS + QUESTION_MS));
    assert!(took.iter().all(|took| *took < limit), "{took:?}");
    eprintln!("{INCIDENTS} incidents escalated after {took:.1?}");
}
