//! What every tool has: log, clock, state, artefacts. Log and clock cannot be refused and touch nothing outside the
//! call, so they are bounded by quotas instead of decided on.

use super::or_answer;
use crate::broker::{Asks, CallFacts};
use crate::contract::host::types::{ErrorKind, HostError};
use crate::contract::host::{artifacts, clock, log, state};
use crate::session::{Session, error};
use crate::state::{Owner, StateError};

impl log::Host for Session {
    async fn emit(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Debug => "debug",
            log::Level::Info => "info",
            log::Level::Warn => "warn",
            log::Level::Error => "error",
        };
        self.log_line(level, &message);
        Ok(())
    }

    async fn progress(&mut self, percent: u8, message: String) -> wasmtime::Result<()> {
        self.log_line("progress", &format!("{} %: {message}", percent.min(100)));
        Ok(())
    }
}

impl clock::Host for Session {
    async fn now_ms(&mut self) -> wasmtime::Result<u64> {
        Ok(self.world.clock.now().0)
    }

    async fn remaining_ms(&mut self) -> wasmtime::Result<u64> {
        Ok(u64::try_from(self.meter.remaining().as_millis()).unwrap_or(u64::MAX))
    }
}

impl Session {
    fn owner(&self) -> Owner {
        Owner { plugin: self.caller.plugin.clone(), tool: self.caller.tool.clone() }
    }
}

fn refused(why: &StateError) -> HostError {
    match why {
        StateError::Quota { .. } => error(ErrorKind::Quota, "STATE_QUOTA", why.to_string()),
        StateError::Storage(_) => error(ErrorKind::Internal, "STATE_STORAGE", why.to_string()),
    }
}

impl state::Host for Session {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, HostError>> {
        let facts = CallFacts { function: "state.get", subject: key.clone(), asks: Asks::Nothing };
        or_answer!(self.admit(facts).await?);
        let world = self.world.clone();
        let value = world.state.get(&self.owner(), &key, world.clock.now()).await;
        let value = or_answer!(value.map_err(|error| refused(&error)));
        or_answer!(self.lend(value.as_ref().map_or(0, Vec::len)));
        Ok(Ok(value))
    }

    async fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_ms: u64,
    ) -> wasmtime::Result<Result<(), HostError>> {
        let facts = CallFacts { function: "state.set", subject: key.clone(), asks: Asks::Nothing };
        or_answer!(self.admit(facts).await?);
        let world = self.world.clone();
        let kept = world.state.set(&self.owner(), &key, value, ttl_ms, world.clock.now()).await;
        Ok(kept.map_err(|error| refused(&error)))
    }
}

impl artifacts::Host for Session {
    async fn put(
        &mut self,
        name: String,
        media_type: String,
        data: Vec<u8>,
    ) -> wasmtime::Result<Result<String, HostError>> {
        let facts = CallFacts { function: "artifacts.put", subject: name.clone(), asks: Asks::Nothing };
        or_answer!(self.admit(facts).await?);
        if let Err((used, limit)) = self.meter.artifact(data.len()) {
            let message = format!("{used} bytes of artefacts, the limit is {limit}");
            return Ok(Err(error(ErrorKind::Quota, "ARTIFACT_QUOTA", message)));
        }
        let (world, plugin) = (self.world.clone(), self.caller.plugin.clone());
        let put =
            tokio::task::spawn_blocking(move || world.artifacts.put(&plugin, &name, &media_type, data)).await;
        let id = match put.map_err(std::io::Error::other).flatten() {
            Ok(id) => id,
            Err(why) => {
                let message = format!("the artefact could not be kept: {why}");
                return Ok(Err(error(ErrorKind::Internal, "ARTIFACT_STORAGE", message)));
            }
        };
        if !self.artifacts.contains(&id) {
            self.artifacts.push(id.clone());
        }
        Ok(Ok(id))
    }
}
