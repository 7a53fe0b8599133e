//! Secrets: named in the configuration, kept elsewhere, never shown.

use serde::de::{self, Deserialize, Deserializer, MapAccess};
use std::fmt;
use std::path::PathBuf;
use thiserror::Error;

/// Bytes of a secret file that are read. 64 KiB: a key with its chain.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Where a secret is kept: `{ env = "NAME" }` or `{ file = "/path" }`. There is no way to write one down in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file's content, without the line end at its end.
    File(PathBuf),
}

/// By hand, because a derived one repeats what it refuses: the secret that somebody wrote down after all.
impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reference)
    }
}

struct Reference;

impl<'de> de::Visitor<'de> for Reference {
    type Value = SecretRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a reference to a secret: { env = \"NAME\" } or { file = \"PATH\" }")
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<SecretRef, E> {
        Err(E::custom(
            "a secret is not written here; refer to it by { env = \"NAME\" } or { file = \"PATH\" }",
        ))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretRef, A::Error> {
        let one = || de::Error::custom("a secret is referred to by exactly one of env and file");
        let key: String = map.next_key()?.ok_or_else(one)?;
        let reference = match key.as_str() {
            "env" => SecretRef::Env(map.next_value()?),
            "file" => SecretRef::File(map.next_value()?),
            other => return Err(de::Error::unknown_field(other, &["env", "file"])),
        };
        if map.next_key::<String>()?.is_some() { Err(one()) } else { Ok(reference) }
    }
}

#[derive(Debug, Error)]
pub enum SecretError {
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    #[error("the environment variable {0} is not text")]
    NotText(String),
    #[error("cannot read {path}: {reason}")]
    Unreadable { path: PathBuf, reason: String },
    #[error("it is empty")]
    Empty,
}

impl SecretRef {
    /// # Errors
    /// [`SecretError`]; an empty secret is none.
    pub fn resolve(&self) -> Result<Secret, SecretError> {
        let value = match self {
            Self::Env(name) => from_environment(name)?,
            Self::File(path) => {
                let unreadable = |reason: String| SecretError::Unreadable { path: path.clone(), reason };
                let metadata = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
                if metadata.len() > FILE_BYTES_MAX {
                    return Err(unreadable(format!("it is larger than {FILE_BYTES_MAX} bytes")));
                }
                let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
        };
        if value.is_empty() { Err(SecretError::Empty) } else { Ok(Secret(value)) }
    }
}

#[expect(clippy::disallowed_methods, reason = "the configuration is where the environment is read")]
fn from_environment(name: &str) -> Result<String, SecretError> {
    std::env::var(name).map_err(|error| match error {
        std::env::VarError::NotPresent => SecretError::NotSet(name.to_owned()),
        std::env::VarError::NotUnicode(_) => SecretError::NotText(name.to_owned()),
    })
}

/// A resolved secret. Its `Debug` never shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
