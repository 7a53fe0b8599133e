//! Compiling in a process of its own: this program is its own compiler when it is called with `compile`.
//!
//! Without the usual harness, because that writes to standard output what the parent would take for code.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may be blunt"
)]

#[path = "host/support.rs"]
mod support;

use medic_core::permit::Ground;
use medic_host::{Compiler, Host, HostConfig};
use medic_ports::ToolHost;
use support::guest::Guest;
use support::{Setup, permit};

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("compile") => return compile(),
        Some("fail") => {
            eprintln!("medicd: COMPILE_FAILED: so it is told");
            std::process::exit(1);
        }
        Some("die") => {
            eprintln!("memory allocation of 99 bytes failed");
            std::process::abort();
        }
        Some("grow") => return grow(),
        Some("silent") => return,
        _ => {}
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    type Test = fn(&tokio::runtime::Runtime);
    let tests: [(&str, Test); 3] = [
        ("a_component_compiled_by_a_child_runs_and_is_cached", compiled_by_a_child),
        ("however_the_child_ends_the_parent_says_what_was_wrong", however_it_ends),
        ("a_child_has_no_more_memory_than_its_limit", limited),
    ];
    for (name, test) in tests {
        test(&runtime);
        println!("test {name} ... ok");
    }
}

fn compile() {
    if let Err(error) =
        medic_host::compile_for_parent(&mut std::io::stdin().lock(), &mut std::io::stdout().lock())
    {
        eprintln!("child: {}: {error}", error.code);
        std::process::exit(1);
    }
}

/// Takes the limits of the compiling process, then asks for more memory than they leave.
fn grow() {
    // Nothing to compile, which is only found out behind the limits.
    let refused = medic_host::compile_for_parent(&mut std::io::empty(), &mut std::io::sink());
    assert_eq!(refused.unwrap_err().code, "COMPILE_FAILED");
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    for _ in 0..4096 {
        hoard.push(vec![1; 1024 * 1024]);
    }
    println!("{} MiB were to be had", hoard.len());
}

fn open(setup: &Setup, args: &[&str]) -> impl Future<Output = Host> {
    let config = HostConfig {
        compiler: Compiler::Child {
            program: std::env::current_exe().unwrap(),
            args: args.iter().map(Into::into).collect(),
        },
        ..setup.config()
    };
    let deps = setup.deps();
    std::fs::write(&config.grants_file, setup.grants_text()).unwrap();
    async move { Host::open(config, deps).await.unwrap() }
}

fn setup() -> Setup {
    let mut guest = Guest::new("query", "ask");
    guest.invoke("");
    let mut changing = Guest::new("remediation", "mend");
    let put = changing.http_change(1, "shop", "/config", "{}");
    changing.lifecycle(&[(1, "PUT", "shop", "/config", "{}")], &put, "");
    let mut setup = Setup::new();
    setup.plugin("ask", "query", &guest.build(), "");
    setup.plugin("mend", "remediation", &changing.build(), "");
    setup
}

fn compiled_by_a_child(runtime: &tokio::runtime::Runtime) {
    let setup = setup();
    runtime.block_on(async {
        // Both engines take what the one compiling engine made.
        let host = open(&setup, &["compile"]).await;
        assert_eq!(host.rejected(), vec![]);
        let answer = host.invoke(&permit(&host, "ask", "{}", Ground::Invoke)).await.unwrap();
        assert_eq!(answer.summary, "{}");
        assert_eq!(host.plan(&permit(&host, "mend", "{}", Ground::Prepare)).await.unwrap().steps.len(), 1);
        // From the cache: this child would compile nothing.
        assert_eq!(open(&setup, &["silent"]).await.rejected(), vec![]);
    });
}

fn however_it_ends(runtime: &tokio::runtime::Runtime) {
    for (how, code, words) in [
        ("fail", "COMPILE_FAILED", "so it is told"),
        ("die", "COMPILE_LIMIT", "memory allocation"),
        ("silent", "COMPILER_UNAVAILABLE", "answered nothing"),
    ] {
        let rejected = runtime.block_on(open(&setup(), &[how])).rejected();
        assert_eq!(rejected.len(), 2);
        assert_eq!(rejected[0].code, code, "{rejected:?}");
        assert!(rejected[0].reason.contains(words), "{how}: {rejected:?}");
    }
}

fn limited(_: &tokio::runtime::Runtime) {
    use std::os::unix::process::ExitStatusExt as _;
    let output = std::process::Command::new(std::env::current_exe().unwrap()).arg("grow").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.signal().is_some() && output.stdout.is_empty(), "{:?}: {told}", output.status);
    assert!(told.contains("memory allocation"), "{told}");
}
