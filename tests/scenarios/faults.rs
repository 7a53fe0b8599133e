//! Each fault of the lab, from the alert to the verified end.

use crate::{ALERT, STORY, alone, assert_all, assert_audit_verifies};
use medic_demo::{Ending, Stage, StageOptions, expectation_of, verdict};
use medic_lab::Fault;
use std::time::{Duration, Instant};

/// How long the quiet run is watched.
const QUIET: Duration = Duration::from_secs(30);

/// Ordinary life before a fault in the full round: a rise shows only against what was before.
const BEFORE: Duration = Duration::from_secs(30);

async fn story(fault: Fault, before: Duration, options: StageOptions) {
    let expected = expectation_of(fault);
    let stage = Stage::start(options).await.unwrap();
    tokio::time::sleep(before).await;
    stage.lab().unwrap().inject(fault).await.unwrap();
    let id = stage.first_incident(ALERT).await.unwrap();
    let incident = stage.see_through(&id, STORY).await.unwrap();
    let checks = verdict(&stage, &expected, &incident).await.unwrap();
    assert_all(&checks, &incident, &stage);
    assert_audit_verifies(stage).await;
}

#[tokio::test]
async fn a_bad_configuration_is_named_approved_put_back_and_verified() {
    let _alone = alone().await;
    story(Fault::BadConfig, Duration::ZERO, StageOptions::default()).await;
}

/// Nothing it could do helps, so that a shorter look is enough.
#[tokio::test]
async fn a_remedy_that_does_not_help_is_undone_the_undoing_verified_and_a_human_called() {
    let _alone = alone().await;
    let options = StageOptions { verify_deadline_ms: 20_000, ..StageOptions::default() };
    story(Fault::Stubborn, Duration::ZERO, options).await;
}

#[tokio::test]
#[ignore = "some ten minutes; as `make demo-all`, with the same verdicts"]
async fn every_fault_ends_as_it_should() {
    let _alone = alone().await;
    for fault in Fault::ALL {
        let began = Instant::now();
        match expectation_of(fault).ending {
            Ending::Quiet => nothing_happens_without_a_fault().await,
            _ => story(fault, BEFORE, StageOptions::default()).await,
        }
        eprintln!("{fault}: as it should, in {:.0} s", began.elapsed().as_secs_f64());
    }
}

async fn nothing_happens_without_a_fault() {
    let stage = Stage::start(StageOptions::default()).await.unwrap();
    let began = Instant::now();
    while began.elapsed() < QUIET {
        let incidents = stage.incidents().await.unwrap();
        assert!(incidents.is_empty(), "{incidents:#?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(crate::operations(&stage).await.is_empty());
}
