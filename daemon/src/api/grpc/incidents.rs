//! `medic.v1.Incidents`.

use super::{Service, Streamed, answered, caller};
use crate::api::convert;
use crate::api::operations::Door;
use crate::api::problem::Problem;
use crate::api::watch::Subject;
use futures::StreamExt as _;
use medic_proto::v1;
use medic_proto::v1::incidents_server::Incidents;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl Incidents for Service {
    async fn create(
        &self,
        request: Request<v1::CreateIncidentRequest>,
    ) -> Result<Response<v1::CreateIncidentResponse>, Status> {
        let caller = caller(&request)?;
        let manual = convert::manual(request.into_inner());
        let created = self.operations.create(&caller, Door::Grpc, manual).await;
        answered(created.map(|id| v1::CreateIncidentResponse { incident_id: id.to_string() }))
    }

    async fn get(&self, request: Request<v1::GetIncidentRequest>) -> Result<Response<v1::Incident>, Status> {
        let caller = caller(&request)?;
        let found = convert::incident_id(&request.get_ref().incident_id)
            .and_then(|id| self.operations.get(&caller, &id))
            .map(|incident| convert::incident(&incident));
        answered(found)
    }

    async fn list(
        &self,
        request: Request<v1::ListIncidentsRequest>,
    ) -> Result<Response<v1::ListIncidentsResponse>, Status> {
        let caller = caller(&request)?;
        answered(convert::filter(request.get_ref()).and_then(|filter| {
            let incidents = self.operations.list(&caller, &filter)?;
            Ok(convert::page(&filter, &incidents))
        }))
    }

    type WatchStream = Streamed<v1::IncidentUpdate>;

    async fn watch(
        &self,
        request: Request<v1::WatchIncidentsRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let subject = convert::optional_incident_id(&request.incident_id)?.map_or(Subject::All, |incident| {
            Subject::One { incident, after_revision: request.after_revision }
        });
        let stream = self.operations.watch(&caller, subject)?;
        let updates =
            stream.map(|sighted| sighted.map(|sighting| convert::sighting(&sighting)).map_err(Status::from));
        Ok(Response::new(Box::pin(updates)))
    }

    async fn approve(
        &self,
        request: Request<v1::ApproveRequest>,
    ) -> Result<Response<v1::DecisionResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let id = convert::incident_id(&request.incident_id)?;
        let (plan, once) = (&request.plan_digest, request.request_id);
        answered(self.operations.approve(&caller, Door::Grpc, &id, plan, once).await.map(convert::told))
    }

    async fn reject(
        &self,
        request: Request<v1::RejectRequest>,
    ) -> Result<Response<v1::DecisionResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let id = convert::incident_id(&request.incident_id)?;
        let (why, once) = (request.reason, request.request_id);
        answered(self.operations.reject(&caller, Door::Grpc, &id, why, once).await.map(convert::told))
    }

    async fn escalate(
        &self,
        request: Request<v1::EscalateRequest>,
    ) -> Result<Response<v1::DecisionResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let id = convert::incident_id(&request.incident_id)?;
        let (why, once) = (request.reason, request.request_id);
        answered(self.operations.escalate(&caller, Door::Grpc, &id, why, once).await.map(convert::told))
    }

    async fn diagnose(
        &self,
        request: Request<v1::DiagnoseRequest>,
    ) -> Result<Response<v1::DiagnoseResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let id = convert::incident_id(&request.incident_id)?;
        let view: Result<_, Problem> = if request.fresh {
            self.operations.diagnose(&caller, Door::Grpc, &id, request.request_id).await
        } else {
            self.operations.diagnosis(&caller, &id)
        };
        answered(view.map(|view| convert::diagnosis_view(&view)))
    }

    type ExportStream = Streamed<v1::ExportIncidentPiece>;

    async fn export(
        &self,
        request: Request<v1::ExportIncidentRequest>,
    ) -> Result<Response<Self::ExportStream>, Status> {
        let caller = caller(&request)?;
        let id = convert::incident_id(&request.get_ref().incident_id)?;
        let pieces = self.operations.export_incident(&caller, &id)?;
        let pieces = pieces.map(|piece| {
            piece.map(|data| v1::ExportIncidentPiece { data: data.into() }).map_err(Status::from)
        });
        Ok(Response::new(Box::pin(pieces)))
    }
}
