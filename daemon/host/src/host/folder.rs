//! The folder of plugins, watched: new and changed files, grants and secrets are loaded without a restart.
//!
//! Owns the looking and the reload. A file is loaded once it has looked the same twice, so that one that is still being
//! written is left alone; what did not change is taken over as it is, and calls under way end on what they began with.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::*;
use crate::lock::Locked;
use crate::signature::Provenance;
use crate::state::Owner;

/// Between two looks. 3 s: soon enough for whoever has just copied a file, and a dozen `stat` calls.
const LOOK_MS: u64 = 3000;
/// How often the log repeats that a plugin runs unsigned. One hour.
const REPEAT_MS: u64 = 3600 * 1000;

/// What tells that a file is another: inode, size, time of its last change in ns.
pub(super) type Fingerprint = BTreeMap<PathBuf, (u64, u64, i128)>;

#[derive(Default)]
pub(super) struct Seen {
    /// As it was when last loaded.
    loaded: Option<Fingerprint>,
    /// As it was at the last look.
    last: Option<Fingerprint>,
    repeated_ms: u64,
}

/// What a reload leaves behind beside the plugins.
struct Outcome {
    loaded: Loaded,
    fingerprint: Fingerprint,
    /// What was recorded and has neither file nor grant any more.
    uninstalled: Vec<Owner>,
}

impl Host {
    /// Looks after the files for ever. Whoever spawns this ends it by dropping it.
    pub async fn watch(&self) {
        loop {
            self.world.clock.sleep(LOOK_MS).await;
            self.look().await;
            self.repeat_overrides();
        }
    }

    /// One look: loads anew when something has changed and stands still. Answers whether it did.
    pub async fn look(&self) -> bool {
        let config = self.config.clone();
        let Ok(now) = self.sandbox.blocking(move || fingerprint(&config)).await else { return false };
        let ended = self.an_override_has_ended();
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let still = seen.last.replace(now.clone()).is_none_or(|last| last == now);
            if !ended && (seen.loaded.as_ref() == Some(&now) || !still) {
                return false;
            }
        }
        if let Err(error) = self.reload().await {
            tracing::error!(code = error.code(), %error, "plugins were not reloaded; everything stays as it was");
            // Not again until something changes.
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).loaded = Some(now);
        }
        true
    }

    /// Reads grants, lock and plugins again. On an error everything stays as it was, and [`ToolHost::rejected`] says why.
    ///
    /// # Errors
    /// As [`Host::open`].
    pub async fn reload(&self) -> Result<(), OpenError> {
        let (sandbox, config) = (self.sandbox.clone(), self.config.clone());
        let (before, now) = (self.table(), self.world.clock.now());
        let previous = before.plugins.clone();
        let loading = self.sandbox.blocking(move || load(&sandbox, &config, &previous, now)).await;
        let outcome = match loading.map_err(|fault| OpenError::Sandbox(fault.message)).flatten() {
            Ok(outcome) => outcome,
            Err(error) => {
                let trouble = RejectedPlugin {
                    file: self.config.grants_file.display().to_string(),
                    code: error.code().to_owned(),
                    reason: error.to_string(),
                };
                let Table { plugins, rejected, .. } = &*before;
                self.put(Table {
                    plugins: plugins.clone(),
                    rejected: rejected.clone(),
                    trouble: Some(trouble),
                });
                return Err(error);
            }
        };
        let Outcome { loaded: Loaded { plugins, rejected, .. }, fingerprint, uninstalled } = outcome;
        for gone in before.plugins.iter().filter(|old| !plugins.iter().any(|new| new.name == old.name)) {
            tracing::info!(plugin = gone.name, digest = gone.digest.short(), "plugin unloaded");
        }
        self.put(Table { plugins, rejected, trouble: None });
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.last.get_or_insert_with(|| fingerprint.clone());
            seen.loaded = Some(fingerprint);
        }
        for owner in uninstalled {
            // What a plugin kept goes with it.
            if let Err(error) = self.world.state.forget(&owner).await {
                tracing::warn!(plugin = owner.plugin, tool = owner.tool, %error, "state of an uninstalled tool remains");
            }
        }
        Ok(())
    }

    fn put(&self, table: Table) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    }

    fn overrides(&self) -> Vec<(Arc<Plugin>, crate::signature::Override)> {
        let plugins = self.table().plugins.clone();
        let overridden = plugins.into_iter().filter_map(|plugin| match &plugin.provenance {
            Provenance::Overridden(word) => Some((plugin.clone(), word.clone())),
            Provenance::Signed { .. } | Provenance::DigestAlone => None,
        });
        overridden.collect()
    }

    fn an_override_has_ended(&self) -> bool {
        let now = self.world.clock.now();
        self.overrides().iter().any(|(_, word)| now >= word.until)
    }

    fn repeat_overrides(&self) {
        let now_ms = self.world.clock.elapsed_ms();
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if now_ms < seen.repeated_ms.saturating_add(REPEAT_MS) {
                return;
            }
            seen.repeated_ms = now_ms;
        }
        for (plugin, word) in self.overrides() {
            let (plugin, provenance) = (&plugin.name, &plugin.provenance);
            tracing::warn!(plugin, reason = word.reason, "an UNSIGNED plugin is running: {provenance}");
        }
    }
}

