//! What every HTTP client of the adapters has in common: no proxy from the environment, no redirect followed, no body of
//! unknown size.

use crate::config::Secret;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response};
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// To connect. 5 s: a SYN and two retransmissions; whoever has not answered by then is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Error)]
pub enum ClientError {
    #[error("{url} is not an http or https URL: {reason}")]
    Url { url: String, reason: String },
    #[error("cannot read the certificates in {path}: {reason}")]
    Certificates { path: PathBuf, reason: String },
    #[error("the secret for {url} holds bytes that no HTTP header can")]
    Header { url: String },
    #[error("cannot make an HTTP client: {0}")]
    Client(String),
}

/// Installs the process-wide TLS provider; a second call changes nothing.
pub(crate) fn install_tls_provider() {
    // `Err` means that another one is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// `url`, when it is one that these clients speak to. Credentials in a URL end up in messages and logs: refused.
pub(crate) fn check_url(url: &str) -> Result<url::Url, ClientError> {
    let refuse = |reason: &str| ClientError::Url { url: without_credentials(url), reason: reason.to_owned() };
    let parsed = url::Url::parse(url).map_err(|error| refuse(&error.to_string()))?;
    match parsed.scheme() {
        "http" | "https" if !parsed.username().is_empty() || parsed.password().is_some() => {
            Err(refuse("it holds credentials; name them in the section's own key"))
        }
        "http" | "https" => Ok(parsed),
        other => Err(refuse(&format!("its scheme is {other}"))),
    }
}

fn without_credentials(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            format!("{}://…{}", url.get(..scheme).unwrap_or_default(), url.get(at..).unwrap_or_default())
        }
        _ => url.to_owned(),
    }
}

/// `timeout`: for a whole request, its body included. `bearer` goes along with each.
pub(crate) fn client(
    url: &str,
    timeout: Duration,
    bearer: Option<&Secret>,
    ca: Option<&Path>,
) -> Result<Client, ClientError> {
    install_tls_provider();
    check_url(url)?;
    let mut headers = HeaderMap::new();
    if let Some(token) = bearer {
        let header = || ClientError::Header { url: url.to_owned() };
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.reveal())).map_err(|_| header())?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let mut builder = Client::builder()
        .user_agent(concat!("medicd/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(timeout)
        .redirect(Policy::none())
        .no_proxy()
        .default_headers(headers);
    if let Some(path) = ca {
        let unreadable = |reason: String| ClientError::Certificates { path: path.to_owned(), reason };
        let pem = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        let bundle = Certificate::from_pem_bundle(&pem).map_err(|error| unreadable(error.to_string()))?;
        if bundle.is_empty() {
            return Err(unreadable("it holds none".to_owned()));
        }
        builder = builder.tls_certs_merge(bundle);
    }
    builder.build().map_err(|error| ClientError::Client(error.to_string()))
}

#[derive(Debug)]
pub(crate) enum BodyError {
    TooLarge,
    Broken(reqwest::Error),
}

/// Reads a body of at most `bytes_max`; stops reading where it becomes more.
pub(crate) async fn body(mut response: Response, bytes_max: usize) -> Result<Vec<u8>, BodyError> {
    let announced = response.content_length().unwrap_or(0);
    if usize::try_from(announced).unwrap_or(usize::MAX) > bytes_max {
        return Err(BodyError::TooLarge);
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Broken)? {
        if bytes.len() + chunk.len() > bytes_max {
            return Err(BodyError::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// A foreign text fit for a message: one line, without control characters, at most 300 characters.
pub(crate) fn excerpt(text: &str) -> String {
    const CHARS_MAX: usize = 300;
    let words: Vec<&str> =
        text.split(|c: char| c.is_control() || c.is_whitespace()).filter(|w| !w.is_empty()).collect();
    let line = words.join(" ");
    match line.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// What became of a request that got no answer, down to the cause: the error's own text stops at "error sending request".
pub(crate) fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    excerpt(&cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_with_credentials_is_refused_and_not_repeated() {
        for url in [
            "http://me:hunter2@127.0.0.1:9090",
            "ftp://me:hunter2@host/",
            "file:///etc/passwd",
            "prometheus:9090",
        ] {
            let refused = check_url(url).unwrap_err().to_string();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
        assert!(check_url("http://127.0.0.1:9090/prefix").is_ok());
    }

    #[test]
    fn excerpt_is_one_short_line_without_control_characters() {
        assert_eq!(excerpt("a\u{1b}[31m red\r\n\tb"), "a [31m red b");
        assert_eq!(excerpt(&"x".repeat(400)).chars().count(), 301);
    }
}
