//! Work that makes no progress, and stopping while it does not.

use crate::scene::Scene;
use medic_agents::desk::DeskError;
use medic_core::mail::{Address, Lane};
use medic_core::phase::PhaseName;
use medic_core::{AlertBatch, Policy};
use medic_ports::fake::script::Reply;
use medic_ports::journal::Journal as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

fn impatient() -> Policy {
    Policy { gather_deadline_ms: 1_000, ..Policy::default() }
}

#[tokio::test(start_paused = true)]
async fn a_handler_without_progress_is_ended_put_off_and_told_of() {
    let scene = Scene::with(impatient()).await;
    // Logs have no deadline of their own here: nothing but the watchdog ends it.
    scene.logs.script.on("", Reply::Hang);
    let id = scene.alert("HighErrorRate", "checkout").await;
    scene.pass(10_000).await;
    let monitor = scene.actor("monitor");
    assert_eq!((monitor.in_flight, monitor.stuck), (1, false));
    assert!((8_000..=10_000).contains(&monitor.oldest_in_flight_ms), "{}", monitor.oldest_in_flight_ms);
    scene.settled(|scene| scene.condition("HANDLER_HUNG")).await;
    scene.settled(|scene| (scene.audited("retry").len() == 1).then_some(())).await;
    assert!(scene.audited("retry")[0].detail["error"].as_str().unwrap().starts_with("HANDLER_HUNG: "));
    // Its time is over, and its order withdrawn: the second try has nothing left to do.
    assert_eq!(scene.incident(&id).phase.name(), PhaseName::Escalated);
    scene.settled(|scene| (scene.depth(Address::Monitor) == 0).then_some(())).await;
    scene.settled(|scene| (!scene.is_degraded("HANDLER_HUNG")).then_some(())).await;
    assert_eq!(scene.actor("monitor").oldest_in_flight_ms, 0);
    assert!(scene.desk().status().unwrap().safe_mode.is_none(), "it let go");
    assert!(scene.journal.dead_letters(1).unwrap().is_empty());
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_deed_that_hangs_is_reconciled_and_never_done_twice() {
    use medic_ports::fake::tools::Course;
    let scene = Scene::new().await;
    scene.break_checkout();
    let id = scene.alert("HighErrorRate", "checkout").await;
    scene.reach(&id, PhaseName::AwaitingDecision).await;
    scene.tools.next_apply("rollback_config", Course::HangAfterDeed);
    scene.approve(&id, "token:alice").await.unwrap();
    scene.settled(|scene| (scene.audited("retry").len() == 1).then_some(())).await;
    // The step's own deadline has escalated by then; what the deed came to is found out and told all the same.
    scene.settled(|scene| (scene.depth(Address::Executor) == 0).then_some(())).await;
    assert_eq!(scene.tools.deeds().len(), 1);
    assert!(
        scene.journal.effects().iter().all(|effect| !effect.state.is_open()),
        "{:?}",
        scene.journal.effects()
    );
    let end = scene.incident(&id);
    assert!(end.history.iter().any(|line| line.why.contains("late result")), "{:#?}", end.history);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_disk_is_not_a_hung_handler() {
    let sync_ms = Arc::new(AtomicU64::new(0));
    let scene = Scene::on_disk(impatient(), sync_ms.clone()).await;
    let id = scene.alert("SomethingOdd", "checkout").await;
    // Every write takes twice the supervisor's patience.
    sync_ms.store(20_000, Ordering::SeqCst);
    scene.reach(&id, PhaseName::Escalated).await;
    assert!(scene.condition("HANDLER_HUNG").is_none());
    assert_eq!(scene.audited("retry").len(), 0);
    sync_ms.store(0, Ordering::SeqCst);
    // What is being written is written to its end.
    scene.pass(60_000).await;
    scene.stop().await;
}

/// A gate that whoever comes waits at with its whole thread.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    came: AtomicUsize,
}

impl Gate {
    fn pass(&self) {
        self.came.fetch_add(1, Ordering::SeqCst);
        let mut open = self.open.lock().unwrap();
        while !*open {
            open = self.opened.wait(open).unwrap();
        }
    }
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_holds_its_thread_is_named_and_its_key_is_not_started_again() {
    let scene = Scene::with(impatient()).await;
    let gate = Arc::new(Gate::default());
    let blocks = gate.clone();
    scene.logs.script.on(
        "",
        Reply::Compute(Arc::new(move |_| {
            blocks.pass();
            Ok(())
        })),
    );
    let id = scene.alert("HighErrorRate", "checkout").await;
    let hung = async {
        while scene.actor("monitor").state != "hung" {
            scene.clock.advance(250);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), hung).await.expect("it is found");
    let reason = scene.desk().status().unwrap().safe_mode.expect("a human has to look");
    assert!(reason.starts_with("HANDLER_HUNG: letter order:") && reason.contains("monitor"), "{reason}");
    assert!(scene.is_degraded("SAFE_MODE") && scene.is_degraded("HANDLER_HUNG"));
    for _ in 0..40 {
        scene.clock.advance(250);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(
        gate.came.load(Ordering::SeqCst),
        1,
        "never a second one while the first may still be at work"
    );
    // Other incidents are taken in and read meanwhile.
    scene.deliver(&[scene.firing_in("Other", "payments", "elsewhere")]).await;
    gate.open();
    let ended = async {
        while scene.actor("monitor").state != "running" || scene.depth(Address::Monitor) > 0 {
            scene.clock.advance(250);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended).await.expect("it goes on");
    assert!(scene.journal.incident(&id).unwrap().is_some());
    scene.agents.stop(0).await;
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_the_grace_and_hands_back_what_hangs() {
    let scene = Scene::new().await;
    scene.metrics.hang("");
    scene.alert("HighErrorRate", "checkout").await;
    scene.settled(|scene| (!scene.metrics.range.asked().is_empty()).then_some(())).await;
    let (desk, journal, clock) = (scene.desk(), scene.journal.clone(), scene.clock.clone());
    let mut stopping = Box::pin(scene.agents.stop(5_000));
    let early = tokio::time::timeout(Duration::from_secs(60), &mut stopping).await;
    assert!(early.is_err(), "it is given its grace");
    assert!(desk.status().unwrap().stopping);
    let batch = AlertBatch { group_key: "g".into(), alerts: Vec::new(), truncated: 0 };
    let refused = desk.receive_alerts(batch, "test", None).await;
    assert!(matches!(refused, Err(DeskError::Unavailable { code: "STOPPING", .. })), "{refused:?}");
    clock.advance(5_000);
    assert!(!stopping.await, "not everything finished");
    assert_eq!(
        journal.mail(Address::Monitor, Lane::Normal, 0, 10).unwrap().len(),
        1,
        "it is there at the next start"
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_word_ends_the_waiting_at_once() {
    let scene = Scene::new().await;
    scene.metrics.hang("");
    scene.alert("HighErrorRate", "checkout").await;
    scene.settled(|scene| (!scene.metrics.range.asked().is_empty()).then_some(())).await;
    let stopper = scene.agents.stopper();
    let mut stopping = Box::pin(scene.agents.stop(3_600_000));
    assert!(tokio::time::timeout(Duration::from_secs(60), &mut stopping).await.is_err());
    stopper.at_once();
    assert!(!stopping.await);
}

#[tokio::test(start_paused = true)]
async fn stopping_with_nothing_in_flight_waits_for_nothing() {
    let scene = Scene::new().await;
    let id = scene.alert("SomethingOdd", "checkout").await;
    scene.reach(&id, PhaseName::Escalated).await;
    scene.settled(|scene| (scene.depth(Address::Notifier) == 0).then_some(())).await;
    assert!(scene.agents.stop(3_600_000).await);
}
