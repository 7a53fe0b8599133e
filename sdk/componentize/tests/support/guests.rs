//! Owns the first-party components as a test needs them: built once a test binary, from the sources beside it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::type_complexity,
    dead_code,
    reason = "a test may be blunt"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Every first-party package, in order of category.
pub const GUESTS: [&str; 11] = [
    "error-ratio",
    "search-logs",
    "kubernetes-read",
    "prometheus",
    "probe-endpoint",
    "network",
    "service-admin",
    "kubernetes-change",
    "http-admin",
    "storage-purge",
    "kubernetes-destroy",
];

/// Top of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Folder of the built components.
pub fn components() -> &'static Path {
    static BUILT: OnceLock<tempfile::TempDir> = OnceLock::new();
    let build = || {
        let out = tempfile::tempdir().unwrap();
        build(out.path());
        out
    };
    BUILT.get_or_init(build).path()
}

/// Cargo's folder for what it builds: the tool under test lies in it, one profile down.
fn target() -> PathBuf {
    let below = Path::new(env!("CARGO_BIN_EXE_medic-componentize"));
    below.parent().and_then(Path::parent).unwrap().to_owned()
}

fn succeed(command: &mut Command, hint: &str) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{hint}\n{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
}

fn build(out: &Path) {
    let target = target();
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--target", "wasm32-unknown-unknown", "--profile", "guest", "--target-dir"])
        .arg(&target);
    cargo.args(GUESTS.map(|name| format!("--package=plugin-{name}")));
    // The flags of the test's own build (coverage, sanitizers) are none of a guest's business.
    cargo.current_dir(workspace()).env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    succeed(
        &mut cargo,
        "cannot build the guests; is the target there? rustup target add wasm32-unknown-unknown",
    );

    let modules = target.join("wasm32-unknown-unknown/guest");
    let mut componentize = Command::new(env!("CARGO_BIN_EXE_medic-componentize"));
    componentize.arg("--out").arg(out);
    componentize.args(GUESTS.map(|name| modules.join(format!("plugin_{}.wasm", name.replace('-', "_")))));
    succeed(&mut componentize, "cannot make components of the guests");
}
