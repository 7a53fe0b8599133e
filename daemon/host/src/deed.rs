//! One mutating call, journalled around the deed.
//!
//! Owns the order that makes a crash harmless: pre-image, intent synced, request, receipt. A call whose receipt is
//! missing is looked up; it is sent again only where the other side says that it did not happen *and* that a repeat is
//! harmless. Everything else ends as unknown, for a human. What is sent, and how it is looked up, is the [`Way`]'s.

mod http;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use medic_core::call::{CallIntent, CallReceipt, CallRecord, Target};
use medic_core::{Digest, EffectId, Fault, FaultKind};
use medic_ports::Clock;
use medic_ports::tools::{CallFate, CallJournal};
use serde::{Deserialize, Serialize};

pub use self::http::{HttpWay, fate};

use crate::contract::host::types::{ErrorKind, HostError};
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
    pub target: Target,
    pub way: &'a dyn Way,
}

/// How one kind of deed reaches the world.
#[async_trait]
pub trait Way: Send + Sync {
    /// Of everything that makes the call what it is.
    fn request_digest(&self) -> Digest;

    /// What stands there, as it is kept before anything is changed; `None` where nothing can be put back.
    ///
    /// # Errors
    /// It cannot be read, so nothing is changed.
    async fn pre_image(&self) -> Result<Option<String>, HostError>;

    /// One attempt. `pre_image`: what was kept, by this process or before a restart. `again`: an earlier attempt was lost.
    async fn attempt(&self, key: &str, pre_image: Option<&str>, again: bool) -> Attempt;

    /// What became of an attempt whose answer was lost. `NotHappened` says that a repeat is harmless.
    async fn fate(&self, key: &str, pre_image: Option<&str>) -> CallFate;
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It was answered. The refusal of a repeat says nothing of the first attempt.
    Answered(Detail),
    /// It was answered in a way that settles the first attempt too.
    Settled(Detail),
    /// Not a byte of it left.
    NotSent { code: String, message: String },
    /// It may have arrived.
    Lost { why: String },
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
    /// What the failure is called, where it has a name beyond its status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

impl Detail {
    /// An answer with a status.
    pub fn answered(key: &str, status: u16, body: String) -> Self {
        Self { key: key.to_owned(), status: Some(status), body, looked_up: false, not_sent: None, code: None }
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    fn is_refusal(&self) -> bool {
        self.status.is_some_and(|status| (400..500).contains(&status))
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
            self.code.clone().unwrap_or_else(|| format!("HTTP_STATUS_{status}")),
            format!("status {status}{note}: {}", text::line(&self.body, 300)),
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

    /// Whether the call was begun before a restart.
    pub fn knows(&self, ordinal: u32) -> bool {
        self.known.contains_key(&ordinal)
    }

    pub async fn carry_out(&self, deed: &Deed<'_>) -> Outcome {
        let request_digest = deed.way.request_digest();
        match self.known.get(&deed.ordinal) {
            Some(record) if record.intent.request_digest != request_digest => Outcome::Broken(Fault::new(
                FaultKind::Drift,
                "REPLAY_DRIFT",
                format!("call {} of the step is not the one that was begun before the restart", deed.ordinal),
            )),
            Some(CallRecord { receipt: Some(receipt), .. }) => Outcome::Received(receipt.clone()),
            // An intent without a receipt, found after a restart.
            Some(record) => {
                let why = "its answer was lost in a restart";
                self.look_up(&record.intent, deed, record.pre_image.as_deref(), why, false).await
            }
            None => self.begin(request_digest, deed).await,
        }
    }

    async fn begin(&self, request_digest: Digest, deed: &Deed<'_>) -> Outcome {
        let pre_image = match deed.way.pre_image().await {
            Ok(pre_image) => pre_image,
            Err(refusal) => return Outcome::NotBegun(refusal),
        };
        let intent = CallIntent {
            ordinal: deed.ordinal,
            function: deed.function.to_owned(),
            target: deed.target.clone(),
            idempotency_key: self.key(deed.ordinal, &request_digest),
            request_digest,
            at: self.clock.now(),
        };
        if let Err(fault) = self.journal.intend(intent.clone(), pre_image.clone()).await {
            return Outcome::Broken(fault);
        }
        self.send(&intent, deed, pre_image.as_deref(), false).await
    }

    async fn send(
        &self,
        intent: &CallIntent,
        deed: &Deed<'_>,
        pre_image: Option<&str>,
        again: bool,
    ) -> Outcome {
        let key = intent.idempotency_key.as_str();
        match deed.way.attempt(key, pre_image, again).await {
            // A refusal of the repeat says nothing of the first request, which may be what it stumbled over.
            Attempt::Answered(detail) if again && detail.is_refusal() => Outcome::Unknown {
                detail: format!(
                    "sent again under its key, it was refused with {}",
                    detail.status.unwrap_or_default()
                ),
            },
            Attempt::Answered(detail) | Attempt::Settled(detail) => self.receive(intent, detail).await,
            Attempt::NotSent { code, message } if !again => {
                let detail = Detail {
                    key: key.to_owned(),
                    status: None,
                    body: String::new(),
                    looked_up: false,
                    not_sent: Some(message),
                    code: Some(code),
                };
                self.receive(intent, detail).await
            }
            // This attempt did not arrive, but an earlier one may still.
            Attempt::NotSent { message, .. } => Outcome::Unknown { detail: message },
            Attempt::Lost { why } => {
                tracing::warn!(target = %deed.target, key, why, "answer of a change lost");
                self.look_up(intent, deed, pre_image, &why, again).await
            }
        }
    }

    async fn look_up(
        &self,
        intent: &CallIntent,
        deed: &Deed<'_>,
        pre_image: Option<&str>,
        why: &str,
        again: bool,
    ) -> Outcome {
        match deed.way.fate(&intent.idempotency_key, pre_image).await {
            CallFate::Happened { detail_json } => {
                let status = serde_json::from_str::<serde_json::Value>(&detail_json)
                    .ok()
                    .and_then(|value| value.get("status")?.as_u64())
                    .and_then(|status| u16::try_from(status).ok());
                let detail = Detail {
                    looked_up: true,
                    ..Detail::answered(&intent.idempotency_key, status.unwrap_or(200), detail_json)
                };
                self.receive(intent, detail).await
            }
            CallFate::NotHappened if !again => Box::pin(self.send(intent, deed, pre_image, true)).await,
            CallFate::NotHappened => Outcome::Unknown { detail: format!("{why}, twice") },
            CallFate::Unknown { detail } => Outcome::Unknown { detail: format!("{why}; {detail}") },
        }
    }

    async fn receive(&self, intent: &CallIntent, detail: Detail) -> Outcome {
        let refused = detail.not_sent.is_some() || detail.is_refusal();
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
