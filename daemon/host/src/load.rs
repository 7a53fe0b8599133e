//! From a file to a plugin that may run, step by step; each step can refuse and says what to do about it.
//!
//! read and hash → decode → category → imports within the ceiling → types of the world → grant → signature → compile →
//! link → catalogue → comparison with `plugins.lock`. Nothing of a component runs before its grant is found, and then first
//! `list-tools`, with every import a trap.
//!
//! What runs is what the operator named: where the file holds other bytes than the grant, or bytes that could do more
//! than what was reviewed, the version that was loaded last goes on under the rights of the present grant file.

mod cache;
mod catalogue;
mod compile;
mod file;
mod link;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use medic_core::{Digest, TimestampMs};
use medic_ports::tools::RejectedPlugin;

pub use cache::{CompileCache, replace};
pub use compile::{Compiler, compile_for_parent};
pub use file::{plugin_name, read as read_component};

use crate::grant::{ClusterAddress, Grant, Grants};
use crate::http::Endpoint;
use crate::kube::Cluster;
use crate::lock::{Difference, Lock, Locked};
use crate::plugin::{Plugin, Tool};
use crate::sandbox::Sandbox;
use crate::secret::{Secret, SecretSource};
use crate::shape::{self, Shape};
use crate::signature::{Provenance, beside};

/// Why a component is not loaded. The message names the import, key or type at fault and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LoadError {
    /// Stable, upper snake case.
    pub code: &'static str,
    pub message: String,
}

impl LoadError {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// What loading a file takes beside the file.
pub struct Loader<'a> {
    pub sandbox: &'a Sandbox,
    pub grants: &'a Grants,
    pub secrets: &'a BTreeMap<String, SecretSource>,
    pub cache: &'a CompileCache,
    pub lock: &'a Lock,
    /// What is loaded now: what has not changed is taken over as it is, with the calls that are under way.
    pub previous: &'a [Arc<Plugin>],
    pub now: TimestampMs,
}

/// What a folder of plugins gave.
#[derive(Default)]
pub struct Loaded {
    pub plugins: Vec<Arc<Plugin>>,
    pub rejected: Vec<RejectedPlugin>,
    /// To be recorded: seen for the first time, or no wider than what was agreed to.
    pub agreed: BTreeMap<String, Locked>,
    /// Those of them that were never seen before.
    pub first_seen: BTreeSet<String>,
}

/// A component that passed every step.
struct Admitted {
    plugin: Arc<Plugin>,
    difference: Difference,
}

