//! Calls to other services, each under the configured timeout, each counted by how it ended.

use super::{Shared, business::Failure, journal::Level};
use crate::{load::Order, topology::Service};
use axum::http::StatusCode;
use serde_json::json;
use std::time::{Duration, Instant};

/// Carries the trace from caller to callee.
pub const TRACE_HEADER: &str = "x-trace-id";

/// Calls every callee at once; the first failure in their order is the caller's.
pub(super) async fn call_all(shared: &Shared, order: &Order, trace_id: &str) -> Result<(), Failure> {
    let calls = shared.service.callees().iter().map(|callee| call(shared, *callee, order, trace_id));
    futures::future::join_all(calls).await.into_iter().collect()
}

async fn call(shared: &Shared, peer: Service, order: &Order, trace_id: &str) -> Result<(), Failure> {
    let timeout_ms = timeout_ms(shared, peer);
    let started = Instant::now();
    let outcome = shared
        .client
        .post(format!("{}{}", shared.plan.business_url(peer), peer.path()))
        .header(TRACE_HEADER, trace_id)
        .timeout(Duration::from_millis(timeout_ms))
        .json(order)
        .send()
        .await;
    let (code, reason, status) = match outcome {
        Ok(answer) if answer.status().is_success() => {
            shared.metrics.called(peer, answer.status().as_str(), started.elapsed());
            return Ok(());
        }
        Ok(answer) => {
            let status = answer.status();
            (status.as_str().to_owned(), format!("it answered {}", status.as_str()), StatusCode::BAD_GATEWAY)
        }
        // A timeout while connecting is both; the timeout is what the configuration decides.
        Err(error) if error.is_timeout() => {
            ("timeout".to_owned(), format!("no answer within {timeout_ms} ms"), StatusCode::GATEWAY_TIMEOUT)
        }
        Err(error) if error.is_connect() => {
            ("connect_error".to_owned(), "connection refused".to_owned(), StatusCode::BAD_GATEWAY)
        }
        Err(_) => ("error".to_owned(), "connection lost".to_owned(), StatusCode::BAD_GATEWAY),
    };
    let took = started.elapsed();
    shared.metrics.called(peer, &code, took);
    shared.journal.line(
        Level::Error,
        &format!("call to {peer} failed: {reason}"),
        Some(trace_id),
        json!({"peer": peer, "code": code, "timeout_ms": timeout_ms, "took_ms": took.as_millis() as u64}),
    );
    Err(Failure { status, code: "PEER_FAILED", message: format!("{peer} did not do its part: {reason}") })
}

/// The timeout that applies: the configured one, unless the client's cache holds on to another.
fn timeout_ms(shared: &Shared, peer: Service) -> u64 {
    let state = shared.state.now();
    let configured = state.config.timeouts_ms.get(&peer).copied().unwrap_or(2_000);
    match (peer, state.pinned_timeout_ms) {
        (Service::Payments, Some(pinned)) => pinned,
        _ => configured,
    }
}
