//! Stories on real parts: the lab with its Prometheus and Alertmanager, and `medicd` as a process that can be killed.
//! One file a story, one law a test. Nothing here is scripted but the model, which no test should depend on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod consent;
mod crash;
mod disk_full;
mod faults;
mod hung_prometheus;
mod malformed;
mod model;
mod replay;
mod shutdown;
mod storm;
mod unattended;

use medic_demo::{Check, ClientError, Person, Stage, account};
use medic_lab::{Operation, Service};
use medic_proto::v1;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard};

/// A fault raises its first alert within some 7 s; a machine that compiles beside it, later.
const ALERT: Duration = Duration::from_secs(60);
/// From the first alert to the end: gathering, two rounds of diagnosis, a remedy and its verification, twice.
const STORY: Duration = Duration::from_secs(240);
/// One phase that waits for nobody.
const MOMENT: Duration = Duration::from_secs(60);

/// One stage at a time: two labs on two cores are too slow for their own alert rules.
async fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::const_new(());
    MACHINE.lock().await
}

/// Looks again and again until the condition holds; fails with its name when it does not within the time.
async fn until(what: &str, within: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Fails with everything that was seen when a check did not hold.
fn assert_all(checks: &[Check], incident: &v1::Incident, stage: &Stage) {
    let wrong: Vec<_> = checks.iter().filter(|check| !check.held).collect();
    assert!(wrong.is_empty(), "{wrong:#?}\n{}{}", account(incident), stage.log_tail());
}

/// What the lab was done, service by service.
async fn operations(stage: &Stage) -> Vec<(Service, Operation)> {
    let lab = stage.lab().unwrap();
    let mut all = Vec::new();
    for service in lab.services() {
        all.extend(lab.operations(service).await.unwrap().into_iter().map(|operation| (service, operation)));
    }
    all
}

/// Status and code of a refusal.
fn refusal<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> (u16, String) {
    let error = answer.expect_err("this must be refused");
    let problem = error.problem().unwrap_or_else(|| panic!("not refused but: {error}"));
    (problem.status, problem.code.clone())
}

/// What was taken in has been dealt with as far as it can be now: nothing was committed for a moment. (A question that
/// hangs keeps its letter, so that an empty mailbox is too much to ask.)
async fn until_quiet(stage: &Stage) {
    const STILL: Duration = Duration::from_millis(400);
    let client = stage.client(Person::Viewer).unwrap();
    let (mut last, mut since) = (None, Instant::now());
    until("nothing is committed any more", MOMENT, async || {
        let now = client.status().await.unwrap().journal.map(|journal| journal.commit_seq);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        since.elapsed() > STILL
    })
    .await;
}

/// The chain holds as the daemon sees it and, once it is stopped, as anybody can recompute it.
async fn assert_audit_verifies(mut stage: Stage) {
    let seen = stage.client(Person::Viewer).unwrap().verify_audit().await.unwrap();
    assert!(seen.intact && seen.records > 0, "{seen:?}");
    stage.stop_medicd().await.unwrap();
    stage.verify_audit_offline().await.unwrap();
}
