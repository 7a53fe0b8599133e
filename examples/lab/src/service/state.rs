//! What a service remembers across restarts: configuration and its history, workers, and which admin calls were
//! carried out. One file, replaced whole, so that a change and the record of the call that made it are one.

use super::config::Config;
use crate::{topology::Service, whole_file};
use anyhow::Context;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Documents kept for going back. A rollout that must be undone is one of the last few.
const HISTORY_MAX: usize = 32;
/// Carried-out calls kept. Far more than any run makes; the bound keeps the file small.
const OPERATIONS_MAX: usize = 1_024;

/// A mutating admin call that was carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// The caller's `Idempotency-Key`, if it sent one.
    pub key: Option<String>,
    pub method: String,
    pub path: String,
    /// SHA-256 of method, path and body, hex: tells a repeat from another call under the same key.
    pub request_digest: String,
    /// When it was carried out, ms since epoch, UTC.
    pub at_ms: i64,
    /// The HTTP status of the first answer.
    pub status: u16,
    /// The body of the first answer.
    pub answer: serde_json::Value,
    /// How often the same call came again and was answered from here, doing nothing.
    pub replays: u32,
}

/// The content of the state file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Durable {
    pub config: Config,
    /// Documents before the current one, oldest first.
    pub previous: Vec<Config>,
    /// Counts the changes, from 1.
    pub config_revision: u64,
    pub config_changed_at_ms: i64,
    pub workers: u32,
    /// Lines in an average cart, each of which a checkout worker prices: the demand made on the service.
    pub cart_lines: u32,
    /// A timeout toward payments that a client-side cache holds on to, whatever the configuration says.
    pub pinned_timeout_ms: Option<u64>,
    /// Oldest first.
    pub operations: Vec<Operation>,
}

impl Durable {
    fn at_first(service: Service, now_ms: i64) -> Self {
        Self {
            config: Config::at_first(service),
            previous: Vec::new(),
            config_revision: 1,
            config_changed_at_ms: now_ms,
            workers: service.workers_at_first(),
            cart_lines: 1,
            pinned_timeout_ms: None,
            operations: Vec::new(),
        }
    }

    /// Makes the document current and the current one previous. The document that is current already changes nothing.
    pub fn set_config(&mut self, config: Config, now_ms: i64) {
        if config == self.config {
            return;
        }
        self.previous.push(std::mem::replace(&mut self.config, config));
        let surplus = self.previous.len().saturating_sub(HISTORY_MAX);
        self.previous.drain(..surplus);
        self.config_revision += 1;
        self.config_changed_at_ms = now_ms;
    }

    /// Remembers a carried-out call.
    pub fn record(&mut self, operation: Operation) {
        self.operations.push(operation);
        let surplus = self.operations.len().saturating_sub(OPERATIONS_MAX);
        self.operations.drain(..surplus);
    }

    /// The call carried out under the key.
    pub fn operation(&self, key: &str) -> Option<&Operation> {
        self.operations.iter().find(|operation| operation.key.as_deref() == Some(key))
    }
}

/// The state file and its content. Readers never wait for the disk; writers go one after another.
pub struct State {
    path: PathBuf,
    writer: Mutex<()>,
    current: RwLock<Arc<Durable>>,
}

impl State {
    /// Reads the file, or begins a new one.
    pub fn open(path: &Path, service: Service, now_ms: i64) -> anyhow::Result<Self> {
        let durable = match whole_file::read_json(path)? {
            Some(durable) => durable,
            None => {
                let durable = Durable::at_first(service, now_ms);
                whole_file::replace_json(path, &durable)?;
                durable
            }
        };
        Ok(Self { path: path.to_owned(), writer: Mutex::new(()), current: RwLock::new(Arc::new(durable)) })
    }

    pub fn now(&self) -> Arc<Durable> {
        Arc::clone(&self.current.read())
    }

    /// Changes the state. What `act` refuses leaves no trace; what it accepts is on disk before this returns.
    pub fn change<T, E: From<anyhow::Error>>(
        &self,
        act: impl FnOnce(&mut Durable) -> Result<T, E>,
    ) -> Result<T, E> {
        let _one_at_a_time = self.writer.lock();
        let mut next = Durable::clone(&self.now());
        let answer = act(&mut next)?;
        whole_file::replace_json(&self.path, &next).context("cannot keep the service's state")?;
        *self.current.write() = Arc::new(next);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> State {
        State::open(path, Service::Checkout, 1_000).unwrap()
    }

    fn released(name: &str) -> Config {
        Config { release: name.to_owned(), ..Config::at_first(Service::Checkout) }
    }

    #[test]
    fn a_change_survives_and_a_refused_one_leaves_no_trace() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        let state = open(&path);
        state
            .change::<_, anyhow::Error>(|durable| {
                durable.set_config(released("b"), 2_000);
                durable.workers = 16;
                Ok(())
            })
            .unwrap();
        let refused = state.change::<(), anyhow::Error>(|durable| {
            durable.workers = 1;
            anyhow::bail!("no")
        });
        assert!(refused.is_err());

        let reopened = open(&path).now();
        assert_eq!(*reopened, *state.now());
        assert_eq!(
            (reopened.workers, reopened.config_revision, reopened.config_changed_at_ms),
            (16, 2, 2_000)
        );
        assert_eq!(reopened.previous, [Config::at_first(Service::Checkout)]);
    }

    #[test]
    fn the_current_document_again_is_no_change() {
        let mut durable = Durable::at_first(Service::Checkout, 1_000);
        durable.set_config(durable.config.clone(), 9_000);
        assert_eq!((durable.config_revision, durable.config_changed_at_ms), (1, 1_000));
        assert!(durable.previous.is_empty());
    }

    #[test]
    fn history_is_bounded_and_keeps_the_newest() {
        let mut durable = Durable::at_first(Service::Checkout, 0);
        for index in 0..100 {
            durable.set_config(released(&index.to_string()), index);
        }
        assert_eq!(durable.previous.len(), HISTORY_MAX);
        assert_eq!(durable.previous.last().unwrap().release, "98");
        assert_eq!(durable.config_revision, 101);
    }
}
