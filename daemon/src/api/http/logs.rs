//! REST over logs.

use super::body::{Query, json};
use super::{Gateway, answer};
use crate::api::auth::Caller;
use crate::api::convert;
use crate::api::operations::{AnalyzeAsked, Piece};
use crate::api::problem::Problem;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use futures::{Stream, StreamExt as _};
use medic_core::TimestampMs;
use medic_proto::v1;

type Who = Extension<Caller>;

/// The body is the log itself, in any known format, plain or packed; at its front, if the query says how many bytes of it,
/// a log to compare with.
pub async fn analyze(
    State(gateway): State<Gateway>,
    Extension(caller): Who,
    Query(options): Query<v1::AnalyzeLogsOptions>,
    body: Body,
) -> Response {
    let asked =
        AnalyzeAsked { name: options.name, year: options.year, onset: options.onset_ms.map(TimestampMs) };
    let pieces = pieces(body, options.baseline_bytes);
    answer(gateway.operations.analyze_logs(&caller, asked, pieces).await.map(convert::log_report))
}

fn pieces(body: Body, baseline_bytes: u64) -> impl Stream<Item = Result<Piece, Problem>> + Send {
    let mut baseline_left = baseline_bytes;
    body.into_data_stream().flat_map(move |piece| {
        let pieces = match piece {
            Err(error) => {
                vec![Err(Problem::invalid("BODY_BROKEN", format!("the body broke off: {error}")))]
            }
            Ok(mut bytes) => {
                let of_baseline = usize::try_from(baseline_left).unwrap_or(usize::MAX).min(bytes.len());
                let front = bytes.split_to(of_baseline);
                baseline_left -= of_baseline as u64;
                vec![Ok(Piece { baseline: true, bytes: front }), Ok(Piece { baseline: false, bytes })]
            }
        };
        futures::stream::iter(pieces)
    })
}

/// `now` is what the contract calls `now_ms`.
pub async fn query(State(gateway): State<Gateway>, Extension(caller): Who, body: Body) -> Response {
    answer(
        async {
            let request: v1::QueryLogsRequest = json(body).await?;
            let now = request.now_ms.map(TimestampMs);
            let answered =
                gateway.operations.query_logs(&caller, &request.text, now, request.limit as usize).await?;
            Ok(convert::log_query(answered))
        }
        .await,
    )
}
