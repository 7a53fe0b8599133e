//! The daemon's own certificate, and a listener that speaks TLS for the HTTP gateway.
//!
//! Never lets one slow handshake hold up another: each has its own time and runs beside the rest.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Certificate chain and key as PEM text.
#[derive(Clone)]
pub struct TlsIdentity {
    pub cert_pem: Vec<u8>,
    pub key_pem: Vec<u8>,
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsIdentity { cert_pem: …, key_pem: [redacted] }")
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the TLS certificate is no PEM certificate chain: {0}")]
    Certificate(rustls::pki_types::pem::Error),
    #[error("the TLS certificate file holds no certificate")]
    NoCertificate,
    #[error("the TLS key is no PEM private key: {0}")]
    Key(rustls::pki_types::pem::Error),
    #[error("certificate and key do not make a TLS server: {0}")]
    Rustls(#[from] rustls::Error),
}

/// A handshake takes two round trips; ten seconds are a very bad line.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);
/// Handshakes under way. Beyond it new connections wait in the kernel's queue.
const HANDSHAKES_MAX: usize = 256;
/// After an accept that failed, for want of file descriptors most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

impl TlsIdentity {
    fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&self.cert_pem)
            .collect::<Result<_, _>>()
            .map_err(TlsError::Certificate)?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key_pem).map_err(TlsError::Key)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

pub struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl TlsListener {
    /// # Errors
    /// What of certificate or key cannot be used.
    pub fn new(tcp: TcpListener, identity: &TlsIdentity) -> Result<Self, TlsError> {
        Ok(Self { tcp, acceptor: identity.acceptor()?, handshakes: JoinSet::new() })
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                Some(shaken) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = shaken {
                        return connection;
                    }
                }
                accepted = self.tcp.accept(), if self.handshakes.len() < HANDSHAKES_MAX => match accepted {
                    Ok((stream, from)) => {
                        let acceptor = self.acceptor.clone();
                        self.handshakes.spawn(async move {
                            let shaken = tokio::time::timeout(HANDSHAKE_WAIT, acceptor.accept(stream)).await;
                            Some((shaken.ok()?.ok()?, from))
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}
