//! REST over what is carried away and what was set aside: exports, copies, mailboxes.

use super::body::{Query, json};
use super::{Gateway, answer};
use crate::api::auth::Caller;
use crate::api::convert;
use crate::api::problem::{Problem, ProblemKind};
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use medic_proto::v1;

type Who = Extension<Caller>;

/// The incident's file. It ends with its seal: one that was cut off on the way does not replay.
pub async fn export(
    State(gateway): State<Gateway>,
    Extension(caller): Who,
    Path(id): Path<String>,
) -> Response {
    let begun = async {
        let id = convert::incident_id(&id)?;
        let mut pieces = gateway.operations.export_incident(&caller, &id)?;
        // Waited for, so that what fails at once is answered with its own status.
        let first = pieces.next().await.unwrap_or_else(|| {
            Err(Problem::new(ProblemKind::Internal, "INTERNAL", "the export ended before it began"))
        })?;
        Ok::<_, Problem>((id, futures::stream::iter([Ok(first)]).chain(pieces)))
    };
    match begun.await {
        Ok((id, pieces)) => {
            let pieces = pieces.map(|piece| piece.map_err(|problem| std::io::Error::other(problem.message)));
            let headers = [
                (header::CONTENT_TYPE, "application/x-ndjson".to_owned()),
                (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{id}.jsonl\"")),
            ];
            (headers, Body::from_stream(pieces)).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

pub async fn backup(State(gateway): State<Gateway>, Extension(caller): Who, body: Body) -> Response {
    answer(
        async {
            let request: v1::BackupStoreRequest = json(body).await?;
            gateway.operations.backup(&caller, &request.to).await.map(convert::copied)
        }
        .await,
    )
}

pub async fn mailboxes(
    State(gateway): State<Gateway>,
    Extension(caller): Who,
    Query(request): Query<v1::ListMailboxesRequest>,
) -> Response {
    let listed = gateway.operations.mailboxes(&caller, &request.mailbox, request.limit as usize);
    answer(listed.map(|view| convert::mailboxes(&view)))
}

pub async fn letter(
    State(gateway): State<Gateway>,
    Extension(caller): Who,
    Path(id): Path<String>,
) -> Response {
    answer(gateway.operations.dead_letter(&caller, &id).map(|letter| convert::whole_letter(&letter)))
}

pub async fn retry(
    State(gateway): State<Gateway>,
    Extension(caller): Who,
    Path(id): Path<String>,
) -> Response {
    let sent = gateway.operations.retry_letter(&caller, &id).await;
    answer(sent.map(|letter| convert::settled(&letter)))
}

pub async fn drop_letter(
    State(gateway): State<Gateway>,
    Extension(caller): Who,
    Path(id): Path<String>,
    body: Body,
) -> Response {
    answer(
        async {
            let request: v1::DropLetterRequest = json(body).await?;
            let dropped = gateway.operations.drop_letter(&caller, &id, &request.reason).await?;
            Ok(convert::settled(&dropped))
        }
        .await,
    )
}
