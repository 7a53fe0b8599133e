//! The way to the daemon.
//!
//! Owns the connection and the credential. Never sends a token in the clear beyond this machine.

use crate::cli::Global;
use crate::failure::Failure;
use medic_proto::v1::audit_client::AuditClient;
use medic_proto::v1::incidents_client::IncidentsClient;
use medic_proto::v1::knowledge_client::KnowledgeClient;
use medic_proto::v1::logs_client::LogsClient;
use medic_proto::v1::mailboxes_client::MailboxesClient;
use medic_proto::v1::status_client::StatusClient;
use medic_proto::v1::store_client::StoreClient;
use medic_proto::v1::tools_client::ToolsClient;
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

/// A daemon that takes longer to answer the first knock is not there.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// A stream whose other end vanished without a word is found out after twice this.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// Bytes of one answer. An incident with a thousand alerts is some megabytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Clone)]
pub struct Credential(Option<MetadataValue<Ascii>>);

impl Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

type Way = InterceptedService<Channel, Credential>;

#[derive(Clone)]
pub struct Client {
    way: Way,
}

impl Client {
    /// Knocks at the first call, not yet here.
    pub fn new(global: &Global) -> Result<Self, Failure> {
        let endpoint = Endpoint::from_shared(global.server.clone())
            .map_err(|error| Failure::usage(format!("--server {:?} is no URL: {error}", global.server)))?;
        let host = endpoint.uri().host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let secure = match endpoint.uri().scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(Failure::usage("--server wants http:// or https:// before the address")),
        };
        let mut endpoint = endpoint
            .connect_timeout(CONNECT_WAIT)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_while_idle(true);
        if secure {
            let ca = global.ca.as_ref().ok_or_else(|| {
                Failure::usage(
                    "an https:// server needs --ca FILE with the authority that signed its certificate",
                )
            })?;
            let pem = std::fs::read(ca)
                .map_err(|error| Failure::new("IO", format!("cannot read {}: {error}", ca.display())))?;
            let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
            endpoint = endpoint.tls_config(tls).map_err(|error| Failure::usage(error.to_string()))?;
        }
        let loopback = host.eq_ignore_ascii_case("localhost")
            || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let credential = match global.token.as_deref().map(str::trim).filter(|token| !token.is_empty()) {
            None => None,
            Some(_) if !secure && !loopback => {
                let message =
                    format!("your token would travel to {host} in the clear: use https:// and --ca");
                return Err(Failure::usage(message));
            }
            Some(token) => {
                let mut value: MetadataValue<Ascii> = format!("Bearer {token}")
                    .parse()
                    .map_err(|_| Failure::usage("the token holds characters that no header can carry"))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Self { way: InterceptedService::new(endpoint.connect_lazy(), Credential(credential)) })
    }

    pub fn incidents(&self) -> IncidentsClient<Way> {
        IncidentsClient::new(self.way.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }
    pub fn tools(&self) -> ToolsClient<Way> {
        ToolsClient::new(self.way.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }
    pub fn logs(&self) -> LogsClient<Way> {
        LogsClient::new(self.way.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }
    pub fn knowledge(&self) -> KnowledgeClient<Way> {
        KnowledgeClient::new(self.way.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }
    pub fn audit(&self) -> AuditClient<Way> {
        AuditClient::new(self.way.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }
    pub fn status(&self) -> StatusClient<Way> {
        StatusClient::new(self.way.clone())
    }
    pub fn store(&self) -> StoreClient<Way> {
        StoreClient::new(self.way.clone())
    }
    pub fn mailboxes(&self) -> MailboxesClient<Way> {
        MailboxesClient::new(self.way.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    fn to(server: &str, token: Option<&str>) -> Result<(), Exit> {
        let global = Global { server: server.into(), token: token.map(str::to_owned), ca: None, json: false };
        Client::new(&global).map(drop).map_err(|failure| failure.exit)
    }

    #[tokio::test]
    async fn token_never_leaves_this_machine_in_the_clear() {
        assert_eq!(to("http://127.0.0.1:7640", Some("t")), Ok(()));
        assert_eq!(to("http://[::1]:7640", Some("t")), Ok(()));
        assert_eq!(to("http://localhost:7640", Some("t")), Ok(()));
        assert_eq!(to("http://medic.example:7640", Some("t")), Err(Exit::Usage));
        assert_eq!(to("http://127.0.0.1.example:7640", Some("t")), Err(Exit::Usage));
        assert_eq!(to("http://medic.example:7640", None), Ok(()));
        assert_eq!(to("https://medic.example:7640", Some("t")), Err(Exit::Usage));
        assert_eq!(to("medic.example", None), Err(Exit::Usage));
        assert_eq!(to("http://127.0.0.1:7640", Some("a\nb")), Err(Exit::Usage));
    }
}
