//! The way to a first tool, as sdk/README.md tells it, followed to the letter: from nothing to a first successful call.
//!
//! The person who follows it has the programs, the SDK and a Prometheus that knows the metric; nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may be blunt"
)]

use axum::Router;
use axum::http::header;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The fenced blocks of one language between two headings.
fn blocks(text: &str, language: &str, from: &str, to: &str) -> Vec<String> {
    let begin = text.find(from).unwrap_or_else(|| panic!("no {from}"));
    let end = text.find(to).unwrap_or_else(|| panic!("no {to}"));
    let fence = format!("```{language}\n");
    let rest = text[begin..end].split(&fence).skip(1);
    rest.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

/// A server that answers every question with 12.
async fn prometheus() -> String {
    let answer =
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[0,"12"]}]}}"#;
    let app = Router::new().fallback(async move || ([(header::CONTENT_TYPE, "application/json")], answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

/// A folder with `medic` in it, as an installation has it.
fn programs(folder: &Path) -> PathBuf {
    let bin = folder.join("bin");
    std::fs::create_dir(&bin).unwrap();
    let medic = bin.join("medic");
    std::fs::write(&medic, format!("#!/bin/sh\nexec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_medicd"))).unwrap();
    std::fs::set_permissions(&medic, std::fs::Permissions::from_mode(0o755)).unwrap();
    bin
}

async fn follow(folder: &Path, script: &str) -> String {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk").canonicalize().unwrap();
    let path = format!("{}:{}", programs(folder).display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", script]).current_dir(folder).env("PATH", path).env("SDK", sdk);
    bash.env("MEDIC__PROMETHEUS__URL", prometheus().await);
    // Kept from run to run: what the SDK is made of is compiled once.
    bash.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-plugin"));
    bash.env("CARGO_NET_OFFLINE", "true").env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    let output = tokio::task::spawn_blocking(move || bash.output().unwrap()).await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}\n--- output\n{out}\n--- talk\n{err}");
    out.into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_leads_from_nothing_to_a_first_answer() {
    let readme =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/README.md")).unwrap();
    let (from, to) = ("## 2. Make the package", "## A tool that changes something");
    // The target is there already: these tests are built beside guests.
    let typed = blocks(&readme, "sh", from, to).concat();
    let typed: String =
        typed.lines().filter(|line| !line.starts_with("rustup")).map(|line| format!("{line}\n")).collect();
    let folder = tempfile::tempdir().unwrap();
    let out = follow(folder.path(), &typed).await;

    for told in
        ["ok      queue_depth", "4 cases, 0 failures", "QUERY", "allowed  metrics.query", "12 requests wait"]
    {
        assert!(out.contains(told), "`{told}` is not in\n{out}");
    }
    let made = std::fs::read_to_string(folder.path().join("queue-depth/src/lib.rs")).unwrap();
    assert_eq!(blocks(&readme, "rust", from, to), [made], "the README shows another tool than is made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_plugin_of_each_category_passes_its_own_tests() {
    let folder = tempfile::tempdir().unwrap();
    let script = "for category in diagnostic remediation destructive; do\n\
        medic plugin new \"a-$category\" --category $category --sdk \"$SDK\"\n\
        (cd a-$category && medic plugin test && medic plugin audit out/a-$category.wasm)\ndone";
    let out = follow(folder.path(), script).await;
    assert_eq!(out.matches("4 cases, 0 failures").count(), 3, "{out}");
    for category in ["DIAGNOSTIC", "REMEDIATION", "DESTRUCTIVE"] {
        assert!(out.contains(category), "{out}");
    }
}

/// Whether guests for the other target can be built on this machine.
fn has_wasip2() -> bool {
    let ask = ["--print", "target-libdir", "--target", "wasm32-wasip2"];
    let output = Command::new("rustc").args(ask).output().unwrap();
    output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_builds_for_wasip2_too_where_that_target_is() {
    if !has_wasip2() {
        eprintln!("not tried: the Rust target wasm32-wasip2 is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = "medic plugin new depth --category query --sdk \"$SDK\"\ncd depth\nmedic plugin build --target wasip2\n\
        medic plugin check out/depth.wasm\nmedic plugin audit out/depth.wasm --emit-grant > grants.toml\n\
        medic plugin run out/depth.wasm depth --args '{\"service\":\"checkout\"}' --grant grants.toml";
    let out = follow(folder.path(), script).await;
    assert!(out.contains("12 requests wait"), "{out}");
}
