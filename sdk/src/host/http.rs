//! Owns GET and HEAD on named endpoints, and the reading of what they answer.

use crate::error::ToolResult;
use crate::sys::Handle;
use crate::types::{Attr, HostError, HttpResponse, ReadMethod, ToolError};

/// Reads over HTTP. An endpoint is a name in the operator's grant, never a URL; the host adds credentials.
pub struct Http<'h>(pub(super) &'h Handle);

impl Http<'_> {
    /// GET.
    ///
    /// # Errors
    /// Denied, or no answer. An answer with an error status is an answer: see [`HttpResponse::success`].
    pub fn get(&self, endpoint: &str, path: &str) -> Result<HttpResponse, HostError> {
        self.0.http_read(ReadMethod::Get, endpoint, path, &[])
    }

    /// GET with a query string.
    ///
    /// # Errors
    /// As [`Http::get`].
    pub fn get_with(&self, endpoint: &str, path: &str, query: &[Attr]) -> Result<HttpResponse, HostError> {
        self.0.http_read(ReadMethod::Get, endpoint, path, query)
    }

    /// HEAD.
    ///
    /// # Errors
    /// As [`Http::get`].
    pub fn head(&self, endpoint: &str, path: &str) -> Result<HttpResponse, HostError> {
        self.0.http_read(ReadMethod::Head, endpoint, path, &[])
    }
}

impl HttpResponse {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The response, when it is a whole one with status 2xx.
    ///
    /// # Errors
    /// `HTTP_STATUS_<status>` otherwise, with the beginning of the body; `HTTP_TRUNCATED` when the host cut the body.
    pub fn success(self) -> ToolResult<Self> {
        if !self.is_success() {
            let message = format!("status {}: {}", self.status, excerpt(&self.body));
            return Err(ToolError::upstream(format!("HTTP_STATUS_{}", self.status), message));
        }
        if self.truncated {
            return Err(ToolError::upstream("HTTP_TRUNCATED", "the body is larger than the host passes on"));
        }
        Ok(self)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// `HTTP_NOT_JSON` when it is not what `T` expects.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> ToolResult<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            ToolError::upstream(
                "HTTP_NOT_JSON",
                format!("cannot read the body: {error}; it begins: {}", excerpt(&self.body)),
            )
        })
    }

    /// The value of a header, by its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value.as_str())
    }
}

/// The beginning of a body for a message: enough to recognise an error page, too little to carry one.
fn excerpt(body: &[u8]) -> String {
    const EXCERPT_CHARS: usize = 120;
    let text = String::from_utf8_lossy(body);
    text.chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .take(EXCERPT_CHARS)
        .collect()
}
