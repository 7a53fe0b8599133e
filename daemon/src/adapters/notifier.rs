//! Telling people: a line in the daemon's own log, and a webhook when one is configured.
//!
//! The webhook gets a JSON object `{id, incident, kind, text}`, the text also under `text` as chat systems read it, and the
//! effect's id as `Idempotency-Key`: after a crash, or when an answer was lost, the same notice may come twice.

use super::http::{self, ClientError};
use crate::config::{Secret, SecretRef};
use async_trait::async_trait;
use medic_core::effect::Notice;
use medic_core::{EffectId, Fault, FaultKind};
use medic_ports::{Clock, Notifier};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// First wait between attempts; doubles.
const BACKOFF_FIRST_MS: u64 = 250;

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotifyConfig {
    pub webhook: Option<WebhookConfig>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// A URL that is a secret itself, as chat systems hand out, belongs behind a reference.
    pub url: Address,
    /// Sent as `Authorization: Bearer`.
    #[serde(default)]
    pub bearer: Option<SecretRef>,
    /// PEM certificates trusted besides the system's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// For one attempt. 5 s.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// Attempts after the first, for 429, 5xx and no answer at all. 3: some two seconds of trouble; the journal tries
    /// again later by itself.
    #[serde(default = "retries_max")]
    pub retries_max: u32,
}

fn timeout_ms() -> u64 {
    5_000
}
fn retries_max() -> u32 {
    3
}

/// `url = "https://…"` or `url = { env = "HOOK" }`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Address {
    Plain(String),
    Secret(SecretRef),
}

pub struct People {
    webhook: Option<Webhook>,
    clock: Arc<dyn Clock>,
}

struct Webhook {
    client: reqwest::Client,
    url: Secret,
    retries_max: u32,
}

#[derive(Serialize)]
struct Body<'a> {
    id: String,
    incident: &'a str,
    kind: medic_core::effect::NoticeKind,
    text: &'a str,
}

impl People {
    /// Log lines only.
    pub fn log_only(clock: Arc<dyn Clock>) -> Self {
        Self { webhook: None, clock }
    }

    /// # Errors
    /// A URL, certificate file or credential that cannot be used.
    pub fn with_webhook(
        config: &WebhookConfig,
        url: Secret,
        bearer: Option<&Secret>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let timeout = Duration::from_millis(config.timeout_ms);
        let client = http::client(url.reveal(), timeout, bearer, config.ca.as_deref())
            .map_err(|error| hide(error, config))?;
        Ok(Self { webhook: Some(Webhook { client, url, retries_max: config.retries_max }), clock })
    }

    async fn post(&self, webhook: &Webhook, key: &str, body: &Body<'_>) -> Result<(), Fault> {
        let mut attempt = 0;
        loop {
            let sent = webhook
                .client
                .post(webhook.url.reveal())
                .header("Idempotency-Key", key)
                .json(body)
                .send()
                .await;
            let (fault, again) = match sent {
                Ok(response) if response.status().is_success() => return Ok(()),
                Ok(response) => {
                    let status = response.status();
                    let again = status.is_server_error() || status.as_u16() == 429;
                    (
                        fault(
                            FaultKind::Upstream,
                            "NOTIFY_UPSTREAM",
                            &format!("the webhook answered {status}"),
                        ),
                        again,
                    )
                }
                Err(error) if error.is_timeout() => {
                    (fault(FaultKind::Timeout, "NOTIFY_TIMEOUT", "the webhook gave no answer in time"), true)
                }
                Err(error) => {
                    (fault(FaultKind::Unreachable, "NOTIFY_UNREACHABLE", &http::cause(&error)), true)
                }
            };
            if !again || attempt >= webhook.retries_max {
                return Err(fault);
            }
            self.clock.sleep(BACKOFF_FIRST_MS << attempt.min(10)).await;
            attempt += 1;
        }
    }
}

