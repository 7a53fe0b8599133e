//! Credentials the host adds to requests; a guest never sees one.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

/// Where a credential comes from. Exactly one way.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum SecretSource {
    /// The value itself; for tests and generated configurations.
    Value(String),
    /// Name of an environment variable.
    Env(String),
    /// A file holding the value; a trailing newline does not count.
    File(PathBuf),
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str("Value([redacted])"),
            Self::Env(name) => write!(f, "Env({name})"),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

/// A credential in hand.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

impl Secret {
    /// # Errors
    /// What is missing, without a word of any value.
    pub fn resolve(name: &str, sources: &BTreeMap<String, SecretSource>) -> Result<Self, String> {
        let source =
            sources.get(name).ok_or_else(|| format!("there is no secret `{name}` in the configuration"))?;
        let value = match source {
            SecretSource::Value(value) => value.clone(),
            SecretSource::Env(variable) => read_variable(variable)
                .ok_or_else(|| format!("secret `{name}`: the environment variable {variable} is not set"))?,
            SecretSource::File(path) => std::fs::read_to_string(path)
                .map_err(|error| format!("secret `{name}`: cannot read {}: {error}", path.display()))?,
        };
        let value = value.trim_end_matches(['\r', '\n']);
        if value.is_empty() || value.bytes().any(|byte| !(0x20..0x7f).contains(&byte)) {
            return Err(format!("secret `{name}` is empty or holds characters that no header can carry"));
        }
        Ok(Self(value.to_owned()))
    }

    /// Value of an `Authorization` header.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Takes the value out of what an endpoint answered: some echo the request's headers.
    pub fn redact(&self, bytes: Vec<u8>) -> Vec<u8> {
        let found = |bytes: &[u8]| bytes.windows(self.0.len()).any(|window| window == self.0.as_bytes());
        if !found(&bytes) {
            return bytes;
        }
        String::from_utf8_lossy(&bytes).replace(&self.0, "[redacted]").into_bytes()
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the operator's configuration names the variable; nothing else is read"
)]
fn read_variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(source: SecretSource) -> Result<Secret, String> {
        Secret::resolve("token", &BTreeMap::from([("token".to_owned(), source)]))
    }

    #[test]
    fn a_secret_is_never_printed_and_never_handed_on() {
        let secret = resolve(SecretSource::Value("s3cr3t".into())).unwrap();
        assert_eq!(
            format!("{secret:?} {:?}", SecretSource::Value("s3cr3t".into())).matches("s3cr3t").count(),
            0
        );
        assert_eq!(secret.redact(b"you sent Bearer s3cr3t!".to_vec()), b"you sent Bearer [redacted]!");
        assert_eq!(secret.redact(vec![0xff, 1]), [0xff, 1]);
    }

    #[test]
    fn a_secret_that_is_not_there_is_named_without_its_value() {
        assert!(Secret::resolve("other", &BTreeMap::new()).unwrap_err().contains("other"));
        assert!(
            resolve(SecretSource::File("/nonexistent/token".into()))
                .unwrap_err()
                .contains("/nonexistent/token")
        );
        assert!(resolve(SecretSource::Env("MEDIC_HOST_TEST_UNSET".into())).is_err());
        assert!(!resolve(SecretSource::Value("a\r\nHost: evil".into())).unwrap_err().contains("evil"));
    }

    #[test]
    fn a_file_may_end_with_a_newline() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc\n").unwrap();
        assert_eq!(resolve(SecretSource::File(file.path().into())).unwrap().bearer(), "Bearer abc");
    }
}
