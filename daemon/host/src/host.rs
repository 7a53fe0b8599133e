//! The tool host as the daemon holds it: the plugins that are loaded, and the calls that permits allow.
//!
//! Owns the checking of a permit against what is loaded *now*: same bytes, same category, same grant. A plan made under
//! another grant is void here, whoever approved it.

mod cluster;
mod folder;
mod lifecycle;
mod revert;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

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

use crate::artifacts::{Artifact, Artifacts};
use crate::broker::{Broker, Caller};
use crate::contract::tool::CallContext;
use crate::deed;
use crate::grant::{Grants, GrantsFileError};
use crate::load::{CompileCache, Compiler, Loaded, Loader};
use crate::lock::{Lock, LockError};
use crate::plugin::{Answer, Plugin, Request};
use crate::sandbox::Sandbox;
use crate::secret::SecretSource;
use crate::session::{ChangeSession, Ended, Session, World};
use crate::state::StateStore;

pub(crate) use folder::{open_cache, read_grants};

#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Folder of `<plugin>.wasm` files.
    pub plugins_dir: PathBuf,
    /// What each may do; without an entry a plugin is not loaded.
    pub grants_file: PathBuf,
    /// What was reviewed of each plugin. Absent: `plugins.lock` beside the grant file.
    pub lock_file: Option<PathBuf>,
    /// Folder for compiled plugins, made private to this user. Absent: compiled at every start.
    pub cache_dir: Option<PathBuf>,
    /// Folder for large output of tools, made private to this user. Absent: kept in memory.
    pub artifacts_dir: Option<PathBuf>,
    pub compiler: Compiler,
    /// Credentials that endpoints name, by that name.
    pub secrets: BTreeMap<String, SecretSource>,
}

impl HostConfig {
    /// Compiled in a process of its own, nothing cached, no secrets.
    pub fn new(plugins_dir: PathBuf, grants_file: PathBuf) -> Self {
        Self {
            plugins_dir,
            grants_file,
            lock_file: None,
            cache_dir: None,
            artifacts_dir: None,
            compiler: Compiler::own_process(),
            secrets: BTreeMap::new(),
        }
    }

    /// Where `plugins.lock` is.
    pub fn lock_path(&self) -> PathBuf {
        self.lock_file.clone().unwrap_or_else(|| self.grants_file.with_file_name("plugins.lock"))
    }
}

/// What the host functions reach of the daemon.
#[derive(Clone)]
pub struct Deps {
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<dyn Metrics>,
    pub logs: Arc<dyn Logs>,
    pub knowledge: Arc<dyn Knowledge>,
    /// What tools keep between their calls.
    pub state: Arc<dyn StateStore>,
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
    #[error("cannot use {} for the output of tools: {source}", path.display())]
    Artifacts { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Lock(#[from] LockError),
}

impl OpenError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Sandbox(_) => "SANDBOX_UNAVAILABLE",
            Self::GrantsUnreadable { .. } => "GRANTS_UNREADABLE",
            Self::GrantsInvalid { .. } => "GRANTS_INVALID",
            Self::Plugins { .. } => "PLUGINS_UNREADABLE",
            Self::Cache { .. } => "PLUGIN_CACHE_UNUSABLE",
            Self::Artifacts { .. } => "ARTIFACTS_UNUSABLE",
            Self::Lock(error) => error.code(),
        }
    }
}

/// Loads plugins and runs their tools under permits.
pub struct Host {
    config: Arc<HostConfig>,
    sandbox: Arc<Sandbox>,
    world: Arc<World>,
    table: RwLock<Arc<Table>>,
    /// What the files looked like when they were last looked at, and whether they were loaded like that.
    seen: Mutex<folder::Seen>,
}

/// What is loaded at one moment. A reload puts another in its place; calls under way keep theirs.
#[derive(Default)]
struct Table {
    plugins: Vec<Arc<Plugin>>,
    rejected: Vec<RejectedPlugin>,
    /// Why the last reload failed as a whole, when it did.
    trouble: Option<RejectedPlugin>,
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
        let Deps { clock, metrics, logs, knowledge, state } = deps;
        let artifacts = match &config.artifacts_dir {
            Some(folder) => Artifacts::in_folder(folder)
                .map_err(|source| OpenError::Artifacts { path: folder.clone(), source })?,
            None => Artifacts::in_memory(),
        };
        let world = World { clock, metrics, logs, knowledge, broker: Broker::default(), state, artifacts };
        let sandbox = Arc::new(Sandbox::new().map_err(OpenError::Sandbox)?);
        let host = Self {
            config: Arc::new(config),
            sandbox,
            world: Arc::new(world),
            table: RwLock::default(),
            seen: Mutex::default(),
        };
        host.reload().await?;
        Ok(host)
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

    /// Whether something new may be begun with a plugin; see [`crate::breaker`].
    fn may_begin(&self, admitted: &Admitted) -> Result<(), Fault> {
        admitted.plugin.breaker.admit(&admitted.plugin.name, self.world.clock.elapsed_ms())
    }

    /// Runs one call and counts how it ended.
    async fn run(
        &self,
        admitted: &Admitted,
        session: Session,
        request: Request,
    ) -> (Result<Answer, Ended>, Option<Session>) {
        let (answer, session) = self.sandbox.run(session, admitted.context.clone(), request).await;
        match &answer {
            Ok(_) => self.note(admitted, None),
            Err(Ended::Fault(fault)) => self.note(admitted, Some(fault)),
            // The endpoint's silence is not the plugin's.
            Err(Ended::Unknown { .. }) => {}
        }
        (answer, session)
    }

    fn note(&self, admitted: &Admitted, fault: Option<&Fault>) {
        let aside = admitted.plugin.breaker.note(fault, self.world.clock.elapsed_ms());
        if let Some(why) = aside {
            tracing::warn!(plugin = admitted.plugin.name, why, "plugin set aside");
        }
    }

    /// A call that can change nothing.
    async fn read(&self, admitted: &Admitted, request: Request) -> Result<(Answer, Session), Fault> {
        let session = self.session(admitted, None);
        let (answer, session) = self.run(admitted, session, request).await;
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
        let (table, now_ms) = (self.table(), self.world.clock.elapsed_ms());
        let aside = table.plugins.iter().filter_map(|plugin| {
            let (file, code) = (format!("{}.wasm", plugin.name), "PLUGIN_SET_ASIDE".to_owned());
            plugin.breaker.aside(now_ms).map(|reason| RejectedPlugin { file, code, reason })
        });
        table.rejected.iter().cloned().chain(table.trouble.clone()).chain(aside).collect()
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
        if cluster::is_cluster_call(&call.function) {
            return cluster::fate(&plugin, call).await;
        }
        match plugin.endpoints.get(&call.target.cluster) {
            Some(endpoint) => deed::fate(endpoint, &call.idempotency_key).await,
            None => unknown(format!("endpoint `{}` is no longer granted", call.target.cluster)),
        }
    }

    fn take_host_calls(&self) -> Vec<HostCallRecord> {
        self.world.broker.take()
    }
}