/// Without the URL where that is a secret.
fn hide(error: ClientError, config: &WebhookConfig) -> ClientError {
    match (error, &config.url) {
        (ClientError::Url { reason, .. }, Address::Secret(_)) => {
            ClientError::Url { url: "the notify.webhook".to_owned(), reason }
        }
        (ClientError::Header { .. }, Address::Secret(_)) => {
            ClientError::Header { url: "the notify.webhook".to_owned() }
        }
        (error, _) => error,
    }
}

fn fault(kind: FaultKind, code: &str, what: &str) -> Fault {
    Fault::new(kind, code, format!("cannot notify: {what}"))
}

#[async_trait]
impl Notifier for People {
    async fn notify(&self, id: &EffectId, notice: &Notice) -> Result<(), Fault> {
        tracing::info!(incident = %id.incident, kind = ?notice.kind, text = notice.text, "notice");
        let Some(webhook) = &self.webhook else { return Ok(()) };
        let key = id.to_string();
        let body =
            Body { id: key.clone(), incident: id.incident.as_str(), kind: notice.kind, text: &notice.text };
        self.post(webhook, &key, &body).await
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::type_complexity,
    reason = "a test may be blunt"
)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use medic_core::effect::NoticeKind;
    use medic_core::{IncidentId, TimestampMs};
    use medic_ports::fake::FakeClock;
    use std::sync::Mutex;

    type Got = Arc<Mutex<Vec<(String, serde_json::Value)>>>;

    async fn server(mut answers: Vec<u16>) -> (String, Got) {
        let got: Got = Arc::default();
        let noted = got.clone();
        answers.reverse();
        let answers = Arc::new(Mutex::new(answers));
        let app = Router::new().fallback(move |headers: HeaderMap, body: String| async move {
            let key = headers["idempotency-key"].to_str().unwrap().to_owned();
            noted.lock().unwrap().push((key, serde_json::from_str(&body).unwrap()));
            StatusCode::from_u16(answers.lock().unwrap().pop().unwrap_or(200)).unwrap()
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (url, got)
    }

    async fn notify(url: &str) -> Result<(), Fault> {
        let clock = FakeClock::new(TimestampMs(0));
        let hurrying = clock.clone();
        let hurry = tokio::spawn(async move {
            loop {
                hurrying.wait_for_sleepers(1).await;
                hurrying.advance_to_next();
                tokio::task::yield_now().await;
            }
        });
        let config = WebhookConfig {
            url: Address::Plain(url.to_owned()),
            bearer: None,
            ca: None,
            timeout_ms: 5_000,
            retries_max: 3,
        };
        let people = People::with_webhook(&config, Secret::new(url), None, Arc::new(clock)).unwrap();
        let id = EffectId { incident: IncidentId::from("i1"), revision: 4, index: 1 };
        let notice = Notice { kind: NoticeKind::DecisionNeeded, text: "please decide".to_owned() };
        let outcome = people.notify(&id, &notice).await;
        hurry.abort();
        outcome
    }

    #[tokio::test]
    async fn notice_goes_out_with_its_effect_id_as_key() {
        let (url, got) = server(vec![200]).await;
        notify(&url).await.unwrap();
        let expected = serde_json::json!(
            { "id": "i1/4/1", "incident": "i1", "kind": "decision_needed", "text": "please decide" }
        );
        assert_eq!(*got.lock().unwrap(), [("i1/4/1".to_owned(), expected)]);
    }

    #[tokio::test]
    async fn passing_trouble_is_tried_again_and_a_refusal_is_not() {
        let (url, got) = server(vec![503, 429, 200]).await;
        notify(&url).await.unwrap();
        assert_eq!(got.lock().unwrap().len(), 3);
        let (url, got) = server(vec![403]).await;
        assert_eq!(notify(&url).await.unwrap_err().code, "NOTIFY_UPSTREAM");
        assert_eq!(got.lock().unwrap().len(), 1);
        let (url, got) = server(vec![500; 9]).await;
        assert_eq!(notify(&url).await.unwrap_err().code, "NOTIFY_UPSTREAM");
        assert_eq!(got.lock().unwrap().len(), 4, "the first attempt and three more");
    }
}
