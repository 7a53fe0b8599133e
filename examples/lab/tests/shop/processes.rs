//! Processes: what is killed is started again as it was, and nothing outlives the lab.

use crate::{Call, shop, until, until_healthy};
use medic_lab::{Lab, LabOptions, Plan, Service};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

const SOON: Duration = Duration::from_secs(10);

fn alive(pid: u32) -> bool {
    // A process that ended and was not yet waited for is not alive: its command line is empty.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command_line| !command_line.is_empty())
}

fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
}

fn every_pid(dir: &Path) -> Vec<u32> {
    let keeper = Plan::read(dir).unwrap().keeper().unwrap();
    keeper.pids.into_values().chain([keeper.pid as u32]).collect()
}

#[tokio::test]
async fn a_killed_service_comes_back_as_it_was() {
    let lab = shop().await;
    let checkout = Call::to(&lab, Service::Checkout);
    let mut config = checkout.get("/admin/config").await.body;
    config["release"] = json!("kept");
    checkout.put("/admin/config", &config).await;
    checkout.put("/admin/workers", &json!({"workers": 7})).await;

    let killed = lab.pid(Service::Checkout).unwrap().unwrap();
    kill(killed);
    until("the keeper started checkout again", SOON, async || lab.restarts(Service::Checkout).unwrap() == 1)
        .await;
    until_healthy(&lab).await;
    assert_ne!(lab.pid(Service::Checkout).unwrap(), Some(killed));
    assert_eq!(
        checkout.get("/admin/config").await.body,
        config,
        "at the same address, with the same document"
    );
    assert_eq!(checkout.get("/admin/workers").await.body, json!({"workers": 7}));
    assert_eq!(lab.restarts(Service::Gateway).unwrap(), 0, "nobody else was touched");
}

#[tokio::test]
async fn a_dropped_lab_leaves_no_process_and_no_file() {
    let lab = shop().await;
    let dir = lab.dir().to_owned();
    let pids = every_pid(&dir);
    assert_eq!(pids.len(), 7, "five services, load, keeper");
    assert!(pids.iter().all(|pid| alive(*pid)));
    drop(lab);
    assert!(!pids.iter().any(|pid| alive(*pid)));
    assert!(!dir.exists());
}

#[tokio::test]
async fn a_directory_has_one_lab_at_a_time_and_keeps_its_state() {
    let dir = tempfile::tempdir().unwrap();
    let options =
        || LabOptions { dir: Some(dir.path().to_owned()), prometheus: false, ..LabOptions::default() };
    let lab = Lab::start(options()).await.unwrap();
    let second = Lab::start(options()).await.err().unwrap().to_string();
    assert!(second.contains("a lab runs in"), "{second}");
    Call::to(&lab, Service::Payments).put("/admin/workers", &json!({"workers": 11})).await;
    lab.stop();

    let lab = Lab::start(options()).await.unwrap();
    assert_eq!(Call::to(&lab, Service::Payments).get("/admin/workers").await.body, json!({"workers": 11}));
}

/// `medic-lab up` with its own directory; returns once it says that it is ready.
fn up(dir: &Path) -> (std::process::Child, Value) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_medic-lab"))
        .args(["up", "--no-prometheus", "--dir"])
        .arg(dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, serde_json::from_str(&line).unwrap())
}

#[tokio::test]
async fn killing_whoever_started_it_ends_the_lab() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, _) = up(dir.path());
    let pids = every_pid(dir.path());
    child.kill().unwrap();
    child.wait().unwrap();
    until("all have ended", SOON, async || !pids.iter().any(|pid| alive(*pid))).await;
}

#[tokio::test]
async fn killing_the_keeper_ends_its_parts() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, _) = up(dir.path());
    let pids = every_pid(dir.path());
    kill(Plan::read(dir.path()).unwrap().keeper().unwrap().pid as u32);
    until("all have ended", SOON, async || !pids.iter().any(|pid| alive(*pid))).await;
    assert!(child.wait().unwrap().success(), "and `up` with them");
}

#[tokio::test]
async fn the_command_line_breaks_looks_mends_and_stops() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, described) = up(dir.path());
    assert!(described["admin_urls"]["store"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    assert!(
        !described.to_string().contains(&std::fs::read_to_string(dir.path().join("admin-token")).unwrap())
    );

    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_medic-lab"))
            .args(arguments)
            .arg("--dir")
            .arg(dir.path())
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let status = || serde_json::from_str::<Value>(&run(&["status"]).1).unwrap();
    assert_eq!(status()["active_faults"], json!([]));
    assert!(run(&["fault", "latency"]).0);
    assert_eq!((&status()["active_faults"], &status()["healthy"]), (&json!(["latency"]), &json!(false)));
    assert!(run(&["fault", "latency", "--off"]).0);
    assert_eq!(status()["active_faults"], json!([]));
    assert!(!run(&["fault", "earthquake"]).0);

    assert!(run(&["down"]).0);
    assert!(child.wait().unwrap().success());
    assert!(!run(&["status"]).0, "there is no lab any more");
}
