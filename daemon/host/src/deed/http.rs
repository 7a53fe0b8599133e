//! The way of a deed over HTTP, to a named endpoint.
//!
//! Owns the reading of what stands at a path, and the question after a key. A repeat is harmless only where the operator
//! says that the endpoint honours `Idempotency-Key`.

use std::time::Duration;

use async_trait::async_trait;
use medic_core::Digest;
use medic_ports::tools::CallFate;

use super::{Attempt, Detail, Way};
use crate::contract::host::types::{ErrorKind, HostError};
use crate::grant::Method;
use crate::http::{Endpoint, Request, SendError};
use crate::limits::{FATE_TIMEOUT_MS, PRE_IMAGE_MAX, RECEIPT_BODY_MAX};
use crate::text;

/// One request to one endpoint.
pub struct HttpWay<'a> {
    pub function: &'static str,
    pub endpoint: &'a Endpoint,
    pub method: Method,
    pub path: &'a str,
    pub query: &'a [(String, String)],
    pub body: &'a [u8],
    /// Whether what stands at the path is read first, to be put back.
    pub keep_pre_image: bool,
    pub timeout: Duration,
}

#[async_trait]
impl Way for HttpWay<'_> {
    fn request_digest(&self) -> Digest {
        Digest::of(&(
            "medic-http-v1",
            self.function,
            &self.endpoint.name,
            self.method,
            self.path,
            self.query,
            Digest::of_bytes(self.body),
        ))
    }

    /// What stands at the deed's path, as canonical text.
    async fn pre_image(&self) -> Result<Option<String>, HostError> {
        if !self.keep_pre_image {
            return Ok(None);
        }
        let unreadable = |why: String| HostError {
            kind: ErrorKind::Upstream,
            code: "PRE_IMAGE_UNREADABLE".to_owned(),
            message: format!("nothing was changed, because what is there could not be kept first: {why}"),
            retry_after_ms: None,
        };
        let read = Request {
            method: Method::Get,
            path: self.path,
            query: self.query,
            body: None,
            idempotency_key: None,
            timeout: self.timeout,
            body_max: PRE_IMAGE_MAX,
        };
        let answer = self.endpoint.send(read).await.map_err(|error| match error {
            SendError::NotSent { message, .. } | SendError::Lost { message, .. } => unreadable(message),
        })?;
        if !answer.is_success() || answer.truncated {
            return Err(unreadable(format!(
                "GET answered {}, truncated: {}",
                answer.status, answer.truncated
            )));
        }
        let body = String::from_utf8(answer.body).map_err(|_| unreadable("it is not text".to_owned()))?;
        Ok(Some(match serde_json::from_str::<serde_json::Value>(&body) {
            Ok(value) => value.to_string(),
            Err(_) => body,
        }))
    }

    async fn attempt(&self, key: &str, _: Option<&str>, _: bool) -> Attempt {
        let request = Request {
            method: self.method,
            path: self.path,
            query: self.query,
            body: Some(self.body),
            idempotency_key: Some(key),
            timeout: self.timeout,
            body_max: RECEIPT_BODY_MAX,
        };
        match self.endpoint.send(request).await {
            // A gateway that gave up says nothing about what stands behind it.
            Ok(answer) if matches!(answer.status, 502 | 504) => {
                Attempt::Lost { why: format!("a gateway answered {}", answer.status) }
            }
            Ok(answer) => {
                let body = text::plain(&String::from_utf8_lossy(&answer.body), RECEIPT_BODY_MAX);
                Attempt::Answered(Detail::answered(key, answer.status, body))
            }
            Err(SendError::NotSent { code, message }) => Attempt::NotSent { code: code.to_owned(), message },
            Err(SendError::Lost { message, .. }) => Attempt::Lost { why: message },
        }
    }

    async fn fate(&self, key: &str, _: Option<&str>) -> CallFate {
        fate(self.endpoint, key).await
    }
}

/// Asks an endpoint what became of a key.
pub async fn fate(endpoint: &Endpoint, key: &str) -> CallFate {
    let unknown = |detail: String| CallFate::Unknown { detail };
    let Some(receipts) = &endpoint.address.receipts else {
        return unknown(format!("endpoint `{}` has no place to ask after it", endpoint.name));
    };
    let path = receipts.filled(key);
    let question = Request {
        method: Method::Get,
        path: &path,
        query: &[],
        body: None,
        idempotency_key: None,
        timeout: Duration::from_millis(FATE_TIMEOUT_MS),
        body_max: RECEIPT_BODY_MAX,
    };
    match endpoint.send(question).await {
        Ok(answer) if answer.is_success() => CallFate::Happened {
            detail_json: text::plain(&String::from_utf8_lossy(&answer.body), RECEIPT_BODY_MAX),
        },
        Ok(answer) if answer.status == 404 && endpoint.address.idempotent => CallFate::NotHappened,
        Ok(answer) if answer.status == 404 => unknown(
            "the endpoint has not seen it, but does not promise to honour the key, and it may still arrive"
                .to_owned(),
        ),
        Ok(answer) => unknown(format!("asked after it, the endpoint answered {}", answer.status)),
        Err(SendError::NotSent { message, .. } | SendError::Lost { message, .. }) => {
            unknown(format!("asked after it, there was no answer: {message}"))
        }
    }
}
