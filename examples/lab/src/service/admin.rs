//! The admin API: how the service is watched, configured and healed. Everything but `/metrics` wants the bearer token.
//!
//! A mutating call under an `Idempotency-Key` is carried out once: what it changed and the record that it was carried
//! out are one write, and a repeat is answered from the record. A refused call is not recorded, and may be tried again
//! under its key.

use super::{Shared, config::Config, faults, metrics, now_ms, state::Durable, state::Operation, storage};
use crate::fault::Fault;
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Longest `Idempotency-Key`, bytes.
const KEY_BYTES_MAX: usize = 256;
/// Says on an answer that it is the first one over again.
const REPLAYED_HEADER: &str = "idempotency-replayed";

/// A call that was not carried out.
#[derive(Debug)]
pub struct Refused {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refused {
    pub fn not_found(message: String) -> Self {
        Self { status: StatusCode::NOT_FOUND, code: "NOT_FOUND", message }
    }

    fn invalid(message: String) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "INVALID", message }
    }
}

impl From<anyhow::Error> for Refused {
    fn from(error: anyhow::Error) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, code: "INTERNAL", message: format!("{error:#}") }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"code": self.code, "message": self.message}))).into_response()
    }
}

type Answer = Result<Response, Refused>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Workers {
    workers: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultSwitch {
    name: Fault,
    on: bool,
}

/// The admin listener's routes.
pub(super) fn router(shared: &Arc<Shared>) -> Router {
    let guarded = Router::new()
        .route("/admin/health", get(health))
        .route("/admin/config", get(config).put(put_config))
        .route("/admin/config/previous", get(previous_config))
        .route("/admin/workers", get(workers).put(put_workers))
        .route("/admin/restart", post(restart))
        .route("/admin/storage", get(storage_account))
        .route("/admin/storage/expired", delete(delete_expired))
        .route("/admin/operations", get(operations))
        .route("/admin/operations/{key}", get(operation))
        .route("/lab/fault", get(active_faults).post(switch_fault))
        .layer(middleware::from_fn_with_state(Arc::clone(shared), only_with_token));
    Router::new().route("/metrics", get(metrics_page)).merge(guarded).with_state(Arc::clone(shared))
}

async fn only_with_token(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    // Digests are compared, so that the time taken says nothing of how much of a guess was right.
    if Sha256::digest(token) != Sha256::digest(&shared.admin_token) {
        let body = Json(json!({"code": "UNAUTHENTICATED", "message": "a bearer token is needed"}));
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], body).into_response();
    }
    next.run(request).await
}

async fn metrics_page(State(shared): State<Arc<Shared>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics::page(&shared))
        .into_response()
}

async fn health(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(json!({"status": "ok", "service": shared.service, "serving": shared.door.is_open()}))
}

async fn config(State(shared): State<Arc<Shared>>) -> Json<Config> {
    Json(shared.state.now().config.clone())
}

async fn previous_config(State(shared): State<Arc<Shared>>) -> Result<Json<Config>, Refused> {
    let state = shared.state.now();
    let previous = state.previous.last().cloned();
    previous
        .map(Json)
        .ok_or_else(|| Refused::not_found("there is no configuration before this one".to_owned()))
}

