//! kill -9 of the daemon wherever an incident may stand. The lab keeps the books of what was done to it.

use crate::{ALERT, MOMENT, STORY, alone, assert_all, assert_audit_verifies, operations};
use medic_demo::{LabKind, Person, Stage, StageOptions, account, expectation_of, has_ended, verdict};
use medic_lab::{Fault, Service};
use medic_proto::v1;
use serde_json::json;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// In the order in which an incident goes through them.
const PHASES: [&str; 6] =
    ["ALERT_RECEIVED", "GATHERING_INFO", "DIAGNOSING", "AWAITING_DECISION", "EXECUTING", "VERIFYING"];

/// Shorter than any phase that does something.
const LOOK: Duration = Duration::from_millis(2);

fn place(phase: &str) -> usize {
    PHASES.iter().position(|known| *known == phase).unwrap_or(PHASES.len())
}

/// Kills the daemon at the moment at which the incident is seen in `phase`, or past it.
async fn kill_in(stage: &mut Stage, id: &str, phase: &str) -> v1::Incident {
    let client = stage.client(Person::Viewer).unwrap();
    let started = Instant::now();
    loop {
        let incident = client.incident(id).await.unwrap();
        if place(&incident.phase) >= place(phase) {
            stage.kill9().unwrap();
            return incident;
        }
        assert!(started.elapsed() < ALERT, "never in {phase}\n{}{}", account(&incident), stage.log_tail());
        tokio::time::sleep(LOOK).await;
    }
}

/// What came after the last look before the kill may be there, what was before must be.
fn assert_nothing_lost(before: &v1::Incident, after: &v1::Incident) {
    assert!(after.revision >= before.revision, "{}{}", account(before), account(after));
    assert!(after.history.starts_with(&before.history), "{}{}", account(before), account(after));
    assert!(after.executed.starts_with(&before.executed), "{}{}", account(before), account(after));
}

#[tokio::test]
async fn an_incident_survives_kill_9_in_each_of_its_phases_and_is_healed() {
    let _alone = alone().await;
    let mut stage = Stage::start(StageOptions::default()).await.unwrap();
    stage.lab().unwrap().inject(Fault::BadConfig).await.unwrap();
    let id = stage.first_incident(ALERT).await.unwrap();
    let mut hit = Vec::new();

    for phase in ["GATHERING_INFO", "DIAGNOSING", "AWAITING_DECISION"] {
        let before = kill_in(&mut stage, &id, phase).await;
        hit.push(before.phase.clone());
        stage.restart().await.unwrap();
        assert_nothing_lost(&before, &stage.incident(&id).await.unwrap());
        assert!(operations(&stage).await.is_empty(), "nothing is done before anybody has agreed");
    }

    // The plan that waited still waits, to the letter, and nobody's word was invented.
    let waits = |seen: &v1::Incident| seen.phase == "AWAITING_DECISION";
    let waiting = stage.wait_for(&id, "its plan waits", MOMENT, waits).await.unwrap();
    let proposal = waiting.proposal.clone().unwrap();
    stage.kill9().unwrap();
    stage.restart().await.unwrap();
    assert_eq!(stage.incident(&id).await.unwrap().proposal.unwrap(), proposal);

    // The answer to the approval comes when the first step is ordered, so that this hits the step itself.
    let told = stage.approve(&id, Person::Alice).await.unwrap();
    stage.kill9().unwrap();
    hit.push(told.phase);
    stage.restart().await.unwrap();

    let before = kill_in(&mut stage, &id, "VERIFYING").await;
    hit.push(before.phase.clone());
    stage.restart().await.unwrap();
    assert_nothing_lost(&before, &stage.incident(&id).await.unwrap());

    let ended = stage.see_through(&id, STORY).await.unwrap();
    eprintln!("killed in {}", hit.join(", "));
    for phase in ["AWAITING_DECISION", "EXECUTING", "VERIFYING"] {
        assert!(hit.iter().any(|seen| seen == phase), "never killed in {phase}: {hit:?}");
    }
    // A step whose outcome nobody could tell would be escalated by name; the lab answers for its keys, so it is told.
    let checks = verdict(&stage, &expectation_of(Fault::BadConfig), &ended).await.unwrap();
    assert_all(&checks, &ended, &stage);
    assert_audit_verifies(stage).await;
}

/// Kills at growing distances from the approval, so that some hit before the intent, some between intent and call, some
/// between call and receipt, some after it. Whatever is hit: a step is done once at most.
#[tokio::test]
async fn no_step_is_done_twice_however_the_kill_falls() {
    let _alone = alone().await;
    let options = StageOptions { lab: LabKind::Shop, ..StageOptions::default() };
    let mut stage = Stage::start(options).await.unwrap();
    let mut told = Vec::new();
    for after_ms in [0, 10, 25, 50, 90, 150] {
        let args = json!({ "service": Service::Payments.name() });
        let asked = stage.client(Person::Alice).unwrap().execute("restart_service", &args).await.unwrap();
        let id = asked.proposed_incident_id.unwrap();
        let waits = |seen: &v1::Incident| seen.phase == "AWAITING_DECISION";
        stage.wait_for(&id, "its plan waits", MOMENT, waits).await.unwrap();
        stage.approve(&id, Person::Bob).await.unwrap();
        // A distance, not a wait for anything.
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        stage.kill9().unwrap();
        stage.restart().await.unwrap();
        let past = |seen: &v1::Incident| place(&seen.phase) > place("EXECUTING") || !seen.executed.is_empty();
        let after = stage.wait_for(&id, "its step is settled", MOMENT, past).await.unwrap();
        let executed = after.executed.first().unwrap_or_else(|| panic!("{}", account(&after)));
        told.push((after_ms, executed.clone()));
        // The next plan is not made while this service is away.
        let lab = stage.lab().unwrap();
        crate::until("the shop is healthy", MOMENT, async || lab.is_healthy().await.unwrap_or(false)).await;
        assert!(!has_ended(&after) || executed.outcome == "unknown", "{}", account(&after));
    }
    let done = operations(&stage).await;
    let mut by_key: BTreeMap<String, usize> = BTreeMap::new();
    for (_, operation) in &done {
        *by_key.entry(operation.key.clone().expect("the host sends a key")).or_default() += 1;
    }
    assert!(by_key.values().all(|times| *times == 1), "{by_key:?}");
    assert!(done.len() <= told.len(), "{} deeds for {} approvals", done.len(), told.len());
    for (after_ms, executed) in &told {
        let keys: Vec<_> = executed.idempotency_keys.iter().filter(|key| by_key.contains_key(*key)).collect();
        eprintln!("killed {after_ms} ms after the approval: {} ({})", executed.outcome, executed.detail);
        if executed.outcome == "applied" {
            assert_eq!(keys.len(), 1, "what is said to be done is done: {executed:?}");
        }
    }
}
