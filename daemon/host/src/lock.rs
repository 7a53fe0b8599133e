//! `plugins.lock`: what was reviewed of each plugin, so that a later version that could do more is seen before it runs.
//!
//! Owns the file and the comparison. The digest in a grant says *these bytes*; this file says *what they could do when
//! somebody last agreed to it*. A new version that could do no more takes the place of the old one by itself; one that
//! could do more waits for a person. Holds no authority: nothing runs because of what stands here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use medic_core::{Digest, ToolCategory};
use serde::{Deserialize, Serialize};

use crate::load::replace;

/// Of the file's form.
const VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    #[serde(default, rename = "plugin")]
    plugins: BTreeMap<String, Locked>,
}

/// What was agreed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    pub digest: Digest,
    pub category: ToolCategory,
    /// Host functions that the bytes import, without those that every tool has.
    pub functions: BTreeSet<String>,
    /// Of all tools together.
    pub catalogue: Digest,
    /// The public key that signed it, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// Each tool with the digest of its name, description and schema.
    pub tools: BTreeMap<String, Digest>,
}

/// What a component could do beside what was agreed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "UPPERCASE")]
pub enum Difference {
    /// Nothing was ever agreed to.
    New,
    Same,
    Narrowed {
        less: Vec<String>,
    },
    /// In words, each a thing it could do now and could not before.
    Widened {
        more: Vec<String>,
    },
}

impl Difference {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::Same => "SAME",
            Self::Narrowed { .. } => "NARROWED",
            Self::Widened { .. } => "WIDENED",
        }
    }

    pub fn words(&self) -> &[String] {
        match self {
            Self::New | Self::Same => &[],
            Self::Narrowed { less: words } | Self::Widened { more: words } => words,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("cannot read {path}: {source}")]
    Unreadable { path: String, source: std::io::Error },
    #[error(
        "{path} cannot be understood: {why}; it is written by `medic plugin install` and the daemon alone"
    )]
    Invalid { path: String, why: String },
    #[error("cannot write {path}: {source}; see who owns its folder, or name another in `tools.lock_file`")]
    Unwritable { path: String, source: std::io::Error },
}

impl LockError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "PLUGIN_LOCK_UNREADABLE",
            Self::Invalid { .. } => "PLUGIN_LOCK_INVALID",
            Self::Unwritable { .. } => "PLUGIN_LOCK_UNWRITABLE",
        }
    }
}

impl Default for Lock {
    fn default() -> Self {
        Self { version: VERSION, plugins: BTreeMap::new() }
    }
}

impl Lock {
    /// A file that is not there is an empty lock.
    ///
    /// # Errors
    /// [`LockError::Unreadable`], [`LockError::Invalid`].
    pub fn read(path: &Path) -> Result<Self, LockError> {
        let shown = || path.display().to_string();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(LockError::Unreadable { path: shown(), source }),
        };
        let lock: Self = toml::from_str(&text)
            .map_err(|error| LockError::Invalid { path: shown(), why: error.message().to_owned() })?;
        if lock.version != VERSION {
            let why = format!("it is of version {}, this program knows {VERSION}", lock.version);
            return Err(LockError::Invalid { path: shown(), why });
        }
        Ok(lock)
    }

    /// Puts entries into the file as it stands now, which another hand may have changed since it was read.
    ///
    /// # Errors
    /// Any [`LockError`]; the file is as it was then.
    pub fn record(path: &Path, entries: &BTreeMap<String, Locked>) -> Result<(), LockError> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut lock = Self::read(path)?;
        lock.plugins.extend(entries.clone());
        let unwritable = |source| LockError::Unwritable { path: path.display().to_string(), source };
        let text = toml::to_string(&lock).map_err(|error| unwritable(std::io::Error::other(error)))?;
        let head = "# What was reviewed of each plugin. Written by `medic plugin install` and the daemon; not by hand.\n";
        replace(path, format!("{head}{text}").as_bytes()).map_err(unwritable)
    }

    pub fn get(&self, plugin: &str) -> Option<&Locked> {
        self.plugins.get(plugin)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &Locked)> {
        self.plugins.iter()
    }

    /// How what a component could do differs from what was agreed to of this plugin.
    pub fn compare(&self, plugin: &str, now: &Locked) -> Difference {
        self.get(plugin).map_or(Difference::New, |locked| locked.compare(now))
    }
}

