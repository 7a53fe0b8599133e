//! A disk that fills up and is freed again, without a restart between.

use crate::{MOMENT, alone, until};
use medic_demo::{ClientError, LabKind, Person, Stage, StageOptions};
use medic_proto::v1;
use medic_tests::load::Alerts;
use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

/// Holds the daemon's whole data and a ballast; small enough to be filled in a second.
const DISK_MIB: u64 = 256;

/// A file system of its own in memory. Dropping it takes it away.
struct Disk(PathBuf);

impl Disk {
    /// `None` when this user may not mount.
    fn mount(dir: &Path) -> Option<Self> {
        let options = format!("size={DISK_MIB}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "medic-test"]).arg(dir).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(dir.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the daemon may still be ending.
        let _unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Writes until nothing more goes in.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    for size in [1 << 20, 4 << 10, 1] {
        while file.write_all(&vec![7; size]).is_ok() {}
    }
}

async fn deliver(stage: &Stage, alerts: &Alerts) -> Result<(), ClientError> {
    stage.client(Person::Webhook).unwrap().deliver(alerts.next("disk")).await
}

#[tokio::test]
async fn a_full_disk_refuses_alerts_lets_people_speak_and_heals_without_a_restart() {
    let _alone = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(folder.path()) else {
        eprintln!("SKIPPED: this user may not mount a file system of a limited size");
        return;
    };
    let options = StageOptions {
        lab: LabKind::Absent,
        dir: Some(folder.path().join("stage")),
        overrides: "[store]\nlow_space_bytes = 33554432\n[policy]\npatience_ms = 0".to_owned(),
        ..StageOptions::default()
    };
    let stage = Stage::start(options).await.unwrap();
    let alerts = Alerts::default();
    let alice = stage.client(Person::Alice).unwrap();
    let request = v1::CreateIncidentRequest {
        title: "orders fail".to_owned(),
        labels: [("service".to_owned(), "checkout".to_owned())].into(),
        ..Default::default()
    };
    let before = alice.create(&request).await.unwrap().incident_id;
    let mut taken = 0;
    for _ in 0..20 {
        deliver(&stage, &alerts).await.unwrap();
        taken += 1;
    }

    let filler = folder.path().join("filler");
    fill(&filler);
    let mut refused = None;
    until("alerts are refused", MOMENT, async || match deliver(&stage, &alerts).await {
        Ok(()) => {
            taken += 1;
            false
        }
        Err(error) => {
            refused = error.problem().cloned();
            true
        }
    })
    .await;
    let refused = refused.expect("refused, not silent");
    assert_eq!((refused.status, refused.code.as_str()), (503, "STORE_LOW_SPACE"), "{refused}");
    let not_ready = alice.ready().await.unwrap_err();
    assert!(not_ready.to_string().contains("STORE_LOW_SPACE"), "{not_ready}");
    assert!(alice.is_alive().await);
    // Running work is still recorded: the ballast is what it is written on.
    let seen = stage.incident(&before).await.unwrap();
    if !medic_demo::has_ended(&seen) {
        alice.escalate(&before, "the disk is full").await.unwrap();
    }
    assert_eq!(stage.incident(&before).await.unwrap().phase, "ESCALATED");

    std::fs::remove_file(&filler).unwrap();
    until("alerts are taken in again", MOMENT, async || deliver(&stage, &alerts).await.is_ok()).await;
    taken += 1;
    until("the daemon is ready again", MOMENT, async || alice.ready().await.is_ok()).await;
    until("every acknowledged alert is in an incident", MOMENT, async || {
        let incidents = stage.client(Person::Viewer).unwrap().all_incidents().await.unwrap();
        incidents.iter().filter(|one| one.id != before).map(|one| one.alerts as usize).sum::<usize>() == taken
    })
    .await;
    stage.stop().await.unwrap();
    drop(disk);
}
