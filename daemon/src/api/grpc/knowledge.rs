//! `medic.v1.Knowledge`.

use super::{Service, answered, caller};
use crate::api::convert;
use medic_proto::v1;
use medic_proto::v1::knowledge_server::Knowledge;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl Knowledge for Service {
    async fn search(
        &self,
        request: Request<v1::SearchKnowledgeRequest>,
    ) -> Result<Response<v1::SearchKnowledgeResponse>, Status> {
        let caller = caller(&request)?;
        let query = convert::search_query(request.into_inner())?;
        answered(self.operations.search(&caller, query).await.map(convert::found))
    }

    async fn ingest(
        &self,
        request: Request<v1::IngestKnowledgeRequest>,
    ) -> Result<Response<v1::IngestKnowledgeResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        answered(self.operations.ingest(&caller, &request.name, &request.text).await.map(convert::shelved))
    }

    async fn reread(
        &self,
        request: Request<v1::RereadKnowledgeRequest>,
    ) -> Result<Response<v1::RereadKnowledgeResponse>, Status> {
        answered(self.operations.reread_knowledge(&caller(&request)?).await.map(convert::reread))
    }

    async fn show(
        &self,
        request: Request<v1::ShowKnowledgeRequest>,
    ) -> Result<Response<v1::ShowKnowledgeResponse>, Status> {
        let caller = caller(&request)?;
        let v1::ShowKnowledgeRequest { document, source, version } = request.into_inner();
        let shown = self.operations.show_document(&caller, &document, &source, version).await;
        answered(shown.map(convert::shown))
    }

    async fn versions(
        &self,
        request: Request<v1::KnowledgeVersionsRequest>,
    ) -> Result<Response<v1::KnowledgeVersionsResponse>, Status> {
        answered(
            self.operations.knowledge_versions(&caller(&request)?).await.map(convert::knowledge_versions),
        )
    }

    async fn diff(
        &self,
        request: Request<v1::DiffKnowledgeRequest>,
    ) -> Result<Response<v1::DiffKnowledgeResponse>, Status> {
        let caller = caller(&request)?;
        let v1::DiffKnowledgeRequest { from, to } = request.into_inner();
        answered(self.operations.diff_knowledge(&caller, from, to).await.map(convert::difference))
    }

    async fn pin(
        &self,
        request: Request<v1::PinKnowledgeRequest>,
    ) -> Result<Response<v1::KnowledgeStats>, Status> {
        let caller = caller(&request)?;
        let version = request.into_inner().version;
        answered(self.operations.pin_knowledge(&caller, version).await.map(convert::knowledge_stats))
    }

    async fn roll_back(
        &self,
        request: Request<v1::RollBackKnowledgeRequest>,
    ) -> Result<Response<v1::KnowledgeStats>, Status> {
        let caller = caller(&request)?;
        let version = request.into_inner().version;
        answered(self.operations.roll_back_knowledge(&caller, version).await.map(convert::knowledge_stats))
    }

    async fn stats(
        &self,
        request: Request<v1::KnowledgeStatsRequest>,
    ) -> Result<Response<v1::KnowledgeStats>, Status> {
        answered(self.operations.knowledge_stats(&caller(&request)?).map(convert::knowledge_stats))
    }
}
