//! The folder of plugins seen from outside the daemon: what it would load, and putting a new file into it.
//!
//! Owns the two operations behind `medic plugin list` and `medic plugin install`. Never changes a grant: rights are the
//! operator's to write.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use medic_core::TimestampMs;
use medic_ports::tools::RejectedPlugin;
use serde::Serialize;

use crate::artifacts::{Artifact, Artifacts};
use crate::grant::Grants;
use crate::host::{HostConfig, OpenError, open_cache, read_grants};
use crate::load::{LoadError, Loader, examine, plugin_name, read_component};
use crate::lock::{Difference, Lock, LockError, Locked};
use crate::plugin::Plugin;
use crate::sandbox::Sandbox;
use crate::signature::{Provenance, SignaturePolicy, beside};

/// What a daemon with this configuration would load now.
#[derive(Debug, Serialize)]
pub struct Survey {
    pub plugins: Vec<Surveyed>,
    pub rejected: Vec<RejectedPlugin>,
}

#[derive(Debug, Serialize)]
pub struct Surveyed {
    pub name: String,
    pub digest: String,
    pub category: String,
    pub tools: Vec<String>,
    /// `metrics.query`, and whether the grant has it.
    pub functions: Vec<(String, bool)>,
    /// Who vouches for it, in words.
    pub provenance: String,
    /// Whether it was ever recorded in `plugins.lock`.
    pub recorded: bool,
}

/// Goes through every step of loading and changes nothing but the cache of compiled components.
///
/// # Errors
/// As [`crate::Host::open`].
pub fn survey(config: &HostConfig, now: TimestampMs) -> Result<Survey, OpenError> {
    let sandbox = Sandbox::new().map_err(OpenError::Sandbox)?;
    let grants = read_grants(&config.grants_file)?;
    let (cache, lock) = (open_cache(config)?, Lock::read(&config.lock_path())?);
    let loader = Loader {
        sandbox: &sandbox,
        grants: &grants,
        secrets: &config.secrets,
        cache: &cache,
        lock: &lock,
        previous: &[],
        now,
    };
    let loaded = loader
        .load_folder(&config.plugins_dir)
        .map_err(|source| OpenError::Plugins { path: config.plugins_dir.clone(), source })?;
    let surveyed = |plugin: Arc<Plugin>| Surveyed {
        digest: plugin.digest.to_string(),
        category: plugin.category.to_string(),
        tools: plugin.tools.iter().map(|tool| tool.name.to_string()).collect(),
        functions: plugin
            .imports
            .iter()
            .map(|function| (function.clone(), plugin.grant.functions.contains(function)))
            .collect(),
        provenance: plugin.provenance.to_string(),
        recorded: lock.get(&plugin.name).is_some(),
        name: plugin.name.clone(),
    };
    Ok(Survey { plugins: loaded.plugins.into_iter().map(surveyed).collect(), rejected: loaded.rejected })
}

/// Large output that a tool left in the configured folder; `None` when there is no such thing there any more.
///
/// # Errors
/// The folder cannot be used.
pub fn artifact(folder: &Path, id: &str) -> std::io::Result<Option<Artifact>> {
    Ok(Artifacts::in_folder(folder)?.get(id))
}

/// A component in its place.
#[derive(Debug)]
pub struct Installed {
    pub name: String,
    pub locked: Locked,
    pub difference: Difference,
    pub provenance: Provenance,
    /// Where it lies now.
    pub path: PathBuf,
    /// Whether the grant file names exactly these bytes, so that a daemon loads them.
    pub granted: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("{file}: {source}")]
    Refused { file: String, source: LoadError },
    #[error(
        "{name} could do more than what was reviewed: {}; once that is agreed to, install it with --accept-widening",
        more.join(", ")
    )]
    Widened { name: String, more: Vec<String> },
    #[error("cannot put {path} in place: {source}")]
    Io { path: String, source: std::io::Error },
}

impl From<LockError> for InstallError {
    fn from(error: LockError) -> Self {
        Self::Open(error.into())
    }
}

impl InstallError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Open(error) => error.code(),
            Self::Refused { source, .. } => source.code,
            Self::Widened { .. } => "PLUGIN_WIDENED",
            Self::Io { .. } => "PLUGIN_INSTALL_IO",
        }
    }
}

/// Checks a component as loading would, compiles it, records what it can do and puts it, with its signature, into the
/// folder, whole or not at all. Nothing changes when it is refused: what was installed before goes on.
///
/// # Errors
/// [`InstallError`]; [`InstallError::Widened`] unless `accept_widening`.
pub fn install(
    config: &HostConfig,
    file: &Path,
    accept_widening: bool,
    now: TimestampMs,
) -> Result<Installed, InstallError> {
    let shown = file.display().to_string();
    let refused = |source: LoadError| InstallError::Refused { file: shown.clone(), source };
    let name = plugin_name(file).map_err(refused)?;
    let bytes = read_component(file).map_err(refused)?;
    let grants = match read_grants(&config.grants_file) {
        Ok(grants) => grants,
        // The first plugin is installed before anything is granted.
        Err(OpenError::GrantsUnreadable { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Grants::default()
        }
        Err(error) => return Err(error.into()),
    };
    let (digest, grant) =
        (medic_core::Digest::of_bytes(&bytes), grants.get(&name).and_then(|grant| grant.as_ref().ok()));
    let detached = std::fs::read_to_string(beside(file)).ok();
    let any = SignaturePolicy::default();
    let policy = grant.map_or(&any, |grant| &grant.signatures);
    let provenance = grants.trust().judge(&digest, detached.as_deref(), policy, now).map_err(refused)?;
    let sandbox = Sandbox::new().map_err(OpenError::Sandbox)?;
    let cache = open_cache(config)?;
    let locked = examine(&sandbox, &cache, &bytes, &provenance).map_err(refused)?;
    let lock_path = config.lock_path();
    let difference = Lock::read(&lock_path)?.compare(&name, &locked);
    if let (Difference::Widened { more }, false) = (&difference, accept_widening) {
        return Err(InstallError::Widened { name, more: more.clone() });
    }
    let path = config.plugins_dir.join(format!("{name}.wasm"));
    // Signature first: a component that arrives before it would be refused until the next look.
    match &detached {
        Some(detached) => put(&beside(&path), detached.as_bytes())?,
        None => drop(std::fs::remove_file(beside(&path))),
    }
    // The record before the file: a widened file that is there already when its record is not would wait for review.
    Lock::record(&lock_path, &std::collections::BTreeMap::from([(name.clone(), locked.clone())]))?;
    put(&path, &bytes)?;
    let granted = grant.is_some_and(|grant| grant.digest == digest);
    Ok(Installed { name, locked, difference, provenance, path, granted })
}

/// Readable for the daemon's user, whoever installs.
fn put(path: &Path, bytes: &[u8]) -> Result<(), InstallError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let failed = |source| InstallError::Io { path: path.display().to_string(), source };
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".draft-{}", std::process::id()));
    let draft = PathBuf::from(draft);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .open(&draft)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
    written.and_then(|()| std::fs::rename(&draft, path)).map_err(|error| {
        let _ = std::fs::remove_file(&draft);
        failed(error)
    })
}
