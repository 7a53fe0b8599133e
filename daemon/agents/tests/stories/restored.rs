//! A store put back from a backup: the world has moved on, and an old yes counts for nothing any more.

use crate::scene::Scene;
use medic_agents::desk::DeskError;
use medic_core::Phase;
use medic_core::phase::PhaseName;

#[tokio::test(start_paused = true)]
async fn a_plan_that_was_approved_before_a_restore_is_not_carried_out_again() {
    let scene = Scene::new().await;
    scene.break_checkout();
    scene.heal_on_deed();
    let id = scene.alert("HighErrorRate", "checkout").await;
    scene.reach(&id, PhaseName::AwaitingDecision).await;
    scene.approve(&id, "token:alice").await.unwrap();
    scene.reach(&id, PhaseName::Verifying).await;
    let deeds = scene.tools.deeds().len();
    assert_eq!(deeds, 1);

    // Everything is as it was: only that this copy was put back.
    let copy = scene.journal.restored();
    let scene = scene.resume(copy).await;
    let ended = scene.reach(&id, PhaseName::Escalated).await;
    let why = format!("{:?}", ended.phase);
    assert!(why.contains("restored from a backup"), "{why}");
    assert_eq!(scene.tools.deeds().len(), deeds, "neither done again nor put back on the old consent");
    scene.audit_holds();
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_proposal_from_before_a_restore_cannot_be_approved() {
    let scene = Scene::new().await;
    scene.break_checkout();
    let id = scene.alert("HighErrorRate", "checkout").await;
    let waiting = scene.reach(&id, PhaseName::AwaitingDecision).await;
    let Phase::AwaitingDecision { proposal } = &waiting.phase else { panic!("{:?}", waiting.phase) };
    let copy = scene.journal.restored();
    let scene = scene.resume(copy).await;
    scene.reach(&id, PhaseName::Escalated).await;
    let refused = scene.approve_digest(&id, "token:alice", proposal.digest.as_str()).await;
    assert!(matches!(refused, Err(DeskError::Refused(_))), "{refused:?}");
    assert!(scene.tools.deeds().is_empty());
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_incident_nobody_has_consented_to_goes_on_after_a_restore() {
    let scene = Scene::new().await;
    scene.metrics.hang("");
    let id = scene.alert("HighErrorRate", "checkout").await;
    let before = scene.reach(&id, PhaseName::GatheringInfo).await;
    let copy = scene.journal.restored();
    let scene = scene.resume(copy).await;
    scene.metrics.release();
    // It ends for what was found, or not found, and for nothing else.
    let ended = scene.reach(&id, PhaseName::Escalated).await;
    assert!(ended.revision > before.revision);
    assert!(ended.history.iter().all(|line| !line.why.contains("restored")), "{:#?}", ended.history);
    scene.stop().await;
}
