//! Ten thousand alerts, of one outage and of as many as there are alerts: what is acknowledged is kept, what is too much is
//! refused, and people are heard meanwhile.

use crate::{MOMENT, alone, until};
use medic_demo::{LabKind, Person, Stage, StageOptions, account};
use medic_lab::Service;
use medic_tests::load::{Alerts, Caller, QuietPrometheus, Samples};
use serde_json::json;
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinSet};

const ALERTS: u64 = 10_000;
const CONNECTIONS: usize = 16;
/// For everything that was taken in to be in incidents, in an unoptimised build on a busy machine.
const SETTLED: Duration = Duration::from_secs(240);
/// A daemon that holds ten thousand alerts in memory several times over is above this.
const RESIDENT_MIB_MAX: f64 = 512.0;

/// What came of a storm.
#[derive(Default)]
struct Told {
    taken: Samples,
    refused: Samples,
    /// Refusals that did not say when to come again, or said anything but "not now".
    rude: Vec<String>,
}

/// Posts what `next` gives until there is no more, over so many connections at once.
async fn post_all(stage: &Stage, next: impl Fn() -> Option<String> + Send + Sync + 'static) -> Told {
    let (caller, next) = (Caller::of(stage, Person::Webhook), Arc::new(next));
    let mut senders = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (caller, next) = (caller.clone(), next.clone());
        senders.spawn(async move {
            let (mut connection, mut told) = (caller.connect().await.unwrap(), Told::default());
            while let Some(body) = next() {
                let request = caller.post("/webhooks/alertmanager", &body);
                let asked = Instant::now();
                let answer = connection.ask(&request).await.unwrap();
                match (answer.status, answer.retry_after_s) {
                    (200, _) => told.taken.push(asked.elapsed()),
                    (429 | 503, Some(1..)) => told.refused.push(asked.elapsed()),
                    _ => told.rude.push(answer.text()),
                }
            }
            told
        });
    }
    let mut all = Told::default();
    while let Some(told) = senders.join_next().await {
        let told = told.unwrap();
        all.taken.extend(told.taken);
        all.refused.extend(told.refused);
        all.rude.extend(told.rude);
    }
    all
}

/// The most memory the daemon has had resident, in MiB.
fn peak_mib(stage: &Stage) -> f64 {
    let pid = stage.medicd_pid().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap() / 1024.0
}

async fn nothing_waits(stage: &Stage) {
    let client = stage.client(Person::Viewer).unwrap();
    until("no letter waits any more", SETTLED, async || {
        let journal = client.status().await.unwrap().journal.unwrap();
        journal.mailboxes.iter().all(|mailbox| mailbox.envelopes == 0)
    })
    .await;
}

