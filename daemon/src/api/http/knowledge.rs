//! REST over the knowledge base.

use super::body::json;
use super::{Gateway, answer};
use crate::api::auth::Caller;
use crate::api::convert;
use crate::api::problem::Problem;
use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use medic_proto::v1;

type Who = Extension<Caller>;
type Asked<T> = Result<Query<T>, QueryRejection>;

fn asked<T>(query: Asked<T>) -> Result<T, Problem> {
    match query {
        Ok(Query(request)) => Ok(request),
        Err(rejection) => Err(Problem::invalid("INVALID_REQUEST", rejection.body_text())),
    }
}

pub async fn search(State(gateway): State<Gateway>, Extension(caller): Who, body: Body) -> Response {
    answer(
        async {
            let query = convert::search_query(json(body).await?)?;
            gateway.operations.search(&caller, query).await.map(convert::found)
        }
        .await,
    )
}

pub async fn ingest(State(gateway): State<Gateway>, Extension(caller): Who, body: Body) -> Response {
    answer(
        async {
            let request: v1::IngestKnowledgeRequest = json(body).await?;
            gateway.operations.ingest(&caller, &request.name, &request.text).await.map(convert::shelved)
        }
        .await,
    )
}

pub async fn reread(State(gateway): State<Gateway>, Extension(caller): Who) -> Response {
    answer(gateway.operations.reread_knowledge(&caller).await.map(convert::reread))
}

pub async fn show(
    State(gateway): State<Gateway>,
    Extension(caller): Who,
    query: Asked<v1::ShowKnowledgeRequest>,
) -> Response {
    answer(
        async {
            let v1::ShowKnowledgeRequest { document, source, version } = asked(query)?;
            gateway.operations.show_document(&caller, &document, &source, version).await.map(convert::shown)
        }
        .await,
    )
}

pub async fn versions(State(gateway): State<Gateway>, Extension(caller): Who) -> Response {
    answer(gateway.operations.knowledge_versions(&caller).await.map(convert::knowledge_versions))
}

pub async fn diff(
    State(gateway): State<Gateway>,
    Extension(caller): Who,
    query: Asked<v1::DiffKnowledgeRequest>,
) -> Response {
    answer(
        async {
            let v1::DiffKnowledgeRequest { from, to } = asked(query)?;
            gateway.operations.diff_knowledge(&caller, from, to).await.map(convert::difference)
        }
        .await,
    )
}

/// Without a version it takes the pin off.
pub async fn pin(State(gateway): State<Gateway>, Extension(caller): Who, body: Body) -> Response {
    answer(
        async {
            let request: v1::PinKnowledgeRequest = json(body).await?;
            gateway.operations.pin_knowledge(&caller, request.version).await.map(convert::knowledge_stats)
        }
        .await,
    )
}

pub async fn roll_back(State(gateway): State<Gateway>, Extension(caller): Who, body: Body) -> Response {
    answer(
        async {
            let request: v1::RollBackKnowledgeRequest = json(body).await?;
            gateway
                .operations
                .roll_back_knowledge(&caller, request.version)
                .await
                .map(convert::knowledge_stats)
        }
        .await,
    )
}

pub async fn stats(State(gateway): State<Gateway>, Extension(caller): Who) -> Response {
    answer(gateway.operations.knowledge_stats(&caller).map(convert::knowledge_stats))
}
