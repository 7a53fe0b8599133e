//! The daemon's REST API as one person sees it. Speaks `medic.v1` JSON; knows nothing of the stage.

use medic_proto::v1;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;
use std::{fmt, time::Duration};

/// Longer than the daemon keeps a caller waiting (10 s).
const REQUEST_WAIT: Duration = Duration::from_secs(15);

#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// What the daemon answers in place of what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// HTTP status.
    #[serde(skip)]
    pub status: u16,
    pub code: String,
    pub message: String,
    /// Where in the request.
    pub path: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}: {}", self.status, self.code, self.message)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the daemon refused: {0}")]
    Refused(Problem),
    #[error("cannot reach the daemon: {0}")]
    Unreachable(#[source] reqwest::Error),
    #[error("cannot understand the daemon's answer: {0}")]
    Malformed(String),
}

impl ClientError {
    /// What was refused and why; `None` when the daemon was not heard at all.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused(problem) => Some(problem),
            _ => None,
        }
    }

    /// The refusal's stable code; empty when the daemon was not heard.
    pub fn code(&self) -> &str {
        self.problem().map_or("", |problem| &problem.code)
    }
}

type Answer<T> = Result<T, ClientError>;

impl Client {
    /// `base`: scheme, host and port. Without a token the daemon is asked as nobody.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn new(base: &str, token: Option<&str>) -> anyhow::Result<Self> {
        medic_lab::install_tls_provider();
        let http = reqwest::Client::builder().no_proxy().timeout(REQUEST_WAIT).build()?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), token: token.map(str::to_owned) })
    }

    pub async fn is_alive(&self) -> bool {
        self.send(Method::GET, "/healthz", None).await.is_ok_and(|(status, _)| status.is_success())
    }

    /// `Ok` when the daemon takes alerts in and acts on them; why not otherwise.
    pub async fn ready(&self) -> Answer<()> {
        let (status, body) = self.send(Method::GET, "/readyz", None).await?;
        if status.is_success() {
            return Ok(());
        }
        let because = String::from_utf8_lossy(&body).into_owned();
        Err(ClientError::Refused(Problem { status: status.as_u16(), message: because, ..Problem::default() }))
    }

    /// One delivery, byte for byte, as Alertmanager would make it.
    pub async fn deliver(&self, body: impl Into<Vec<u8>>) -> Answer<()> {
        let answer = self.send(Method::POST, "/webhooks/alertmanager", Some(body.into())).await?;
        accepted(answer).map(|_| ())
    }

    /// Newest first, all of them.
    pub async fn incidents(&self) -> Answer<Vec<v1::IncidentSummary>> {
        let page: v1::ListIncidentsResponse = self.get("/incidents?limit=500").await?;
        Ok(page.incidents)
    }

    /// Newest first, page after page: every one there is.
    pub async fn all_incidents(&self) -> Answer<Vec<v1::IncidentSummary>> {
        const PAGE: usize = 500;
        let (mut all, mut path) = (Vec::new(), format!("/incidents?limit={PAGE}"));
        loop {
            let page: v1::ListIncidentsResponse = self.get(&path).await?;
            all.extend(page.incidents);
            if page.next.is_empty() {
                return Ok(all);
            }
            path = format!("/incidents?limit={PAGE}&before={}", page.next);
        }
    }

    pub async fn incident(&self, id: &str) -> Answer<v1::Incident> {
        self.get(&format!("/incidents/{id}")).await
    }

    pub async fn create(&self, request: &v1::CreateIncidentRequest) -> Answer<v1::CreateIncidentResponse> {
        self.post("/incidents", request).await
    }

    pub async fn approve(&self, id: &str, plan_digest: &str) -> Answer<v1::DecisionResponse> {
        self.post(&format!("/incidents/{id}/approve"), &json!({ "plan_digest": plan_digest })).await
    }

    pub async fn reject(&self, id: &str, reason: &str) -> Answer<v1::DecisionResponse> {
        self.post(&format!("/incidents/{id}/reject"), &json!({ "reason": reason })).await
    }

    pub async fn escalate(&self, id: &str, reason: &str) -> Answer<v1::DecisionResponse> {
        self.post(&format!("/incidents/{id}/escalate"), &json!({ "reason": reason })).await
    }

    /// Runs a tool that reads, or proposes a change.
    pub async fn execute(&self, tool: &str, args: &serde_json::Value) -> Answer<v1::ExecuteToolResponse> {
        self.post("/execute", &json!({ "tool": tool, "args": args })).await
    }

    pub async fn tools(&self) -> Answer<v1::ListToolsResponse> {
        self.get("/tools").await
    }

    pub async fn status(&self) -> Answer<v1::GetStatusResponse> {
        self.get("/status").await
    }

    /// The daemon's own look at its audit chain.
    pub async fn verify_audit(&self) -> Answer<v1::VerifyAuditResponse> {
        self.get("/audit/verify").await
    }

    /// Every audit record, oldest first.
    pub async fn audit(&self) -> Answer<Vec<v1::AuditRecord>> {
        #[derive(Deserialize)]
        struct Page {
            records: Vec<v1::AuditRecord>,
            next_seq: Option<u64>,
        }
        let (mut records, mut from) = (Vec::new(), 1);
        loop {
            let page: Page = self.get(&format!("/audit?from_seq={from}&limit=1000")).await?;
            records.extend(page.records);
            match page.next_seq {
                Some(next) => from = next,
                None => return Ok(records),
            }
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Answer<T> {
        understood(self.send(Method::GET, path, None).await?)
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Answer<T> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Malformed(error.to_string()))?;
        understood(self.send(Method::POST, path, Some(body)).await?)
    }

    async fn send(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Answer<(StatusCode, Vec<u8>)> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let answer = request.send().await.map_err(ClientError::Unreachable)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(ClientError::Unreachable)?;
        Ok((status, body.to_vec()))
    }
}

