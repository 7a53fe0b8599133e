//! The record of one changing effect, committed before and after each deed. The host writes its calls through it.

use crate::shell::lock;
use crate::world::World;
use async_trait::async_trait;
use medic_core::audit::AuditRecord;
use medic_core::call::{CallIntent, CallReceipt, CallRecord};
use medic_core::outcome::FaultKind;
use medic_core::{EffectId, Fault, Incident, IncidentId};
use medic_ports::journal::{Batch, EffectRecord, EffectState, JournalError};
use medic_ports::tools::CallJournal;
use std::sync::{Arc, Mutex};

pub(super) struct EffectJournal {
    world: Arc<World>,
    record: Mutex<EffectRecord>,
}

impl EffectJournal {
    /// Opens the record of `id`: as it is after a crash, or fresh.
    pub fn open(world: &Arc<World>, id: &EffectId) -> Result<Self, JournalError> {
        let stored = world.ports.journal.effect(id)?;
        let fresh = || EffectRecord {
            id: id.clone(),
            state: EffectState::Intent,
            at: world.now(),
            calls: Vec::new(),
            detail: String::new(),
        };
        Ok(Self { world: world.clone(), record: Mutex::new(stored.unwrap_or_else(fresh)) })
    }

    pub fn record(&self) -> EffectRecord {
        lock(&self.record).clone()
    }

    /// From here on something may have happened. Committed and synced before the first byte leaves, and only while
    /// `incident` is what the consent was proven on: whoever took it back a moment before has been heard.
    ///
    /// # Errors
    /// [`JournalError::Conflict`] when the incident has moved on meanwhile.
    pub async fn start(&self, incident: &Incident, plan: &str) -> Result<(), JournalError> {
        let mut next = self.record();
        if next.state == EffectState::Started {
            return Ok(());
        }
        next.state = EffectState::Started;
        next.at = self.world.now();
        let rests_on = vec![(incident.id.clone(), incident.revision)];
        self.write(next, rests_on, "started", serde_json::json!({ "plan": plan })).await
    }

    /// The final state, for the batch that also carries the outcome's letter.
    pub fn ended(&self, state: EffectState, detail: &str) -> EffectRecord {
        EffectRecord { state, detail: detail.to_owned(), ..self.record() }
    }

    async fn write(
        &self,
        next: EffectRecord,
        rests_on: Vec<(IncidentId, u64)>,
        kind: &str,
        detail: serde_json::Value,
    ) -> Result<(), JournalError> {
        let audit = AuditRecord {
            at: self.world.now(),
            incident: Some(next.id.incident.clone()),
            actor: "executor".to_owned(),
            kind: kind.to_owned(),
            subject: next.id.to_string(),
            rule: None,
            detail,
        };
        let batch = Batch { rests_on, effects: vec![next.clone()], audit: vec![audit], ..Batch::default() };
        self.world.ports.journal.commit(batch).await?;
        *lock(&self.record) = next;
        Ok(())
    }
}

fn storage(error: JournalError) -> Fault {
    Fault::new(FaultKind::Storage, error.code(), error.to_string())
}

#[async_trait]
impl CallJournal for EffectJournal {
    fn known(&self) -> Vec<CallRecord> {
        self.record().calls
    }

    async fn intend(&self, intent: CallIntent, pre_image: Option<String>) -> Result<(), Fault> {
        let mut next = self.record();
        let detail = serde_json::json!({
            "function": intent.function,
            "target": intent.target.to_string(),
            "key": intent.idempotency_key,
            "request": intent.request_digest,
        });
        match next.calls.iter_mut().find(|call| call.intent.ordinal == intent.ordinal) {
            // Sent again with the same key after the endpoint said it never came: the first pre-image is the true one.
            Some(call) => call.intent = intent,
            None => next.calls.push(CallRecord { intent, receipt: None, pre_image }),
        }
        self.write(next, Vec::new(), "intent", detail).await.map_err(storage)
    }

    async fn receive(&self, receipt: CallReceipt) -> Result<(), Fault> {
        let mut next = self.record();
        let detail = serde_json::json!({ "ordinal": receipt.ordinal, "receipt": receipt.detail_json });
        if let Some(call) = next.calls.iter_mut().find(|call| call.intent.ordinal == receipt.ordinal) {
            call.receipt = Some(receipt);
        }
        self.write(next, Vec::new(), "receipt", detail).await.map_err(storage)
    }
}
