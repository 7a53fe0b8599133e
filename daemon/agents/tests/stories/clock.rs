//! A machine whose clock jumps.

use crate::scene::Scene;
use medic_agents::desk::DeskError;
use medic_core::phase::PhaseName;
use medic_core::{EscalationReason, IncidentId, Phase, Policy, Refusal};
use medic_ports::Clock as _;

const HOUR_MS: i64 = 3_600_000;

async fn waiting() -> (Scene, IncidentId, u64) {
    let scene = Scene::new().await;
    scene.break_checkout();
    let id = scene.alert("HighErrorRate", "checkout").await;
    scene.reach(&id, PhaseName::AwaitingDecision).await;
    scene.pass(1_000).await;
    let asked_at_ms = scene.clock.elapsed_ms();
    (scene, id, asked_at_ms)
}

/// How long after `since_ms` the incident was escalated for want of a decision, in minutes.
async fn timeout_minutes(scene: &Scene, id: &IncidentId, since_ms: u64) -> u64 {
    let end = scene.reach(id, PhaseName::Escalated).await;
    let Phase::Escalated { why: EscalationReason::ApprovalTimeout { .. }, .. } = &end.phase else {
        panic!("{:?}", end.phase)
    };
    (scene.clock.elapsed_ms() - since_ms).div_ceil(60_000)
}

#[tokio::test(start_paused = true)]
async fn a_jump_forward_gives_people_the_time_they_had_and_an_approval_none() {
    let (scene, id, since_ms) = waiting().await;
    scene.clock.jump_by(HOUR_MS);
    scene.pass(60_000).await;
    assert_eq!(scene.incident(&id).phase.name(), PhaseName::AwaitingDecision, "not taken from them at once");
    let refused = scene.approve(&id, "token:alice").await;
    assert!(matches!(refused, Err(DeskError::Refused(Refusal::ApprovalExpired))), "{refused:?}");
    assert!(scene.tools.deeds().is_empty());
    let jumps = scene.audited("clock_jump");
    let [jump] = jumps.as_slice() else { panic!("{jumps:?}") };
    assert!((HOUR_MS - 2_000..=HOUR_MS).contains(&jump.detail["by_ms"].as_i64().unwrap()), "{jump:?}");
    assert!(scene.is_degraded("CLOCK_JUMPED"));
    assert_eq!(timeout_minutes(&scene, &id, since_ms).await, 30);
    assert!(!scene.is_degraded("CLOCK_JUMPED"), "the clocks have long agreed again");
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn grace_is_given_once_however_often_the_clock_jumps() {
    let (scene, id, since_ms) = waiting().await;
    for _ in 0..3 {
        scene.clock.jump_by(HOUR_MS);
        scene.pass(300_000).await;
    }
    assert_eq!(scene.audited("clock_jump").len(), 3);
    assert_eq!(timeout_minutes(&scene, &id, since_ms).await, 30);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_jump_back_extends_no_approval() {
    let (scene, id, since_ms) = waiting().await;
    let before = scene.desk().status().unwrap().now;
    scene.clock.jump_by(-HOUR_MS);
    scene.pass(1_000).await;
    assert!(scene.desk().status().unwrap().now > before, "time does not go back");
    assert!(scene.is_degraded("CLOCK_JUMPED"));
    assert_eq!(timeout_minutes(&scene, &id, since_ms).await, 30);
    let late = scene.approve_digest(&id, "token:alice", &"0".repeat(64)).await;
    assert!(matches!(late, Err(DeskError::Refused(Refusal::WrongPhase { .. }))), "{late:?}");
    assert!(scene.is_degraded("CLOCK_JUMPED"), "the machine is still an hour behind");
    scene.clock.jump_by(HOUR_MS);
    scene.pass(11 * 60_000).await;
    assert!(!scene.is_degraded("CLOCK_JUMPED"));
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_life_that_begins_in_the_past_goes_on_where_the_last_one_ended() {
    let (scene, id, since_ms) = waiting().await;
    let written = scene.incident(&id).updated_at;
    scene.clock.jump_by(-HOUR_MS);
    let scene = scene.crash().await;
    assert!(scene.desk().status().unwrap().now >= written);
    scene.settled(|scene| scene.condition("CLOCK_JUMPED")).await;
    assert_eq!(timeout_minutes(&scene, &id, since_ms).await, 30);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn work_under_way_is_not_escalated_because_the_process_was_stopped() {
    let policy = Policy { gather_deadline_ms: 60_000, ..Policy::default() };
    let scene = Scene::with(policy).await;
    scene.metrics.hang("");
    let id = scene.alert("HighErrorRate", "checkout").await;
    scene.settled(|scene| (!scene.metrics.range.asked().is_empty()).then_some(())).await;
    // SIGSTOP: both clocks run on and nobody looks at them.
    scene.clock.advance(600_000);
    scene.pass(5_000).await;
    assert_eq!(scene.incident(&id).phase.name(), PhaseName::GatheringInfo);
    assert!(scene.audited("clock_jump")[0].detail["stood_still"].as_bool().unwrap());
    assert!(!scene.actor("monitor").stuck, "it was not at work either");
    scene.metrics.release();
    scene.settled(|scene| (scene.incident(&id).phase.name() != PhaseName::GatheringInfo).then_some(())).await;
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_a_jump_passed_still_comes() {
    let scene = Scene::with(Policy { gather_deadline_ms: 60_000, ..Policy::default() }).await;
    scene.metrics.hang("");
    let id = scene.alert("HighErrorRate", "checkout").await;
    scene.settled(|scene| (!scene.metrics.range.asked().is_empty()).then_some(())).await;
    let since_ms = scene.clock.elapsed_ms();
    scene.clock.jump_by(HOUR_MS);
    let end = scene.reach(&id, PhaseName::Escalated).await;
    assert!(matches!(&end.phase, Phase::Escalated { why: EscalationReason::Deadline { .. }, .. }));
    let passed_ms = scene.clock.elapsed_ms() - since_ms;
    assert!((55_000..65_000).contains(&passed_ms), "{passed_ms}");
    scene.stop().await;
}
