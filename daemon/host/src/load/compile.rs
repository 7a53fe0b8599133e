//! Compiling, and keeping what was compiled.
//!
//! Compilation is where a hostile component can cost the most, so it stands behind one function: whoever moves it into a
//! process of its own replaces [`compile`] and nothing else. Compiled code is trusted as the daemon's own, so it is read
//! back only from files that nobody else could have written, and only when their digest is the one noted beside them.

use std::fs::{self, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use medic_core::Digest;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::LoadError;

/// Compiled components, by digest of the component, version of the engine and its configuration.
pub struct CompileCache {
    folder: Option<PathBuf>,
    owner: u32,
}

impl CompileCache {
    pub fn none() -> Self {
        Self { folder: None, owner: 0 }
    }

    /// # Errors
    /// The folder cannot be made private to this user.
    pub fn open(folder: &Path) -> std::io::Result<Self> {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        // A file made here tells which user we are.
        let probe = folder.join(format!(".owner-{}", std::process::id()));
        let owner =
            write_private(&probe, b"").and_then(|()| fs::metadata(&probe)).map(|metadata| metadata.uid());
        fs::remove_file(&probe)?;
        Ok(Self { folder: Some(folder.to_owned()), owner: owner? })
    }

    /// # Errors
    /// `COMPILE_FAILED`. A cache that cannot be read or written only costs time.
    pub fn compile(&self, engine: &Engine, digest: &Digest, bytes: &[u8]) -> Result<Component, LoadError> {
        let Some(path) = self.path(engine, digest) else { return compile(engine, bytes) };
        if let Some(component) = self.load(engine, &path) {
            return Ok(component);
        }
        let component = compile(engine, bytes)?;
        if let Err(error) = store(&component, &path) {
            tracing::warn!(path = %path.display(), %error, "compiled component could not be kept");
        }
        Ok(component)
    }

    fn path(&self, engine: &Engine, digest: &Digest) -> Option<PathBuf> {
        // Version of the engine, target and every setting that changes the code go into this hash.
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let hex = digest.as_str().trim_start_matches("sha256:");
        Some(self.folder.as_ref()?.join(format!("{hex}-{:016x}.cwasm", hasher.finish())))
    }

    fn load(&self, engine: &Engine, path: &Path) -> Option<Component> {
        let noted = self.read_own(&noted_at(path))?;
        let bytes = self.read_own(path)?;
        if Digest::of_bytes(&bytes).as_str().as_bytes() != noted {
            tracing::warn!(path = %path.display(), "compiled component is damaged, compiling again");
            return None;
        }
        deserialize(engine, &bytes)
    }

    /// The file's bytes, if it is ours and nobody else could write it.
    fn read_own(&self, path: &Path) -> Option<Vec<u8>> {
        let metadata = fs::symlink_metadata(path).ok()?;
        let ours = metadata.is_file() && metadata.uid() == self.owner && metadata.mode() & 0o077 == 0;
        if !ours {
            tracing::warn!(path = %path.display(), "compiled component is not private to this user, ignored");
            return None;
        }
        fs::read(path).ok()
    }
}

fn compile(engine: &Engine, bytes: &[u8]) -> Result<Component, LoadError> {
    Component::from_binary(engine, bytes)
        .map_err(|error| LoadError::new("COMPILE_FAILED", format!("it cannot be compiled: {error:#}")))
}

#[expect(
    unsafe_code,
    reason = "the bytes are checked to be those this process, or one of the same user, wrote"
)]
fn deserialize(engine: &Engine, bytes: &[u8]) -> Option<Component> {
    // SAFETY: `bytes` came out of `Component::serialize` in a folder and files private to this user, and still have the
    // digest noted when they were written; the engine itself refuses another version or configuration.
    unsafe { Component::deserialize(engine, bytes) }.ok()
}

fn noted_at(path: &Path) -> PathBuf {
    path.with_extension("cwasm.sha256")
}

fn store(component: &Component, path: &Path) -> std::io::Result<()> {
    let bytes = component.serialize().map_err(|error| std::io::Error::other(error.to_string()))?;
    // The digest goes last: code without one is never read.
    replace(path, &bytes)?;
    replace(&noted_at(path), Digest::of_bytes(&bytes).as_str().as_bytes())
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    write_private(&draft, bytes)?;
    fs::rename(&draft, path)
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let _ = fs::remove_file(path);
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn compiled_code_is_read_back_only_untouched_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let (engine, digest) = (Engine::default(), Digest::of_bytes(EMPTY));
        let cache = CompileCache::open(folder.path()).unwrap();
        cache.compile(&engine, &digest, EMPTY).unwrap();
        let path = cache.path(&engine, &digest).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(cache.load(&engine, &path).is_some());

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(cache.load(&engine, &path).is_none(), "others could read it, so others may have written it");

        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes[200] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(cache.load(&engine, &path).is_none(), "a flipped bit is not run");
        assert!(cache.compile(&engine, &digest, EMPTY).is_ok(), "it is compiled again");
        assert!(cache.load(&engine, &path).is_some());
    }
}
