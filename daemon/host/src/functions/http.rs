//! Reading from named endpoints.

use std::time::Duration;

use super::or_answer;
use crate::broker::{Asks, CallFacts, HttpFacts};
use crate::contract::host::http_read as wit;
use crate::contract::host::types::{Attr, ErrorKind, HostError};
use crate::grant::Method;
use crate::http::{Request, SendError};
use crate::limits::ENDPOINT_TIMEOUT_MS;
use crate::session::{Session, error};

impl wit::Host for Session {
    async fn send(
        &mut self,
        method: wit::Method,
        endpoint: String,
        path: String,
        query: Vec<Attr>,
    ) -> wasmtime::Result<Result<wit::Response, HostError>> {
        let method = match method {
            wit::Method::Get => Method::Get,
            wit::Method::Head => Method::Head,
        };
        let http = HttpFacts {
            endpoint: &endpoint,
            method,
            path: &path,
            query: query.iter().map(|attr| attr.name.as_str()).collect(),
        };
        let subject = format!("{} {endpoint} {path}", method.as_str());
        let facts = CallFacts { function: "http-read.send", subject, asks: Asks::Http(http) };
        or_answer!(self.admit(facts).await?);
        let plugin = self.plugin.clone();
        let endpoint = or_answer!(plugin.endpoint(&endpoint));
        let remaining = self.meter.remaining();
        let timeout = remaining.min(Duration::from_millis(ENDPOINT_TIMEOUT_MS));
        let body_max = usize::try_from(self.meter.limits().answer).unwrap_or(usize::MAX);
        let query = pairs(query);
        let request = Request {
            method,
            path: &path,
            query: &query,
            body: None,
            idempotency_key: None,
            timeout,
            body_max,
        };
        let answer = match endpoint.send(request).await {
            Ok(answer) => answer,
            Err(SendError::NotSent { code, message }) => {
                return Ok(Err(error(ErrorKind::Upstream, code, message)));
            }
            Err(SendError::Lost { message, timeout: true }) => {
                return Ok(Err(error(ErrorKind::Timeout, "ENDPOINT_TIMEOUT", message)));
            }
            Err(SendError::Lost { message, .. }) => {
                return Ok(Err(error(ErrorKind::Upstream, "ENDPOINT_FAILED", message)));
            }
        };
        or_answer!(self.lend(answer.body.len()));
        let headers = answer.headers.into_iter().map(|(name, value)| Attr { name, value }).collect();
        Ok(Ok(wit::Response {
            status: answer.status,
            headers,
            body: answer.body,
            truncated: answer.truncated,
        }))
    }
}

pub(super) fn pairs(query: Vec<Attr>) -> Vec<(String, String)> {
    query.into_iter().map(|attr| (attr.name, attr.value)).collect()
}
