//! Alertmanager's deliveries.

use super::{Gateway, answer, body};
use crate::api::alertmanager::BODY_BYTES_MAX;
use crate::api::auth::Caller;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

#[derive(Serialize)]
struct Receipt {
    alerts: usize,
    /// The delivery had been stored before.
    duplicate: bool,
}

/// 200 once the delivery is durable, 4xx for what can never be stored, 503 when nothing was stored: the sender retries
/// only a 5xx.
pub async fn alertmanager(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<Caller>,
    sent: Body,
) -> Response {
    let bytes = match body::read(sent, BODY_BYTES_MAX).await {
        Ok(bytes) => bytes,
        Err(problem) => {
            gateway.operations.meter().delivery_refused(&problem.code);
            return problem.into_response();
        }
    };
    let received = gateway.operations.deliver(&caller, &bytes).await;
    answer(received.map(|received| Receipt { alerts: received.alerts, duplicate: received.duplicate }))
}
