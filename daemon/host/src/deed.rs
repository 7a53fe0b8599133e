//! One mutating HTTP call, journalled around the deed.
//!
//! Owns the order that makes a crash harmless: pre-image, intent synced, request, receipt. A call whose receipt is
//! missing is looked up by its key; it is sent again only where the endpoint says that it did not happen *and* honours
//! the key. Everything else ends as unknown, for a human.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use medic_core::call::{CallIntent, CallReceipt, CallRecord, Target};
use medic_core::{Digest, EffectId, Fault, FaultKind};
use medic_ports::Clock;
use medic_ports::tools::{CallFate, CallJournal};
use serde::{Deserialize, Serialize};

use crate::contract::host::types::{ErrorKind, HostError};
use crate::grant::Method;
use crate::http::{Answer, Endpoint, Request, SendError};
use crate::limits::{FATE_TIMEOUT_MS, PRE_IMAGE_MAX, RECEIPT_BODY_MAX};
use crate::text;

/// The calls of one effect, as the executor's journal holds them.
pub struct Ledger {
    effect: EffectId,
    known: BTreeMap<u32, CallRecord>,
    journal: Arc<dyn CallJournal>,
    clock: Arc<dyn Clock>,
}

/// A call about to be carried out.
pub struct Deed<'a> {
    /// Counts the mutating calls of one effect from 0.
    pub ordinal: u32,
    pub function: &'static str,
    pub endpoint: &'a Endpoint,
    pub method: Method,
    pub path: &'a str,
    pub query: &'a [(String, String)],
    pub body: &'a [u8],
    pub target: Target,
    /// Whether what stands at the path is read first, to be put back.
    pub keep_pre_image: bool,
    pub timeout: Duration,
}

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    /// There is a receipt; it may tell of a failure.
    Received(CallReceipt),
    /// Stopped before anything was journalled or sent.
    NotBegun(HostError),
    /// It may or may not have happened.
    Unknown { detail: String },
    /// The journal failed, or the guest no longer asks for what it asked for before.
    Broken(Fault),
}

/// What a receipt's `detail_json` holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    pub key: String,
    /// HTTP status; absent when nothing was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Beginning of the endpoint's answer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// The receipt was had by asking after the key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub looked_up: bool,
    /// Why nothing was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_sent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

impl Detail {
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The failure that a receipt tells of, in the guest's words.
    pub fn failure(&self) -> Option<HostError> {
        let error = |kind, code: String, message: String| {
            Some(HostError { kind, code, message, retry_after_ms: None })
        };
        if let Some(why) = &self.not_sent {
            let code = self.code.clone().unwrap_or_else(|| "NOT_SENT".to_owned());
            return error(ErrorKind::Upstream, code, why.clone());
        }
        let status = self.status.unwrap_or_default();
        if (200..300).contains(&status) {
            return None;
        }
        let kind = match status {
            400 | 413 | 415 | 422 => ErrorKind::Invalid,
            401 | 403 => ErrorKind::Denied,
            404 | 410 => ErrorKind::NotFound,
            409 | 412 | 423 | 428 => ErrorKind::Conflict,
            429 => ErrorKind::Quota,
            _ => ErrorKind::Upstream,
        };
        let note = if (300..400).contains(&status) { " (redirects are not followed)" } else { "" };
        error(
            kind,
            format!("HTTP_STATUS_{status}"),
            format!("status {status}{note}: {}", text::line(&self.body, 200)),
        )
    }
}

/// Whether the receipt tells of something that happened or may have: the deed itself, not its refusal.
pub fn happened(receipt: &CallReceipt) -> bool {
    receipt.snapshot_id.is_some()
}

impl Ledger {
    pub fn new(effect: EffectId, journal: Arc<dyn CallJournal>, clock: Arc<dyn Clock>) -> Self {
        let known = journal.known().into_iter().map(|record| (record.intent.ordinal, record)).collect();
        Self { effect, known, journal, clock }
    }

    /// Idempotency key the call has, now and after any crash.
    pub fn key(&self, ordinal: u32, request: &Digest) -> String {
        CallIntent::idempotency_key(&self.effect, ordinal, request)
    }

