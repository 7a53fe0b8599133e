//! The service of logs.

use super::{Service, answered, caller};
use crate::api::convert;
use crate::api::operations::{AnalyzeAsked, Piece};
use crate::api::problem::Problem;
use futures::{Stream, StreamExt as _};
use medic_core::TimestampMs;
use medic_proto::v1;
use medic_proto::v1::logs_server::Logs;
use std::time::Duration;
use tonic::{Request, Response, Status, Streaming};

/// For the first message, which carries the options. 30 s: whoever is slower has nothing to send.
const FIRST_WAIT: Duration = Duration::from_secs(30);

#[tonic::async_trait]
impl Logs for Service {
    async fn analyze(
        &self,
        request: Request<Streaming<v1::AnalyzeLogsRequest>>,
    ) -> Result<Response<v1::AnalyzeLogsResponse>, Status> {
        let caller = caller(&request)?;
        let mut upload = request.into_inner();
        let first = tokio::time::timeout(FIRST_WAIT, upload.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("the upload did not begin"))??;
        let first = first.unwrap_or_default();
        // The first message's, whatever later ones say.
        let options = first.options.clone().unwrap_or_default();
        let asked =
            AnalyzeAsked { name: options.name, year: options.year, onset: options.onset_ms.map(TimestampMs) };
        let reported = self.operations.analyze_logs(&caller, asked, pieces(first, upload)).await;
        answered(reported.map(convert::log_report))
    }

    async fn query(
        &self,
        request: Request<v1::QueryLogsRequest>,
    ) -> Result<Response<v1::QueryLogsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let now = request.now_ms.map(TimestampMs);
        let answer = self.operations.query_logs(&caller, &request.text, now, request.limit as usize).await;
        answered(answer.map(convert::log_query))
    }
}

fn pieces(
    first: v1::AnalyzeLogsRequest,
    rest: Streaming<v1::AnalyzeLogsRequest>,
) -> impl Stream<Item = Result<Piece, Problem>> + Send {
    futures::stream::iter([Ok(first)]).chain(rest).flat_map(|message| {
        let pieces = match message {
            Err(status) => {
                let why = format!("the upload broke off: {}", status.message());
                vec![Err(Problem::invalid("BODY_BROKEN", why))]
            }
            Ok(message) => vec![
                Ok(Piece { baseline: true, bytes: message.baseline_chunk.into() }),
                Ok(Piece { baseline: false, bytes: message.chunk.into() }),
            ],
        };
        futures::stream::iter(pieces)
    })
}