fn bare(prometheus: &QuietPrometheus, overrides: &str) -> StageOptions {
    StageOptions {
        lab: LabKind::Absent,
        prometheus_url: Some(prometheus.url()),
        overrides: overrides.to_owned(),
        ..StageOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_alerts_of_one_outage_are_one_incident_and_one_diagnosis() {
    const IN_ONE: u64 = 20;
    let _alone = alone().await;
    let prometheus = QuietPrometheus::start().await.unwrap();
    // Longer than the storm, so that the first diagnosis does not come before the last alert.
    let stage = Stage::start(bare(&prometheus, "[policy]\npatience_ms = 60000")).await.unwrap();
    let alerts = Arc::new(Alerts::default());
    let (made, sent) = (alerts.clone(), std::sync::atomic::AtomicU64::new(0));
    let began = Instant::now();
    let told = post_all(&stage, move || {
        let before = sent.fetch_add(IN_ONE, std::sync::atomic::Ordering::Relaxed);
        (before < ALERTS).then(|| made.next_many("outage", IN_ONE))
    })
    .await;
    let took = began.elapsed();
    assert!(told.rude.is_empty() && told.refused.is_empty(), "{:?}", told.rude.first());

    nothing_waits(&stage).await;
    let incidents = stage.incidents().await.unwrap();
    assert_eq!(incidents.len(), 1, "{incidents:#?}");
    let incident = stage.incident(&incidents[0].id).await.unwrap();
    let known = incident.alerts.len() as u64 + incident.alerts_missing;
    assert_eq!(known, ALERTS, "{}", account(&incident));
    assert!(incident.iteration <= 1, "one round of diagnosis: {}", account(&incident));
    // Those that the incident only counts are known all the same: the first of them comes again, and opens nothing.
    let again = alerts.again("outage", 0..IN_ONE);
    stage.client(Person::Webhook).unwrap().deliver(again).await.unwrap();
    nothing_waits(&stage).await;
    assert_eq!(stage.incidents().await.unwrap().len(), 1);
    let peak = peak_mib(&stage);
    assert!(peak < RESIDENT_MIB_MAX, "{peak:.0} MiB");
    eprintln!(
        "{ALERTS} alerts in {} deliveries over {CONNECTIONS} connections in {took:.1?}: {:.0} alerts/s, p50 {:.1} ms, \
         p99 {:.1} ms; peak {peak:.0} MiB",
        told.taken.len(),
        ALERTS as f64 / took.as_secs_f64(),
        told.taken.percentile_ms(50).unwrap(),
        told.taken.percentile_ms(99).unwrap(),
    );
}

/// The mailboxes are made small, so that the storm is larger than they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_groups_is_taken_in_or_refused_and_people_are_heard_meanwhile() {
    let _alone = alone().await;
    let prometheus = QuietPrometheus::start().await.unwrap();
    // No logs: what a log costs to read is another question, and an unoptimised build reads it for minutes.
    let overrides = "[store]\nmailbox_envelopes_max = 400\n[policy]\npatience_ms = 0\n[logs]\ndirectory = []";
    let stage =
        Stage::start(StageOptions { lab: LabKind::Shop, ..bare(&prometheus, overrides) }).await.unwrap();

    // A plan that waits for somebody before the storm begins.
    let args = json!({ "service": Service::Payments.name() });
    let asked = stage.client(Person::Alice).unwrap().execute("restart_service", &args).await.unwrap();
    let plan = asked.proposed_incident_id.unwrap();
    let waits = |seen: &medic_proto::v1::Incident| seen.phase == "AWAITING_DECISION";
    stage.wait_for(&plan, "its plan waits", MOMENT, waits).await.unwrap();

    // Health is asked all the time, the approval is given in the midst of it.
    let (over, ended) = watch::channel(false);
    let caller = Caller::of(&stage, Person::Viewer);
    let health = tokio::spawn(async move {
        let (mut connection, mut samples) = (caller.connect().await.unwrap(), Samples::default());
        while !*ended.borrow() {
            let asked = Instant::now();
            let answer = connection.ask(&caller.get("/healthz")).await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            samples.push(asked.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        samples
    });
    let alerts = Arc::new(Alerts::default());
    let sent = std::sync::atomic::AtomicU64::new(0);
    let began = Instant::now();
    let storm = post_all(&stage, move || {
        let number = sent.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        (number < ALERTS).then(|| alerts.next(&format!("group-{number}")))
    });
    let approval = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let asked = Instant::now();
        let told = stage.approve(&plan, Person::Bob).await.unwrap();
        (told, asked.elapsed())
    };
    let (told, (decision, heard)) = tokio::join!(storm, approval);
    let took = began.elapsed();
    over.send(true).unwrap();
    let health = health.await.unwrap();

    assert!(told.rude.is_empty(), "{:?}", told.rude.first());
    assert!(told.taken.len() > 400, "only {} were taken in", told.taken.len());
    assert!(!told.refused.is_empty(), "the storm was smaller than the mailboxes: nothing was tried");
    assert!(heard < Duration::from_secs(5), "an approval took {heard:?}");
    assert_eq!(decision.phase, "EXECUTING", "{decision:?}");

    // What was acknowledged is there: as many alerts in incidents as were answered with 200, and the plan's own.
    nothing_waits(&stage).await;
    let journal = stage.client(Person::Viewer).unwrap().status().await.unwrap().journal.unwrap();
    assert_eq!(journal.dead_letters, 0, "nothing may be set aside only because there is much of it");
    let mut titles = BTreeSet::new();
    let mut tracked = 0;
    for incident in stage.client(Person::Viewer).unwrap().all_incidents().await.unwrap() {
        if incident.id != plan {
            tracked += incident.alerts as usize;
            titles.insert(incident.id);
        }
    }
    assert_eq!(tracked, told.taken.len(), "in {} incidents", titles.len());
    eprintln!(
        "{ALERTS} groups in {took:.1?}: {} taken in (p50 {:.1} ms, p99 {:.1} ms), {} refused (p99 {:.1} ms); an approval \
         took {heard:.1?}, health p99 {:.1} ms of {}; peak {:.0} MiB",
        told.taken.len(),
        told.taken.percentile_ms(50).unwrap(),
        told.taken.percentile_ms(99).unwrap(),
        told.refused.len(),
        told.refused.percentile_ms(99).unwrap(),
        health.percentile_ms(99).unwrap(),
        health.len(),
        peak_mib(&stage),
    );
}
