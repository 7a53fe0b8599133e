//! What the sandbox costs: one call, one host call, loading, auditing; and the same no-op as a process of its own.
//!
//! `cargo bench -p medic-host`. Every figure is of this machine and this run. A call is a fresh instance each time, so that
//! its cost holds instantiation, permit, meter and answer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench may be blunt"
)]

#[path = "../tests/host/support.rs"]
mod support;

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use medic_core::permit::Ground;
use medic_host::{Host, audit};
use medic_ports::ToolHost;
use support::guest::Guest;
use support::{Setup, permit};

const ARGS: &str = "{\"n\":1}";
/// Host calls of one call: as many as go without being paced.
const CALLS: u32 = 20;
const TICKS: u32 = 1000;

fn main() {
    if std::env::args().any(|arg| arg == "noop") {
        return noop();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure());
}

/// The same no-op as a program: reads its arguments, answers them.
fn noop() {
    let mut args = String::new();
    std::io::stdin().read_to_string(&mut args).unwrap();
    print!("{args}");
}

fn guest(tool: &str, code: impl Fn(&mut Guest) -> String) -> Vec<u8> {
    let mut guest = Guest::new("query", tool);
    let code = code(&mut guest);
    guest.invoke(&code);
    guest.build()
}

async fn measure() {
    let mut setup = Setup::new();
    setup.metrics.value("up", 1.0);
    let small = guest("noop", |_| String::new());
    setup.plugin("noop", "query", &small, "");
    let asking = guest("asks", |guest| {
        let call = guest.metrics_query("up");
        guest.core("(global $n (mut i32) (i32.const 0))");
        counted(&call, CALLS)
    });
    setup.plugin("asks", "query", &asking, "functions = [\"metrics.query\"]");
    let ticking = guest("ticks", |guest| {
        guest.core("(import \"medic:host/clock@0.1.0\" \"now-ms\" (func $now (result i64)))");
        guest.import("clock");
        guest.core("(global $n (mut i32) (i32.const 0))");
        counted("(drop (call $now))", TICKS)
    });
    setup.plugin("ticks", "query", &ticking, "");
    let host = setup.open().await;

    let (noop_p50, noop_p99) = figures("no-op call", 2000, || call(&host, "noop")).await;
    let (asks, _) = figures(&format!("call with {CALLS} host calls"), 200, || call(&host, "asks")).await;
    println!("{:<34} {:>10.1?}", "host call, decided and recorded", asks.saturating_sub(noop_p50) / CALLS);
    let (ticks, _) =
        figures(&format!("call with {TICKS} looks at the clock"), 200, || call(&host, "ticks")).await;
    println!("{:<34} {:>10.1?}", "host call, bare", ticks.saturating_sub(noop_p50) / TICKS);
    let (_, _) =
        figures("open with three cached plugins", 10, || async { drop(setup.try_open().await.unwrap()) })
            .await;

    let own = std::env::current_exe().unwrap();
    let (process, _) = figures("the no-op as a process", 200, || async {
        let mut child =
            Command::new(&own).arg("noop").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(ARGS.as_bytes()).unwrap();
        assert_eq!(child.wait_with_output().unwrap().stdout, ARGS.as_bytes());
    })
    .await;
    println!("{:<34} {:>9.1}x", "process / call, medians", process.as_secs_f64() / noop_p50.as_secs_f64());

    figures(&format!("audit of {} B", small.len()), 100, || async { drop(audit(&small).unwrap()) }).await;
    let large = large();
    figures(&format!("audit of {} MB", large.len() / 1_000_000), 5, || async {
        drop(audit(&large).unwrap())
    })
    .await;
    println!("goal: no-op p99 {noop_p99:.1?} of 200µs");
}

/// Runs `code` so many times; every call of it runs in a function of its own instance.
fn counted(code: &str, times: u32) -> String {
    format!(
        "(global.set $n (i32.const 0)) (loop {code} (global.set $n (i32.add (global.get $n) (i32.const 1))) (br_if 0 (i32.lt_u (global.get $n) (i32.const {times}))))"
    )
}

async fn call(host: &Host, tool: &str) {
    host.invoke(&permit(host, tool, ARGS, Ground::Invoke)).await.unwrap();
}

/// Median and 99th percentile, after a tenth of the runs to warm up.
async fn figures<F: Future<Output = ()>>(
    name: &str,
    runs: usize,
    run: impl Fn() -> F,
) -> (Duration, Duration) {
    for _ in 0..runs / 10 {
        run().await;
    }
    let mut taken = Vec::with_capacity(runs);
    for _ in 0..runs {
        let started = Instant::now();
        run().await;
        taken.push(started.elapsed());
    }
    taken.sort();
    let at = |part: f64| taken[((taken.len() - 1) as f64 * part) as usize];
    let (p50, p99) = (at(0.5), at(0.99));
    println!("{name:<34} {p50:>10.1?}  p99 {p99:>10.1?}");
    (p50, p99)
}

/// As large as a Python tool with its interpreter, half of it code.
fn large() -> Vec<u8> {
    guest("large", |guest| {
        let body = "(drop (i64.const 9223372036854775807))".repeat(600);
        for number in 0..1250 {
            guest.core(&format!("(func $f{number} {body})"));
        }
        guest.core(&format!("(data \"{}\")", "a".repeat(9_000_000)));
        String::new()
    })
}
