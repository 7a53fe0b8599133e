//! `medic.v1.Store` and `medic.v1.Mailboxes`: copies, and what was set aside.

use super::{Service, answered, caller};
use crate::api::convert;
use medic_proto::v1;
use medic_proto::v1::mailboxes_server::Mailboxes;
use medic_proto::v1::store_server::Store;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl Store for Service {
    async fn backup(
        &self,
        request: Request<v1::BackupStoreRequest>,
    ) -> Result<Response<v1::BackupStoreResponse>, Status> {
        let caller = caller(&request)?;
        answered(self.operations.backup(&caller, &request.get_ref().to).await.map(convert::copied))
    }
}

#[tonic::async_trait]
impl Mailboxes for Service {
    async fn list(
        &self,
        request: Request<v1::ListMailboxesRequest>,
    ) -> Result<Response<v1::ListMailboxesResponse>, Status> {
        let v1::ListMailboxesRequest { mailbox, limit } = request.get_ref();
        let listed = self.operations.mailboxes(&caller(&request)?, mailbox, *limit as usize);
        answered(listed.map(|view| convert::mailboxes(&view)))
    }

    async fn show(&self, request: Request<v1::ShowLetterRequest>) -> Result<Response<v1::Letter>, Status> {
        let found = self.operations.dead_letter(&caller(&request)?, &request.get_ref().id);
        answered(found.map(|letter| convert::whole_letter(&letter)))
    }

    async fn retry(
        &self,
        request: Request<v1::RetryLetterRequest>,
    ) -> Result<Response<v1::LetterResponse>, Status> {
        let caller = caller(&request)?;
        let sent = self.operations.retry_letter(&caller, &request.get_ref().id).await;
        answered(sent.map(|letter| convert::settled(&letter)))
    }

    async fn drop(
        &self,
        request: Request<v1::DropLetterRequest>,
    ) -> Result<Response<v1::LetterResponse>, Status> {
        let caller = caller(&request)?;
        let v1::DropLetterRequest { id, reason } = request.into_inner();
        let dropped = self.operations.drop_letter(&caller, &id, &reason).await;
        answered(dropped.map(|letter| convert::settled(&letter)))
    }
}
