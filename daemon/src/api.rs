//! The driving side: everything that asks something of the daemon comes in here.
//!
//! Owns two doors over one set of operations: gRPC (`medic.v1`) and the HTTP gateway (REST, webhook, event streams,
//! probes), who may come in, and how much a request may hold. Never decides about an incident and never answers a
//! delivery before it is durable: both are the desk's.
//!
//! ```text
//! gRPC ─ grpc ─┐                  ┌─ auth: who, and what that role may
//!              ├─ operations ─────┼─ alertmanager: hostile bytes → alerts
//! HTTP ─ http ─┘      │           └─ watch: incidents as they change
//!                 medic_agents::Desk                    convert: core ↔ medic.v1, for both doors
//! ```

pub mod alertmanager;
pub mod auth;
mod conditions;
mod convert;
pub mod custodian;
mod grpc;
mod http;
pub mod librarian;
mod meter;
mod operations;
mod problem;
pub mod tls;
mod watch;

use auth::{AuthTable, AuthTableError};
use custodian::Custodian;
use librarian::Librarian;
use medic_agents::Desk;
use meter::Meter;
use operations::Operations;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tls::{TlsError, TlsIdentity, TlsListener};
use tokio::net::TcpListener;
use tokio::sync::watch as signal;
use tokio::task::JoinSet;
use tonic::transport::server::TcpIncoming;

pub struct ApiConfig {
    /// Port 0 takes a free one; see [`Serving::grpc_addr`].
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    /// For both doors; `None` speaks in the clear.
    pub tls: Option<TlsIdentity>,
    pub auth: AuthTable,
    /// `None`: documents are not taken in.
    pub librarian: Option<Arc<dyn Librarian>>,
    /// `None`: there is no store on disk to copy.
    pub custodian: Option<Arc<dyn Custodian>>,
}

impl fmt::Debug for ApiConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiConfig")
            .field("grpc", &self.grpc)
            .field("http", &self.http)
            .field("tls", &self.tls)
            .field("auth", &self.auth)
            .field("librarian", &self.librarian.is_some())
            .field("custodian", &self.custodian.is_some())
            .finish()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("cannot listen for {door} on {addr}: {source}")]
    Listen { door: &'static str, addr: SocketAddr, source: std::io::Error },
    #[error("the tokens do not tell people apart: {0}")]
    Auth(#[from] AuthTableError),
    /// Anyone who reaches the address would be the operator.
    #[error("{0} is not a loopback address: configure tokens and TLS, or listen on 127.0.0.1")]
    Open(SocketAddr),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("cannot set up gRPC: {0}")]
    Grpc(String),
    #[error("{door} stopped: {reason}")]
    Stopped { door: &'static str, reason: String },
}

impl ApiError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "LISTEN_FAILED",
            Self::Auth(_) => "INVALID_TOKENS",
            Self::Open(_) => "OPEN_LISTENER",
            Self::Tls(_) => "INVALID_TLS",
            Self::Grpc(_) => "GRPC_SETUP_FAILED",
            Self::Stopped { .. } => "API_STOPPED",
        }
    }
}

/// Both doors, open.
#[derive(Debug)]
pub struct Serving {
    grpc_addr: SocketAddr,
    http_addr: SocketAddr,
    doors: JoinSet<Result<(), ApiError>>,
    meter: Arc<Meter>,
}

/// Counts HTTP requests whose answer has not begun.
#[derive(Clone, Debug)]
pub struct RequestsInFlight(Arc<Meter>);

impl RequestsInFlight {
    pub fn count(&self) -> u64 {
        self.0.requests_in_flight.load(Ordering::Relaxed)
    }
}

impl Serving {
    pub fn grpc_addr(&self) -> SocketAddr {
        self.grpc_addr
    }
    pub fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    pub fn requests_in_flight(&self) -> RequestsInFlight {
        RequestsInFlight(self.meter.clone())
    }

