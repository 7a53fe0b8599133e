//! What the executor would hold: a plan that two people approved, and a journal.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use medic_core::approval::{Approval, Proposal};
use medic_core::call::{CallIntent, CallReceipt, CallRecord};
use medic_core::plan::{ActionItem, ActionPlan, BlastRadius, Verification};
use medic_core::{
    ApprovalId, ApprovedPlan, Digest, Fault, IncidentId, Policy, Principal, TimestampMs, ToolDescriptor,
};
use medic_ports::tools::{CallJournal, ToolPlan};

pub const NOW: TimestampMs = TimestampMs(1_767_225_600_000);

pub fn incident() -> IncidentId {
    IncidentId::new("01INCIDENT")
}

/// A plan that two people approved.
pub fn approved(tool: &ToolDescriptor, args: &str, plan: &ToolPlan) -> ApprovedPlan {
    let plan = ActionPlan {
        iteration: 1,
        hypothesis: None,
        evidence: vec![],
        items: vec![ActionItem {
            tool: tool.name.clone(),
            component_digest: plan.component_digest.clone(),
            grant_digest: plan.grant_digest.clone(),
            category: tool.category,
            args_json: args.to_owned(),
            rationale: plan.rationale.clone(),
            steps: plan.steps.clone(),
            snapshot_digest: Digest::of_bytes(b""),
            tool_checks: vec![],
        }],
        blast_radius: BlastRadius::default(),
        verification: Verification::default(),
    };
    let (policy, digest) = (Policy::default(), plan.digest(&incident()));
    let (requirement, because) = policy.judge(&plan);
    let approvals = ["alice", "bob"].map(|name| Approval {
        id: ApprovalId::new(format!("by-{name}")),
        principal: Principal::new(format!("token:{name}")),
        plan: digest.clone(),
        at: NOW,
    });
    let proposal = Proposal {
        plan,
        digest,
        requirement,
        because,
        requester: None,
        approvals: approvals.to_vec(),
        proposed_at: NOW,
        expires_at: NOW.after_ms(1000),
    };
    ApprovedPlan::prove(&incident(), &proposal, &policy, NOW).unwrap()
}

/// A journal in memory.
#[derive(Default)]
pub struct Notes(Mutex<Vec<CallRecord>>);

impl Notes {
    pub fn with(records: Vec<CallRecord>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(records)))
    }

    pub fn records(&self) -> Vec<CallRecord> {
        self.0.lock().unwrap().clone()
    }

    /// As a crash between deed and receipt leaves it.
    pub fn without_receipts(&self) -> Arc<Self> {
        let bare = |record: CallRecord| CallRecord { receipt: None, ..record };
        Self::with(self.records().into_iter().map(bare).collect())
    }
}

#[async_trait]
impl CallJournal for Notes {
    fn known(&self) -> Vec<CallRecord> {
        self.records()
    }

    async fn intend(&self, intent: CallIntent, pre_image: Option<String>) -> Result<(), Fault> {
        self.0.lock().unwrap().push(CallRecord { intent, receipt: None, pre_image });
        Ok(())
    }

    async fn receive(&self, receipt: CallReceipt) -> Result<(), Fault> {
        let mut records = self.0.lock().unwrap();
        let record = records.iter_mut().find(|record| record.intent.ordinal == receipt.ordinal).unwrap();
        record.receipt = Some(receipt);
        Ok(())
    }
}