impl Loader<'_> {
    /// Loads every `*.wasm` of a folder, in order of name.
    ///
    /// # Errors
    /// The folder cannot be read. What is wrong with one file stays with it.
    pub fn load_folder(&self, folder: &Path) -> std::io::Result<Loaded> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "wasm") {
                files.push(path);
            }
        }
        files.sort();
        let mut loaded = Loaded::default();
        for path in &files {
            self.load_into(&mut loaded, path);
        }
        let stems: Vec<_> = files.iter().filter_map(|path| path.file_stem()?.to_str()).collect();
        for name in self.grants.names().filter(|name| !stems.contains(name)) {
            loaded.rejected.push(RejectedPlugin {
                file: format!("{name}.wasm"),
                code: "FILE_MISSING".to_owned(),
                reason: format!("there is a grant for `{name}`, and no such file in {}", folder.display()),
            });
        }
        Ok(loaded)
    }

    fn load_into(&self, loaded: &mut Loaded, path: &Path) {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut reject = |error: LoadError| {
            let known = self.previous.iter().any(|plugin| file == format!("{}.wasm", plugin.name));
            tracing::warn!(file, code = error.code, reason = error.message, known, "plugin rejected");
            loaded.rejected.push(RejectedPlugin {
                file: file.clone(),
                code: error.code.to_owned(),
                reason: error.message,
            });
        };
        let (plugin, agreed) = match self.load(path) {
            Ok(Admitted { plugin, .. }) => (plugin, true),
            Err((error, None)) => return reject(error),
            // What goes on running was agreed to before; the record may be ahead of it already.
            Err((mut error, Some(plugin))) => {
                error.message.push_str(&format!("; {} goes on running", plugin.digest.short()));
                reject(error);
                (plugin, false)
            }
        };
        if let Err(error) = unique(&loaded.plugins, &plugin) {
            return reject(error);
        }
        let news = !self.previous.iter().any(|previous| Arc::ptr_eq(previous, &plugin));
        if news {
            let Plugin { name, category, digest, provenance, .. } = &*plugin;
            tracing::info!(plugin = name, %category, digest = digest.short(), %provenance, "plugin loaded");
        }
        let recorded = self.lock.get(&plugin.name);
        if agreed && recorded.is_none_or(|locked| *locked != plugin.locked) {
            if recorded.is_none() {
                loaded.first_seen.insert(plugin.name.clone());
            }
            loaded.agreed.insert(plugin.name.clone(), plugin.locked.clone());
        }
        loaded.plugins.push(plugin);
    }

    /// One file. Beside an error, the version that goes on running in its place.
    fn load(&self, path: &Path) -> Result<Admitted, (LoadError, Option<Arc<Plugin>>)> {
        let name = file::plugin_name(path).map_err(|error| (error, None))?;
        let bytes = file::read(path).map_err(|error| (error, None))?;
        let digest = Digest::of_bytes(&bytes);
        self.load_bytes(path, &name, &bytes).map_err(|error| {
            let kept = match (self.grants.get(&name), self.lock.get(&name)) {
                (Some(Ok(grant)), _) if grant.digest != digest => self.keep(&name, grant, &grant.digest),
                (Some(Ok(grant)), Some(locked)) if error.code == "PENDING_REVIEW" => {
                    self.keep(&name, grant, &locked.digest)
                }
                _ => None,
            };
            (error, kept.map(|admitted| admitted.plugin))
        })
    }

    fn load_bytes(&self, path: &Path, name: &str, bytes: &[u8]) -> Result<Admitted, LoadError> {
        let shape = shape::read(bytes)?;
        let category = shape::category(&shape)?;
        let profile = self.grants.get(name).and_then(|grant| grant.as_ref().ok()).map(|grant| grant.profile);
        shape::check_imports(&shape, category, profile.unwrap_or_default())?;
        shape::check_structure(bytes, &shape, category)?;
        let grant = self.grant(name, &shape.digest, category)?;
        let detached = std::fs::read_to_string(beside(path)).ok();
        let provenance =
            self.grants.trust().judge(&shape.digest, detached.as_deref(), &grant.signatures, self.now)?;
        if let Provenance::Overridden(word) = &provenance {
            tracing::warn!(
                plugin = name,
                digest = shape.digest.short(),
                reason = word.reason,
                "UNSIGNED plugin is let run: {provenance}"
            );
        }
        let admitted = self.admit(name, bytes, &shape, grant, provenance)?;
        if let Difference::Widened { more } = &admitted.difference {
            let message = format!(
                "it could do more than what was reviewed: {}; read `medic plugin audit`, then accept it with `medic plugin \
                 install --accept-widening`",
                more.join(", ")
            );
            return Err(LoadError::new("PENDING_REVIEW", message));
        }
        Ok(admitted)
    }

    /// The version that was loaded last, under the present grant's rights; `None` when it cannot be had or may not run.
    fn keep(&self, name: &str, grant: &Grant, wanted: &Digest) -> Option<Admitted> {
        let grant = Grant { digest: wanted.clone(), ..grant.clone() };
        let previous = self.previous.iter().find(|plugin| plugin.name == name && plugin.digest == *wanted);
        let locked = self.lock.get(name).filter(|locked| locked.digest == *wanted);
        let key = match previous {
            Some(previous) => previous.provenance.key(),
            None => locked.and_then(|locked| locked.signer.as_deref()),
        };
        let provenance = self.grants.trust().judge_kept(wanted, key, &grant.signatures, self.now).ok()?;
        // In memory it was; on disk its bytes are what its digest says. Either way it was agreed to before.
        let bytes = self.cache.held_bytes(wanted);
        let shape = match (&bytes, previous) {
            (Some(bytes), _) => shape::read(bytes).ok()?,
            (None, Some(previous)) => return self.unchanged(previous, &grant),
            (None, None) => return None,
        };
        if shape::category(&shape).ok()? != grant.category {
            return None;
        }
        self.admit(name, &bytes?, &shape, grant, provenance).ok()
    }

    /// A plugin that is loaded, when nothing about it has changed.
    fn unchanged(&self, previous: &Arc<Plugin>, grant: &Grant) -> Option<Admitted> {
        let endpoints = self.endpoints(grant).ok()?;
        previous.is_like(grant, &endpoints).then(|| Admitted {
            plugin: previous.clone(),
            difference: self.lock.compare(&previous.name, &previous.locked),
        })
    }

    /// The steps behind grant and signature, and the comparison with what was agreed to.
    fn admit(
        &self,
        name: &str,
        bytes: &[u8],
        shape: &Shape,
        grant: Grant,
        provenance: Provenance,
    ) -> Result<Admitted, LoadError> {
        let (category, digest) = (grant.category, shape.digest.clone());
        let same = |plugin: &&Arc<Plugin>| {
            plugin.name == name && plugin.digest == digest && plugin.provenance == provenance
        };
        if let Some(unchanged) =
            self.previous.iter().find(same).and_then(|previous| self.unchanged(previous, &grant))
        {
            return Ok(unchanged);
        }
        let endpoints = self.endpoints(&grant)?;
        let clusters = self.clusters(&grant)?;
        let engine = self.sandbox.engine(category);
        let component = self.cache.compile(engine, &digest, bytes)?;
        let guest = link::link(self.sandbox, engine, &component, category, grant.profile)?;
        let tools = catalogue::read(self.sandbox, engine, &component)?;
        let locked = locked(shape, category, &tools, &provenance);
        let difference = self.lock.compare(name, &locked);
        if !matches!(difference, Difference::Widened { .. }) {
            self.cache.hold(&digest, bytes);
        }
        let plugin = Plugin::new(name, shape, grant, endpoints, provenance, locked, tools, guest);
        Ok(Admitted { plugin: Arc::new(Plugin { clusters, ..plugin }), difference })
    }

    fn grant(
        &self,
        name: &str,
        digest: &Digest,
        category: medic_core::ToolCategory,
    ) -> Result<Grant, LoadError> {
        let grant = match self.grants.get(name) {
            Some(Ok(grant)) => grant.clone(),
            Some(Err(error)) => return Err(LoadError::new(error.code, error.message.clone())),
            None => {
                return Err(LoadError::new(
                    "NO_GRANT",
                    format!(
                        "the grant file has no [plugin.{name}]; `medic plugin audit --emit-grant` drafts one"
                    ),
                ));
            }
        };
        if grant.digest != *digest {
            return Err(LoadError::new(
                "DIGEST_MISMATCH",
                format!(
                    "the grant is for {} and the file is {digest}; review the new bytes, then grant them",
                    grant.digest
                ),
            ));
        }
        if grant.category != category {
            return Err(LoadError::new(
                "CATEGORY_MISMATCH",
                format!("the grant says {}, the bytes export medic:tool/{category}", grant.category),
            ));
        }
        Ok(grant)
    }

    fn clusters(&self, grant: &Grant) -> Result<BTreeMap<String, Cluster>, LoadError> {
        let granted = grant.kubernetes.iter().flat_map(|kubernetes| &kubernetes.clusters);
        let connect = |(name, address): (&String, &ClusterAddress)| {
            let cluster = self.sandbox.block_on(Cluster::connect(name, address));
            let cluster = cluster.map_err(|fault| LoadError::new("CLUSTER_UNUSABLE", fault.message))?;
            let cluster = cluster
                .map_err(|why| LoadError::new("CLUSTER_UNUSABLE", format!("cluster `{name}`: {why}")))?;
            Ok((name.clone(), cluster))
        };
        granted.map(connect).collect()
    }

    fn endpoints(&self, grant: &Grant) -> Result<BTreeMap<String, Endpoint>, LoadError> {
        let mut endpoints = BTreeMap::new();
        for (name, address) in &grant.addresses {
            let secret = address
                .credential
                .as_ref()
                .map(|credential| Secret::resolve(credential, self.secrets))
                .transpose();
            let secret = secret
                .map_err(|why| LoadError::new("SECRET_MISSING", format!("endpoint `{name}`: {why}")))?;
            let endpoint = Endpoint::new(name, address.clone(), secret)
                .map_err(|why| LoadError::new("ENDPOINT_UNUSABLE", why))?;
            endpoints.insert(name.clone(), endpoint);
        }
        Ok(endpoints)
    }
}

