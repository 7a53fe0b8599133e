//! How the daemon is, and what it has written down.

use super::body::Query;
use super::{Gateway, answer};
use crate::api::auth::Caller;
use crate::api::convert;
use crate::api::operations::AUDIT_PAGE_MAX;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use medic_proto::v1;
use serde::Serialize;

type Who = Extension<Caller>;

/// The process answers; nothing more is said.
pub async fn alive() -> &'static str {
    "ok\n"
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    because: String,
    safe_mode: bool,
    /// Told, not required: Medic takes alerts in without it.
    prometheus_reachable: bool,
    /// Codes of what works worse than it should.
    conditions: Vec<String>,
}

/// 200 while alerts are taken in and acted on, 503 otherwise. Open to probes, so it names no incident and no address, and
/// is answered from what is known already.
pub async fn ready(State(gateway): State<Gateway>) -> Response {
    match gateway.operations.readiness() {
        Ok(known) => {
            let readiness = Readiness {
                ready: known.not_ready_because.is_empty(),
                because: known.not_ready_because,
                safe_mode: known.safe_mode,
                prometheus_reachable: known.prometheus_reachable,
                conditions: known.conditions,
            };
            let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            (status, Json(readiness)).into_response()
        }
        Err(problem) => (StatusCode::SERVICE_UNAVAILABLE, problem).into_response(),
    }
}

pub async fn status(State(gateway): State<Gateway>, Extension(caller): Who) -> Response {
    answer(gateway.operations.status(&caller).await.map(convert::status))
}

pub async fn metrics(State(gateway): State<Gateway>, Extension(caller): Who) -> Response {
    match gateway.operations.status(&caller).await {
        Ok(view) => {
            let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
            (kind, gateway.operations.meter().render(&view)).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

#[derive(Serialize)]
struct AuditPage {
    records: Vec<v1::AuditRecord>,
    /// Pass as `from_seq` for the next page; absent at the end.
    next_seq: Option<u64>,
}

/// Records from `from_seq` on, at most `limit` (1,000).
pub async fn audit(
    State(gateway): State<Gateway>,
    Extension(caller): Who,
    Query(request): Query<v1::ListAuditRequest>,
) -> Response {
    let limit = usize::try_from(request.limit).unwrap_or(AUDIT_PAGE_MAX);
    let limit = if limit == 0 { AUDIT_PAGE_MAX } else { limit.min(AUDIT_PAGE_MAX) };
    answer(gateway.operations.audit(&caller, request.from_seq, limit).map(|page| {
        let full = page.len() >= limit;
        let next_seq = page.last().filter(|_| full).map(|last| last.seq + 1);
        let asked = |record: &v1::AuditRecord| {
            request.incident_id.is_empty() || record.incident_id.as_ref() == Some(&request.incident_id)
        };
        AuditPage { records: page.iter().map(convert::audit_record).filter(asked).collect(), next_seq }
    }))
}

pub async fn verify_audit(State(gateway): State<Gateway>, Extension(caller): Who) -> Response {
    answer(gateway.operations.verify_audit(&caller).await.map(|report| convert::verification(&report)))
}
