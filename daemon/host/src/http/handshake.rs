//! A TLS handshake with an endpoint, to see what it presents.
//!
//! Owns one connection over which nothing is ever sent but the handshake, so that one with a bad certificate can be
//! finished and read: what is wrong with it is the answer, not a reason to have none. Requests are made elsewhere, and only
//! over connections that verify.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::DigitallySignedStruct;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls_platform_verifier::Verifier;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::Endpoint;
use crate::text;

/// Certificates of a chain that are told of. 8: longer ones are a mistake or a trick.
const CERTIFICATES_MAX: usize = 8;
/// Names of a certificate that are told of.
const NAMES_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 256;

/// What an endpoint presented. Times are in ms since the epoch, UTC.
#[derive(Debug, Serialize)]
pub struct Handshake {
    /// Whether a request to it would be made: the chain ends in a trusted root, is in time, and is for this host.
    pub verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    protocol: Option<String>,
    cipher: Option<String>,
    /// The endpoint's own first.
    certificates: Vec<Presented>,
}

#[derive(Debug, Serialize)]
struct Presented {
    subject: String,
    issuer: String,
    serial: String,
    not_before_ms: u64,
    not_after_ms: u64,
    /// Host names and addresses it is for.
    names: Vec<String>,
    sha256: String,
}

impl Handshake {
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists: it always serialises.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// # Errors
/// No handshake came about, in words.
pub async fn handshake(endpoint: &Endpoint) -> Result<Handshake, String> {
    let addresses = endpoint.addresses().await?;
    let base = &endpoint.address.base;
    let host = base.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(|error| format!("{host}: {error}"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier::new(provider.clone())
        .map_err(|error| format!("the trusted roots of this machine cannot be read: {error}"))?;
    let noting = Arc::new(Noting { verifier, refused: Mutex::default() });
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(noting.clone())
        .with_no_client_auth();
    let stream = TcpStream::connect(addresses.as_slice()).await.map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(Arc::new(config));
    let stream =
        connector.connect(name, stream).await.map_err(|error| format!("no TLS handshake: {error}"))?;
    let (_, connection) = stream.get_ref();
    let certificates = connection.peer_certificates().unwrap_or_default().iter().take(CERTIFICATES_MAX);
    let error = noting.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Handshake {
        verified: error.is_none(),
        error,
        protocol: connection.protocol_version().and_then(|version| version.as_str()).map(str::to_owned),
        cipher: connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite())),
        certificates: certificates.filter_map(presented).collect(),
    })
}

fn presented(der: &CertificateDer<'_>) -> Option<Presented> {
    let certificate = Certificate::from_der(der).ok()?;
    let tbs = &certificate.tbs_certificate;
    let ms =
        |time: &x509_cert::time::Time| u64::try_from(time.to_unix_duration().as_millis()).unwrap_or(u64::MAX);
    let names = tbs.get::<SubjectAltName>().ok().flatten().map(|(_, names)| names.0).unwrap_or_default();
    let sha256 = medic_core::Digest::of_bytes(der);
    Some(Presented {
        subject: text::line(&tbs.subject.to_string(), NAME_BYTES_MAX),
        issuer: text::line(&tbs.issuer.to_string(), NAME_BYTES_MAX),
        serial: text::line(&tbs.serial_number.to_string(), NAME_BYTES_MAX),
        not_before_ms: ms(&tbs.validity.not_before),
        not_after_ms: ms(&tbs.validity.not_after),
        names: names.iter().filter_map(name).take(NAMES_MAX).collect(),
        sha256: sha256.as_str().trim_start_matches("sha256:").to_owned(),
    })
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(host) => Some(text::line(host.as_str(), NAME_BYTES_MAX)),
        GeneralName::IpAddress(bytes) => {
            let bytes = bytes.as_bytes();
            let v4 = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
            let v6 = || <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from);
            v4.or_else(|_| v6()).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

/// Judges a chain as every request does, keeps the judgement, and lets the handshake go on either way.
#[derive(Debug)]
struct Noting {
    verifier: Verifier,
    refused: Mutex<Option<String>>,
}

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified =
            self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        if let Err(error) = verified {
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(text::line(&error.to_string(), 512));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
