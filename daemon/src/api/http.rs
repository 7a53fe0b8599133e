//! The HTTP gateway: REST, the webhook, event streams and probes.
//!
//! Owns routes, body limits and who may come in. Never decides: each handler reads its request, asks
//! [`Operations`](super::operations::Operations) and writes the answer in the JSON of `medic.v1`.

mod body;
mod incidents;
mod keeping;
mod knowledge;
mod logs;
mod probes;
mod stream;
mod tools;
mod webhook;

use super::auth::AuthTable;
use super::operations::Operations;
use super::problem::{Problem, ProblemKind};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::Ordering;

#[derive(Clone)]
pub struct Gateway {
    pub operations: Operations,
    pub auth: Arc<AuthTable>,
}

pub fn router(gateway: Gateway) -> Router {
    let asked = Router::new()
        .route("/webhooks/alertmanager", post(webhook::alertmanager))
        .route("/incidents", get(incidents::list).post(incidents::create))
        .route("/incidents/{id}", get(incidents::get))
        .route("/incidents/{id}/approve", post(incidents::approve))
        .route("/incidents/{id}/reject", post(incidents::reject))
        .route("/incidents/{id}/escalate", post(incidents::escalate))
        .route("/incidents/{id}/diagnose", post(incidents::diagnose_anew))
        .route("/incidents/{id}/export", get(keeping::export))
        .route("/incidents/{id}/stream", get(stream::events))
        .route("/ws/incidents", any(stream::socket))
        .route("/diagnose", get(incidents::diagnosis))
        .route("/execute", post(tools::execute))
        .route("/tools", get(tools::list))
        .route("/tools/{name}", get(tools::describe))
        .route("/logs/analyze", post(logs::analyze))
        .route("/logs/query", post(logs::query))
        .route("/knowledge/search", post(knowledge::search))
        .route("/knowledge/documents", get(knowledge::show).post(knowledge::ingest))
        .route("/knowledge/reread", post(knowledge::reread))
        .route("/knowledge/versions", get(knowledge::versions))
        .route("/knowledge/diff", get(knowledge::diff))
        .route("/knowledge/pin", post(knowledge::pin))
        .route("/knowledge/rollback", post(knowledge::roll_back))
        .route("/knowledge/stats", get(knowledge::stats))
        .route("/audit", get(probes::audit))
        .route("/audit/verify", get(probes::verify_audit))
        .route("/mailboxes", get(keeping::mailboxes))
        .route("/mailboxes/dead/{id}", get(keeping::letter))
        .route("/mailboxes/dead/{id}/retry", post(keeping::retry))
        .route("/mailboxes/dead/{id}/drop", post(keeping::drop_letter))
        .route("/store/backup", post(keeping::backup))
        .route("/status", get(probes::status))
        .route("/metrics", get(probes::metrics))
        .layer(middleware::from_fn_with_state(gateway.clone(), enter));
    Router::new()
        .route("/healthz", get(probes::alive))
        .route("/readyz", get(probes::ready))
        .merge(asked)
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(gateway.clone(), measure))
        .with_state(gateway)
}

/// Puts the [`Caller`](super::auth::Caller) into the request, or answers 401 or 403.
async fn enter(State(gateway): State<Gateway>, mut request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let entered = gateway.auth.authenticate(shown).and_then(|caller| {
        from_here(request.headers(), request.uri(), caller.anonymous)?;
        Ok(caller)
    });
    match entered {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => {
            if request.uri().path() == "/webhooks/alertmanager" {
                gateway.operations.meter().delivery_refused(&problem.code);
            }
            problem.into_response()
        }
    }
}

/// A web page that the operator happens to have open is not the operator: its browser says where it comes from, and a
/// name that was bent to loopback is not loopback's.
fn from_here(headers: &HeaderMap, uri: &Uri, anonymous: bool) -> Result<(), Problem> {
    let foreign = |what: &str| {
        Err(Problem::new(ProblemKind::Forbidden, "FOREIGN_ORIGIN", format!("{what} is not this daemon's")))
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| uri.authority().map(|authority| authority.as_str()));
    if let Some(origin) = headers.get(header::ORIGIN) {
        let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
        if origin.is_none() || origin != host {
            return foreign("the request's origin");
        }
    }
    if anonymous {
        let name = host.map(|host| match host.strip_prefix('[') {
            Some(v6) => v6.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        });
        let loopback = name.is_none_or(|name| {
            name.eq_ignore_ascii_case("localhost")
                || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        });
        if !loopback {
            return foreign("the request's host");
        }
    }
    Ok(())
}

/// Measures each request by its route as registered.
async fn measure(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let method = match *request.method() {
        Method::GET => "GET",
        Method::POST => "POST",
        _ => "other",
    };
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    // Only for the metrics: nothing is decided by it.
    let started = tokio::time::Instant::now();
    let in_flight = InFlight::begin(gateway.operations.clone());
    let mut response = next.run(request).await;
    drop(in_flight);
    let seconds = started.elapsed().as_secs_f64();
    let route = route.as_deref().unwrap_or("other");
    gateway.operations.meter().request(method, route, response.status().as_u16(), seconds);
    // What is told here is private to who asked, and is never to be guessed into a page.
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Counts one request for as long as it lives: one that its sender gave up is not in flight either.
struct InFlight(Operations);

impl InFlight {
    fn begin(operations: Operations) -> Self {
        operations.meter().requests_in_flight.fetch_add(1, Ordering::Relaxed);
        Self(operations)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.meter().requests_in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn nothing_here() -> Problem {
    Problem::new(ProblemKind::NotFound, "NO_SUCH_ROUTE", "there is nothing at this path")
}

async fn wrong_method() -> Response {
    let problem = Problem::invalid("WRONG_METHOD", "this path does not take that method");
    (StatusCode::METHOD_NOT_ALLOWED, problem).into_response()
}

fn answer<T: Serialize>(answer: Result<T, Problem>) -> Response {
    match answer {
        Ok(message) => Json(message).into_response(),
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn pages_of_other_sites_are_kept_out() {
        let uri = Uri::from_static("/incidents");
        let check = |pairs: &[_], anonymous| from_here(&headers(pairs), &uri, anonymous).is_ok();
        assert!(check(&[("host", "127.0.0.1:7641")], true));
        assert!(check(&[("host", "localhost:7641"), ("origin", "http://localhost:7641")], true));
        assert!(check(&[("host", "[::1]:7641")], true));
        assert!(check(&[], true));
        assert!(!check(&[("host", "127.0.0.1:7641"), ("origin", "https://evil.example")], true));
        assert!(!check(&[("host", "127.0.0.1:7641"), ("origin", "null")], true));
        // A name that resolves to loopback for one moment.
        assert!(!check(&[("host", "evil.example:7641"), ("origin", "http://evil.example:7641")], true));
        assert!(!check(&[("host", "127.0.0.1.evil.example")], true));
        // A credential that no page holds makes the name irrelevant, the origin not.
        assert!(check(&[("host", "medic.example")], false));
        assert!(!check(&[("host", "medic.example"), ("origin", "https://evil.example")], false));
    }
}
