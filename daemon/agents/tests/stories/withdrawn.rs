//! A word that comes while a step is about to begin.

use crate::scene::Scene;
use medic_core::mail::Address;
use medic_core::phase::PhaseName;
use medic_core::{EventKind, Principal};
use medic_ports::fake::script::Reply;
use medic_ports::fake::tools::ToolAct;

/// Between the proof of the consent and the record that the step has begun lies a question to the tool: whoever takes the
/// incident over just then is heard.
#[tokio::test(start_paused = true)]
async fn a_step_does_not_begin_on_an_incident_that_was_taken_over_meanwhile() {
    let scene = Scene::new().await;
    scene.break_checkout();
    let id = scene.alert("HighErrorRate", "checkout").await;
    scene.reach(&id, PhaseName::AwaitingDecision).await;
    scene.tools.preparations.on("capture rollback_config", Reply::Hang);
    let captures = |scene: &Scene| {
        scene.tools.acts().iter().filter(|act| matches!(act, ToolAct::Capture { .. })).count()
    };
    let before = captures(&scene);
    scene.approve(&id, "token:alice").await.unwrap();
    scene.settled(|scene| (captures(scene) > before).then_some(())).await;
    let bob = Principal::new("token:bob");
    let kind = EventKind::EscalationRequested { by: bob.clone(), reason: "I am on it".to_owned() };
    scene.desk().tell(&id, kind, "test", bob, None).await.unwrap();
    scene.tools.release();
    scene.reach(&id, PhaseName::Escalated).await;
    scene.settled(|scene| (scene.depth(Address::Executor) == 0).then_some(())).await;
    assert!(scene.tools.deeds().is_empty(), "{:?}", scene.tools.deeds());
    assert!(scene.audited("started").is_empty(), "{:?}", scene.audited("started"));
    scene.audit_holds();
    scene.stop().await;
}