/// `PENDING` (202 with a problem's body) is no answer to what was asked either.
fn accepted((status, body): (StatusCode, Vec<u8>)) -> Answer<Vec<u8>> {
    let problem = || Problem {
        status: status.as_u16(),
        ..serde_json::from_slice(&body).unwrap_or_else(|_| Problem {
            message: String::from_utf8_lossy(&body).into_owned(),
            ..Problem::default()
        })
    };
    if !status.is_success() {
        return Err(ClientError::Refused(problem()));
    }
    if status == StatusCode::ACCEPTED && !problem().code.is_empty() {
        return Err(ClientError::Refused(problem()));
    }
    Ok(body)
}

fn understood<T: DeserializeOwned>(answer: (StatusCode, Vec<u8>)) -> Answer<T> {
    let body = accepted(answer)?;
    serde_json::from_slice(&body).map_err(|error| ClientError::Malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_its_code_and_a_foreign_body_its_words() {
        let refused =
            accepted((StatusCode::CONFLICT, br#"{"code":"X","message":"no","path":"a[1]"}"#.to_vec()));
        let error = refused.unwrap_err();
        let problem = error.problem().unwrap();
        assert_eq!((problem.status, error.code(), problem.path.as_deref()), (409, "X", Some("a[1]")));
        let foreign = accepted((StatusCode::BAD_GATEWAY, b"<html>".to_vec())).unwrap_err();
        assert_eq!(foreign.problem().unwrap().message, "<html>");
    }

    #[test]
    fn stored_and_unanswered_is_not_taken_for_an_answer() {
        let pending = accepted((StatusCode::ACCEPTED, br#"{"code":"PENDING","message":"stored"}"#.to_vec()));
        assert_eq!(pending.unwrap_err().code(), "PENDING");
        assert!(accepted((StatusCode::ACCEPTED, br#"{"proposed_incident_id":"a"}"#.to_vec())).is_ok());
    }
}
