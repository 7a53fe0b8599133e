//! The other services of `medic.v1`: tools, audit, status.

use super::{Service, Streamed, answered, caller};
use crate::api::convert;
use crate::api::operations::{AUDIT_PAGE_MAX, Door};
use crate::api::problem::Problem;
use futures::StreamExt as _;
use medic_proto::v1;
use medic_proto::v1::audit_server::Audit;
use medic_proto::v1::tools_server::Tools;
use std::collections::VecDeque;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl Tools for Service {
    async fn list(
        &self,
        request: Request<v1::ListToolsRequest>,
    ) -> Result<Response<v1::ListToolsResponse>, Status> {
        let tools = self.operations.tools(&caller(&request)?);
        answered(tools.map(|(tools, rejected)| v1::ListToolsResponse {
            tools: tools.iter().map(convert::tool).collect(),
            rejected: rejected.iter().map(convert::plugin).collect(),
        }))
    }

    async fn describe(
        &self,
        request: Request<v1::DescribeToolRequest>,
    ) -> Result<Response<v1::Tool>, Status> {
        let found = self.operations.tool(&caller(&request)?, &request.get_ref().name);
        answered(found.map(|tool| convert::tool(&tool)))
    }

    async fn execute(
        &self,
        request: Request<v1::ExecuteToolRequest>,
    ) -> Result<Response<v1::ExecuteToolResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let incident = convert::optional_incident_id(&request.incident_id)?;
        let (tool, args) = (&request.tool, &request.args_json);
        let executed = self.operations.execute(&caller, Door::Grpc, tool, args, incident).await;
        answered(executed.map(convert::executed))
    }
}

/// Where a reader of the chain stands.
struct AuditReader {
    service: Service,
    caller: crate::api::auth::Caller,
    next_seq: u64,
    /// Records still to be told.
    left: u64,
    incident: String,
    page: VecDeque<v1::AuditRecord>,
    ended: bool,
}

impl AuditReader {
    async fn next(&mut self) -> Option<Result<v1::AuditRecord, Problem>> {
        while self.left > 0 {
            if let Some(record) = self.page.pop_front() {
                if self.incident.is_empty() || record.incident_id.as_ref() == Some(&self.incident) {
                    self.left -= 1;
                    return Some(Ok(record));
                }
                continue;
            }
            if self.ended {
                return None;
            }
            match self.service.operations.audit(&self.caller, self.next_seq, AUDIT_PAGE_MAX) {
                Ok(page) => {
                    self.ended = page.len() < AUDIT_PAGE_MAX;
                    self.next_seq = page.last().map_or(self.next_seq, |last| last.seq + 1);
                    self.page = page.iter().map(convert::audit_record).collect();
                    // A long chain is read at leisure.
                    tokio::task::yield_now().await;
                }
                Err(problem) => {
                    self.left = 0;
                    return Some(Err(problem));
                }
            }
        }
        None
    }
}

#[tonic::async_trait]
impl Audit for Service {
    type ListStream = Streamed<v1::AuditRecord>;

    async fn list(
        &self,
        request: Request<v1::ListAuditRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        convert::optional_incident_id(&request.incident_id)?;
        let reader = AuditReader {
            service: self.clone(),
            caller,
            next_seq: request.from_seq.max(1),
            left: if request.limit == 0 { u64::MAX } else { request.limit },
            incident: request.incident_id,
            page: VecDeque::new(),
            ended: false,
        };
        let records = futures::stream::unfold(reader, |mut reader| async move {
            let record = reader.next().await?;
            Some((record, reader))
        });
        Ok(Response::new(Box::pin(records.map(|record| record.map_err(Status::from)))))
    }

    async fn verify(
        &self,
        request: Request<v1::VerifyAuditRequest>,
    ) -> Result<Response<v1::VerifyAuditResponse>, Status> {
        let report = self.operations.verify_audit(&caller(&request)?).await;
        answered(report.map(|report| convert::verification(&report)))
    }
}

#[tonic::async_trait]
impl v1::status_server::Status for Service {
    async fn get(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        answered(self.operations.status(&caller(&request)?).await.map(convert::status))
    }
}
