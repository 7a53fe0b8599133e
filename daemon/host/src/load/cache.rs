//! What was compiled, kept.
//!
//! Compiled code is trusted as the daemon's own, so it is read back only from files that nobody else could have written,
//! and only when the record beside them says that exactly these bytes came out of compiling exactly that component with
//! this engine. A file put there by other hands, renamed or edited, is not even looked into: it is compiled again.

use std::fs::{self, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use medic_core::Digest;
use serde::{Deserialize, Serialize};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::LoadError;
use super::compile::Compiler;

/// Artefacts kept. 64: every plugin of a large installation with an earlier version of each.
const ARTEFACTS_MAX: usize = 64;

/// Compiled components, by digest of the component, version of the engine and its configuration; and the components that
/// were loaded last, so that a version that is still to run outlives its file.
pub struct CompileCache {
    folder: Option<PathBuf>,
    owner: u32,
    compiler: Compiler,
}

/// Beside each artefact, and written after it: what it is.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    component: Digest,
    engine: String,
    artefact: Digest,
}

impl CompileCache {
    pub fn none(compiler: Compiler) -> Self {
        Self { folder: None, owner: 0, compiler }
    }

    /// # Errors
    /// The folder cannot be made private to this user.
    pub fn open(folder: &Path, compiler: Compiler) -> std::io::Result<Self> {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        // A file made here tells which user we are.
        let probe = folder.join(format!(".owner-{}", std::process::id()));
        let owner =
            write_private(&probe, b"").and_then(|()| fs::metadata(&probe)).map(|metadata| metadata.uid());
        fs::remove_file(&probe)?;
        Ok(Self { folder: Some(folder.to_owned()), owner: owner?, compiler })
    }

    /// # Errors
    /// As [`Compiler::compile`]. A cache that cannot be read or written only costs time.
    pub fn compile(&self, engine: &Engine, digest: &Digest, bytes: &[u8]) -> Result<Component, LoadError> {
        // The pool's own limits are only held against what has been compiled.
        let unusable = |error: wasmtime::Error| {
            LoadError::new("COMPILE_FAILED", format!("the sandbox has no place for it: {error:#}"))
        };
        let Some(path) = self.path(engine, digest) else {
            return deserialize(engine, &self.compiler.compile(engine, bytes)?).map_err(unusable);
        };
        if let Some(component) = self.load(engine, digest, &path) {
            return Ok(component);
        }
        let artefact = self.compiler.compile(engine, bytes)?;
        if let Err(error) = store(engine, digest, &artefact, &path) {
            tracing::warn!(path = %path.display(), %error, "compiled component could not be kept");
        }
        deserialize(engine, &artefact).map_err(unusable)
    }

    fn path(&self, engine: &Engine, digest: &Digest) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(format!("{}-{}.cwasm", hex(digest), engine_key(engine))))
    }

    fn load(&self, engine: &Engine, digest: &Digest, path: &Path) -> Option<Component> {
        let noted: Record = serde_json::from_slice(&self.read_own(&record_of(path))?).ok()?;
        let bytes = self.read_own(path)?;
        if noted != record(engine, digest, &bytes) {
            tracing::warn!(path = %path.display(), "compiled component is not what was noted of it, compiling again");
            return None;
        }
        deserialize(engine, &bytes).ok()
    }

    /// Keeps a component that was loaded, so that it can go on when its file is replaced by one that may not run yet.
    pub fn hold(&self, digest: &Digest, bytes: &[u8]) {
        let Some(path) = self.held(digest) else { return };
        if path.is_file() {
            return;
        }
        let folder = path.parent().unwrap_or(&path);
        if let Err(error) = fs::create_dir_all(folder).and_then(|()| replace(&path, bytes)) {
            tracing::warn!(path = %path.display(), %error, "loaded component could not be kept");
        }
    }

    /// A component that was kept; its bytes are what its digest says.
    pub fn held_bytes(&self, digest: &Digest) -> Option<Vec<u8>> {
        let bytes = self.read_own(&self.held(digest)?)?;
        (Digest::of_bytes(&bytes) == *digest).then_some(bytes)
    }

    fn held(&self, digest: &Digest) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join("held").join(format!("{}.wasm", hex(digest))))
    }

    /// Takes away what is of no use any more: artefacts of another engine, and the oldest beyond the limit; held
    /// components that `in_use` does not name.
    pub fn tidy(&self, engine: &Engine, in_use: &[Digest]) {
        let Some(folder) = &self.folder else { return };
        let ours = format!("-{}.cwasm", engine_key(engine));
        let mut artefacts: Vec<_> = files(folder)
            .into_iter()
            .filter(|(path, _)| path.extension().is_some_and(|ending| ending == "cwasm"))
            .collect();
        artefacts.sort_by_key(|(_, modified)| std::cmp::Reverse(*modified));
        let (mut kept, mut gone) = (0, Vec::new());
        for (path, _) in artefacts {
            if path.to_string_lossy().ends_with(&ours) && kept < ARTEFACTS_MAX {
                kept += 1;
            } else {
                gone.push(path);
            }
        }
        for (path, _) in files(&folder.join("held")) {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if !in_use.iter().any(|digest| hex(digest) == stem) {
                gone.push(path);
            }
        }
        for path in gone {
            let _ = fs::remove_file(record_of(&path));
            let _ = fs::remove_file(&path);
        }
    }

    /// The file's bytes, if it is ours and nobody else could write it.
    fn read_own(&self, path: &Path) -> Option<Vec<u8>> {
        let metadata = fs::symlink_metadata(path).ok()?;
        let ours = metadata.is_file() && metadata.uid() == self.owner && metadata.mode() & 0o077 == 0;
        if !ours {
            tracing::warn!(path = %path.display(), "file of the cache is not private to this user, ignored");
            return None;
        }
        fs::read(path).ok()
    }
}

