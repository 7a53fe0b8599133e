//! Everything that belongs to one call of one tool, and ends with it.
//!
//! Owns the way every host call takes: count, deadline, broker. The functions themselves are in [`crate::functions`].

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use medic_core::plan::PlannedStep;
use medic_core::{Digest, Fault, FaultKind, TimestampMs};
use medic_ports::tools::ObservedCall;
use medic_ports::{Clock, Knowledge, Logs, Metrics};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::artifacts::Artifacts;
use crate::broker::{Broker, CallFacts, Caller, Decision};
use crate::contract::host::types::{ErrorKind, HostError};
use crate::deed::Ledger;
use crate::limits::Limits;
use crate::meter::{MemoryMeter, Meter, Pace};
use crate::plugin::Plugin;
use crate::state::StateStore;

/// The `grant` resource as a guest holds it. There is one in a call, so it needs no content: what it stands for is the
/// call's [`ChangeSession`].
pub struct MintedGrant;

/// Representation of the one grant of a call.
pub const GRANT_REP: u32 = 1;

/// What the host functions reach.
pub struct World {
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<dyn Metrics>,
    pub logs: Arc<dyn Logs>,
    pub knowledge: Arc<dyn Knowledge>,
    pub broker: Broker,
    pub state: Arc<dyn StateStore>,
    pub artifacts: Artifacts,
}

pub struct Session {
    pub caller: Caller,
    pub plugin: Arc<Plugin>,
    pub world: Arc<World>,
    pub meter: Meter,
    pub memory: MemoryMeter,
    /// Present while a grant exists.
    pub change: Option<ChangeSession>,
    /// Why the call was ended from the host's side; tells more than the trap that ended it.
    pub ended: Option<Ended>,
    /// Names of artefacts put.
    pub artifacts: Vec<String>,
    wasi: WasiCtx,
    wasi_table: ResourceTable,
    stdout: MemoryOutputPipe,
}

#[derive(Clone, Debug)]
pub enum Ended {
    Fault(Fault),
    /// A change may or may not have happened.
    Unknown {
        target: String,
        detail: String,
    },
}

/// The authority of one step, forwards or back.
pub struct ChangeSession {
    /// What the guest is told; in a dry run the plan's own digest, so that it sees nothing unusual.
    pub plan: Digest,
    pub step: PlannedStep,
    pub reverting: bool,
    pub expires: TimestampMs,
    pub operations_left: u32,
    pub next_ordinal: u32,
    pub mode: ChangeMode,
    /// Idempotency keys and receipts of the calls so far.
    pub keys: Vec<String>,
    pub receipts: Vec<String>,
    /// Whether a receipt tells that something happened.
    pub anything_done: bool,
}

pub enum ChangeMode {
    /// Calls are noted and answered plausibly; nothing is sent.
    Dry(Vec<ObservedCall>),
    Real(Arc<Ledger>),
}

/// 64 KiB of standard output: a panic message and then some.
const STDOUT_BYTES_MAX: usize = 64 * 1024;

impl Session {
    pub fn new(
        world: Arc<World>,
        plugin: Arc<Plugin>,
        caller: Caller,
        change: Option<ChangeSession>,
    ) -> Self {
        let limits: Limits = plugin.grant.limits.clone();
        let stdout = MemoryOutputPipe::new(STDOUT_BYTES_MAX);
        // No preopened directory, no address, no variable: what is not given is not there.
        let wasi = WasiCtx::builder()
            .stdout(stdout.clone())
            .stderr(stdout.clone())
            .max_random_size(64 * 1024)
            .build();
        Self {
            caller,
            plugin,
            world,
            memory: MemoryMeter::new(limits.memory),
            meter: Meter::start(limits),
            change,
            ended: None,
            artifacts: Vec::new(),
            wasi,
            wasi_table: ResourceTable::new(),
            stdout,
        }
    }

