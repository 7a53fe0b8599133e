//! What the service is for: its share of an order. A worker does the local part; the callees do theirs; the answer is
//! counted, timed and logged whatever it is.

use super::{
    Shared,
    journal::Level,
    metrics::Metrics,
    peers::{self, TRACE_HEADER},
    pool::Busy,
    stock::Poisoned,
    storage::NotWritten,
};
use crate::{load::Order, topology::Service};
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// One request in so many fails on its own: the noise that no alert may answer to.
const NOISE: f64 = 0.001;
/// Pricing one line of a cart, ms.
const LINE_MS: u64 = 5;

/// A request that was not served.
pub struct Failure {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"code": self.code, "message": self.message}))).into_response()
    }
}

/// The business listener's routes.
pub(super) fn router(shared: &Arc<Shared>) -> Router {
    Router::new().route(shared.service.path(), post(order)).with_state(Arc::clone(shared))
}

/// Counts the request when it goes out of scope, so that one whose client has gone is counted as well.
struct Account<'a> {
    metrics: &'a Metrics,
    started: Instant,
    code: u16,
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        self.metrics.served(self.code, self.started.elapsed());
    }
}

async fn order(State(shared): State<Arc<Shared>>, headers: HeaderMap, Json(order): Json<Order>) -> Response {
    // 499, until there is an answer: the field's number for "the client closed the request".
    let mut account = Account { metrics: &shared.metrics, started: Instant::now(), code: 499 };
    let trace_id = match headers.get(TRACE_HEADER).and_then(|value| value.to_str().ok()) {
        Some(trace_id) => trace_id.to_owned(),
        None => format!("{:016x}", shared.rng.lock().next_u64()),
    };
    let outcome = serve(&shared, &order, &trace_id).await;
    let took_ms = account.started.elapsed().as_millis() as u64;
    match outcome {
        Ok(()) => {
            account.code = 200;
            shared.journal.line(
                Level::Info,
                "request served",
                Some(&trace_id),
                json!({"status": 200, "took_ms": took_ms, "sku": order.sku}),
            );
            Json(json!({"trace_id": trace_id})).into_response()
        }
        Err(failure) => {
            account.code = failure.status.as_u16();
            shared.journal.line(
                Level::Error,
                &format!("request failed: {}", failure.message),
                Some(&trace_id),
                json!({"status": account.code, "error_code": failure.code, "took_ms": took_ms, "sku": order.sku}),
            );
            failure.into_response()
        }
    }
}

async fn serve(shared: &Shared, order: &Order, trace_id: &str) -> Result<(), Failure> {
    let state = shared.state.now();
    let wait = Duration::from_millis(state.config.queue_wait_ms);
    let worker = shared.pool.worker(state.config.queue_max, wait).await.map_err(|busy| {
        let message = match busy {
            Busy::QueueFull => {
                format!("all {} workers busy and {} requests waiting", state.workers, state.config.queue_max)
            }
            Busy::WaitedTooLong => format!("no worker free within {} ms", state.config.queue_wait_ms),
        };
        Failure { status: StatusCode::SERVICE_UNAVAILABLE, code: "WORKERS_BUSY", message }
    })?;
    tokio::time::sleep(Duration::from_millis(work_ms(shared, state.cart_lines))).await;
    if shared.rng.lock().chance(NOISE) {
        return Err(Failure {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "TRANSIENT",
            message: "transient read conflict, a retry will do".to_owned(),
        });
    }
    look_up(shared, order)?;
    write_down(shared, order, trace_id)?;
    // Workers price, look up and write; they do not stand waiting for other services.
    drop(worker);
    peers::call_all(shared, order, trace_id).await
}

/// How long the local part takes, ms.
fn work_ms(shared: &Shared, cart_lines: u32) -> u64 {
    let mut rng = shared.rng.lock();
    match shared.service {
        Service::Gateway => rng.between(1, 4),
        Service::Checkout => u64::from(cart_lines) * LINE_MS + rng.between(0, 4),
        Service::Inventory => rng.between(3, 9) + shared.upset.leak_drag_ms(),
        Service::Payments if shared.upset.is_degraded() => rng.between(300, 500) + rng.between(8, 18),
        Service::Payments => rng.between(8, 18),
        Service::Store => rng.between(1, 5),
    }
}

fn look_up(shared: &Shared, order: &Order) -> Result<(), Failure> {
    let Some(stock) = &shared.stock else { return Ok(()) };
    match stock.level(order.sku) {
        Ok(_) => Ok(()),
        Err(Poisoned { sku }) => Err(Failure {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "STOCK_CACHE_CORRUPT",
            message: format!("stock cache entry for article {sku} fails its checksum, refusing to reserve"),
        }),
    }
}

fn write_down(shared: &Shared, order: &Order, trace_id: &str) -> Result<(), Failure> {
    let Some(storage) = &shared.storage else { return Ok(()) };
    let record =
        json!({"trace_id": trace_id, "sku": order.sku, "quantity": order.quantity, "cents": order.cents});
    match storage.lock().append(format!("{record}\n").as_bytes()) {
        Ok(()) => Ok(()),
        Err(NotWritten::QuotaExceeded { used_bytes, quota_bytes }) => Err(Failure {
            status: StatusCode::INSUFFICIENT_STORAGE,
            code: "QUOTA_EXCEEDED",
            message: format!("quota exceeded: {used_bytes} of {quota_bytes} bytes used, write refused"),
        }),
        Err(NotWritten::Disk(error)) => Err(Failure {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "DISK",
            message: format!("{error:#}"),
        }),
    }
}
