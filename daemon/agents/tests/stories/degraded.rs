//! A world that is slow, silent or lying: told, survived, and healed by itself.

use crate::scene::Scene;
use medic_core::effect::NoticeKind;
use medic_core::mail::Address;
use medic_core::phase::PhaseName;
use medic_core::{Fault, FaultKind, Labels, TimestampMs};
use medic_ports::fake::metrics::series;
use medic_ports::fake::script::Reply;
use medic_ports::journal::Journal as _;

fn timeout() -> Fault {
    Fault::new(FaultKind::Timeout, "PROMETHEUS_TIMEOUT", "no answer in time")
}

#[tokio::test(start_paused = true)]
async fn a_prometheus_that_does_not_answer_is_asked_by_one_and_heals_by_itself() {
    let scene = Scene::new().await;
    scene.metrics.fail("", &timeout());
    scene.metrics.readiness.on("", Reply::Fail(timeout()));
    for n in 0..20 {
        scene.deliver(&[scene.firing_in("HighErrorRate", "checkout", &format!("c{n}"))]).await;
    }
    scene.settled(|scene| (scene.journal.health().incidents.values().sum::<u64>() == 20).then_some(())).await;
    scene.settled(|scene| scene.is_degraded("METRICS_UNREACHABLE").then_some(())).await;
    scene.settled(|scene| (scene.depth(Address::Monitor) == 0).then_some(())).await;
    let asked = scene.metrics.range.asked().len();
    assert!(asked < 60, "twenty incidents asked {asked} times");
    let incidents =
        scene.journal.incidents(&medic_ports::journal::IncidentFilter { limit: 100, ..Default::default() });
    for incident in incidents.unwrap() {
        // The fault is told as it was, also to those who did not ask themselves.
        assert!(incident.gaps.iter().any(|gap| gap.code == "PROMETHEUS_TIMEOUT"), "{:?}", incident.gaps);
    }
    // Nobody has an incident that asks; it is found to be back all the same.
    scene.metrics.readiness.on("", Reply::Answer(()));
    scene.settled(|scene| (!scene.is_degraded("METRICS_UNREACHABLE")).then_some(())).await;
    assert!(scene.condition("METRICS_UNREACHABLE").unwrap().healed_at.is_some());
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lying_prometheus_gives_gaps_and_no_findings() {
    let now = crate::scene::START_MS;
    let labels = || Labels::from([("service", "checkout")]);
    let at = |ms: u64, step: u64, value: f64| series(labels(), TimestampMs(ms), step, vec![value; 100]);
    let mut garbled = series(labels(), TimestampMs(now - 100_000), 1_000, (0..100).map(f64::from));
    garbled.samples.reverse();
    let lies = [
        ("METRICS_NOT_A_NUMBER", at(now - 100_000, 1_000, f64::NAN)),
        ("METRICS_DISORDERED", garbled),
        ("METRICS_EMPTY", at(now - 100_000_000, 1_000, 1.0)),
    ];
    for (code, lie) in lies {
        let scene = Scene::new().await;
        scene.metrics.series("", vec![lie]);
        let id = scene.alert("SomethingOdd", "checkout").await;
        let end = scene.reach(&id, PhaseName::Escalated).await;
        assert!(end.gaps.iter().any(|gap| gap.code == code), "{code}: {:?}", end.gaps);
        let believed: Vec<_> = end.findings.iter().filter(|f| f.category != "alert").collect();
        assert!(believed.is_empty(), "{code}: {believed:?}");
        scene.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pager_that_is_away_is_told_when_it_is_back() {
    let scene = Scene::new().await;
    scene
        .notifier
        .script
        .on("", Reply::Fail(Fault::new(FaultKind::Unreachable, "NOTIFY_UNREACHABLE", "refused")));
    let id = scene.alert("SomethingOdd", "checkout").await;
    scene.reach(&id, PhaseName::Escalated).await;
    scene.pass(120_000).await;
    assert!(scene.is_degraded("NOTIFIER_FAILING"));
    assert!(scene.notifier.sent().is_empty());
    assert!(scene.notifier.script.asked().len() < 40, "it is not hammered");
    scene.notifier.script.on("", Reply::Answer(()));
    scene.settled(|scene| (scene.depth(Address::Notifier) == 0).then_some(())).await;
    let told: Vec<NoticeKind> = scene.notifier.sent().into_iter().map(|(_, notice)| notice.kind).collect();
    assert_eq!(told, [NoticeKind::Opened, NoticeKind::Escalated], "both, and in order");
    assert!(!scene.is_degraded("NOTIFIER_FAILING"));
    assert_eq!(scene.audited("notice_lost").len(), 0);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_nobody_heard_in_an_hour_is_given_up_and_written_down() {
    let scene = Scene::new().await;
    scene
        .notifier
        .script
        .on("", Reply::Fail(Fault::new(FaultKind::Unreachable, "NOTIFY_UNREACHABLE", "refused")));
    let id = scene.alert("SomethingOdd", "checkout").await;
    scene.reach(&id, PhaseName::Escalated).await;
    scene.pass(3_590_000).await;
    assert_eq!(scene.depth(Address::Notifier), 2);
    scene.settled(|scene| (scene.depth(Address::Notifier) == 0).then_some(())).await;
    assert_eq!(scene.audited("notice_lost").len(), 2);
    assert_eq!(scene.incident(&id).phase.name(), PhaseName::Escalated);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_is_nearly_full_or_slow_is_told_and_heals() {
    let scene = Scene::new().await;
    for (code, set) in [
        ("STORE_LOW_SPACE", &(|scene: &Scene, on| scene.journal.set_low_space(on)) as &dyn Fn(&Scene, bool)),
        ("STORE_SLOW", &|scene, on| scene.journal.set_sync(if on { 4_000 } else { 1 }, on)),
    ] {
        assert!(scene.condition(code).is_none(), "{code}");
        set(&scene, true);
        assert!(scene.is_degraded(code));
        set(&scene, false);
        let healed = scene.condition(code).unwrap();
        assert!(healed.healed_at.is_some(), "{healed:?}");
    }
    scene.journal.fail_writes();
    assert!(scene.is_degraded("STORE_FAILED"));
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_traps_is_named_until_it_runs_again() {
    let scene = Scene::new().await;
    let trap = Fault::new(FaultKind::Sandbox, "TRAP", "unreachable executed");
    scene.break_checkout();
    scene.tools.preparations.once("", Reply::Fail(trap));
    let id = scene.alert("HighErrorRate", "checkout").await;
    scene.reach(&id, PhaseName::Escalated).await;
    let condition = scene.condition("PLUGIN_FAILING").unwrap();
    assert!(condition.detail.contains("rollback_config: TRAP"), "{condition:?}");
    scene.clock.advance(3_600_000);
    scene.break_checkout();
    let other = scene.alert_at("HighErrorRate", "checkout", 3_600_000).await;
    scene.reach(&other, PhaseName::AwaitingDecision).await;
    assert!(!scene.is_degraded("PLUGIN_FAILING"));
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn status_counts_live_incidents_without_looking_at_one() {
    let scene = Scene::new().await;
    let odd = scene.firing_in("SomethingOdd", "payments", "elsewhere");
    scene.deliver(std::slice::from_ref(&odd)).await;
    scene.settled(|scene| scene.journal.health().incidents.get(&PhaseName::Escalated).copied()).await;
    scene.break_checkout();
    let open = scene.alert("HighErrorRate", "checkout").await;
    scene.reach(&open, PhaseName::AwaitingDecision).await;
    let status = scene.desk().status().unwrap();
    assert_eq!(status.live_incidents, 1, "{:?}", status.journal.incidents);
    assert_eq!(status.boot.unclean_in_a_row, 0);
    scene.stop().await;
}
