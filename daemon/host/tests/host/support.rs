//! A host on a temporary folder, an endpoint that writes down what reaches it, and permits that were honestly come by.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

// By path, because other packages take this file in by its own.
#[path = "support/guest.rs"]
pub mod guest;
#[path = "support/server.rs"]
pub mod server;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use medic_core::approval::{Approval, Proposal};
use medic_core::call::{CallIntent, CallReceipt, CallRecord};
use medic_core::permit::Ground;
use medic_core::plan::{ActionItem, ActionPlan, BlastRadius, StepRef, Verification};
use medic_core::tool::ToolCall;
use medic_core::{
    ApprovalId, ApprovedPlan, Digest, EffectId, Fault, FaultKind, IncidentId, Permit, Policy, Principal,
    TimestampMs, ToolName,
};
use medic_host::{Compiler, Deps, Host, HostConfig, MemoryState, OpenError, SecretSource};
use medic_ports::ToolHost;
use medic_ports::fake::{FakeClock, FakeKnowledge, FakeLogs, FakeMetrics};
use medic_ports::tools::{CallJournal, ToolPlan};
use tempfile::TempDir;

pub const NOW: TimestampMs = TimestampMs(1_000_000);
pub const TOKEN: &str = "t0ps3cret";

/// Plugins and grants to open a host on.
pub struct Setup {
    pub folder: TempDir,
    grants: String,
    pub metrics: Arc<FakeMetrics>,
    pub clock: FakeClock,
}

impl Setup {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("plugins")).unwrap();
        let metrics = Arc::new(FakeMetrics::new());
        Self { folder, grants: String::new(), metrics, clock: FakeClock::new(NOW) }
    }

    pub fn file(&self, name: &str, bytes: &[u8]) -> &Self {
        std::fs::write(self.folder.path().join("plugins").join(format!("{name}.wasm")), bytes).unwrap();
        self
    }

    /// A plugin with a grant for exactly its bytes; `more` is the rest of its table.
    pub fn plugin(&mut self, name: &str, category: &str, bytes: &[u8], more: &str) -> &mut Self {
        self.file(name, bytes);
        self.grant(name, category, &Digest::of_bytes(bytes), more)
    }

    pub fn grant(&mut self, name: &str, category: &str, digest: &Digest, more: &str) -> &mut Self {
        self.grants +=
            &format!("[plugin.{name}]\ndigest = \"{digest}\"\ncategory = \"{category}\"\n{more}\n");
        self
    }

    pub fn toml(&mut self, text: &str) -> &mut Self {
        self.grants += text;
        self
    }

    pub async fn try_open(&self) -> Result<Host, OpenError> {
        let grants_file = self.folder.path().join("grants.toml");
        std::fs::write(&grants_file, &self.grants).unwrap();
        Host::open(self.config(), self.deps()).await
    }

    pub fn grants_text(&self) -> &str {
        &self.grants
    }

    pub fn config(&self) -> HostConfig {
        HostConfig {
            cache_dir: Some(self.folder.path().join("cache")),
            secrets: BTreeMap::from([("token".to_owned(), SecretSource::Value(TOKEN.to_owned()))]),
            compiler: Compiler::InProcess,
            ..HostConfig::new(self.folder.path().join("plugins"), self.folder.path().join("grants.toml"))
        }
    }

    pub fn deps(&self) -> Deps {
        Deps {
            clock: Arc::new(self.clock.clone()),
            metrics: self.metrics.clone(),
            logs: Arc::new(FakeLogs::new()),
            knowledge: Arc::new(FakeKnowledge::new()),
            state: Arc::new(MemoryState::default()),
        }
    }

    pub async fn open(&self) -> Host {
        let host = self.try_open().await.unwrap();
        assert_eq!(host.rejected(), vec![], "every plugin of this test should load");
        host
    }
}

pub fn incident() -> IncidentId {
    IncidentId::new("01INCIDENT")
}

pub fn call(tool: &str, args: &str) -> ToolCall {
    ToolCall { tool: ToolName::new(tool), args_json: args.to_owned() }
}

pub fn permit(host: &Host, tool: &str, args: &str, ground: Ground<'_>) -> Permit {
    let descriptor =
        host.describe(&ToolName::new(tool)).unwrap_or_else(|| panic!("{tool}: {:?}", host.rejected()));
    Permit::issue(&incident(), &descriptor, call(tool, args), ground, NOW).unwrap()
}

/// A plan that two people approved.
pub fn approved(host: &Host, tool: &str, plan: &ToolPlan) -> ApprovedPlan {
    let descriptor = host.describe(&ToolName::new(tool)).unwrap();
    let plan = ActionPlan {
        iteration: 1,
        hypothesis: None,
        evidence: vec![],
        items: vec![ActionItem {
            tool: ToolName::new(tool),
            component_digest: plan.component_digest.clone(),
            grant_digest: plan.grant_digest.clone(),
            category: descriptor.category,
            args_json: "{}".to_owned(),
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
        digest: digest.clone(),
        requirement,
        because,
        requester: None,
        approvals: approvals.to_vec(),
        proposed_at: NOW,
        expires_at: NOW.after_ms(1000),
    };
    ApprovedPlan::prove(&incident(), &proposal, &policy, NOW).unwrap()
}

pub fn effect(index: u32) -> EffectId {
    EffectId { incident: incident(), revision: 7, index }
}

pub fn to_apply(host: &Host, tool: &str, plan: &ApprovedPlan, step: u32) -> Permit {
    permit(host, tool, "{}", Ground::Apply { plan, step: StepRef { item: 0, step }, effect: effect(step) })
}

pub fn to_revert(host: &Host, tool: &str, plan: &ApprovedPlan, step: u32) -> Permit {
    permit(
        host,
        tool,
        "{}",
        Ground::Revert { plan, step: StepRef { item: 0, step }, effect: effect(100 + step) },
    )
}

/// A journal in memory that can fail on demand.
#[derive(Default)]
pub struct Notes {
    pub records: Mutex<Vec<CallRecord>>,
    pub refuse_intents: bool,
    /// What the endpoint had seen when the intent was written: shows the order.
    pub seen_at_intent: Mutex<Vec<usize>>,
    pub server: Option<server::Server>,
}

impl Notes {
    pub fn with(records: Vec<CallRecord>) -> Arc<Self> {
        Arc::new(Self { records: Mutex::new(records), ..Self::default() })
    }
    pub fn records(&self) -> Vec<CallRecord> {
        self.records.lock().unwrap().clone()
    }
}

#[async_trait]
impl CallJournal for Notes {
    fn known(&self) -> Vec<CallRecord> {
        self.records()
    }

    async fn intend(&self, intent: CallIntent, pre_image: Option<String>) -> Result<(), Fault> {
        if self.refuse_intents {
            return Err(Fault::new(FaultKind::Storage, "DISK_FULL", "the intent could not be written"));
        }
        if let Some(server) = &self.server {
            let changes = server.requests().iter().filter(|request| request.method != "GET").count();
            self.seen_at_intent.lock().unwrap().push(changes);
        }
        self.records.lock().unwrap().push(CallRecord { intent, receipt: None, pre_image });
        Ok(())
    }

    async fn receive(&self, receipt: CallReceipt) -> Result<(), Fault> {
        let mut records = self.records.lock().unwrap();
        let record = records.iter_mut().find(|record| record.intent.ordinal == receipt.ordinal).unwrap();
        record.receipt = Some(receipt);
        Ok(())
    }
}
