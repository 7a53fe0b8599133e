//! REST over incidents.

use super::body::{Query, json};
use super::{Gateway, answer};
use crate::api::auth::Caller;
use crate::api::convert;
use crate::api::operations::Door;
use crate::api::problem::Problem;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use medic_proto::v1;
use serde::Deserialize;

type Who = Extension<Caller>;

pub async fn create(State(gateway): State<Gateway>, Extension(caller): Who, body: Body) -> Response {
    let created = async {
        let manual = convert::manual(json::<v1::CreateIncidentRequest>(body).await?);
        gateway.operations.create(&caller, Door::Rest, manual).await
    };
    match created.await {
        Ok(id) => {
            let location = [(axum::http::header::LOCATION, format!("/incidents/{id}"))];
            let created = Json(v1::CreateIncidentResponse { incident_id: id.to_string() });
            (StatusCode::CREATED, location, created).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

pub async fn list(
    State(gateway): State<Gateway>,
    Extension(caller): Who,
    Query(request): Query<v1::ListIncidentsRequest>,
) -> Response {
    answer(convert::filter(&request).and_then(|filter| {
        let incidents = gateway.operations.list(&caller, &filter)?;
        Ok(convert::page(&filter, &incidents))
    }))
}

pub async fn get(State(gateway): State<Gateway>, Extension(caller): Who, Path(id): Path<String>) -> Response {
    let found = convert::incident_id(&id).and_then(|id| gateway.operations.get(&caller, &id));
    answer(found.map(|incident| convert::incident(&incident)))
}

pub async fn approve(
    State(gateway): State<Gateway>,
    Extension(caller): Who,
    Path(id): Path<String>,
    body: Body,
) -> Response {
    answer(
        async {
            let id = convert::incident_id(&id)?;
            let request: v1::ApproveRequest = json(body).await?;
            let (plan, once) = (&request.plan_digest, request.request_id);
            gateway.operations.approve(&caller, Door::Rest, &id, plan, once).await.map(convert::told)
        }
        .await,
    )
}

pub async fn reject(
    State(gateway): State<Gateway>,
    Extension(caller): Who,
    Path(id): Path<String>,
    body: Body,
) -> Response {
    answer(
        async {
            let id = convert::incident_id(&id)?;
            let request: v1::RejectRequest = json(body).await?;
            let (why, once) = (request.reason, request.request_id);
            gateway.operations.reject(&caller, Door::Rest, &id, why, once).await.map(convert::told)
        }
        .await,
    )
}

pub async fn escalate(
    State(gateway): State<Gateway>,
    Extension(caller): Who,
    Path(id): Path<String>,
    body: Body,
) -> Response {
    answer(
        async {
            let id = convert::incident_id(&id)?;
            let request: v1::EscalateRequest = json(body).await?;
            let (why, once) = (request.reason, request.request_id);
            gateway.operations.escalate(&caller, Door::Rest, &id, why, once).await.map(convert::told)
        }
        .await,
    )
}

#[derive(Deserialize)]
pub struct OfIncident {
    incident: Option<String>,
}

/// The current diagnosis; 404 for an unknown incident, 409 while there is none.
pub async fn diagnosis(
    State(gateway): State<Gateway>,
    Extension(caller): Who,
    Query(of): Query<OfIncident>,
) -> Response {
    let id = of.incident.ok_or_else(|| {
        Problem::invalid("MISSING_FIELD", "say which: /diagnose?incident=<id>").at("incident")
    });
    let view = id.and_then(|id| gateway.operations.diagnosis(&caller, &convert::incident_id(&id)?));
    answer(view.map(|view| convert::diagnosis_view(&view)))
}

/// Asks for a fresh look.
pub async fn diagnose_anew(
    State(gateway): State<Gateway>,
    Extension(caller): Who,
    Path(id): Path<String>,
    body: Body,
) -> Response {
    answer(
        async {
            let id = convert::incident_id(&id)?;
            let request: v1::DiagnoseRequest = json(body).await?;
            let view = gateway.operations.diagnose(&caller, Door::Rest, &id, request.request_id).await?;
            Ok(convert::diagnosis_view(&view))
        }
        .await,
    )
}