    /// Target of a call begun before a restart, without a receipt, that nobody has come back to: ordinal `next` or later.
    pub fn unresolved(&self, next: u32) -> Option<&Target> {
        self.unresolved_below(u32::MAX, next)
    }

    /// As [`Self::unresolved`], among the calls numbered below `end`.
    pub fn unresolved_below(&self, end: u32, next: u32) -> Option<&Target> {
        let mut open = self.known.range(next.min(end)..end).filter(|(_, record)| record.receipt.is_none());
        open.next().map(|(_, record)| &record.intent.target)
    }

    /// Whether a receipt from before a restart tells that something happened.
    pub fn anything_done(&self) -> bool {
        self.known.values().filter_map(|record| record.receipt.as_ref()).any(happened)
    }

    pub async fn carry_out(&self, deed: &Deed<'_>) -> Outcome {
        let request_digest = request_digest(deed);
        match self.known.get(&deed.ordinal) {
            Some(record) if record.intent.request_digest != request_digest => Outcome::Broken(Fault::new(
                FaultKind::Drift,
                "REPLAY_DRIFT",
                format!("call {} of the step is not the one that was begun before the restart", deed.ordinal),
            )),
            Some(CallRecord { receipt: Some(receipt), .. }) => Outcome::Received(receipt.clone()),
            Some(record) => self.recover(&record.intent, deed).await,
            None => self.begin(request_digest, deed).await,
        }
    }

    async fn begin(&self, request_digest: Digest, deed: &Deed<'_>) -> Outcome {
        let pre_image = match deed.keep_pre_image {
            true => match read_pre_image(deed).await {
                Ok(pre_image) => Some(pre_image),
                Err(refusal) => return Outcome::NotBegun(refusal),
            },
            false => None,
        };
        let intent = CallIntent {
            ordinal: deed.ordinal,
            function: deed.function.to_owned(),
            target: deed.target.clone(),
            idempotency_key: self.key(deed.ordinal, &request_digest),
            request_digest,
            at: self.clock.now(),
        };
        if let Err(fault) = self.journal.intend(intent.clone(), pre_image).await {
            return Outcome::Broken(fault);
        }
        self.send(&intent, deed, false).await
    }

    /// An intent without a receipt, found after a restart.
    async fn recover(&self, intent: &CallIntent, deed: &Deed<'_>) -> Outcome {
        self.look_up(intent, deed, "its answer was lost in a restart", false).await
    }

    async fn send(&self, intent: &CallIntent, deed: &Deed<'_>, again: bool) -> Outcome {
        let key = intent.idempotency_key.as_str();
        let answer = deed
            .endpoint
            .send(Request {
                method: deed.method,
                path: deed.path,
                query: deed.query,
                body: Some(deed.body),
                idempotency_key: Some(key),
                timeout: deed.timeout,
                body_max: RECEIPT_BODY_MAX,
            })
            .await;
        match answer {
            // A gateway that gave up says nothing about what stands behind it.
            Ok(answer) if matches!(answer.status, 502 | 504) => {
                let why = format!("a gateway answered {}", answer.status);
                self.lost(intent, deed, &why, again).await
            }
            // A refusal of the repeat says nothing of the first request, which may be what it stumbled over.
            Ok(answer) if again && (400..500).contains(&answer.status) => Outcome::Unknown {
                detail: format!("sent again under its key, it was refused with {}", answer.status),
            },
            Ok(answer) => self.receive(intent, answered(key, &answer)).await,
            Err(SendError::NotSent { code, message }) if !again => {
                let detail = Detail {
                    key: key.to_owned(),
                    status: None,
                    body: String::new(),
                    looked_up: false,
                    not_sent: Some(message),
                    code: Some(code.to_owned()),
                };
                self.receive(intent, detail).await
            }
            // This attempt did not arrive, but an earlier one may still.
            Err(SendError::NotSent { message, .. }) => Outcome::Unknown { detail: message },
            Err(SendError::Lost { message, .. }) => self.lost(intent, deed, &message, again).await,
        }
    }

