//! A host on a temporary folder, with the whole life of a change in one call each.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use medic_cluster::Cluster;
use medic_core::permit::Ground;
use medic_core::plan::StepRef;
use medic_core::tool::ToolCall;
use medic_core::{ApprovedPlan, Digest, EffectId, Fault, Permit, ToolDescriptor, ToolName};
use medic_host::{Compiler, Deps, Host, HostConfig, MemoryState, SecretSource};
use medic_ports::ToolHost;
use medic_ports::fake::{FakeClock, FakeKnowledge, FakeLogs, FakeMetrics};
use medic_ports::tools::{DryRun, RevertOutcome, Snapshot, StepOutcome, ToolOutput, ToolPlan, ToolVerdict};
use serde_json::Value;
use tempfile::TempDir;

use crate::consent::{NOW, Notes, approved, incident};
use crate::guests::component;

static OPENING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Plugins with their grants, and what they reach.
pub struct Rig {
    folder: TempDir,
    grants: String,
    pub metrics: Arc<FakeMetrics>,
    pub host: Option<Host>,
}

/// A change that was planned, rehearsed and approved.
pub struct Changed {
    pub tool: ToolDescriptor,
    pub plan: ToolPlan,
    pub dry_run: DryRun,
    pub saved: Snapshot,
    approved: ApprovedPlan,
}

impl Default for Rig {
    fn default() -> Self {
        Self::new()
    }
}

impl Rig {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("plugins")).unwrap();
        Self { folder, grants: String::new(), metrics: Arc::new(FakeMetrics::new()), host: None }
    }

    /// Names a cluster, reached with `token`.
    #[must_use]
    pub fn cluster(mut self, name: &str, cluster: &Cluster, token: &str) -> Self {
        let path = self.folder.path().join(format!("{name}.kubeconfig"));
        std::fs::write(&path, cluster.kubeconfig(name, token)).unwrap();
        writeln!(self.grants, "[cluster.{name}]\nkubeconfig = \"{}\"", path.display()).unwrap();
        self
    }

    /// A plugin with a grant for exactly its bytes and all that they import; `more` is the rest of its table.
    #[must_use]
    pub fn plugin(mut self, name: &str, more: &str) -> Self {
        let bytes = component(name);
        std::fs::write(self.folder.path().join(format!("plugins/{name}.wasm")), bytes).unwrap();
        let draft = medic_host::emit_grant(name, bytes).unwrap();
        let line =
            |key: &str| draft.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
        let (category, functions) = (line("category"), functions(&draft));
        let digest = Digest::of_bytes(bytes);
        writeln!(self.grants, "[plugin.{name}]\ndigest = \"{digest}\"\n{category}\n{functions}\n{more}")
            .unwrap();
        self
    }

    #[must_use]
    pub fn toml(mut self, text: &str) -> Self {
        writeln!(self.grants, "{text}").unwrap();
        self
    }

    /// Opens the host; every plugin must load.
    pub async fn open(mut self) -> Self {
        let at = |name: &str| self.folder.path().join(name);
        std::fs::write(at("grants.toml"), &self.grants).unwrap();
        let config = HostConfig {
            compiler: Compiler::InProcess,
            cache_dir: Some(cache().to_owned()),
            secrets: BTreeMap::from([("token".to_owned(), SecretSource::Value("t0ps3cret".to_owned()))]),
            ..HostConfig::new(at("plugins"), at("grants.toml"))
        };
        let deps = Deps {
            clock: Arc::new(FakeClock::new(NOW)),
            metrics: self.metrics.clone(),
            logs: Arc::new(FakeLogs::new()),
            knowledge: Arc::new(FakeKnowledge::new()),
            state: Arc::new(MemoryState::default()),
        };
        // One after the other: what the first has compiled the others find.
        let opening = OPENING.lock().await;
        let host = Host::open(config, deps).await.unwrap();
        drop(opening);
        assert_eq!(host.rejected(), vec![], "every plugin of this test should load\n{}", self.grants);
        self.host = Some(host);
        self
    }

    pub fn host(&self) -> &Host {
        self.host.as_ref().unwrap()
    }

    fn tool(&self, name: &str) -> ToolDescriptor {
        self.host().describe(&ToolName::new(name)).unwrap_or_else(|| panic!("no tool {name}"))
    }

    fn permit(&self, tool: &ToolDescriptor, args: &str, ground: Ground<'_>) -> Permit {
        let call = ToolCall { tool: tool.name.clone(), args_json: args.to_owned() };
        Permit::issue(&incident(), tool, call, ground, NOW).unwrap()
    }

    /// A query or diagnostic tool.
    pub async fn ask(&self, tool: &str, args: &Value) -> Result<ToolOutput, Fault> {
        let tool = self.tool(tool);
        self.host().invoke(&self.permit(&tool, &args.to_string(), Ground::Invoke)).await
    }

    /// Plans, rehearses, captures and has it approved.
    pub async fn prepare(&self, tool: &str, args: &Value) -> Result<Changed, Fault> {
        let tool = self.tool(tool);
        let text = args.to_string();
        let prepare = self.permit(&tool, &text, Ground::Prepare);
        let plan = self.host().plan(&prepare).await?;
        let dry_run = self.host().dry_run(&self.permit(&tool, &text, Ground::DryRun), &plan).await?;
        let saved = self.host().capture(&prepare, &plan).await?;
        let approved = approved(&tool, &text, &plan);
        Ok(Changed { tool, plan, dry_run, saved, approved })
    }

    fn args(changed: &Changed) -> String {
        let item = changed.approved.plan().items.first();
        item.map(|item| item.args_json.clone()).unwrap_or_default()
    }

    pub async fn apply(&self, changed: &Changed, notes: &Arc<Notes>) -> StepOutcome {
        let effect = EffectId { incident: incident(), revision: 7, index: 1 };
        let ground = Ground::Apply { plan: &changed.approved, step: StepRef { item: 0, step: 1 }, effect };
        let permit = self.permit(&changed.tool, &Self::args(changed), ground);
        self.host().apply(&permit, &changed.plan, notes.clone()).await
    }

    pub async fn verify(&self, changed: &Changed) -> Result<ToolVerdict, Fault> {
        let permit = self.permit(&changed.tool, &Self::args(changed), Ground::Prepare);
        self.host().verify(&permit, &changed.plan, &[]).await
    }

    pub async fn revert(&self, changed: &Changed, applied: &Notes) -> RevertOutcome {
        let effect = EffectId { incident: incident(), revision: 8, index: 1 };
        let ground = Ground::Revert { plan: &changed.approved, step: StepRef { item: 0, step: 1 }, effect };
        let permit = self.permit(&changed.tool, &Self::args(changed), ground);
        let notes = Arc::new(Notes::default());
        self.host().revert(&permit, &changed.plan, &changed.saved, &applied.records(), notes).await
    }
}

/// Compiled components, shared by the tests of one binary: each is compiled once.
fn cache() -> &'static Path {
    static CACHE: OnceLock<TempDir> = OnceLock::new();
    CACHE.get_or_init(|| tempfile::tempdir().unwrap()).path()
}

/// `functions = [ … ]` of a draft, however many lines it takes.
fn functions(draft: &str) -> String {
    let begin = draft.find("functions = [").unwrap();
    let rest = &draft[begin..];
    rest[..=rest.find(']').unwrap()].to_owned()
}
