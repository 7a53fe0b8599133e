//! How a completion's request gets out and its answer in: the retries, and a bound on the body.
//!
//! Stands in for the library's own, which sleeps as long as a `Retry-After` says (a day, if it says so) and reads bodies of
//! any size.

use crate::adapters::http::{self, BodyError, ClientError};
use crate::config::Secret;
use async_openai::error::{ApiError, ApiErrorResponse, OpenAIError};
use async_openai::middleware::HttpRequestFactory;
use futures::future::BoxFuture;
use medic_ports::Clock;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use std::sync::Arc;
use std::task::{Context, Poll};

/// An answer's body. 1 MiB: fifty times the longest answer asked for.
const BODY_BYTES_MAX: usize = 1 << 20;
/// First wait; doubles. 500 ms: a burst limit of a few requests a second has then passed.
const BACKOFF_FIRST_MS: u64 = 500;
/// A server that wants more patience than this is told "no". 5 s: what a diagnosis can spare.
const PATIENCE_MAX_MS: u64 = 5_000;

#[derive(Clone)]
pub(super) struct Transport {
    client: Client,
    retries_max: u32,
    authorization: Option<HeaderValue>,
    clock: Arc<dyn Clock>,
}

impl Transport {
    pub fn new(
        client: Client,
        retries_max: u32,
        key: Option<&Secret>,
        url: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let authorization = match key {
            Some(key) => {
                let value = HeaderValue::from_str(&format!("Bearer {}", key.reveal()));
                let mut value = value.map_err(|_| ClientError::Header { url: url.to_owned() })?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        Ok(Self { client, retries_max, authorization, clock })
    }

    async fn attempt(&self, factory: &HttpRequestFactory) -> Result<Response, OpenAIError> {
        let mut request = factory.build().await?;
        match &self.authorization {
            Some(value) => request.headers_mut().insert(AUTHORIZATION, value.clone()),
            None => request.headers_mut().remove(AUTHORIZATION),
        };
        self.client.execute(request).await.map_err(OpenAIError::Reqwest)
    }

    async fn send(self, factory: HttpRequestFactory) -> Result<Response, OpenAIError> {
        let mut retries = 0;
        loop {
            let outcome = self.attempt(&factory).await;
            let wait_ms = (retries < self.retries_max).then(|| wait_ms(&outcome, retries)).flatten();
            match (wait_ms, outcome) {
                (Some(wait_ms), _) => self.clock.sleep(wait_ms).await,
                (None, Ok(response)) => return bounded(response).await,
                (None, Err(error)) => return Err(error),
            }
            retries += 1;
        }
    }
}

/// How long to wait before trying again; `None` when it is of no use.
fn wait_ms(outcome: &Result<Response, OpenAIError>, retries: u32) -> Option<u64> {
    let backoff_ms = BACKOFF_FIRST_MS << retries.min(10);
    let wait_ms = match outcome {
        Ok(response) if worth_another_try(response.status()) => {
            let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let asked_ms =
                after.and_then(|text| text.trim().parse::<u64>().ok()).map(|s| s.saturating_mul(1000));
            asked_ms.unwrap_or(backoff_ms)
        }
        Err(OpenAIError::Reqwest(error)) if error.is_connect() => backoff_ms,
        _ => return None,
    };
    (wait_ms <= PATIENCE_MAX_MS).then_some(wait_ms)
}

fn worth_another_try(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504)
}

/// The same answer with its body read, at most [`BODY_BYTES_MAX`] of it. An answer that is no success becomes an error here,
/// where its status is still known.
async fn bounded(response: Response) -> Result<Response, OpenAIError> {
    let status = response.status();
    let content_type = response.headers().get(CONTENT_TYPE).cloned();
    let bytes = match http::body(response, BODY_BYTES_MAX).await {
        Ok(bytes) => bytes,
        Err(BodyError::Broken(error)) => return Err(OpenAIError::Reqwest(error)),
        Err(BodyError::TooLarge) => {
            return Err(OpenAIError::InvalidArgument(format!("the answer exceeds {BODY_BYTES_MAX} bytes")));
        }
    };
    if !status.is_success() {
        let message = serde_json::from_slice::<serde_json::Value>(&bytes)
            .ok()
            .and_then(|body| body.pointer("/error/message")?.as_str().map(str::to_owned))
            .unwrap_or_else(|| String::from_utf8_lossy(&bytes).into_owned());
        let api_error = ApiError { message, ..ApiError::default() };
        return Err(OpenAIError::ApiError(ApiErrorResponse { status_code: status, api_error }));
    }
    let mut answer = axum::http::Response::new(bytes);
    *answer.status_mut() = status;
    if let Some(content_type) = content_type {
        answer.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    Ok(Response::from(answer))
}

impl tower_service::Service<HttpRequestFactory> for Transport {
    type Response = Response;
    type Error = OpenAIError;
    type Future = BoxFuture<'static, Result<Response, OpenAIError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, factory: HttpRequestFactory) -> Self::Future {
        Box::pin(self.clone().send(factory))
    }
}
