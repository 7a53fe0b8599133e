//! The gRPC door: `medic.v1` with reflection and health.
//!
//! Owns the mapping of calls to [`Operations`] and the interceptor that finds out who calls. Never decides.

mod incidents;
mod keeping;
mod knowledge;
mod logs;
mod services;

use super::auth::{AuthTable, Caller};
use super::operations::Operations;
use super::problem::Problem;
use medic_proto::v1::audit_server::AuditServer;
use medic_proto::v1::incidents_server::IncidentsServer;
use medic_proto::v1::knowledge_server::KnowledgeServer;
use medic_proto::v1::logs_server::LogsServer;
use medic_proto::v1::mailboxes_server::MailboxesServer;
use medic_proto::v1::status_server::StatusServer;
use medic_proto::v1::store_server::StoreServer;
use medic_proto::v1::tools_server::ToolsServer;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::Router;
use tonic::{Request, Status};

/// Bytes of one message from a client: a document to ingest, a piece of a log.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Calls under way on one connection. A person's client has a handful, a watcher one.
const STREAMS_MAX: u32 = 100;
/// A peer that vanished without a word is found out after this and the answer's wait.
const KEEPALIVE: Duration = Duration::from_secs(30);

type Streamed<T> = Pin<Box<dyn futures::Stream<Item = Result<T, Status>> + Send + 'static>>;

/// One for all services: there is nothing to tell them apart by but the calls they answer.
#[derive(Clone)]
struct Service {
    operations: Operations,
}

#[derive(Clone)]
struct Gate(Arc<AuthTable>);

impl Interceptor for Gate {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let shown = request.metadata().get("authorization").map(|value| value.as_encoded_bytes());
        let caller = self.0.authenticate(shown)?;
        request.extensions_mut().insert(caller);
        Ok(request)
    }
}

fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    request
        .extensions()
        .get::<Caller>()
        .cloned()
        .ok_or_else(|| Status::internal("the call came past the gate"))
}

fn answered<T>(answer: Result<T, Problem>) -> Result<tonic::Response<T>, Status> {
    answer.map(tonic::Response::new).map_err(Status::from)
}

/// # Errors
/// When the descriptor set that was built in cannot be read.
pub async fn router(
    server: tonic::transport::Server,
    operations: Operations,
    auth: Arc<AuthTable>,
) -> Result<Router, tonic_reflection::server::Error> {
    let service = Service { operations };
    let gate = Gate(auth);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(medic_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    // Whoever asks gets "serving" while the process answers at all; whether it is of use is the status' to say.
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<IncidentsServer<Service>>().await;

    macro_rules! gated {
        ($server:ident) => {
            InterceptedService::new(
                $server::new(service.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX),
                gate.clone(),
            )
        };
    }
    Ok(server
        .max_concurrent_streams(STREAMS_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .add_service(health)
        .add_service(InterceptedService::new(reflection, gate.clone()))
        .add_service(gated!(IncidentsServer))
        .add_service(gated!(ToolsServer))
        .add_service(gated!(LogsServer))
        .add_service(gated!(KnowledgeServer))
        .add_service(gated!(AuditServer))
        .add_service(gated!(StatusServer))
        .add_service(gated!(StoreServer))
        .add_service(gated!(MailboxesServer)))
}
