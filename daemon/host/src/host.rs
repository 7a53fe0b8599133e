//! The tool host as the daemon holds it: the plugins that are loaded, and the calls that permits allow.
//!
//! Owns the checking of a permit against what is loaded *now*: same bytes, same category, same grant. A plan made under
//! another grant is void here, whoever approved it.

mod lifecycle;
mod revert;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use medic_core::call::{CallIntent, CallRecord};
use medic_core::permit::Authority;
use medic_core::saga::StepReport;
use medic_core::{Fault, FaultKind, Permit, ToolDescriptor, ToolName};
use medic_ports::tools::{
    CallFate, CallJournal, DryRun, HostCallRecord, RejectedPlugin, RevertOutcome, Snapshot, StepOutcome,
    ToolOutput, ToolPlan, ToolVerdict,
};
use medic_ports::{Clock, Knowledge, Logs, Metrics, ToolHost};
use serde::Deserialize;

use crate::artifacts::{Artifact, Artifacts};
use crate::broker::{Broker, Caller};
use crate::contract::tool::CallContext;
use crate::deed;
use crate::grant::{Grants, GrantsFileError};
use crate::load::{CompileCache, Loaded, Loader};
use crate::plugin::{Answer, Plugin, Request};
use crate::sandbox::Sandbox;
use crate::secret::SecretSource;
use crate::session::{ChangeSession, Ended, Session, World};
use crate::state::MemoryState;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostConfig {
    /// Folder of `<plugin>.wasm` files.
    pub plugins_dir: PathBuf,
    /// What each may do; without an entry a plugin is not loaded.
    pub grants_file: PathBuf,
    /// Folder for compiled plugins, made private to this user. Absent: compiled at every start.
    #[serde(default)]
    pub cache_dir: Option<PathBuf>,
    /// Credentials that endpoints name, as `name = { value = "…" }`, `{ env = "…" }` or `{ file = "…" }`.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretSource>,
}

/// What the host functions reach of the daemon.
#[derive(Clone)]
pub struct Deps {
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<dyn Metrics>,
    pub logs: Arc<dyn Logs>,
    pub knowledge: Arc<dyn Knowledge>,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot set up the sandbox: {0}")]
    Sandbox(String),
    #[error("cannot read the grant file {}: {source}", path.display())]
    GrantsUnreadable { path: PathBuf, source: std::io::Error },
    #[error("{}: {source}", path.display())]
    GrantsInvalid { path: PathBuf, source: GrantsFileError },
    #[error("cannot read the plugin folder {}: {source}", path.display())]
    Plugins { path: PathBuf, source: std::io::Error },
    #[error("cannot use {} for compiled plugins: {source}", path.display())]
    Cache { path: PathBuf, source: std::io::Error },
}

impl OpenError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Sandbox(_) => "SANDBOX_UNAVAILABLE",
            Self::GrantsUnreadable { .. } => "GRANTS_UNREADABLE",
            Self::GrantsInvalid { .. } => "GRANTS_INVALID",
            Self::Plugins { .. } => "PLUGINS_UNREADABLE",
            Self::Cache { .. } => "PLUGIN_CACHE_UNUSABLE",
        }
    }
}

/// Loads plugins and runs their tools under permits.
pub struct Host {
    config: Arc<HostConfig>,
    sandbox: Arc<Sandbox>,
    world: Arc<World>,
    table: RwLock<Arc<Table>>,
}

/// What is loaded at one moment. A reload puts another in its place; calls under way keep theirs.
#[derive(Default)]
struct Table {
    plugins: Vec<Arc<Plugin>>,
    rejected: Vec<RejectedPlugin>,
}

/// A permit that fits a loaded plugin, with its arguments checked.
struct Admitted {
    plugin: Arc<Plugin>,
    args_json: String,
    context: CallContext,
    caller: Caller,
}

