//! What operators may do with letters that could not be handled.

use crate::scene::Scene;
use medic_agents::desk::DeskError;
use medic_core::mail::Address;
use medic_core::phase::PhaseName;
use medic_core::{EnvelopeId, IncidentId, Principal};
use medic_ports::fake::tools::Course;
use medic_ports::journal::Journal as _;

fn alice() -> Principal {
    Principal::new("token:alice")
}

/// An incident whose step panicked three times.
async fn dead() -> (Scene, IncidentId, EnvelopeId) {
    let scene = Scene::new().await;
    scene.break_checkout();
    let id = scene.alert("HighErrorRate", "checkout").await;
    scene.reach(&id, PhaseName::AwaitingDecision).await;
    for _ in 0..3 {
        scene.tools.next_apply("rollback_config", Course::Panic);
    }
    scene.approve(&id, "token:alice").await.unwrap();
    scene.reach(&id, PhaseName::Escalated).await;
    let dead = scene.desk().dead_letters(10).unwrap();
    let [dead] = dead.as_slice() else { panic!("{dead:?}") };
    let letter = dead.envelope.id.clone();
    (scene, id, letter)
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_shown_and_leaves_nothing_half_done() {
    let (scene, id, letter) = dead().await;
    let shown = scene.desk().dead_letter(&letter).unwrap();
    assert_eq!(shown.envelope.body.incident(), Some(&id));
    assert!(shown.error.starts_with("panicked: "), "{}", shown.error);
    let views = scene.desk().mailboxes().unwrap();
    let executor = views.iter().find(|view| view.to == Address::Executor).unwrap();
    assert_eq!((executor.envelopes, executor.dead_letters), (0, 1));
    assert_eq!(views.iter().map(|view| view.dead_letters).sum::<u64>(), 1);
    // What it had begun will not be finished by anybody: it is not left open.
    assert!(
        scene.journal.effects().iter().all(|effect| !effect.state.is_open()),
        "{:?}",
        scene.journal.effects()
    );
    assert_eq!(scene.journal.health().open_effects, 0);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_letter_sent_again_is_handled_afresh_and_told_of() {
    let (scene, _, letter) = dead().await;
    assert!(scene.is_degraded("DEAD_LETTERS"));
    scene.desk().retry_letter(&letter, &alice()).await.unwrap();
    scene.settled(|scene| (scene.depth(Address::Executor) == 0).then_some(())).await;
    // Its incident has been taken over by a human: the order is withdrawn, and nothing is done.
    assert!(scene.tools.deeds().is_empty());
    assert!(scene.desk().dead_letters(10).unwrap().is_empty());
    assert!(!scene.is_degraded("DEAD_LETTERS") && scene.condition("DEAD_LETTERS").is_some());
    let records = scene.audited("mailbox");
    let [record] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((record.actor.as_str(), record.subject.as_str()), ("token:alice", letter.as_str()));
    assert_eq!(record.detail["deed"], "retry");
    let again = scene.desk().retry_letter(&letter, &alice()).await;
    assert_eq!(again, Err(DeskError::NoSuchLetter(letter)));
    scene.audit_holds();
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_letter_is_given_up_only_with_a_reason() {
    let (scene, _, letter) = dead().await;
    let desk = scene.desk();
    let without = desk.drop_letter(&letter, "  ", &alice()).await;
    assert!(matches!(without, Err(DeskError::Invalid(_))), "{without:?}");
    let endless = desk.drop_letter(&letter, &"x".repeat(10_000), &alice()).await;
    assert!(
        matches!(endless, Err(DeskError::Refused(ref refusal)) if refusal.code() == "LIMIT_EXCEEDED"),
        "{endless:?}"
    );
    let unknown = desk.drop_letter(&"nobody".into(), "why not", &alice()).await;
    assert_eq!(unknown, Err(DeskError::NoSuchLetter("nobody".into())));
    assert_eq!(scene.audited("mailbox").len(), 0);
    desk.drop_letter(&letter, "done by hand", &alice()).await.unwrap();
    let record = scene.audited("mailbox").remove(0);
    assert_eq!((&record.detail["deed"], &record.detail["reason"]), (&"drop".into(), &"done by hand".into()));
    assert_eq!(scene.journal.health().dead_letters, 0);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_fails_again_after_it_was_sent_again_is_dead_again() {
    use medic_ports::fake::script::Reply;
    let scene = Scene::new().await;
    // Notices are never counted; a query that panics its handler is.
    scene.logs.script.on("", Reply::Compute(std::sync::Arc::new(|_| panic!("a line that cannot be"))));
    let id = scene.alert("HighErrorRate", "checkout").await;
    scene.reach(&id, PhaseName::Escalated).await;
    let letter = scene.desk().dead_letters(1).unwrap()[0].envelope.id.clone();
    let stale = scene.audited("retry").len();
    scene.desk().retry_letter(&letter, &alice()).await.unwrap();
    scene.settled(|scene| (scene.depth(Address::Monitor) == 0).then_some(())).await;
    // The incident waits for it no longer: it is consumed without being tried.
    assert_eq!(scene.audited("retry").len(), stale);
    assert!(scene.desk().dead_letters(1).unwrap().is_empty());
    scene.stop().await;
}
