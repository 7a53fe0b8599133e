//! A letter whose handling ends the process.

use crate::scene::Scene;
use medic_core::mail::Address;
use medic_core::phase::PhaseName;
use medic_core::{EscalationReason, Phase};
use medic_ports::fake::FakeJournal;
use medic_ports::fake::script::Reply;
use medic_ports::journal::Journal as _;

/// Lives until gathering has begun, which is when this process dies.
async fn until_it_gathers(scene: &Scene, asked: usize) {
    scene.settled(|scene| (scene.metrics.range.asked().len() > asked).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_ends_the_process_again_and_again_is_set_aside() {
    let mut scene = Scene::new().await;
    scene.metrics.hang("");
    let id = scene.alert("HighErrorRate", "checkout").await;
    until_it_gathers(&scene, 0).await;
    let mut lives = 1;
    while scene.journal.dead_letters(10).unwrap().is_empty() {
        assert!(lives < 8, "it is never found");
        let careful = scene.journal.boot().unclean_in_a_row >= 2;
        assert_eq!(scene.is_degraded("CAREFUL_MODE"), careful, "life {lives}");
        let before = scene.metrics.range.asked().len();
        scene = scene.crash().await;
        lives += 1;
        let boot = scene.journal.boot();
        if boot.suspect.is_some_and(|suspect| suspect.strikes >= 2) {
            assert_eq!(scene.metrics.range.asked().len(), before, "it is not tried again");
            break;
        }
        until_it_gathers(&scene, before).await;
    }
    // Two bad ends before anybody is careful, two strikes of the one letter that was marked.
    assert_eq!(lives, 5);
    let dead = scene.journal.dead_letters(10).unwrap();
    let [dead] = dead.as_slice() else { panic!("{dead:?}") };
    assert!(dead.error.starts_with("PROCESS_KILLER: "), "{}", dead.error);
    assert_eq!((dead.envelope.to, dead.envelope.body.incident()), (Address::Monitor, Some(&id)));
    let end = scene.reach(&id, PhaseName::Escalated).await;
    let Phase::Escalated { why: EscalationReason::DeadLetter { detail }, .. } = &end.phase else {
        panic!("{:?}", end.phase)
    };
    assert!(detail.contains("PROCESS_KILLER"), "{detail}");
    assert!(scene.is_degraded("DEAD_LETTERS"));
    assert_eq!(scene.audited("dead_letter").len(), 1);
    // With everything handled that lay there, this life has proven itself.
    scene.settled(|scene| (!scene.is_degraded("CAREFUL_MODE")).then_some(())).await;
    assert_eq!(scene.journal.crash().boot().unclean_in_a_row, 1, "earlier bad ends no longer count");
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn careful_handles_one_letter_at_a_time_over_all_actors() {
    let scene = Scene::new().await;
    scene.logs.script.on("", Reply::Hang);
    for n in 0..5 {
        scene.deliver(&[scene.firing_in(&format!("Alert{n}"), "checkout", &format!("c{n}"))]).await;
    }
    scene.settled(|scene| (scene.logs.script.asked().len() == 4).then_some(())).await;
    let next = scene.journal.crash().crash();
    let scene = scene.resume(next).await;
    assert!(scene.is_degraded("CAREFUL_MODE"));
    scene.pass(2_000).await;
    assert_eq!(scene.logs.script.asked().len(), 5, "four side by side before, one now");
    let in_flight: usize = scene.desk().status().unwrap().actors.iter().map(|actor| actor.in_flight).sum();
    assert_eq!(in_flight, 1);
    scene.logs.script.release();
    // A minute of life, and everybody works side by side again.
    scene.settled(|scene| (!scene.is_degraded("CAREFUL_MODE")).then_some(())).await;
    scene.settled(|scene| (scene.depth(Address::Monitor) == 0).then_some(())).await;
    assert_eq!(scene.journal.health().incidents.values().sum::<u64>(), 5);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_orderly_end_and_a_single_bad_one_cost_no_care() {
    let journal = FakeJournal::new();
    for next in [journal.crash(), journal.crash().close(), journal.crash().crash().close()] {
        let scene = Scene::over(next).await;
        assert!(!scene.is_degraded("CAREFUL_MODE"));
        scene.stop().await;
    }
}
