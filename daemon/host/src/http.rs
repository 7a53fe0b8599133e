//! Requests to named endpoints.
//!
//! Owns the connection: which addresses it may go to, what it carries, how much it brings back. Follows no redirect,
//! uses no proxy, keeps no connection: a request that could not connect has certainly not been sent. Never decides
//! whether a request is allowed; the broker has.

mod guard;
mod handshake;

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};

use crate::grant::{Address, Method};
use crate::secret::Secret;
use guard::GuardedResolver;
pub use handshake::handshake;

/// Response headers a guest may see; the rest is the transport's, or somebody's session.
const HEADERS_PASSED: [&str; 6] =
    ["content-type", "etag", "last-modified", "retry-after", "location", "date"];
/// 5 s: a service on the same network answers a connect in milliseconds or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

pub struct Endpoint {
    pub name: String,
    pub address: Address,
    secret: Option<Secret>,
    client: reqwest::Client,
}

pub struct Request<'a> {
    pub method: Method,
    pub path: &'a str,
    pub query: &'a [(String, String)],
    pub body: Option<&'a [u8]>,
    pub idempotency_key: Option<&'a str>,
    pub timeout: Duration,
    pub body_max: usize,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the body was cut, by its limit or by the connection.
    pub truncated: bool,
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Why there is no answer. The difference decides whether a change may have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// Not a byte of the request left.
    NotSent { code: &'static str, message: String },
    /// The request may have arrived.
    Lost { message: String, timeout: bool },
}

impl Endpoint {
    /// # Errors
    /// The client cannot be made.
    pub fn new(name: &str, address: Address, secret: Option<Secret>) -> Result<Self, String> {
        // Whoever is first installs the provider; all of the process uses the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT_TIMEOUT)
            .dns_resolver(GuardedResolver { private: address.private })
            .user_agent("medic")
            .build()
            .map_err(|error| format!("endpoint `{name}`: cannot make a client: {error}"))?;
        Ok(Self { name: name.to_owned(), address, secret, client })
    }

    /// Whether another is the same place with the same credential.
    pub fn is_like(&self, other: &Self) -> bool {
        self.name == other.name && self.address == other.address && self.secret == other.secret
    }

    /// # Errors
    /// [`SendError`]; an answer with an error status is an answer.
    pub async fn send(&self, request: Request<'_>) -> Result<Answer, SendError> {
        let url = self.url(request.path, request.query)?;
        let method = reqwest::Method::from_bytes(request.method.as_str().as_bytes())
            .map_err(|error| not_sent("REQUEST_MALFORMED", error.to_string()))?;
        let mut builder = self.client.request(method, url).timeout(request.timeout);
        if let Some(secret) = &self.secret {
            builder = builder.header(AUTHORIZATION, secret.bearer());
        }
        if let Some(key) = request.idempotency_key {
            builder = builder.header("Idempotency-Key", key);
        }
        if let Some(body) = request.body.filter(|body| !body.is_empty()) {
            let json = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
            let content_type = if json { "application/json" } else { "application/octet-stream" };
            builder = builder.header(CONTENT_TYPE, content_type).body(body.to_vec());
        }
        let response = builder.send().await.map_err(|error| self.failed(&error))?;
        Ok(self.read(response, request.body_max).await)
    }

    fn url(&self, path: &str, query: &[(String, String)]) -> Result<url::Url, SendError> {
        let mut url = self.address.base.clone();
        if let Some(why) = guard::refused_host(&url, self.address.private) {
            return Err(not_sent("ADDRESS_REFUSED", format!("endpoint `{}`: {why}", self.name)));
        }
        url.set_path(path);
        // The broker checked the path as text; what is sent must still be that text.
        if url.path() != path {
            return Err(not_sent("PATH_MALFORMED", "the path changes its meaning inside a URL".to_owned()));
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    async fn read(&self, mut response: reqwest::Response, body_max: usize) -> Answer {
        let status = response.status().as_u16();
        let headers = passed(response.headers());
        let (mut body, mut truncated) = (Vec::new(), false);
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    let room = body_max.saturating_sub(body.len());
                    body.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
                    if chunk.len() > room {
                        truncated = true;
                        break;
                    }
                }
                Ok(None) => break,
                // The status is known, so the request was answered; the rest of the body is not worth a doubt.
                Err(_) => {
                    truncated = true;
                    break;
                }
            }
        }
        let body = match &self.secret {
            Some(secret) => secret.redact(body),
            None => body,
        };
        Answer { status, headers, body, truncated }
    }

    fn failed(&self, error: &reqwest::Error) -> SendError {
        let cause = root_cause(error);
        let message = format!("endpoint `{}`: {cause}", self.name);
        if error.is_connect() {
            let code =
                if cause.contains(guard::REFUSED) { "ADDRESS_REFUSED" } else { "ENDPOINT_UNREACHABLE" };
            return not_sent(code, message);
        }
        if error.is_builder() {
            return not_sent("REQUEST_MALFORMED", message);
        }
        SendError::Lost { message, timeout: error.is_timeout() }
    }

    /// Addresses behind the endpoint, checked.
    ///
    /// # Errors
    /// The name does not resolve, or to an address that is refused.
    pub async fn addresses(&self) -> Result<Vec<std::net::SocketAddr>, String> {
        let port = self.address.base.port_or_known_default().unwrap_or(443);
        guard::resolve(self.address.base.host_str().unwrap_or_default(), port, self.address.private).await
    }
}

fn not_sent(code: &'static str, message: String) -> SendError {
    SendError::NotSent { code, message }
}

/// The innermost words, without the URL that reqwest repeats.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if error.is_timeout() { format!("no answer in time ({cause})") } else { cause.to_string() }
}

fn passed(headers: &HeaderMap) -> Vec<(String, String)> {
    let passed = HEADERS_PASSED.iter().filter_map(|name| {
        let value = headers.get(*name)?.to_str().ok()?;
        Some(((*name).to_owned(), crate::text::line(value, 1024)))
    });
    passed.collect()
}
