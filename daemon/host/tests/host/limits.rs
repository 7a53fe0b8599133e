//! Guests that take what they can get.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::type_complexity,
    reason = "a test may be blunt"
)]

use std::time::Instant;

use medic_core::permit::Ground;
use medic_core::{Fault, FaultKind};
use medic_ports::ToolHost;

use crate::support::guest::Guest;
use crate::support::{Setup, permit};

async fn fault_of(guest: Guest, more: &str) -> Fault {
    let mut setup = Setup::new();
    setup.plugin("ask", "query", &guest.build(), more);
    let host = setup.open().await;
    host.invoke(&permit(&host, "ask", "{}", Ground::Invoke)).await.unwrap_err()
}

fn doing(code: &str) -> Guest {
    let mut guest = Guest::new("query", "ask");
    guest.invoke(code);
    guest
}

fn check(fault: &Fault, code: &str, limit: &str) {
    assert_eq!((fault.kind, fault.code.as_str()), (FaultKind::Sandbox, code), "{fault}");
    assert!(fault.message.contains(limit), "{fault}");
}

#[tokio::test]
async fn a_spin_loop_ends_at_its_processor_budget() {
    let started = Instant::now();
    let fault = fault_of(doing("(loop (br 0))"), "limits = { cpu-ms = 100 }").await;
    check(&fault, "SANDBOX_CPU", "110, the limit is 100");
    assert!(started.elapsed().as_secs() < 20);
}

#[tokio::test]
async fn others_go_on_while_one_spins() {
    let mut setup = Setup::new();
    setup.plugin(
        "spin",
        "query",
        &{
            let mut guest = Guest::new("query", "spin");
            guest.invoke("(loop (br 0))");
            guest.build()
        },
        "limits = { cpu-ms = 3000, wall-ms = 3000 }",
    );
    setup.plugin("ask", "query", &doing("").build(), "");
    let host = setup.open().await;
    let spins: Vec<_> = (0..3).map(|_| permit(&host, "spin", "{}", Ground::Invoke)).collect();
    let quick = permit(&host, "ask", "{}", Ground::Invoke);
    let spinning = futures::future::join_all(spins.iter().map(|spin| host.invoke(spin)));
    let answered = async {
        let answer = host.invoke(&quick).await;
        (answer, Instant::now())
    };
    let ((spun, last_spin), (answer, answered_at)) =
        tokio::join!(async { (spinning.await, Instant::now()) }, answered);
    assert!(spun.iter().all(Result::is_err));
    answer.unwrap();
    assert!(answered_at < last_spin, "the quick tool did not wait for those that spin");
}

#[tokio::test]
async fn a_memory_bomb_is_told_what_it_used_and_what_it_may() {
    let grow = "(loop (br_if 1 (i32.eq (memory.grow (i32.const 16)) (i32.const -1))) (br 0))";
    let code = format!("(block {grow}) unreachable");
    let fault = fault_of(doing(&code), "limits = { memory = \"8MiB\" }").await;
    check(&fault, "SANDBOX_MEMORY", "the limit is 8388608");
}

#[tokio::test]
async fn a_flood_of_host_calls_is_ended() {
    let mut guest = Guest::new("query", "ask");
    let call = guest.state_get();
    guest.invoke(&format!("(loop {call} (br 0))"));
    let fault = fault_of(guest, "limits = { host-calls = 10 }").await;
    check(&fault, "SANDBOX_HOST_CALLS", "11, the limit is 10");
}

#[tokio::test]
async fn a_slow_answer_ends_at_the_deadline_and_not_later() {
    let mut guest = Guest::new("query", "ask");
    let code = guest.metrics_query("never");
    guest.invoke(&code);
    let mut setup = Setup::new();
    setup.metrics.hang("never");
    setup.plugin(
        "ask",
        "query",
        &guest.build(),
        "functions = [\"metrics.query\"]\nlimits = { wall-ms = 300 }",
    );
    let host = setup.open().await;
    let started = Instant::now();
    let fault = host.invoke(&permit(&host, "ask", "{}", Ground::Invoke)).await.unwrap_err();
    assert_eq!(fault.code, "DEADLINE", "the guest is told and ends by itself");
    assert!(started.elapsed().as_secs() < 10);
}

#[tokio::test]
async fn an_answer_larger_than_its_limit_is_refused() {
    let mut guest = Guest::new("query", "ask");
    let long = "x".repeat(5000);
    guest.invoke_saying(&long);
    check(&fault_of(guest, "").await, "SANDBOX_OUTPUT", "5000, the limit is 4096");
    // A length no memory has: the canonical ABI refuses it before a byte is copied.
    let fault = fault_of(doing("(local.set 8 (i32.const 200000000))"), "").await;
    assert_eq!(fault.kind, FaultKind::Sandbox, "{fault}");
    // Half a megabyte that is there, against a hand-over limit of 1 MiB for all of an answer: over the summary's own.
    check(&fault_of(doing("(local.set 8 (i32.const 500000))"), "").await, "SANDBOX_OUTPUT", "500000");
}

#[tokio::test]
async fn a_trap_is_a_fault_and_the_next_call_is_fresh() {
    let mut guest = Guest::new("query", "ask");
    // Leaves a mark in memory, and traps where it finds one: an instance used twice would be found out.
    guest.invoke(
        "(if (i32.load (i32.const 900)) (then unreachable)) (i32.store (i32.const 900) (i32.const 1))",
    );
    let mut setup = Setup::new();
    setup.plugin("ask", "query", &guest.build(), "");
    let host = setup.open().await;
    for _ in 0..5 {
        host.invoke(&permit(&host, "ask", "{}", Ground::Invoke)).await.unwrap();
    }
    check(&fault_of(doing("unreachable"), "").await, "SANDBOX_TRAP", "unreachable");
}
