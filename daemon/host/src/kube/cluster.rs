//! The connection to one API server.

use std::path::Path;
use std::time::Duration;

use ::http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use ::http::{Method, Request};
use ::kube::client::Body;
use ::kube::config::{KubeConfigOptions, Kubeconfig};
use ::kube::{Client, Config};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;

use super::status::Status;
use crate::contract::host::types::{ErrorKind, HostError};
use crate::grant::ClusterAddress;
use crate::limits::CLUSTER_BODY_MAX;
use crate::session::error;
use crate::text;

/// 5 s: an API server on the way to a sick cluster answers a connect in milliseconds or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const MERGE_PATCH: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";

/// A cluster as the daemon is known to it.
pub struct Cluster {
    pub name: String,
    client: Client,
}

/// One request, ready to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    content_type: &'static str,
    body: Option<Value>,
}

impl Call {
    fn new(method: Method, path: String, content_type: &'static str, body: Option<Value>) -> Self {
        Self { method, path, query: Vec::new(), content_type, body }
    }
    pub fn get(path: String) -> Self {
        Self::new(Method::GET, path, "", None)
    }
    pub fn merge_patch(path: String, patch: Value) -> Self {
        Self::new(Method::PATCH, path, MERGE_PATCH, Some(patch))
    }
    pub fn json_patch(path: String, patch: Value) -> Self {
        Self::new(Method::PATCH, path, JSON_PATCH, Some(patch))
    }
    pub fn post(path: String, body: Value) -> Self {
        Self::new(Method::POST, path, "application/json", Some(body))
    }
    pub fn delete(path: String, options: Value) -> Self {
        Self::new(Method::DELETE, path, "application/json", Some(options))
    }
    #[must_use]
    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }
    /// Has the server do everything but keep it.
    #[must_use]
    pub fn dry_run(self, dry: bool) -> Self {
        if dry { self.query("dryRun", "All") } else { self }
    }

    fn uri(&self) -> String {
        if self.query.is_empty() {
            return self.path.clone();
        }
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.query);
        format!("{}?{}", self.path, query.finish())
    }
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Why there is none. The difference decides whether a change may have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// Not a byte of the request left.
    NotSent(String),
    /// The request may have arrived.
    Lost { why: String, timeout: bool },
}

impl Failed {
    pub fn error(self) -> HostError {
        match self {
            Self::NotSent(why) => error(ErrorKind::Upstream, "K8S_UNREACHABLE", why),
            Self::Lost { why, timeout: true } => error(ErrorKind::Timeout, "K8S_TIMEOUT", why),
            Self::Lost { why, .. } => error(ErrorKind::Upstream, "K8S_ANSWER_LOST", why),
        }
    }
}

impl Reply {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What the server said when it refused.
    pub fn refusal(&self) -> HostError {
        Status::read(&self.body).error(self.status)
    }

    /// The object answered, or the refusal.
    ///
    /// # Errors
    /// The server refused, or answered what is no JSON.
    pub fn object(self) -> Result<Value, HostError> {
        if !self.is_success() {
            return Err(self.refusal());
        }
        serde_json::from_slice(&self.body).map_err(|why| {
            let message = format!("the API server's answer cannot be read: {why}");
            error(ErrorKind::Upstream, "K8S_MALFORMED", message)
        })
    }
}