    /// Returns once both doors are closed: after the shutdown signal when the requests under way are answered, or with
    /// the error of the first door that fell shut by itself.
    pub async fn join(mut self) -> Result<(), ApiError> {
        while let Some(door) = self.doors.join_next().await {
            door.map_err(|error| ApiError::Stopped { door: "a door", reason: error.to_string() })??;
        }
        Ok(())
    }
}

/// Opens both doors. Streams end and no new connection is taken once `shutdown` turns true (or its sender is gone).
///
/// # Errors
/// An address that cannot be listened on or is open to others without tokens and TLS; tokens that do not tell people
/// apart; a certificate that cannot be used.
pub async fn serve(
    config: ApiConfig,
    desk: Desk,
    shutdown: signal::Receiver<bool>,
) -> Result<Serving, ApiError> {
    config.auth.check()?;
    for addr in [config.grpc, config.http] {
        let closed = config.auth.anonymous.is_none() && config.tls.is_some();
        if !addr.ip().is_loopback() && !closed {
            return Err(ApiError::Open(addr));
        }
    }
    if config.tls.is_some() {
        // gRPC's server takes the process' provider; whoever installed one first chose the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let auth = Arc::new(config.auth);
    let meter = Arc::new(Meter::default());
    let operations =
        Operations::new(desk, config.librarian, config.custodian, meter.clone(), shutdown.clone());
    let mut doors = JoinSet::new();

    let tcp = listen("HTTP", config.http).await?;
    let http_addr = tcp.local_addr().map_err(|source| listen_error("HTTP", config.http, source))?;
    let router = http::router(http::Gateway { operations: operations.clone(), auth: auth.clone() });
    let closing = closed(shutdown.clone());
    match &config.tls {
        Some(identity) => {
            let listener = TlsListener::new(tcp, identity)?;
            let served = axum::serve(listener, router).with_graceful_shutdown(closing);
            doors.spawn(async move { served.await.map_err(|error| stopped("HTTP", &error)) });
        }
        None => {
            let served = axum::serve(tcp, router).with_graceful_shutdown(closing);
            doors.spawn(async move { served.await.map_err(|error| stopped("HTTP", &error)) });
        }
    }

    let tcp = listen("gRPC", config.grpc).await?;
    let grpc_addr = tcp.local_addr().map_err(|source| listen_error("gRPC", config.grpc, source))?;
    let mut server = tonic::transport::Server::builder();
    if let Some(identity) = &config.tls {
        let identity = tonic::transport::Identity::from_pem(&identity.cert_pem, &identity.key_pem);
        server = server
            .tls_config(tonic::transport::ServerTlsConfig::new().identity(identity))
            .map_err(|error| ApiError::Grpc(error.to_string()))?;
    }
    let router =
        grpc::router(server, operations, auth).await.map_err(|error| ApiError::Grpc(error.to_string()))?;
    let incoming = TcpIncoming::from(tcp).with_nodelay(Some(true));
    let closing = closed(shutdown);
    doors.spawn(async move {
        let served = router.serve_with_incoming_shutdown(incoming, closing).await;
        served.map_err(|error| stopped("gRPC", &error))
    });
    Ok(Serving { grpc_addr, http_addr, doors, meter })
}

async fn listen(door: &'static str, addr: SocketAddr) -> Result<TcpListener, ApiError> {
    TcpListener::bind(addr).await.map_err(|source| listen_error(door, addr, source))
}

fn listen_error(door: &'static str, addr: SocketAddr, source: std::io::Error) -> ApiError {
    ApiError::Listen { door, addr, source }
}

fn stopped(door: &'static str, error: &dyn std::error::Error) -> ApiError {
    ApiError::Stopped { door, reason: error.to_string() }
}

async fn closed(mut shutdown: signal::Receiver<bool>) {
    // An error means that the sender is gone: the daemon is going too.
    let _ = shutdown.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests;
