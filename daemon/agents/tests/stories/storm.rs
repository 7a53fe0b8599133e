//! Ten thousand alerts of one outage, and many different ones at once.

use crate::scene::Scene;
use medic_core::alert::AlertStatus;
use medic_core::mail::Address;
use medic_core::phase::{PhaseName, Resolution};
use medic_core::{Alert, Phase, Policy};
use medic_ports::fake::FakeJournal;
use medic_ports::fake::journal::Caps;
use medic_ports::journal::{IncidentFilter, Journal as _};

const ALERTS: usize = 10_000;

fn all(scene: &Scene) -> Vec<medic_core::Incident> {
    scene.journal.incidents(&IncidentFilter { limit: 10_000, ..IncidentFilter::default() }).unwrap()
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_alerts_of_one_outage_are_one_incident_counted_honestly() {
    let scene = Scene::new().await;
    scene.break_checkout();
    let alerts: Vec<Alert> = (0..ALERTS).map(|n| scene.firing(&format!("Alert{n}"), "checkout", 1)).collect();
    let listed_max = Policy::default().alerts_max as usize;
    for delivery in alerts.chunks(50) {
        scene.deliver(delivery).await;
    }
    let known =
        |scene: &Scene| all(scene).iter().map(|i| i.alerts.len() as u64 + i.alerts_missing).sum::<u64>();
    scene.settled(|scene| (known(scene) == ALERTS as u64).then_some(())).await;
    let incidents = all(&scene);
    let [incident] = incidents.as_slice() else { panic!("{} incidents", incidents.len()) };
    assert_eq!((incident.alerts.len(), incident.alerts_missing), (listed_max, (ALERTS - listed_max) as u64));
    let waiting = scene.reach(&incident.id, PhaseName::AwaitingDecision).await;
    assert_eq!(waiting.diagnoses.len(), 1);
    assert!(waiting.history.len() < 30, "{:#?}", waiting.history);
    assert!(waiting.history.iter().any(|line| line.why.contains("times by")), "{:#?}", waiting.history);

    // Heartbeats are counted, and tell no longer story.
    for delivery in alerts.chunks(50).take(20) {
        scene.deliver(delivery).await;
        scene.pass(60_000).await;
    }
    let repeated = scene.incident(&incident.id);
    assert!(repeated.history.len() < 30, "{:#?}", repeated.history);
    assert_eq!(repeated.alerts_missing, waiting.alerts_missing);

    // The end of those that are only counted counts too.
    for delivery in alerts.chunks(50) {
        let over: Vec<Alert> =
            delivery.iter().map(|alert| Alert { status: AlertStatus::Resolved, ..alert.clone() }).collect();
        scene.deliver(&over).await;
    }
    let end = scene.reach(&incident.id, PhaseName::Resolved).await;
    assert!(matches!(end.phase, Phase::Resolved { how: Resolution::ByItself, .. }), "{:?}", end.phase);
    assert_eq!((end.alerts_missing, end.alerts_cut), (0, 0));
    assert_eq!(scene.journal.health().dead_letters, 0);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_different_troubles_waits_for_room_and_loses_nothing() {
    // Room for a tenth of what comes.
    let caps = Caps { envelopes_max: 40, ..Caps::default() };
    let scene = Scene::over(FakeJournal::with_caps(caps)).await;
    let mut refused = 0;
    for n in 0..200 {
        let alert = scene.firing_in("SomethingOdd", "checkout", &format!("c{n}"));
        let batch = medic_core::AlertBatch { group_key: "g".into(), alerts: vec![alert], truncated: 0 };
        while scene.desk().receive_alerts(batch.clone(), "test", None).await.is_err() {
            refused += 1;
            assert!(refused < 100_000, "it never has room again");
            scene.pass(250).await;
        }
    }
    scene
        .settled(|scene| {
            (scene.journal.health().incidents.get(&PhaseName::Escalated) == Some(&200)).then_some(())
        })
        .await;
    assert!(refused > 0, "it was never full");
    assert_eq!(scene.journal.health().dead_letters, 0, "no room is nobody's fault");
    assert_eq!(scene.audited("retry").len(), 0);
    scene.settled(|scene| (Address::ALL.iter().all(|to| scene.depth(*to) == 0)).then_some(())).await;
    scene.audit_holds();
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_approval_is_decided_in_the_middle_of_a_storm() {
    let scene = Scene::new().await;
    scene.break_checkout();
    let id = scene.alert("HighErrorRate", "checkout").await;
    scene.reach(&id, PhaseName::AwaitingDecision).await;
    for n in 0..1_000 {
        scene.deliver(&[scene.firing_in("SomethingOdd", "payments", &format!("c{n}"))]).await;
    }
    let before = scene.journal.commit_seq();
    scene.heal_on_deed();
    scene.approve(&id, "token:alice").await.unwrap();
    let waiting = scene.depth(Address::Monitor) + scene.depth(Address::Supervisor);
    assert!(waiting > 250, "the storm was over: {waiting} letters left");
    assert!(scene.journal.commit_seq() - before < 200, "it was answered behind the storm");
    scene.stop().await;
}