impl Host {
    /// Loads every plugin of the configured folder that has a valid grant. The others are in
    /// [`rejected`](ToolHost::rejected) with the reason; they do not keep the daemon from starting.
    ///
    /// # Errors
    /// [`OpenError`]: nothing can be loaded at all, or the grant file as a whole cannot be trusted.
    pub async fn open(config: HostConfig, deps: Deps) -> Result<Self, OpenError> {
        let Deps { clock, metrics, logs, knowledge } = deps;
        let world = World {
            clock,
            metrics,
            logs,
            knowledge,
            broker: Broker::default(),
            state: Box::new(MemoryState::default()),
            artifacts: Artifacts::default(),
        };
        let sandbox = Arc::new(Sandbox::new().map_err(OpenError::Sandbox)?);
        let host =
            Self { config: Arc::new(config), sandbox, world: Arc::new(world), table: RwLock::default() };
        host.reload().await?;
        Ok(host)
    }

    /// Reads grants and plugins again. On an error everything stays as it was.
    ///
    /// # Errors
    /// As [`Host::open`].
    pub async fn reload(&self) -> Result<(), OpenError> {
        let (sandbox, config) = (self.sandbox.clone(), self.config.clone());
        let loaded = self.sandbox.blocking(move || load(&sandbox, &config)).await;
        let loaded = loaded.map_err(|fault| OpenError::Sandbox(fault.message))??;
        let table =
            Table { plugins: loaded.plugins.into_iter().map(Arc::new).collect(), rejected: loaded.rejected };
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
        Ok(())
    }

    /// Large output that a tool left, by the id its answer names.
    pub fn artifact(&self, id: &str) -> Option<Artifact> {
        self.world.artifacts.get(id)
    }

    fn table(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn plugin_of(&self, tool: &ToolName) -> Option<Arc<Plugin>> {
        self.table().plugins.iter().find(|plugin| plugin.tool(tool).is_some()).cloned()
    }

    /// Holds a permit against what is loaded now.
    fn admit(&self, permit: &Permit) -> Result<Admitted, Fault> {
        let call = permit.call();
        let plugin = self.plugin_of(&call.tool).ok_or_else(|| {
            Fault::new(
                FaultKind::Denied,
                "TOOL_UNKNOWN",
                format!("no loaded plugin has a tool {}", call.tool),
            )
        })?;
        if plugin.digest != *permit.digest() || plugin.category != permit.category() {
            let message = format!(
                "the permit is for component {} ({}), and {} is now {} ({})",
                permit.digest().short(),
                permit.category(),
                plugin.name,
                plugin.digest.short(),
                plugin.category
            );
            return Err(Fault::new(FaultKind::Denied, "COMPONENT_CHANGED", message));
        }
        let checked = plugin.tool(&call.tool).map(|tool| tool.schema.check(&call.args_json));
        let args_json = match checked {
            Some(Ok(args)) => args,
            Some(Err(mismatch)) => {
                let message = format!("arguments of {}: {mismatch}", call.tool);
                return Err(Fault::new(FaultKind::InvalidArguments, "INVALID_ARGUMENTS", message));
            }
            None => return Err(Fault::new(FaultKind::Internal, "TOOL_UNKNOWN", "the tool vanished")),
        };
        let incident = permit.incident().to_string();
        let call_id = match permit.authority() {
            Authority::Change(change) => change.effect.to_string(),
            _ => medic_core::Digest::of(&(&incident, &call.tool, &args_json)).short().to_owned(),
        };
        Ok(Admitted {
            args_json,
            context: CallContext { incident_id: incident.clone(), call_id, attempt: 1 },
            caller: Caller { incident, plugin: plugin.name.clone(), tool: call.tool.to_string() },
            plugin,
        })
    }

    fn session(&self, admitted: &Admitted, change: Option<ChangeSession>) -> Session {
        Session::new(self.world.clone(), admitted.plugin.clone(), admitted.caller.clone(), change)
    }

    /// A call that can change nothing.
    async fn read(&self, admitted: &Admitted, request: Request) -> Result<(Answer, Session), Fault> {
        let session = self.session(admitted, None);
        let (answer, session) = self.sandbox.run(session, admitted.context.clone(), request).await;
        match (answer, session) {
            (Ok(answer), Some(session)) => Ok((answer, session)),
            (Err(Ended::Fault(fault)), _) => Err(fault),
            (Err(Ended::Unknown { detail, .. }), _) => {
                Err(Fault::new(FaultKind::Internal, "UNKNOWN_OUTCOME", detail))
            }
            (Ok(_), None) => Err(unexpected()),
        }
    }
}

fn load(sandbox: &Sandbox, config: &HostConfig) -> Result<Loaded, OpenError> {
    let path = || config.grants_file.clone();
    let text = std::fs::read_to_string(&config.grants_file)
        .map_err(|source| OpenError::GrantsUnreadable { path: path(), source })?;
    let grants = Grants::parse(&text).map_err(|source| OpenError::GrantsInvalid { path: path(), source })?;
    let cache = match &config.cache_dir {
        Some(folder) => {
            CompileCache::open(folder).map_err(|source| OpenError::Cache { path: folder.clone(), source })?
        }
        None => CompileCache::none(),
    };
    let loader = Loader { sandbox, grants: &grants, secrets: &config.secrets, cache: &cache };
    let folder: &Path = &config.plugins_dir;
    loader.load_folder(folder).map_err(|source| OpenError::Plugins { path: folder.to_owned(), source })
}

fn unexpected() -> Fault {
    Fault::new(
        FaultKind::Internal,
        "SANDBOX_ANSWER",
        "the sandbox gave an answer of another kind than was asked for",
    )
}

fn wrong_ground(what: &str) -> Fault {
    Fault::new(FaultKind::Denied, "PERMIT_GROUND", format!("the permit was not issued for {what}"))
}

#[async_trait]
impl ToolHost for Host {
    fn list(&self) -> Vec<ToolDescriptor> {
        let table = self.table();
        table
            .plugins
            .iter()
            .flat_map(|plugin| plugin.tools.iter().map(|tool| plugin.describe(tool)))
            .collect()
    }

