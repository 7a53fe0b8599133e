//! The sweep in short: every mode, every planted bug, and the tool's own honesty. `make crash` is the long form.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may be blunt"
)]

use serde_json::Value;
use std::process::Command;

/// Runs the tool; its exit code and what it says on stdout.
fn crash(arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_medic-crash")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
fn every_change_of_a_file_passes_through_the_faulty_file_system() {
    let (holds, said, errors) = crash(&["tape", "--all"]);
    assert!(holds, "{said}\n{errors}");
    let has = |what: &str| said.lines().any(|line| line.contains(what));
    for what in ["create", "write #", "sync #", "sync directory", "rename", "call to the world"] {
        assert!(has(what), "the tape knows no {what}");
    }
    let counts: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert!(counts["boundaries"].as_u64().unwrap() > 300, "{counts}");
    assert!(counts["syncs"].as_u64().unwrap() > 80, "{counts}");
    assert!(counts["logic"].as_u64().unwrap() > 150, "{counts}");
}

#[test]
fn a_few_points_of_every_mode_hold_every_promise() {
    let (holds, said, errors) = crash(&["sweep", "--points", "2", "--stories", "1", "--jobs", "2", "--json"]);
    assert!(holds, "{said}\n{errors}");
    let report: Value = serde_json::from_str(&said).unwrap();
    for way in ["kill", "torn", "power", "eio", "enospc", "logic", "pairs"] {
        let row = &report["rows"][way];
        assert_eq!(row["points"], 2, "{way}: {report}");
        assert!(row["struck"].as_u64().unwrap() >= 1 || way == "enospc", "{way} hardly struck: {row}");
    }
}

#[test]
fn every_planted_bug_is_found() {
    let (holds, said, errors) = crash(&["mutants", "--near", "--points", "60", "--jobs", "2", "--json"]);
    assert!(holds, "{said}\n{errors}");
    let found: Value = serde_json::from_str(&said).unwrap();
    let found = found.as_array().unwrap();
    assert!(found.len() >= 20, "{} planted bugs", found.len());
    for one in found {
        println!("{} by {} after {}: {}", one["mutant"], one["by"], one["points"], one["fault"]);
        assert!(one["by"].is_string(), "{one}");
    }
    let by = |name: &str| found.iter().find(|one| one["mutant"] == name).unwrap()["by"].clone();
    // A killed process loses nothing of the page cache: only a power loss tells.
    assert_eq!(by("log-sync-lies"), "power");
    assert_eq!(by("directory-sync-lies"), "power");
}

#[test]
fn a_life_under_every_kind_of_trouble_keeps_its_promises() {
    let (holds, said, errors) = crash(&["soak", "--seed", "3", "--for", "1", "--json"]);
    assert!(holds, "{said}\n{errors}");
    let report: Value = serde_json::from_str(&said).unwrap();
    assert!(
        report["generations"].as_u64().unwrap() >= 1 && report["deeds"].as_u64().unwrap() >= 3,
        "{report}"
    );
}
