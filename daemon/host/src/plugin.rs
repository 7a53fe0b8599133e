//! A plugin that passed every step of loading.

use std::collections::BTreeMap;

use medic_core::{Digest, ToolCategory, ToolDescriptor, ToolName};
use tokio::sync::Semaphore;
use wasmtime::Store;
use wasmtime::component::Resource;

use crate::breaker::Breaker;
use crate::contract::host::types::{ErrorKind, HostError};
use crate::contract::tool::{CallContext, ChangePlan, Output, SnapshotItem, StepReport, ToolError, Verdict};
use crate::contract::{destructive, diagnostic, query, remediation};
use crate::grant::Grant;
use crate::http::Endpoint;
use crate::kube::Cluster;
use crate::limits::Limits;
use crate::load::LoadError;
use crate::lock::Locked;
use crate::schema::InputSchema;
use crate::session::{GRANT_REP, MintedGrant, Session, error};
use crate::shape::Shape;
use crate::signature::Provenance;

pub struct Plugin {
    /// As the grant file names it; the file's name without `.wasm`.
    pub name: String,
    pub digest: Digest,
    pub category: ToolCategory,
    pub grant: Grant,
    pub grant_digest: Digest,
    pub endpoints: BTreeMap<String, Endpoint>,
    pub clusters: BTreeMap<String, Cluster>,
    /// Host functions the bytes import.
    pub imports: Vec<String>,
    pub tools: Vec<Tool>,
    /// What it could do, as `plugins.lock` says it.
    pub locked: Locked,
    pub provenance: Provenance,
    pub guest: Guest,
    /// Calls at a time.
    pub slots: Semaphore,
    pub breaker: Breaker,
}

/// One tool of a plugin's catalogue.
#[derive(Clone, Debug)]
pub struct Tool {
    pub name: ToolName,
    pub title: String,
    pub description: String,
    pub schema: InputSchema,
}

impl Tool {
    /// Of everything a caller is told of it.
    pub fn digest(&self) -> Digest {
        Digest::of(&(&self.name, &self.title, &self.description, self.schema.canonical()))
    }
}

impl Plugin {
    #[allow(clippy::too_many_arguments, reason = "each is the fruit of one step of loading")]
    pub fn new(
        name: &str,
        shape: &Shape,
        grant: Grant,
        endpoints: BTreeMap<String, Endpoint>,
        provenance: Provenance,
        locked: Locked,
        tools: Vec<Tool>,
        guest: Guest,
    ) -> Self {
        Self {
            name: name.to_owned(),
            digest: shape.digest.clone(),
            category: grant.category,
            grant_digest: grant.digest_of_terms(),
            slots: Semaphore::new(Limits::concurrency(grant.category).0),
            grant,
            endpoints,
            clusters: BTreeMap::new(),
            imports: shape.functions(),
            tools,
            locked,
            provenance,
            guest,
            breaker: Breaker::default(),
        }
    }

    /// Whether a load under these terms would give this plugin again.
    pub fn is_like(&self, grant: &Grant, endpoints: &BTreeMap<String, Endpoint>) -> bool {
        let same = |(name, endpoint): (&String, &Endpoint)| {
            endpoints.get(name).is_some_and(|other| other.is_like(endpoint))
        };
        self.grant == *grant && self.endpoints.len() == endpoints.len() && self.endpoints.iter().all(same)
    }

    pub fn endpoint(&self, name: &str) -> Result<&Endpoint, HostError> {
        let missing =
            || error(ErrorKind::Internal, "ENDPOINT_MISSING", format!("endpoint `{name}` was not set up"));
        self.endpoints.get(name).ok_or_else(missing)
    }

    pub fn cluster(&self, name: &str) -> Result<&Cluster, HostError> {
        let missing =
            || error(ErrorKind::Internal, "CLUSTER_MISSING", format!("cluster `{name}` was not set up"));
        self.clusters.get(name).ok_or_else(missing)
    }

    pub fn tool(&self, name: &ToolName) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == *name)
    }

    pub fn describe(&self, tool: &Tool) -> ToolDescriptor {
        ToolDescriptor {
            name: tool.name.clone(),
            plugin: self.name.clone(),
            digest: self.digest.clone(),
            category: self.category,
            title: tool.title.clone(),
            description: tool.description.clone(),
            input_schema: tool.schema.canonical(),
            imports: self.imports.clone(),
            granted: self
                .imports
                .iter()
                .filter(|name| self.grant.functions.contains(*name))
                .cloned()
                .collect(),
        }
    }
}