    fn describe(&self, tool: &ToolName) -> Option<ToolDescriptor> {
        let plugin = self.plugin_of(tool)?;
        plugin.tool(tool).map(|tool| plugin.describe(tool))
    }

    fn rejected(&self) -> Vec<RejectedPlugin> {
        self.table().rejected.clone()
    }

    async fn invoke(&self, permit: &Permit) -> Result<ToolOutput, Fault> {
        self.invoke_tool(permit).await
    }

    async fn plan(&self, permit: &Permit) -> Result<ToolPlan, Fault> {
        self.make_plan(permit).await
    }

    async fn capture(&self, permit: &Permit, plan: &ToolPlan) -> Result<Snapshot, Fault> {
        self.capture_for(permit, plan).await
    }

    async fn dry_run(&self, permit: &Permit, plan: &ToolPlan) -> Result<DryRun, Fault> {
        self.rehearse(permit, plan).await
    }

    async fn apply(&self, permit: &Permit, plan: &ToolPlan, journal: Arc<dyn CallJournal>) -> StepOutcome {
        self.apply_step(permit, plan, journal).await
    }

    async fn verify(
        &self,
        permit: &Permit,
        plan: &ToolPlan,
        done: &[StepReport],
    ) -> Result<ToolVerdict, Fault> {
        self.verify_with(permit, plan, done).await
    }

    async fn revert(
        &self,
        permit: &Permit,
        plan: &ToolPlan,
        saved: &Snapshot,
        applied: &[CallRecord],
        journal: Arc<dyn CallJournal>,
    ) -> RevertOutcome {
        self.revert_step(permit, plan, saved, applied, journal).await
    }

    async fn fate(&self, permit: &Permit, call: &CallIntent) -> CallFate {
        let unknown = |detail: String| CallFate::Unknown { detail };
        let Some(plugin) =
            self.plugin_of(&permit.call().tool).filter(|plugin| plugin.digest == *permit.digest())
        else {
            return unknown(format!("the component that made the call to {} is not loaded", call.target));
        };
        match plugin.endpoints.get(&call.target.cluster) {
            Some(endpoint) => deed::fate(endpoint, &call.idempotency_key).await,
            None => unknown(format!("endpoint `{}` is no longer granted", call.target.cluster)),
        }
    }

    fn take_host_calls(&self) -> Vec<HostCallRecord> {
        self.world.broker.take()
    }
}