async fn put_config(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Answer {
    let config = Config::parse(shared.service, &body).map_err(Refused::invalid)?;
    let call = Call { method: Method::PUT, path: "/admin/config", headers: &headers, body: &body };
    let before = shared.state.now().config_revision;
    let answer = call.once(&shared, |durable| {
        durable.set_config(config, now_ms());
        Ok((StatusCode::OK, json!({"config_revision": durable.config_revision})))
    })?;
    let revision = shared.state.now().config_revision;
    if revision != before {
        faults::announce_config(&shared, revision);
    }
    Ok(answer.into_response())
}

async fn workers(State(shared): State<Arc<Shared>>) -> Json<Workers> {
    Json(Workers { workers: shared.state.now().workers })
}

async fn put_workers(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Answer {
    let Workers { workers } =
        serde_json::from_slice(&body).map_err(|error| Refused::invalid(error.to_string()))?;
    if !(1..=64).contains(&workers) {
        return Err(Refused::invalid(format!("workers: must be 1 to 64, not {workers}")));
    }
    let call = Call { method: Method::PUT, path: "/admin/workers", headers: &headers, body: &body };
    let answer = call.once(&shared, |durable| {
        durable.workers = workers;
        // Within the state's lock, so that two calls cannot leave the pool with one size and the file with another.
        shared.pool.resize(workers);
        Ok((StatusCode::OK, json!({"workers": workers})))
    })?;
    Ok(answer.into_response())
}

async fn restart(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Answer {
    let call = Call { method: Method::POST, path: "/admin/restart", headers: &headers, body: &body };
    let answer = call.once(&shared, |_| Ok((StatusCode::ACCEPTED, json!({"restarting": shared.service}))))?;
    // Recorded before the process ends: the next one answers a repeat from the record and lives on.
    if !answer.replayed {
        shared.exit.notify_one();
    }
    Ok(answer.into_response())
}

async fn storage_account(State(shared): State<Arc<Shared>>) -> Result<Json<Value>, Refused> {
    let storage = shared.storage.as_ref().ok_or_else(|| no_storage(&shared))?.lock();
    Ok(Json(json!({
        "used_bytes": storage.used_bytes(),
        "quota_bytes": storage::QUOTA_BYTES,
        "expired_bytes": storage.expired_bytes(),
    })))
}

async fn delete_expired(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Answer {
    let storage = shared.storage.as_ref().ok_or_else(|| no_storage(&shared))?;
    let call =
        Call { method: Method::DELETE, path: "/admin/storage/expired", headers: &headers, body: &body };
    let answer = call.once(&shared, |_| {
        let freed_bytes = storage.lock().delete_expired()?;
        Ok((StatusCode::OK, json!({"deleted_bytes": freed_bytes})))
    })?;
    Ok(answer.into_response())
}

fn no_storage(shared: &Shared) -> Refused {
    Refused::not_found(format!("{} has no storage", shared.service))
}

async fn operations(State(shared): State<Arc<Shared>>) -> Json<Vec<Operation>> {
    Json(shared.state.now().operations.clone())
}

async fn operation(
    State(shared): State<Arc<Shared>>,
    Path(key): Path<String>,
) -> Result<Json<Value>, Refused> {
    let state = shared.state.now();
    let operation = state
        .operation(&key)
        .ok_or_else(|| Refused::not_found("nothing was carried out under this key".to_owned()))?;
    Ok(Json(json!({
        "key": operation.key,
        "method": operation.method,
        "path": operation.path,
        "at_ms": operation.at_ms,
        "status": operation.status,
    })))
}

async fn active_faults(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(json!({"faults": faults::active(&shared)}))
}

async fn switch_fault(State(shared): State<Arc<Shared>>, body: Bytes) -> Answer {
    let switch: FaultSwitch =
        serde_json::from_slice(&body).map_err(|error| Refused::invalid(error.to_string()))?;
    faults::set(&shared, switch.name, switch.on)?;
    Ok(Json(json!({"name": switch.name, "on": switch.on})).into_response())
}

/// A mutating call as it came.
struct Call<'a> {
    method: Method,
    path: &'static str,
    headers: &'a HeaderMap,
    body: &'a [u8],
}

/// The answer to a mutating call, and whether it is an old one.
struct Carried {
    status: StatusCode,
    body: Value,
    replayed: bool,
}

impl IntoResponse for Carried {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if self.replayed {
            response.headers_mut().insert(REPLAYED_HEADER, header::HeaderValue::from_static("true"));
        }
        response
    }
}

impl Call<'_> {
    fn once(
        &self,
        shared: &Shared,
        act: impl FnOnce(&mut Durable) -> Result<(StatusCode, Value), Refused>,
    ) -> Result<Carried, Refused> {
        let key = self.key()?;
        let request_digest = self.digest();
        shared.state.change(|durable| {
            if let Some(first) = key
                .as_deref()
                .and_then(|key| durable.operations.iter_mut().find(|first| first.key.as_deref() == Some(key)))
            {
                if first.request_digest != request_digest {
                    return Err(Refused {
                        status: StatusCode::CONFLICT,
                        code: "KEY_REUSED",
                        message: "another call was carried out under this Idempotency-Key".to_owned(),
                    });
                }
                first.replays += 1;
                let status = StatusCode::from_u16(first.status).map_err(anyhow::Error::from)?;
                return Ok(Carried { status, body: first.answer.clone(), replayed: true });
            }
            let (status, body) = act(durable)?;
            durable.record(Operation {
                key,
                method: self.method.to_string(),
                path: self.path.to_owned(),
                request_digest,
                at_ms: now_ms(),
                status: status.as_u16(),
                answer: body.clone(),
                replays: 0,
            });
            Ok(Carried { status, body, replayed: false })
        })
    }

    fn key(&self) -> Result<Option<String>, Refused> {
        let Some(value) = self.headers.get("idempotency-key") else { return Ok(None) };
        match value.to_str() {
            Ok(key) if !key.is_empty() && key.len() <= KEY_BYTES_MAX => Ok(Some(key.to_owned())),
            _ => Err(Refused::invalid(format!(
                "Idempotency-Key: must be 1 to {KEY_BYTES_MAX} visible ASCII characters"
            ))),
        }
    }

    fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        for part in [self.method.as_str().as_bytes(), self.path.as_bytes(), self.body] {
            // Lengths first, so that no two calls run together into the same bytes.
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
