//! Ending in order, and ending at once, in the midst of a storm and of questions that are never answered. Both lose nothing.

use crate::{MOMENT, alone, until};
use medic_demo::{LabKind, Person, Stage, StageOptions};
use medic_tests::load::{Alerts, Caller};
use std::{
    net::TcpListener,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// What the daemon is told to take for an orderly end.
const SHUTDOWN_MS: u64 = 3_000;
const SENDERS: usize = 4;

/// Alerts answered with 200 until the daemon was gone.
fn storm_until_gone(stage: &Stage, alerts: &Arc<Alerts>) -> JoinSet<usize> {
    let caller = Caller::of(stage, Person::Webhook);
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        let (caller, alerts) = (caller.clone(), alerts.clone());
        senders.spawn(async move {
            let (Ok(mut connection), mut taken) = (caller.connect().await, 0) else { return 0 };
            loop {
                let request = caller.post("/webhooks/alertmanager", &alerts.next_of("storm", 50));
                match connection.ask(&request).await {
                    Ok(answer) => taken += usize::from(answer.status == 200),
                    // Refused, cut off, or gone: whoever was not answered sends again.
                    Err(_) => return taken,
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
    }
    senders
}

fn terminate(pid: u32) {
    assert!(Command::new("kill").args(["-TERM", &pid.to_string()]).status().unwrap().success());
}

async fn gone(pid: u32, within: Duration) -> Duration {
    let asked = Instant::now();
    until("the daemon is gone", within, async || {
        // An ended process that nobody has waited for yet is a zombie.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.is_empty() || stat.rsplit(") ").next().is_some_and(|state| state.starts_with('Z'))
    })
    .await;
    asked.elapsed()
}

async fn tracked(stage: &Stage) -> usize {
    let incidents = stage.client(Person::Viewer).unwrap().all_incidents().await.unwrap();
    incidents.iter().map(|incident| incident.alerts as usize).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_is_bounded_in_time_and_a_second_word_ends_at_once_and_both_lose_nothing() {
    let _alone = alone().await;
    // Every question hangs, so that there is always something in flight.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = StageOptions {
        lab: LabKind::Absent,
        prometheus_url: Some(format!("http://{}", silent.local_addr().unwrap())),
        overrides: format!("shutdown_ms = {SHUTDOWN_MS}\n[policy]\npatience_ms = 0"),
        ..StageOptions::default()
    };
    let mut stage = Stage::start(options).await.unwrap();
    // Numbered on over both ends: every alert is another one.
    let (mut taken, alerts) = (0, Arc::new(Alerts::default()));
    for words in [1, 2] {
        let senders = storm_until_gone(&stage, &alerts);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let pid = stage.medicd_pid().unwrap();
        terminate(pid);
        let limit = if words == 1 {
            // Doors, agents and store have that long each at most.
            Duration::from_millis(3 * SHUTDOWN_MS)
        } else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            terminate(pid);
            Duration::from_millis(SHUTDOWN_MS / 2)
        };
        let took = gone(pid, limit).await;
        eprintln!("after {words} SIGTERM the daemon was gone within {took:.1?}");
        stage.kill9().unwrap();
        taken += senders.join_all().await.into_iter().sum::<usize>();
        stage.restart().await.unwrap();
    }
    assert!(taken > 0);
    // An alert whose answer was cut off may be there as well.
    until("every acknowledged alert is in an incident", MOMENT, async || tracked(&stage).await >= taken)
        .await;
}