/// Version of the engine, target and every setting that changes the code go into this.
fn engine_key(engine: &Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn record(engine: &Engine, component: &Digest, artefact: &[u8]) -> Record {
    Record { component: component.clone(), engine: engine_key(engine), artefact: Digest::of_bytes(artefact) }
}

fn hex(digest: &Digest) -> &str {
    digest.as_str().trim_start_matches("sha256:")
}

fn files(folder: &Path) -> Vec<(PathBuf, std::time::SystemTime)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            metadata.is_file().then_some(())?;
            Some((entry.path(), metadata.modified().ok()?))
        })
        .collect()
}

#[expect(
    unsafe_code,
    reason = "the bytes are checked to be those this process, or one of the same user, wrote"
)]
fn deserialize(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `bytes` came out of the compiler, either just now or into a folder and files private to this user whose
    // record still fits; the engine itself refuses another version or configuration.
    unsafe { Component::deserialize(engine, bytes) }
}

fn record_of(path: &Path) -> PathBuf {
    path.with_extension("cwasm.json")
}

fn store(engine: &Engine, component: &Digest, artefact: &[u8], path: &Path) -> std::io::Result<()> {
    // The record goes last: an artefact without one is never read.
    replace(path, artefact)?;
    let record = serde_json::to_vec(&record(engine, component, artefact)).map_err(std::io::Error::other)?;
    replace(&record_of(path), &record)
}

/// Writes a file anew that only its owner can read.
pub fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    write_private(&draft, bytes)?;
    fs::rename(&draft, path)
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";
    /// Another component: a custom section without content.
    const OTHER: &[u8] = b"\0asm\x0d\0\x01\0\0\x02\x01x";

    #[test]
    fn compiled_code_is_read_back_only_untouched_private_and_of_its_component() {
        let folder = tempfile::tempdir().unwrap();
        let (engine, digest) = (Engine::default(), Digest::of_bytes(EMPTY));
        let cache = CompileCache::open(folder.path(), Compiler::InProcess).unwrap();
        cache.compile(&engine, &digest, EMPTY).unwrap();
        let path = cache.path(&engine, &digest).unwrap();
        let readable = || cache.load(&engine, &digest, &path).is_some();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(readable());

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(!readable(), "others could read it, so others may have written it");

        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes[200] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(!readable(), "a flipped bit is not run");
        assert!(cache.compile(&engine, &digest, EMPTY).is_ok(), "it is compiled again");
        assert!(readable());

        // Another component's artefact with its record, under this one's name.
        let other = Digest::of_bytes(OTHER);
        cache.compile(&engine, &other, OTHER).unwrap();
        let others = cache.path(&engine, &other).unwrap();
        fs::copy(&others, &path).unwrap();
        fs::copy(record_of(&others), record_of(&path)).unwrap();
        assert!(!readable(), "a record for another component does not count");
    }

    #[test]
    fn what_is_held_is_what_it_was_and_goes_when_nothing_needs_it() {
        let folder = tempfile::tempdir().unwrap();
        let cache = CompileCache::open(folder.path(), Compiler::InProcess).unwrap();
        let (digest, other) = (Digest::of_bytes(EMPTY), Digest::of_bytes(OTHER));
        cache.hold(&digest, EMPTY);
        cache.hold(&other, OTHER);
        assert_eq!(cache.held_bytes(&digest).as_deref(), Some(EMPTY));
        fs::write(cache.held(&other).unwrap(), EMPTY).unwrap();
        assert_eq!(cache.held_bytes(&other), None, "edited");
        cache.tidy(&Engine::default(), std::slice::from_ref(&digest));
        assert!(cache.held_bytes(&digest).is_some() && !cache.held(&other).unwrap().exists());
    }
}