impl Cluster {
    /// Reads the address's credentials. Nothing is sent.
    ///
    /// # Errors
    /// What is missing or refused, and what to do about it.
    pub async fn connect(name: &str, address: &ClusterAddress) -> Result<Self, String> {
        // Whoever is first installs the provider; all of the process uses the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config = match address {
            ClusterAddress::InCluster => Config::incluster()
                .map_err(|why| format!("the daemon does not run in a cluster: {}", chain(&why)))?,
            ClusterAddress::Kubeconfig { path, context } => from_file(path, context.as_deref()).await?,
        };
        if config.accept_invalid_certs {
            tracing::warn!(
                cluster = name,
                "the kubeconfig says that the API server's certificate is not to be checked"
            );
        }
        let local = matches!(config.cluster_url.host(), Some("127.0.0.1" | "localhost" | "[::1]"));
        if config.cluster_url.scheme_str() != Some("https") && !local {
            return Err(
                "its server is spoken to without TLS, which is allowed to this machine alone".to_owned()
            );
        }
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        // A change is never sent twice by the client: whether it may be is decided where it is journalled.
        config.default_retry = false;
        let client =
            Client::try_from(config).map_err(|why| format!("cannot make a client: {}", chain(&why)))?;
        Ok(Self { name: name.to_owned(), client })
    }

    /// # Errors
    /// [`Failed`]; an answer with an error status is an answer.
    pub async fn send(&self, call: &Call, timeout: Duration) -> Result<Reply, Failed> {
        let not_sent = |why: String| Failed::NotSent(format!("cluster `{}`: {why}", self.name));
        let body = call.body.as_ref().map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(call.uri())
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("medic/", env!("CARGO_PKG_VERSION")));
        if call.body.is_some() {
            request = request.header(CONTENT_TYPE, call.content_type);
        }
        let request = request.body(Body::from(body)).map_err(|why| not_sent(why.to_string()))?;
        let exchange = async {
            let response = self.client.send(request).await.map_err(|why| self.failed(&why))?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), CLUSTER_BODY_MAX).collect().await;
            let body = body.map_err(|why| Failed::Lost {
                why: format!("cluster `{}`: its answer was not read to the end: {why}", self.name),
                timeout: false,
            })?;
            Ok(Reply { status, body: body.to_bytes().to_vec() })
        };
        match tokio::time::timeout(timeout, exchange).await {
            Ok(reply) => reply,
            Err(_) => {
                let why = format!("cluster `{}`: no answer within {} ms", self.name, timeout.as_millis());
                Err(Failed::Lost { why, timeout: true })
            }
        }
    }

    /// # Errors
    /// The server does not answer, or refuses.
    pub async fn read(&self, call: &Call, timeout: Duration) -> Result<Value, HostError> {
        self.send(call, timeout).await.map_err(Failed::error)?.object()
    }

    fn failed(&self, why: &::kube::Error) -> Failed {
        let words = format!("cluster `{}`: {}", self.name, chain(why));
        let mut cause: Option<&dyn std::error::Error> = Some(why);
        while let Some(error) = cause {
            if let Some(client) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
                return match client.is_connect() {
                    true => Failed::NotSent(words),
                    false => Failed::Lost { why: words, timeout: false },
                };
            }
            cause = error.source();
        }
        match why {
            // The credentials could not be had: the request was never made.
            ::kube::Error::Auth(_) => Failed::NotSent(words),
            _ => Failed::Lost { why: words, timeout: false },
        }
    }
}

async fn from_file(path: &Path, context: Option<&str>) -> Result<Config, String> {
    let file = Kubeconfig::read_from(path)
        .map_err(|why| format!("cannot read the kubeconfig {}: {}", path.display(), chain(&why)))?;
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(file, &options)
        .await
        .map_err(|why| format!("the kubeconfig {}: {}", path.display(), chain(&why)))?;
    let user = &config.auth_info;
    if user.exec.is_some() || user.auth_provider.is_some() {
        return Err(format!(
            "the kubeconfig {} has credentials come from a program, and the daemon starts none; give it a token \
             file or a client certificate",
            path.display()
        ));
    }
    Ok(config)
}

/// An error and its causes, each said once. URLs and addresses may be in it, credentials are not.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !words.contains(&more) {
            words += &format!(": {more}");
        }
        cause = inner.source();
    }
    text::line(&words, 500)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_cannot_leave_its_place() {
        let call = Call::get("/api/v1/pods".into())
            .query("labelSelector", "app=web,x in (a,b)&dryRun=All#/x")
            .dry_run(true);
        assert_eq!(
            call.uri(),
            "/api/v1/pods?labelSelector=app%3Dweb%2Cx+in+%28a%2Cb%29%26dryRun%3DAll%23%2Fx&dryRun=All"
        );
    }

    fn kubeconfig(server: &str, user: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts:\n- {{name: a, context: {{cluster: c, user: u}}}}\n\
             clusters:\n- {{name: c, cluster: {{server: \"{server}\"}}}}\nusers:\n- {{name: u, user: {user}}}\n"
        );
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[tokio::test]
    async fn credentials_from_programs_and_plain_connections_are_refused() {
        let check = async |server: &str, user: &str, context: Option<&str>| {
            let file = kubeconfig(server, user);
            let address =
                ClusterAddress::Kubeconfig { path: file.path().into(), context: context.map(str::to_owned) };
            Cluster::connect("prod", &address).await.map(drop).unwrap_err()
        };
        let exec = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: get-token, interactiveMode: Never}}";
        assert!(check("https://10.0.0.1:6443", exec, None).await.contains("starts none"));
        assert!(check("http://10.0.0.1:8080", "{token: abc}", None).await.contains("without TLS"));
        let unknown = check("https://10.0.0.1:6443", "{token: s3cr3t}", Some("other")).await;
        assert!(unknown.contains("other") && !unknown.contains("s3cr3t"), "{unknown}");
        let missing = ClusterAddress::Kubeconfig { path: "/nonexistent/kubeconfig".into(), context: None };
        assert!(
            Cluster::connect("prod", &missing)
                .await
                .map(drop)
                .unwrap_err()
                .contains("/nonexistent/kubeconfig")
        );
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_was_certainly_not_asked() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = kubeconfig(&format!("http://127.0.0.1:{port}"), "{token: abc}");
        let address = ClusterAddress::Kubeconfig { path: file.path().into(), context: None };
        let cluster = Cluster::connect("prod", &address).await.unwrap();
        let failed =
            cluster.send(&Call::get("/api/v1/nodes".into()), Duration::from_secs(5)).await.unwrap_err();
        assert!(matches!(failed, Failed::NotSent(_)), "{failed:?}");
    }
}
