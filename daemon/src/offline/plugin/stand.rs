//! A sandbox of its own for one component: what `run` and `test` try it in.
//!
//! Owns no authority: a permit for a change cannot be had here, so that nothing is ever changed. Plans are made and
//! rehearsed; they are carried out by a daemon, after people agreed.

use anyhow::{Context as _, bail};
use medic_core::permit::Ground;
use medic_core::tool::ToolCall;
use medic_core::{Fault, IncidentId, Permit, ToolCategory, ToolDescriptor, ToolName};
use medic_host::{Deps, Host, HostConfig};
use medic_ports::tools::{DryRun, HostCallRecord, Snapshot, ToolOutput, ToolPlan};
use medic_ports::{Clock, ToolHost as _};
use std::path::Path;
use std::sync::Arc;

/// One component under one grant.
pub struct Stand {
    host: Host,
    clock: Arc<dyn Clock>,
    // Removed with its content when the stand goes.
    _folder: Folder,
}

/// What one call came to.
pub enum Outcome {
    Answered(ToolOutput),
    Planned { plan: ToolPlan, rehearsal: Result<DryRun, Fault>, saved: Result<Snapshot, Fault> },
}

impl Stand {
    /// `config`: secrets and the way to compile; its folder and its record of what was reviewed are not touched.
    pub async fn open(file: &Path, grants: &str, config: HostConfig, deps: Deps) -> anyhow::Result<Self> {
        let folder = Folder::new()?;
        let name = medic_host::plugin_name(file).map_err(|error| crate::offline::coded(error.code, error))?;
        let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let plugins = folder.0.join("plugins");
        std::fs::create_dir(&plugins).context("cannot make a folder for the component")?;
        std::fs::write(plugins.join(format!("{name}.wasm")), bytes).context("cannot copy the component")?;
        let signature = medic_host::signature_beside(file);
        if signature.is_file() {
            std::fs::copy(&signature, plugins.join(format!("{name}.wasm.sig")))
                .context("cannot copy its signature")?;
        }
        let grants_file = folder.0.join("grants.toml");
        std::fs::write(&grants_file, grants).context("cannot copy the grant file")?;
        let config = HostConfig {
            plugins_dir: plugins,
            lock_file: Some(folder.0.join("plugins.lock")),
            grants_file,
            cache_dir: None,
            artifacts_dir: None,
            ..config
        };
        let clock = deps.clock.clone();
        let host = Host::open(config, deps).await?;
        // Other plugins of the same grant file have no file here, and that is no news.
        let own = format!("{name}.wasm");
        if let Some(rejected) = host.rejected().into_iter().find(|rejected| rejected.file == own) {
            bail!("{}: {}", rejected.code, rejected.reason);
        }
        Ok(Self { host, clock, _folder: folder })
    }

    /// The tools of the component.
    pub fn tools(&self) -> Vec<ToolDescriptor> {
        self.host.list()
    }

    pub fn tool(&self, name: &str) -> anyhow::Result<ToolDescriptor> {
        let names: Vec<String> = self.tools().iter().map(|tool| tool.name.to_string()).collect();
        let found = self.host.describe(&ToolName::new(name));
        found.with_context(|| format!("the component has no tool {name}; it has {}", names.join(", ")))
    }

    /// One call: an answer of a tool that reads, a rehearsed plan of one that changes.
    pub async fn call(&self, tool: &ToolDescriptor, args_json: &str) -> Result<Outcome, Fault> {
        if tool.category <= ToolCategory::Diagnostic {
            return self
                .host
                .invoke(&self.permit(tool, args_json, Ground::Invoke)?)
                .await
                .map(Outcome::Answered);
        }
        let prepare = self.permit(tool, args_json, Ground::Prepare)?;
        let plan = self.host.plan(&prepare).await?;
        let rehearsal = match self.permit(tool, args_json, Ground::DryRun) {
            Ok(permit) => self.host.dry_run(&permit, &plan).await,
            Err(fault) => Err(fault),
        };
        let saved = self.host.capture(&prepare, &plan).await;
        Ok(Outcome::Planned { plan, rehearsal, saved })
    }

    fn permit(&self, tool: &ToolDescriptor, args_json: &str, ground: Ground<'_>) -> Result<Permit, Fault> {
        let call = ToolCall { tool: tool.name.clone(), args_json: args_json.to_owned() };
        Permit::issue(&IncidentId::new("offline"), tool, call, ground, self.clock.now())
            .map_err(|refusal| Fault::new(medic_core::FaultKind::Denied, refusal.code(), refusal.to_string()))
    }

    /// What the host was asked for since the last time.
    pub fn host_calls(&self) -> Vec<HostCallRecord> {
        self.host.take_host_calls()
    }
}

/// A temporary folder that only its owner can read: a grant file names addresses.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let path = std::env::temp_dir().join(format!("medic-{}", ulid::Ulid::new()));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        made.with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind is small and lies where such things are cleared away.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
