//! Incidents as they change, over server-sent events and WebSocket. Both carry the same JSON: an `IncidentUpdate`.

use super::Gateway;
use super::body::Query;
use crate::api::auth::Caller;
use crate::api::convert;
use crate::api::problem::Problem;
use crate::api::watch::{Sighting, Subject};
use axum::Extension;
use axum::extract::ws::{
    CloseFrame, Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection,
};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{SinkExt as _, Stream, StreamExt as _};
use serde::Deserialize;
use std::convert::Infallible;
use std::time::Duration;

/// Between signs of life on a quiet stream: below the idle limits of common proxies (60 s).
const QUIET: Duration = Duration::from_secs(15);
/// A reader that takes no message for this long is gone.
const SEND_WAIT: Duration = Duration::from_secs(30);
/// Nothing is expected from a reader of the WebSocket but answers to pings.
const INCOMING_BYTES_MAX: usize = 4 * 1024;

/// `Last-Event-ID`, which browsers send by themselves when they come back, is the last revision seen.
pub async fn events(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let watched = || {
        let incident = convert::incident_id(&id)?;
        let after_revision = match headers.get("last-event-id") {
            None => None,
            Some(seen) => Some(seen.to_str().ok().and_then(|seen| seen.parse().ok()).ok_or_else(|| {
                Problem::invalid("INVALID_VALUE", "Last-Event-ID is the last revision seen")
                    .at("Last-Event-ID")
            })?),
        };
        gateway.operations.watch(&caller, Subject::One { incident, after_revision })
    };
    match watched() {
        Ok(stream) => {
            let events = stream.map(|sighted| Ok::<_, Infallible>(event(sighted)));
            let alive = KeepAlive::new().interval(QUIET).text("quiet");
            // Proxies that buffer would make it a stream of the past.
            ([("x-accel-buffering", "no")], Sse::new(events).keep_alive(alive)).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

fn event(sighted: Result<Sighting, Problem>) -> Event {
    match sighted {
        Ok(sighting) => {
            let update = convert::sighting(&sighting);
            let event = Event::default().event(&update.kind).id(sighting.incident.revision.to_string());
            // A message of strings and numbers always serialises; JSON holds no raw line break.
            event.data(serde_json::to_string(&update).unwrap_or_default())
        }
        Err(problem) => Event::default()
            .event("error")
            .data(serde_json::json!({ "code": problem.code, "message": problem.message }).to_string()),
    }
}

#[derive(Deserialize)]
pub struct Of {
    /// Only this one; all without it.
    incident: Option<String>,
}

pub async fn socket(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<Caller>,
    Query(of): Query<Of>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade.max_message_size(INCOMING_BYTES_MAX).max_frame_size(INCOMING_BYTES_MAX),
        Err(rejection) => {
            return Problem::invalid("NOT_A_WEBSOCKET", rejection.body_text()).into_response();
        }
    };
    let watched = || {
        let subject = match &of.incident {
            None => Subject::All,
            Some(id) => Subject::One { incident: convert::incident_id(id)?, after_revision: None },
        };
        gateway.operations.watch(&caller, subject)
    };
    match watched() {
        Ok(stream) => upgrade.on_upgrade(move |socket| push(socket, stream)),
        Err(problem) => problem.into_response(),
    }
}

async fn push(socket: WebSocket, stream: impl Stream<Item = Result<Sighting, Problem>> + Send + 'static) {
    let (mut sink, mut incoming) = socket.split();
    let mut stream = Box::pin(stream);
    let mut ping = tokio::time::interval(QUIET);
    ping.reset();
    loop {
        let message = tokio::select! {
            sighted = stream.next() => match sighted {
                Some(Ok(sighting)) => {
                    let update = convert::sighting(&sighting);
                    Message::text(serde_json::to_string(&update).unwrap_or_default())
                }
                Some(Err(problem)) => close(axum::extract::ws::close_code::ERROR, &problem.code),
                None => close(axum::extract::ws::close_code::AWAY, "SHUTDOWN"),
            },
            _ = ping.tick() => Message::Ping(Vec::new().into()),
            said = incoming.next() => match said {
                // Pings are answered by the library; whatever else is said here has no meaning.
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
        };
        let last = matches!(message, Message::Close(_));
        let sent = tokio::time::timeout(SEND_WAIT, sink.send(message)).await;
        if last || !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

fn close(code: u16, reason: &str) -> Message {
    Message::Close(Some(CloseFrame { code, reason: reason.into() }))
}