    async fn lost(&self, intent: &CallIntent, deed: &Deed<'_>, why: &str, again: bool) -> Outcome {
        tracing::warn!(target = %deed.target, key = intent.idempotency_key, why, "answer of a change lost");
        self.look_up(intent, deed, why, again).await
    }

    async fn look_up(&self, intent: &CallIntent, deed: &Deed<'_>, why: &str, again: bool) -> Outcome {
        match fate(deed.endpoint, &intent.idempotency_key).await {
            CallFate::Happened { detail_json } => {
                let status = serde_json::from_str::<serde_json::Value>(&detail_json)
                    .ok()
                    .and_then(|value| value.get("status")?.as_u64())
                    .and_then(|status| u16::try_from(status).ok());
                let detail = Detail {
                    key: intent.idempotency_key.clone(),
                    status: Some(status.unwrap_or(200)),
                    body: detail_json,
                    looked_up: true,
                    not_sent: None,
                    code: None,
                };
                self.receive(intent, detail).await
            }
            CallFate::NotHappened if !again => Box::pin(self.send(intent, deed, true)).await,
            CallFate::NotHappened => Outcome::Unknown { detail: format!("{why}, twice") },
            CallFate::Unknown { detail } => Outcome::Unknown { detail: format!("{why}; {detail}") },
        }
    }

    async fn receive(&self, intent: &CallIntent, detail: Detail) -> Outcome {
        let refused =
            detail.not_sent.is_some() || detail.status.is_some_and(|status| (400..500).contains(&status));
        let receipt = CallReceipt {
            ordinal: intent.ordinal,
            snapshot_id: (!refused).then(|| intent.idempotency_key.clone()),
            detail_json: detail.to_json(),
            at: self.clock.now(),
        };
        match self.journal.receive(receipt.clone()).await {
            Ok(()) => Outcome::Received(receipt),
            // Refused and unwritten is no danger: asked again, the endpoint refuses again.
            Err(fault) if refused => Outcome::Broken(fault),
            Err(fault) => Outcome::Unknown {
                detail: format!("it was answered, and the receipt could not be kept: {fault}"),
            },
        }
    }
}

fn answered(key: &str, answer: &Answer) -> Detail {
    Detail {
        key: key.to_owned(),
        status: Some(answer.status),
        body: text::plain(&String::from_utf8_lossy(&answer.body), RECEIPT_BODY_MAX),
        looked_up: false,
        not_sent: None,
        code: None,
    }
}

/// Of everything that makes the call what it is.
pub fn request_digest(deed: &Deed<'_>) -> Digest {
    Digest::of(&(
        "medic-http-v1",
        deed.function,
        &deed.endpoint.name,
        deed.method,
        deed.path,
        deed.query,
        Digest::of_bytes(deed.body),
    ))
}

/// What stands at the deed's path, as canonical text.
async fn read_pre_image(deed: &Deed<'_>) -> Result<String, HostError> {
    let unreadable = |why: String| HostError {
        kind: ErrorKind::Upstream,
        code: "PRE_IMAGE_UNREADABLE".to_owned(),
        message: format!("nothing was changed, because what is there could not be kept first: {why}"),
        retry_after_ms: None,
    };
    let read = Request {
        method: Method::Get,
        path: deed.path,
        query: deed.query,
        body: None,
        idempotency_key: None,
        timeout: deed.timeout,
        body_max: PRE_IMAGE_MAX,
    };
    let answer = deed.endpoint.send(read).await.map_err(|error| match error {
        SendError::NotSent { message, .. } | SendError::Lost { message, .. } => unreadable(message),
    })?;
    if !answer.is_success() || answer.truncated {
        return Err(unreadable(format!("GET answered {}, truncated: {}", answer.status, answer.truncated)));
    }
    let body = String::from_utf8(answer.body).map_err(|_| unreadable("it is not text".to_owned()))?;
    Ok(match serde_json::from_str::<serde_json::Value>(&body) {
        Ok(value) => value.to_string(),
        Err(_) => body,
    })
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