/// Linked against the functions of its own category, ready to be instantiated.
pub enum Guest {
    Query(query::QueryToolPre<Session>),
    Diagnostic(diagnostic::DiagnosticToolPre<Session>),
    Remediation(remediation::RemediationToolPre<Session>),
    Destructive(destructive::DestructiveToolPre<Session>),
}

/// What a guest is asked. One call of one export.
#[derive(Clone)]
pub enum Request {
    Invoke { tool: String, args_json: String },
    Plan { tool: String, args_json: String },
    Capture(ChangePlan),
    Apply { plan: ChangePlan, step_id: u32 },
    Verify { plan: ChangePlan, done: Vec<StepReport> },
    Revert { plan: ChangePlan, step_id: u32, saved: Vec<SnapshotItem> },
}

pub enum Answer {
    Output(Output),
    Plan(ChangePlan),
    Snapshot(Vec<SnapshotItem>),
    Step(StepReport),
    Verdict(Verdict),
}

impl Guest {
    pub fn new(
        category: ToolCategory,
        pre: wasmtime::component::InstancePre<Session>,
    ) -> Result<Self, LoadError> {
        let made = match category {
            ToolCategory::Query => query::QueryToolPre::new(pre).map(Self::Query),
            ToolCategory::Diagnostic => diagnostic::DiagnosticToolPre::new(pre).map(Self::Diagnostic),
            ToolCategory::Remediation => remediation::RemediationToolPre::new(pre).map(Self::Remediation),
            ToolCategory::Destructive => destructive::DestructiveToolPre::new(pre).map(Self::Destructive),
        };
        made.map_err(|error| {
            LoadError::new(
                "WORLD_MISMATCH",
                format!("its exports are not those of a {category} tool: {error:#}"),
            )
        })
    }

    /// Makes a fresh instance and asks it. The outer error is a trap.
    pub async fn ask(
        &self,
        store: &mut Store<Session>,
        context: &CallContext,
        request: Request,
    ) -> wasmtime::Result<Result<Answer, ToolError>> {
        let grant = || Resource::<MintedGrant>::new_borrow(GRANT_REP);
        // The two lifecycles have the same functions in different modules, but for the way back.
        macro_rules! lifecycle {
            ($guest:expr) => {
                match request {
                    Request::Plan { tool, args_json } => {
                        $guest.call_plan(&mut *store, context, &tool, &args_json).await?.map(Answer::Plan)
                    }
                    Request::Capture(plan) => {
                        $guest.call_capture(&mut *store, context, &plan).await?.map(Answer::Snapshot)
                    }
                    Request::Apply { plan, step_id } => $guest
                        .call_apply(&mut *store, context, grant(), &plan, step_id)
                        .await?
                        .map(Answer::Step),
                    Request::Verify { plan, done } => {
                        $guest.call_verify(&mut *store, context, &plan, &done).await?.map(Answer::Verdict)
                    }
                    Request::Invoke { .. } | Request::Revert { .. } => return Err(wrong_request()),
                }
            };
        }
        Ok(match self {
            Self::Query(pre) => {
                let Request::Invoke { tool, args_json } = request else { return Err(wrong_request()) };
                let guest = pre.instantiate_async(&mut *store).await?;
                guest
                    .medic_tool_query()
                    .call_invoke(&mut *store, context, &tool, &args_json)
                    .await?
                    .map(Answer::Output)
            }
            Self::Diagnostic(pre) => {
                let Request::Invoke { tool, args_json } = request else { return Err(wrong_request()) };
                let guest = pre.instantiate_async(&mut *store).await?;
                let guest = guest.medic_tool_diagnostic();
                guest.call_invoke(&mut *store, context, &tool, &args_json).await?.map(Answer::Output)
            }
            Self::Remediation(pre) => {
                let guest = pre.instantiate_async(&mut *store).await?;
                let guest = guest.medic_tool_remediation();
                if let Request::Revert { plan, step_id, saved } = request {
                    let undone =
                        guest.call_revert(&mut *store, context, grant(), &plan, step_id, &saved).await?;
                    return Ok(undone.map(Answer::Step));
                }
                lifecycle!(guest)
            }
            Self::Destructive(pre) => {
                let guest = pre.instantiate_async(&mut *store).await?;
                let guest = guest.medic_tool_destructive();
                lifecycle!(guest)
            }
        })
    }
}

fn wrong_request() -> wasmtime::Error {
    wasmtime::Error::msg("this category of tool has no such function")
}