fn load(
    sandbox: &Sandbox,
    config: &HostConfig,
    previous: &[Arc<Plugin>],
    now: medic_core::TimestampMs,
) -> Result<Outcome, OpenError> {
    // Taken before anything is read: what changes meanwhile shows at the next look.
    let mut fingerprint = fingerprint(config);
    let grants = read_grants(&config.grants_file)?;
    let cache = open_cache(config)?;
    let lock_path = config.lock_path();
    let lock = Lock::read(&lock_path)?;
    let loader = Loader {
        sandbox,
        grants: &grants,
        secrets: &config.secrets,
        cache: &cache,
        lock: &lock,
        previous,
        now,
    };
    let folder: &Path = &config.plugins_dir;
    let mut loaded = loader
        .load_folder(folder)
        .map_err(|source| OpenError::Plugins { path: folder.to_owned(), source })?;
    match Lock::record(&lock_path, &loaded.agreed) {
        Err(error) => leave_out_unrecorded(&mut loaded, &error),
        // Our own writing is no news to us.
        Ok(()) if !loaded.agreed.is_empty() => fingerprint.extend(look_at(lock_path)),
        Ok(()) => {}
    }
    let in_use: Vec<_> = loaded.plugins.iter().map(|plugin| plugin.digest.clone()).collect();
    cache.tidy(sandbox.engine(medic_core::ToolCategory::Query), &in_use);
    let gone = |(name, _): &(&String, &Locked)| {
        grants.get(name).is_none() && !folder.join(format!("{name}.wasm")).exists()
    };
    let tools = |(plugin, locked): (&String, &Locked)| -> Vec<Owner> {
        let owner = |tool: &String| Owner { plugin: plugin.clone(), tool: tool.clone() };
        locked.tools.keys().map(owner).collect()
    };
    let uninstalled = lock.iter().filter(gone).flat_map(tools).collect();
    Ok(Outcome { loaded, fingerprint, uninstalled })
}

/// What could not be written down would be wider unnoticed the next time, so that it does not begin.
fn leave_out_unrecorded(loaded: &mut Loaded, error: &LockError) {
    let first_seen = std::mem::take(&mut loaded.first_seen);
    loaded.plugins.retain(|plugin| !first_seen.contains(&plugin.name));
    for name in first_seen {
        loaded.rejected.push(RejectedPlugin {
            file: format!("{name}.wasm"),
            code: error.code().to_owned(),
            reason: format!("what it can do could not be written down: {error}"),
        });
    }
    tracing::warn!(code = error.code(), %error, "the lock of plugins was not written");
}

pub(crate) fn read_grants(path: &Path) -> Result<Grants, OpenError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| OpenError::GrantsUnreadable { path: path.to_owned(), source })?;
    Grants::parse(&text).map_err(|source| OpenError::GrantsInvalid { path: path.to_owned(), source })
}

pub(crate) fn open_cache(config: &HostConfig) -> Result<CompileCache, OpenError> {
    let compiler = config.compiler.clone();
    match &config.cache_dir {
        Some(folder) => CompileCache::open(folder, compiler)
            .map_err(|source| OpenError::Cache { path: folder.clone(), source }),
        None => Ok(CompileCache::none(compiler)),
    }
}

/// Of every file whose change is a reason to load anew. A file that is not there is not in it.
fn fingerprint(config: &HostConfig) -> Fingerprint {
    let folder = std::fs::read_dir(&config.plugins_dir).into_iter().flatten().flatten();
    let plugins = folder
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "wasm" || ending == "sig"));
    let secrets = config.secrets.values().filter_map(|source| match source {
        SecretSource::File(path) => Some(path.clone()),
        SecretSource::Value(_) | SecretSource::Env(_) => None,
    });
    let files = plugins.chain([config.grants_file.clone(), config.lock_path()]).chain(secrets);
    files.filter_map(look_at).collect()
}

fn look_at(path: PathBuf) -> Option<(PathBuf, (u64, u64, i128))> {
    let metadata = std::fs::metadata(&path).ok()?;
    let changed_ns = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    Some((path, (metadata.ino(), metadata.len(), changed_ns)))
}