/// What a component is, without any grant: for `medic plugin install`, which compiles it and asks it for its tools.
///
/// # Errors
/// The first step that refuses.
pub fn examine(
    sandbox: &Sandbox,
    cache: &CompileCache,
    bytes: &[u8],
    provenance: &Provenance,
) -> Result<Locked, LoadError> {
    let shape = shape::read(bytes)?;
    let category = shape::category(&shape)?;
    shape::check_imports(&shape, category, crate::grant::Profile::Pure)?;
    shape::check_structure(bytes, &shape, category)?;
    let engine = sandbox.engine(category);
    let component = cache.compile(engine, &shape.digest, bytes)?;
    let tools = catalogue::read(sandbox, engine, &component)?;
    Ok(locked(&shape, category, &tools, provenance))
}

fn locked(
    shape: &Shape,
    category: medic_core::ToolCategory,
    tools: &[Tool],
    provenance: &Provenance,
) -> Locked {
    let tools: BTreeMap<String, Digest> =
        tools.iter().map(|tool| (tool.name.to_string(), tool.digest())).collect();
    Locked {
        digest: shape.digest.clone(),
        category,
        functions: shape.functions().into_iter().collect(),
        catalogue: Digest::of(&("medic-catalogue-v1", &tools)),
        signer: provenance.key().map(str::to_owned),
        tools,
    }
}

/// A tool's name means one tool on the whole host; the first plugin in order of file names keeps it.
fn unique(loaded: &[Arc<Plugin>], plugin: &Plugin) -> Result<(), LoadError> {
    for tool in &plugin.tools {
        if let Some(owner) = loaded.iter().find(|other| other.tool(&tool.name).is_some()) {
            let message =
                format!("it has a tool `{}`, and so has plugin `{}`; rename one", tool.name, owner.name);
            return Err(LoadError::new("TOOL_NAME_TAKEN", message));
        }
    }
    Ok(())
}