    /// The way in of every host call that has an answer to refuse with. The outer error traps the guest, the inner one
    /// is its answer.
    pub async fn admit(&mut self, facts: CallFacts<'_>) -> wasmtime::Result<Result<Decision, HostError>> {
        match self.meter.host_call(facts.function) {
            Ok(Pace::Go) => {}
            Ok(Pace::Wait(wait)) => tokio::time::sleep(wait.min(self.meter.remaining())).await,
            Err(fault) => return Err(self.end(Ended::Fault(fault))),
        }
        if self.meter.remaining().is_zero() {
            return Ok(Err(timeout()));
        }
        let decision = self.world.broker.authorize(&self.caller, &self.plugin.grant, &facts);
        Ok(match decision.refusal() {
            Some(refusal) => Err(refusal),
            None => Ok(decision),
        })
    }

    /// Ends the call: the guest traps, and `why` is what the caller hears.
    pub fn end(&mut self, why: Ended) -> wasmtime::Error {
        let words = match &why {
            Ended::Fault(fault) => fault.message.clone(),
            Ended::Unknown { detail, .. } => detail.clone(),
        };
        self.ended.get_or_insert(why);
        wasmtime::Error::msg(words)
    }

    /// Counts what an answer hands to the guest.
    pub fn lend(&mut self, bytes: usize) -> Result<(), HostError> {
        self.meter.answer(bytes).map_err(|(used, limit)| {
            error(
                ErrorKind::Quota,
                "ANSWER_TOO_LARGE",
                format!("the answer has {used} bytes, the limit is {limit}; ask for less"),
            )
        })
    }

    /// Writes what the guest printed into the log, and says what was lost.
    pub fn close(&mut self) {
        let printed = self.stdout.contents();
        for line in String::from_utf8_lossy(&printed).lines() {
            self.log_line("stdout", line);
        }
        if self.meter.log_lines_lost() > 0 {
            tracing::warn!(
                plugin = self.caller.plugin,
                lines = self.meter.log_lines_lost(),
                "tool log lines lost to the limit"
            );
        }
    }

    pub fn log_line(&mut self, level: &'static str, message: &str) {
        if !self.meter.log_line() {
            return;
        }
        let bytes_max = usize::try_from(self.meter.limits().log_line).unwrap_or(usize::MAX);
        let message = crate::text::line(message, bytes_max);
        let Caller { incident, plugin, tool } = &self.caller;
        tracing::info!(incident, plugin, tool, tool_level = level, message, "tool log");
    }
}

/// Waits for an answer until the call's deadline; a guest is told `timeout` and may still say something useful.
pub async fn within<T>(
    remaining: Duration,
    answer: impl Future<Output = Result<T, Fault>>,
) -> Result<T, HostError> {
    match tokio::time::timeout(remaining, answer).await {
        Ok(answer) => answer.map_err(|fault| from_fault(&fault)),
        Err(_) => Err(timeout()),
    }
}

pub fn error(kind: ErrorKind, code: &str, message: impl Into<String>) -> HostError {
    HostError { kind, code: code.to_owned(), message: message.into(), retry_after_ms: None }
}

fn timeout() -> HostError {
    error(ErrorKind::Timeout, "DEADLINE", "the call's time is up; end it")
}

fn from_fault(fault: &Fault) -> HostError {
    let kind = match fault.kind {
        FaultKind::Timeout => ErrorKind::Timeout,
        // The guest's own words were at fault, so that it can put them right.
        FaultKind::Upstream if fault.code.ends_with("BAD_QUERY") => ErrorKind::Invalid,
        FaultKind::Upstream | FaultKind::Unreachable | FaultKind::Malformed => ErrorKind::Upstream,
        FaultKind::InvalidArguments => ErrorKind::Invalid,
        FaultKind::Denied => ErrorKind::Denied,
        FaultKind::Sandbox | FaultKind::Drift | FaultKind::Storage | FaultKind::Internal => {
            ErrorKind::Internal
        }
    };
    error(kind, &fault.code, crate::text::plain(&fault.message, 1024))
}

impl WasiView for Session {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.wasi_table }
    }
}
