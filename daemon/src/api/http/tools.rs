//! REST over tools.

use super::body::json;
use super::{Gateway, answer};
use crate::api::auth::Caller;
use crate::api::convert;
use crate::api::operations::Door;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use medic_proto::v1;

type Who = Extension<Caller>;

pub async fn list(State(gateway): State<Gateway>, Extension(caller): Who) -> Response {
    answer(gateway.operations.tools(&caller).map(|(tools, rejected)| v1::ListToolsResponse {
        tools: tools.iter().map(convert::tool).collect(),
        rejected: rejected.iter().map(convert::plugin).collect(),
    }))
}

pub async fn describe(
    State(gateway): State<Gateway>,
    Extension(caller): Who,
    Path(name): Path<String>,
) -> Response {
    answer(gateway.operations.tool(&caller, &name).map(|tool| convert::tool(&tool)))
}

/// 200 with the output of a tool that reads; 202 with the incident under which a change is being planned.
pub async fn execute(State(gateway): State<Gateway>, Extension(caller): Who, body: Body) -> Response {
    let executed = async {
        let request: v1::ExecuteToolRequest = json(body).await?;
        let incident = convert::optional_incident_id(&request.incident_id)?;
        let (tool, args) = (&request.tool, &request.args_json);
        gateway.operations.execute(&caller, Door::Rest, tool, args, incident).await.map(convert::executed)
    };
    match executed.await {
        Ok(executed) => {
            let proposed = executed.proposed_incident_id.is_some();
            let status = if proposed { StatusCode::ACCEPTED } else { StatusCode::OK };
            (status, axum::Json(executed)).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}
