//! Reading bodies: how many bytes, how long, and as what.

use crate::api::problem::{Problem, ProblemKind};
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use futures::StreamExt as _;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Bytes of an ordinary request: nothing that is asked in JSON comes near.
pub const JSON_BYTES_MAX: usize = 2 * 1024 * 1024;
/// A sender that is slower than this is not sending.
const BODY_WAIT: Duration = Duration::from_secs(30);
/// Bytes of a body that is too large which are still read and thrown away, so that its sender hears the answer instead
/// of a reset.
const DRAINED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// # Errors
/// `BODY_TOO_LARGE` beyond `bytes_max`, `BODY_TOO_SLOW`, `BODY_BROKEN`.
pub async fn read(body: Body, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let reading = async {
        let mut stream = body.into_data_stream();
        let mut bytes = Vec::new();
        let mut total = 0usize;
        while let Some(piece) = stream.next().await {
            let piece = piece
                .map_err(|error| Problem::invalid("BODY_BROKEN", format!("the body broke off: {error}")))?;
            total = total.saturating_add(piece.len());
            if total <= bytes_max {
                bytes.extend_from_slice(&piece);
            } else {
                bytes = Vec::new();
                if total > DRAINED_BYTES_MAX {
                    break;
                }
            }
        }
        if total > bytes_max {
            let message = format!("the body is larger than {bytes_max} bytes");
            return Err(Problem::new(ProblemKind::TooLarge, "BODY_TOO_LARGE", message));
        }
        Ok(bytes)
    };
    tokio::time::timeout(BODY_WAIT, reading).await.unwrap_or_else(|_| {
        let message = format!("the body did not arrive within {} s", BODY_WAIT.as_secs());
        Err(Problem::new(ProblemKind::Slow, "BODY_TOO_SLOW", message))
    })
}

/// An empty body is an empty object.
///
/// # Errors
/// As [`read`], and `MALFORMED_JSON`, which says where.
pub async fn json<T: DeserializeOwned>(body: Body) -> Result<T, Problem> {
    let bytes = read(body, JSON_BYTES_MAX).await?;
    let bytes = if bytes.is_empty() { b"{}" } else { bytes.as_slice() };
    serde_json::from_slice(bytes).map_err(|error| Problem::invalid("MALFORMED_JSON", error.to_string()))
}

/// The query string, with an error in this API's own form.
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|error| Problem::invalid("INVALID_QUERY", error.body_text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn body_of_exactly_the_limit_is_read_and_one_byte_more_is_not() {
        let body = |bytes: usize| Body::from(vec![b'x'; bytes]);
        assert_eq!(read(body(10), 10).await.unwrap().len(), 10);
        let problem = read(body(11), 10).await.unwrap_err();
        assert_eq!((problem.status().as_u16(), problem.code.as_ref()), (413, "BODY_TOO_LARGE"));
    }

    #[tokio::test(start_paused = true)]
    async fn body_that_never_ends_is_given_up() {
        let body = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        let problem = read(body, 10).await.unwrap_err();
        assert_eq!((problem.status().as_u16(), problem.code.as_ref()), (408, "BODY_TOO_SLOW"));
    }

    #[tokio::test]
    async fn wrong_types_are_told_with_their_place() {
        let problem =
            json::<medic_proto::v1::ApproveRequest>(Body::from(r#"{"plan_digest":1}"#)).await.unwrap_err();
        assert_eq!(problem.status().as_u16(), 400);
        assert!(problem.message.contains("line 1 column"), "{}", problem.message);
        assert!(json::<medic_proto::v1::ApproveRequest>(Body::empty()).await.is_ok());
    }
}
