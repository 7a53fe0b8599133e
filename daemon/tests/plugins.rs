//! The commands that the pages about reviewing and granting show, run as they stand there, and the compiling process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may be blunt"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn host() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("host")
}

/// A component that was built once, which asks Prometheus.
fn component(name: &str) -> Vec<u8> {
    std::fs::read(host().join(format!("tests/fixtures/contract-0.1.0/{name}.wasm"))).unwrap()
}

/// A folder as a reviewer has it before the first command.
fn desk() -> tempfile::TempDir {
    let desk = tempfile::tempdir().unwrap();
    std::fs::write(desk.path().join("queue-depth.wasm"), component("query")).unwrap();
    std::fs::write(desk.path().join("queue-depth-1.wasm"), component("query")).unwrap();
    desk
}

/// `medic` is what people type; these commands are handed to medicd.
fn shell(desk: &Path, script: &str) -> Output {
    let script = format!("medic() {{ \"{}\" \"$@\"; }}\nset -e\n{script}", env!("CARGO_BIN_EXE_medicd"));
    Command::new("bash").args(["-c", &script]).current_dir(desk).env("RUST_LOG", "warn").output().unwrap()
}

fn done(desk: &Path, script: &str) -> String {
    let output = shell(desk, script);
    let (out, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}\n{out}\n{told}");
    out.into_owned()
}

fn refused(desk: &Path, script: &str, word: &str) {
    let output = shell(desk, script);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert_eq!(output.status.code(), Some(1), "{script}\n{said}");
    assert!(said.contains(word), "{script}\n{said}");
}

/// The blocks of a page that are to be typed.
fn commands(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(host().join(page)).unwrap();
    let blocks = text.split("```sh\n").skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_commands_of_the_page_on_reviewing_do_what_it_says() {
    let desk = desk();
    done(
        desk.path(),
        "medic plugin keygen release.key && medic plugin sign queue-depth.wasm --key release.key",
    );
    let commands = commands("REVIEW.md");
    assert_eq!(commands.len(), 5, "{commands:?}");
    let said: Vec<String> = commands.iter().map(|block| done(desk.path(), block)).collect();
    assert!(
        said[0].contains("category      QUERY") && said[0].contains("verdict       loads"),
        "{}",
        said[0]
    );
    assert!(said[2].ends_with("SAME\n"), "{}", said[2]);
    assert!(said[3].contains("is signed by release.key.pub"), "{}", said[3]);
    let sarif: serde_json::Value =
        serde_json::from_slice(&std::fs::read(desk.path().join("queue-depth.sarif")).unwrap()).unwrap();
    assert_eq!(sarif["version"], "2.1.0");

    // The same questions about a component that could do more, and about one that lies.
    std::fs::write(desk.path().join("purge.wasm"), component("whole-destructive")).unwrap();
    refused(
        desk.path(),
        "medic plugin diff queue-depth.wasm purge.wasm",
        "WIDENED: it imports k8s-destroy.delete",
    );
    refused(desk.path(), "medic plugin verify purge.wasm --trust release.key.pub", "SIGNATURE_MISSING");
    done(desk.path(), "cp queue-depth.wasm.sig purge.wasm.sig");
    refused(desk.path(), "medic plugin verify purge.wasm --trust release.key.pub", "SIGNATURE_INVALID");
    done(
        desk.path(),
        "head -c 100 purge.wasm > torn.wasm; medic plugin audit torn.wasm --sarif | grep -q NOT_A_COMPONENT",
    );
    refused(desk.path(), "medic plugin audit torn.wasm", "NOT_A_COMPONENT");
}

#[test]
fn the_commands_of_the_page_on_granting_do_what_it_says() {
    let desk = desk();
    let commands = commands("GRANTS.md");
    assert_eq!(commands.len(), 4, "{commands:?}");
    let said: Vec<String> = commands.iter().map(|block| done(desk.path(), block)).collect();
    assert!(
        said[1].contains("NEW") && said[1].contains("installed as plugins/queue-depth.wasm"),
        "{}",
        said[1]
    );
    assert!(said[2].contains("queue-depth") && said[2].contains("old_query"), "{}", said[2]);

    // A wider version is not installed in passing, and what was there goes on.
    let widen = "mkdir -p new && cp whole.wasm new/queue-depth.wasm && medic plugin install new/queue-depth.wasm --plugins-dir plugins --grants grants.toml";
    std::fs::write(desk.path().join("whole.wasm"), component("diagnostic")).unwrap();
    refused(desk.path(), widen, "PLUGIN_WIDENED");
    let again = done(desk.path(), "medic plugin list --plugins-dir plugins --grants grants.toml");
    assert!(again.contains("old_query"), "{again}");
    let accepted = done(desk.path(), &format!("{widen} --accept-widening"));
    assert!(accepted.contains("WIDENED") && accepted.contains("its category is diagnostic"), "{accepted}");
    refused(desk.path(), "medic plugin list --plugins-dir plugins --grants grants.toml", "DIGEST_MISMATCH");
}

#[test]
fn the_compiling_process_answers_code_or_a_reason() {
    let compile = |input: &[u8]| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_medicd"))
            .args(["plugin", "compile"])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input).unwrap();
        child.wait_with_output().unwrap()
    };
    let compiled = compile(&component("query"));
    assert!(compiled.status.success() && compiled.stdout.starts_with(b"\x7fELF"), "{compiled:?}");
    let failed = compile(b"\0asm\x0d\0\x01\0\xff\xff");
    assert!(failed.status.code() == Some(1) && failed.stdout.is_empty());
    assert!(String::from_utf8_lossy(&failed.stderr).contains("COMPILE_FAILED: "), "{failed:?}");
}
