//! From a file to a plugin that may run, step by step; each step can refuse and says what to do about it.
//!
//! read and hash → decode → category → imports within the ceiling → types of the world → grant → compile → catalogue →
//! link. Nothing of a component runs before its grant is found, and nothing but `list-tools`, with every import a trap,
//! before it is linked.

mod catalogue;
mod compile;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use medic_core::Digest;
use medic_ports::tools::RejectedPlugin;
use tokio::sync::Semaphore;

pub use compile::CompileCache;

use crate::grant::{Grant, Grants, Profile};
use crate::http::Endpoint;
use crate::limits::{COMPONENT_BYTES_MAX, Limits};
use crate::plugin::{Guest, Plugin};
use crate::sandbox::Sandbox;
use crate::secret::{Secret, SecretSource};
use crate::shape;

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
}

/// What a folder of plugins gave.
#[derive(Default)]
pub struct Loaded {
    pub plugins: Vec<Plugin>,
    pub rejected: Vec<RejectedPlugin>,
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
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match self.load(path).and_then(|plugin| unique(&loaded.plugins, plugin)) {
                Ok(plugin) => {
                    tracing::info!(plugin = plugin.name, category = %plugin.category, digest = plugin.digest.short(), "plugin loaded");
                    loaded.plugins.push(plugin);
                }
                Err(error) => {
                    tracing::warn!(file, code = error.code, reason = error.message, "plugin rejected");
                    loaded.rejected.push(RejectedPlugin {
                        file,
                        code: error.code.to_owned(),
                        reason: error.message,
                    });
                }
            }
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

    /// # Errors
    /// The first step that refuses.
    pub fn load(&self, path: &Path) -> Result<Plugin, LoadError> {
        let name = plugin_name(path)?;
        let bytes = read(path)?;
        let shape = shape::read(&bytes)?;
        let category = shape::category(&shape)?;
        shape::check_imports(&shape, category, self.profile_of(&name))?;
        shape::check_structure(&bytes, &shape, category)?;
        let grant = self.grant(&name, &shape.digest, category)?;
        let endpoints = self.endpoints(&grant)?;
        let engine = self.sandbox.engine(category);
        let component = self.cache.compile(engine, &shape.digest, &bytes)?;
        let tools = catalogue::read(self.sandbox, engine, &component)?;
        let guest = self.link(engine, &component, category, grant.profile)?;
        Ok(Plugin {
            name,
            digest: shape.digest.clone(),
            category,
            grant_digest: grant.digest_of_terms(),
            grant,
            endpoints,
            imports: shape.functions(),
            tools,
            guest,
            slots: Semaphore::new(Limits::concurrency(category).0),
        })
    }

    fn profile_of(&self, name: &str) -> Profile {
        match self.grants.get(name) {
            Some(Ok(grant)) => grant.profile,
            _ => Profile::Pure,
        }
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

    fn link(
        &self,
        engine: &wasmtime::Engine,
        component: &wasmtime::component::Component,
        category: medic_core::ToolCategory,
        profile: Profile,
    ) -> Result<Guest, LoadError> {
        let failed =
            |error: wasmtime::Error| LoadError::new("LINK_FAILED", format!("it cannot be linked: {error:#}"));
        let mut linker = self
            .sandbox
            .linker(category, profile)
            .ok_or_else(|| LoadError::new("LINK_FAILED", "no linker exists for its category"))?;
        if profile == Profile::Pure {
            link_wasi_as_traps(&mut linker, engine, component).map_err(failed)?;
        }
        Guest::new(category, linker.instantiate_pre(component).map_err(failed)?)
    }
}

/// Ambient WASI that a guest's runtime drags in and that is not given: calling any of it is a trap. Only this is stubbed;
/// what is missing of the contract stays missing.
fn link_wasi_as_traps(
    linker: &mut wasmtime::component::Linker<crate::session::Session>,
    engine: &wasmtime::Engine,
    component: &wasmtime::component::Component,
) -> wasmtime::Result<()> {
    use wasmtime::component::ResourceType;
    use wasmtime::component::types::ComponentItem;
    for (name, item) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(interface) = item.ty else { continue };
        if !name.starts_with("wasi:") {
            continue;
        }
        let mut instance = linker.instance(name)?;
        for (export, item) in interface.exports(engine) {
            match item.ty {
                ComponentItem::ComponentFunc(_) => {
                    let words = format!("{name} {export} is not there under profile pure");
                    instance.func_new(export, move |_, _, _, _| Err(wasmtime::Error::msg(words.clone())))?;
                }
                ComponentItem::Resource(_) => {
                    instance.resource(export, ResourceType::host::<()>(), |_, _| Ok(()))?
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn plugin_name(path: &Path) -> Result<String, LoadError> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if stem.is_empty() || stem.len() > 64 || !stem.chars().all(fine) {
        return Err(LoadError::new(
            "FILE_NAME",
            "the file's name must be lower-case letters, digits and hyphens, as the grant file names it",
        ));
    }
    Ok(stem.to_owned())
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let failed =
        |error: std::io::Error| LoadError::new("FILE_UNREADABLE", format!("it cannot be read: {error}"));
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    // The length on disk may change while reading; what counts is what was read.
    file.take(COMPONENT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > COMPONENT_BYTES_MAX {
        return Err(LoadError::new(
            "FILE_TOO_LARGE",
            format!("it is larger than {COMPONENT_BYTES_MAX} bytes"),
        ));
    }
    Ok(bytes)
}

/// A tool's name means one tool on the whole host; the first plugin in order of file names keeps it.
fn unique(loaded: &[Plugin], plugin: Plugin) -> Result<Plugin, LoadError> {
    for tool in &plugin.tools {
        if let Some(owner) = loaded.iter().find(|other| other.tool(&tool.name).is_some()) {
            let message =
                format!("it has a tool `{}`, and so has plugin `{}`; rename one", tool.name, owner.name);
            return Err(LoadError::new("TOOL_NAME_TAKEN", message));
        }
    }
    Ok(plugin)
}