impl Locked {
    pub fn compare(&self, now: &Self) -> Difference {
        let mut more = Vec::new();
        if now.category > self.category {
            more.push(format!("its category is {}, and was {}", now.category, self.category));
        }
        more.extend(
            now.functions.difference(&self.functions).map(|function| format!("it imports {function}")),
        );
        for (tool, digest) in &now.tools {
            match self.tools.get(tool) {
                None => more.push(format!("it has a tool `{tool}`")),
                Some(before) if before != digest => {
                    more.push(format!("tool `{tool}` takes or says of itself something else"));
                }
                Some(_) => {}
            }
        }
        // A catalogue in another order is another text for a model, and says nothing else.
        if !more.is_empty() {
            return Difference::Widened { more };
        }
        let mut less = Vec::new();
        if now.category < self.category {
            less.push(format!("its category is {}, and was {}", now.category, self.category));
        }
        less.extend(
            self.functions
                .difference(&now.functions)
                .map(|function| format!("it no longer imports {function}")),
        );
        let gone = self.tools.keys().filter(|tool| !now.tools.contains_key(*tool));
        less.extend(gone.map(|tool| format!("it no longer has a tool `{tool}`")));
        if less.is_empty() { Difference::Same } else { Difference::Narrowed { less } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(category: ToolCategory, functions: &[&str], tools: &[(&str, &str)]) -> Locked {
        Locked {
            digest: Digest::of_bytes(b"x"),
            category,
            functions: functions.iter().map(|name| (*name).to_owned()).collect(),
            catalogue: Digest::of(&tools),
            signer: None,
            tools: tools
                .iter()
                .map(|(name, schema)| ((*name).to_owned(), Digest::of_bytes(schema.as_bytes())))
                .collect(),
        }
    }

    #[test]
    fn each_way_to_do_more_is_named_and_doing_less_is_not_held_up() {
        use ToolCategory::{Diagnostic, Query};
        let before = locked(Query, &["metrics.query"], &[("ask", "{}")]);
        let check = |now: Locked, verdict: &str, word: &str| {
            let difference = before.compare(&now);
            assert_eq!(difference.as_str(), verdict, "{difference:?}");
            assert!(difference.words().join("; ").contains(word), "{difference:?}");
        };
        check(before.clone(), "SAME", "");
        check(
            locked(Query, &["metrics.query", "http-read.send"], &[("ask", "{}")]),
            "WIDENED",
            "http-read.send",
        );
        check(locked(Diagnostic, &["metrics.query"], &[("ask", "{}")]), "WIDENED", "diagnostic");
        check(locked(Query, &["metrics.query"], &[("ask", "{\"more\":1}")]), "WIDENED", "tool `ask`");
        check(locked(Query, &["metrics.query"], &[("ask", "{}"), ("tell", "{}")]), "WIDENED", "tell");
        check(locked(Query, &[], &[("ask", "{}")]), "NARROWED", "metrics.query");
        check(locked(Query, &["logs.search"], &[]), "WIDENED", "logs.search");
        assert_eq!(Lock::default().compare("p", &before), Difference::New);
    }

    #[test]
    fn the_file_keeps_what_others_wrote_and_refuses_what_it_does_not_know() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugins.lock");
        assert_eq!(Lock::read(&path).unwrap(), Lock::default());
        let one = locked(ToolCategory::Query, &["metrics.query"], &[("ask", "{}")]);
        let entry = |name: &str| BTreeMap::from([(name.to_owned(), one.clone())]);
        Lock::record(&path, &entry("a")).unwrap();
        Lock::record(&path, &entry("b")).unwrap();
        let lock = Lock::read(&path).unwrap();
        assert_eq!((lock.get("a"), lock.get("b")), (Some(&one), Some(&one)));
        for (text, word) in [("version = 2", "version 2"), ("version = 1\nmore = 1", "more"), ("[", "")] {
            std::fs::write(&path, text).unwrap();
            let error = Lock::record(&path, &entry("a")).unwrap_err();
            assert_eq!(error.code(), "PLUGIN_LOCK_INVALID");
            assert!(error.to_string().contains(word), "{error}");
        }
        assert_eq!(
            Lock::record(&folder.path().join("no/such"), &entry("a")).unwrap_err().code(),
            "PLUGIN_LOCK_UNWRITABLE"
        );
    }
}
